"""What each move does to a deployment. Pure: the caller stores the answer and carries it out."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from serinus.core.analysis.verdict import Outcome, Verdict
from serinus.core.bucketing import BUCKETS
from serinus.core.decision import Decision, Intent, IntentKind, Reason
from serinus.core.errors import Conflict, GateRefused, InvalidInput
from serinus.core.hooks import Phase
from serinus.core.lifecycle.guards import (
    irreversible_behind,
    leaves_stable,
    may_pass,
    may_raise,
    may_shrink,
    not_going_back,
)
from serinus.core.lifecycle.hooked import pass_hooks, post_hooks
from serinus.core.lifecycle.irreversible import go_on
from serinus.core.lifecycle.transitions import Action, follow
from serinus.core.model import (
    CompensationStrategy,
    Deployment,
    Mode,
    Role,
    Status,
    Stickiness,
    TargetFilter,
    Waiting,
    percent,
)
from serinus.core.strategy import StrategyType

__all__ = [
    "approve",
    "deprecate",
    "enter_step",
    "looked_after",
    "pause",
    "promote",
    "resume",
    "roll_back",
    "shift",
    "start",
    "under_watch",
]

#: The phase of a promoted deployment that the judge still watches.
WATCHING = "watching"
SET_TRAFFIC = Intent(kind=IntentKind.SET_TRAFFIC)


def start(
    d: Deployment, now: datetime, *, bp: int | None = None, target: TargetFilter | None = None
) -> Decision:
    """Put the canary under traffic: the first step in auto mode, ``bp`` (default: configured) in manual.

    A manual start with named units is for them alone: its share is 0.
    """
    status = follow(d.status, Action.START)
    begun = replace(
        d,
        status=status,
        started_at=now,
        last_tick_at=now,
        step_started_at=now,
        target_filter=target or TargetFilter(),
        scheduled=None,
        phase="observing",
    )
    if d.strategy.mode is Mode.AUTO and d.strategy.steps:
        share = d.strategy.steps[0].traffic_bp
        begun = replace(enter_step(begun, 0, now), filter_only=False)
    else:
        share = round(d.config.initial_traffic_percentage * 100) if bp is None else bp
        share = 0 if target else share  # until somebody changes it, nobody comes by hash
        leaves_stable(d, share)
        begun = replace(begun, traffic_bp=share, peak_bp=share, filter_only=bool(target))
        begun = replace(begun, passed=0 if begun.filter_only else _step_at(d, share))
    who = f"{percent(share)} of units"
    if begun.filter_only:
        named = begun.target_filter
        who = f"{len(named.user_ids)} named users and {len(named.workflow_ids)} named workflows"
    sentence = f"{d.tested} started with {who}; everyone else stays on {d.stable_version}."
    if not share and not begun.filter_only:
        sentence = f"{d.tested} started{_seen_by(begun)}; everyone stays on {d.stable_version}."
    return Decision(
        next_state=replace(begun, sentence=sentence),
        intents=(SET_TRAFFIC,),
        reasons=(Reason(kind="started", message=sentence, data={"traffic_bp": share}),),
    )


def _seen_by(d: Deployment) -> str:
    """Say who sees a canary that no share goes to."""
    mirror, preview = d.step.mirror_bp if d.step else 0, d.strategy.preview
    parts = [f"copies of {percent(mirror)} of requests"] if mirror else []
    parts += [f"requests with {preview.words}"] if preview else []
    return f" with {' and '.join(parts)}" if parts else ""


def enter_step(d: Deployment, index: int, now: datetime) -> Deployment:
    """Return ``d`` at the beginning of step ``index``."""
    share = d.strategy.steps[index].traffic_bp
    return replace(
        _switched(d, share, now),
        step_index=index,
        passed=max(d.passed, index),
        traffic_bp=share,
        peak_bp=max(d.peak_bp, share),
        observed_seconds=0.0,
        blind_seconds=0.0,
        step_started_at=now,
        waiting=Waiting.NOTHING,
        approved=False,
    )


def _switched(d: Deployment, share: int, now: datetime) -> Deployment:
    """Note until when the old side is kept, when a blue-green deployment switches."""
    if d.strategy.type is not StrategyType.BLUE_GREEN or share == d.traffic_bp:
        return d
    seconds = d.strategy.keep_warm_seconds if share else 0
    return replace(d, warm_until=now + timedelta(seconds=seconds) if seconds else None)


def shift(
    d: Deployment,
    now: datetime,
    bp: int,
    *,
    keeps_units: bool = True,
    role: Role = Role.ADMIN,
    force: bool = False,
) -> Decision:
    """Change the share up or down. ``keeps_units``: the data plane can hold units that are on the canary.

    ``role`` is the caller's: gates on the way may ask for more. ``force`` goes past a step's minimum time,
    and to a side that does not answer.

    Raises:
        Conflict: Persistent stickiness, a smaller share, and a data plane that cannot keep the units; or
            what ``force`` goes past.
        Forbidden: A gate on the way asks for a higher role.
    """
    follow(d.status, Action.TRAFFIC)
    not_going_back(d)
    may_raise(d, bp, role, force=force)
    may_shrink(d, bp, keeps_units)
    stays = 0 < bp < d.traffic_bp and d.strategy.stickiness is Stickiness.PERSISTENT
    if stays and not keeps_units:
        raise Conflict(
            "This proxy cannot keep units on the canary while its share shrinks from "
            f"{percent(d.traffic_bp)} to {percent(bp)}, as `stickiness: persistent` asks.",
            next_step="Roll back, or make the deployment with `stickiness: hash`.",
        )
    before = d.traffic_bp
    message = f"Traffic {percent(before)} → {percent(bp)} by hand{', forced' if force else ''}."
    if stays:
        message += (
            " Units already on the canary stay there; only new ones see the new share. "
            "`serinus assignment reset` lets the hash decide again."
        )
    moved = replace(
        _switched(d, bp, now),
        traffic_bp=bp,
        passed=max(d.passed, _step_at(d, bp)),
        peak_bp=max(d.peak_bp, bp),
        filter_only=False,
        observed_seconds=0.0,
        blind_seconds=0.0,
        step_started_at=now,
        waiting=Waiting.NOTHING,
        approved=False,
        sentence=message,
    )
    if d.strategy.mode is Mode.AUTO:
        moved = replace(moved, step_index=_step_at(d, bp))
    return Decision(
        next_state=moved,
        intents=(SET_TRAFFIC,),
        reasons=(Reason(kind="traffic", message=message, data={"from_bp": before, "to_bp": bp}),),
    )


def _step_at(d: Deployment, bp: int) -> int:
    """Return the last step that asks for no more than ``bp``, so that the walk goes on from there."""
    reached = [i for i, step in enumerate(d.strategy.steps) if step.traffic_bp <= bp]
    return reached[-1] if reached else 0


def pause(d: Deployment, now: datetime) -> Decision:  # noqa: ARG001 - every move takes the moment
    """Hold the share where it is. Automatic rollback stays on."""
    follow(d.status, Action.PAUSE)
    not_going_back(d)
    if d.paused:
        raise Conflict("It is paused already.", next_step="Use resume to go on.")
    message = f"Paused at {percent(d.traffic_bp)}. Automatic rollback stays on."
    return _said(replace(d, paused=True, sentence=message), "paused", message)


def resume(d: Deployment, now: datetime) -> Decision:  # noqa: ARG001
    """Go on where it was paused."""
    follow(d.status, Action.RESUME)
    if not d.paused:
        raise Conflict("It is not paused.", next_step="Use pause to hold it.")
    message = f"Resumed at {percent(d.traffic_bp)}."
    return _said(replace(d, paused=False, sentence=message), "resumed", message)


def approve(
    d: Deployment,
    now: datetime,
    *,
    role: Role = Role.ADMIN,
    by: str = "",
    reason: str = "",
) -> Decision:
    """Pass the gate that the deployment waits at; who did, and why, goes onto the timeline.

    Raises:
        Forbidden: The gate asks for a higher role.
        Conflict: It waits at no gate.
        InvalidInput: No reason is given for going on although it should have gone back.
    """
    if d.blocked is not None:
        return go_on(d, now, by, reason)  # of a promoted one as well
    follow(d.status, Action.APPROVE)
    not_going_back(d)
    if d.waiting is Waiting.PROMOTION:
        raise Conflict("Every step has passed; it waits for its promotion.", next_step="Use promote.")
    if d.waiting is not Waiting.APPROVAL:
        raise Conflict("It waits for no approval.", next_step="Nothing to do; watch it go on.")
    if past := pass_hooks(d):
        return past
    may_pass(d, role, d.traffic_bp + 1)
    who, why = f" by {by}" if by else "", f": {reason.strip()}" if reason.strip() else "."
    message = f"Approved at {percent(d.traffic_bp)}{who}{why}"
    passed = replace(d, approved=True, waiting=Waiting.NOTHING, sentence=message)
    data = {"role": role.value, "by": by, "reason": reason.strip()}
    return Decision(next_state=passed, reasons=(Reason(kind="approved", message=message, data=data),))


def promote(
    d: Deployment,
    now: datetime,
    gate: tuple[Verdict, ...] = (),
    *,
    force: bool = False,
    role: Role = Role.ADMIN,
) -> Decision:
    """Make the canary the version for everyone.

    Raises:
        GateRefused: A condition of the gate is not met and ``force`` is not given.
        Forbidden: A step's gate that lies ahead asks for a higher role than the caller's.
        Conflict: It is going back.
    """
    status = follow(d.status, Action.PROMOTE)
    not_going_back(d)
    may_pass(d, role)
    unmet = [v for v in gate if v.outcome is not Outcome.PASS]
    if unmet and not force:
        raise GateRefused(
            "The promotion gate is not met: " + "; ".join(v.message for v in unmet) + ".",
            next_step="Wait until it is, roll back, or promote with `force`.",
            extra={"gate": {v.check: v.message for v in gate}},
        )
    message = f"{d.version} promoted: everyone is on it."
    if unmet:
        message += " Forced past: " + "; ".join(v.message for v in unmet) + "."
    done = replace(
        _switched(d, BUCKETS, now),
        status=status,
        traffic_bp=BUCKETS,
        passed=len(d.strategy.steps),
        peak_bp=BUCKETS,
        filter_only=False,
        paused=False,
        waiting=Waiting.NOTHING,
        ended_at=now,
        end_reason="promoted",
        phase=WATCHING if d.policy.judge and d.policy.judge.watch > 0 else "active",
        sentence=message,
    )
    return Decision(
        next_state=done,
        intents=(
            SET_TRAFFIC,
            Intent(kind=IntentKind.TAKE_OVER, data={"version": d.version}),
            Intent(kind=IntentKind.CLEAR_ASSIGNMENTS),
            Intent(kind=IntentKind.TELL, topic="promoted"),
            *post_hooks(d, Phase.POST_PROMOTION),
        ),
        reasons=(Reason(kind="promoted", message=message, data={"forced": bool(unmet)}),),
    )


def under_watch(d: Deployment) -> bool:
    """Tell whether a promoted version is still watched, with automatic rollback."""
    return d.status is Status.ACTIVE and d.phase == WATCHING


def looked_after(d: Deployment) -> bool:
    """Tell whether something may still happen to a promoted version by itself."""
    return under_watch(d) or (
        d.status is Status.ACTIVE and (d.warm_until is not None or d.going_back is not None)
    )


def roll_back(
    d: Deployment,
    now: datetime,
    reason: str,
    *,
    compensate: bool = True,
    automatic: bool = False,
    data: dict[str, Any] | None = None,
) -> Decision:
    """Put everyone on stable. Wins in every state that has traffic.

    Raises:
        InvalidInput: No reason is given.
    """
    status = follow(d.status, Action.ROLLBACK)
    if not reason.strip():
        raise InvalidInput("A rollback needs a reason.", field="reason", next_step="Say why in one sentence.")
    how = "Switched back at once" if d.warm_until else "Rolled back"
    how += " automatically" if automatic else ""
    crossed = irreversible_behind(d)
    how += f", across the irreversible {crossed}," if crossed else ""
    message = f"{how} from {percent(d.traffic_bp)} to {d.stable_version}: {reason}"
    done = replace(
        d,
        status=status,
        traffic_bp=0,
        filter_only=False,
        paused=False,
        waiting=Waiting.NOTHING,
        intended=None,
        going_back=None,
        blocked=None,
        warm_until=None,
        ended_at=now,
        end_reason=reason,
        sentence=message,
    )
    intents = [SET_TRAFFIC, Intent(kind=IntentKind.CLEAR_ASSIGNMENTS)]
    if d.status is Status.ACTIVE:
        intents.append(Intent(kind=IntentKind.TAKE_OVER, data={"version": d.stable_version}))
    asked = d.compensation_strategy is not CompensationStrategy.ROLLBACK_ONLY and not d.awaits_start
    if compensate and asked:
        intents.append(Intent(kind=IntentKind.COMPENSATE))
    intents.append(Intent(kind=IntentKind.TELL, topic="rollback", data={"reason": reason}))
    intents += post_hooks(d, Phase.POST_ROLLBACK)
    shown = {"automatic": automatic, "from_bp": d.traffic_bp, **(data or {})}
    reasons = [Reason(kind="rolled_back", message=message, data={**shown, "across": crossed})]
    if asked and not compensate:
        reasons.append(Reason(kind="compensation", message="Nothing is compensated, as was asked for."))
    return Decision(next_state=done, intents=tuple(intents), reasons=tuple(reasons))


def deprecate(d: Deployment, now: datetime) -> Decision:
    """Retire an active deployment: a newer version took over. A rollback that it waits for is over, too."""
    status = follow(d.status, Action.DEPRECATE)
    message = f"{d.version} deprecated."
    over = replace(d, going_back=None, blocked=None, warm_until=None)
    retired = replace(over, status=status, ended_at=now, sentence=message)
    return _said(retired, "deprecated", message)


def _said(d: Deployment, kind: str, message: str) -> Decision:
    return Decision(next_state=d, reasons=(Reason(kind=kind, message=message),))
