"""The way back to stable, whatever the state: at once, rung by rung, or held while stable is down."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

from serinus.core.bucketing import BUCKETS
from serinus.core.decision import Decision, Intent, IntentKind, Reason
from serinus.core.errors import InvalidInput
from serinus.core.lifecycle.guards import irreversible_behind, not_across
from serinus.core.lifecycle.irreversible import block
from serinus.core.lifecycle.moves import SET_TRAFFIC, roll_back
from serinus.core.lifecycle.scheduled import call_off
from serinus.core.lifecycle.transitions import Action, follow
from serinus.core.model import Deployment, Status, Waiting, percent
from serinus.core.strategy import GoingBack

__all__ = ["carry_on", "go_back", "go_back_by_itself", "hold"]

#: The phases of a rollback that is on its way, and of one that cannot begin or go on.
GOING, HELD = "going-back", "holding:stable-down"


def go_back(
    d: Deployment,
    now: datetime,
    reason: str,
    *,
    compensate: bool = True,
    automatic: bool = False,
    data: dict[str, Any] | None = None,
    force: bool = False,
    across: bool = False,
    gradual: bool = True,
) -> Decision:
    """Decide a rollback. It ends at stable, or is held where it is while stable cannot be sent traffic.

    Args:
        d: Any deployment that the table lets go back.
        now: The moment.
        reason: Why, in words.
        compensate: Run the compensation strategy at its end.
        automatic: No person asked for it.
        data: What goes onto the timeline beside it.
        force: At once, and to a stable side that is down as well.
        across: Across an irreversible step that was completed, too.
        gradual: Take the strategy's rungs; not while another version is under test already.

    Raises:
        TransitionRefused: There is nothing to go back from.
        InvalidInput: No reason is given.
        Conflict: An irreversible step was completed, and ``across`` is not given.
    """
    follow(d.status, Action.ROLLBACK)
    if not reason.strip():
        raise InvalidInput("A rollback needs a reason.", field="reason", next_step="Say why in one sentence.")
    if d.status is Status.SCHEDULED:
        return call_off(d, now, reason)
    if not automatic and d.going_back is None:
        not_across(d, across)
    if d.blocked is not None:
        d = replace(d, traffic_bp=d.blocked.from_bp, blocked=None)
    rungs = _rungs(d) if gradual else ()
    if force or not (d.stable_down or rungs):
        return roll_back(d, now, reason, compensate=compensate, automatic=automatic, data=data)
    if d.going_back is not None:
        return carry_on(d, now)  # asked again: it is under way already
    wanted = GoingBack(reason=reason, automatic=automatic, compensate=compensate)
    fixed = replace(d, going_back=wanted, paused=False, waiting=Waiting.NOTHING)
    return _held(fixed) if d.stable_down else _step_down(fixed, now, rungs, data)


def go_back_by_itself(
    d: Deployment, now: datetime, reason: str, *, causes: tuple[str, ...], data: dict[str, Any] | None = None
) -> Decision | None:
    """Decide a rollback that no person asked for; across an irreversible step, ask one instead.

    ``causes`` names what is wrong; ``None``: a person has decided to go on in spite of all of it.
    """
    if not irreversible_behind(d):
        return go_back(d, now, reason, automatic=True, data=data)
    if set(causes) <= set(d.accepted):
        return None
    return block(d, now, reason, causes=causes, data=data)


def carry_on(d: Deployment, now: datetime) -> Decision:
    """Go on with a rollback that was decided: wait, take the next rung, or end it."""
    back = d.going_back
    assert back is not None
    if d.stable_down:
        return _held(d)
    if back.moved_at is not None and d.strategy.rollback is not None:
        left = d.strategy.rollback.seconds - (now - back.moved_at).total_seconds()
        # A clock that stepped back makes a rung at most twice as long.
        if 0 < left <= 2 * d.strategy.rollback.seconds:
            return Decision(next_state=replace(d, sentence=_sentence(d), phase=GOING))
    rungs = _rungs(d)
    if rungs:
        return _step_down(d, now, rungs, None)
    return roll_back(d, now, back.reason, compensate=back.compensate, automatic=back.automatic)


def _rungs(d: Deployment) -> tuple[int, ...]:
    """Return the shares that are still to be taken on the way down, without the last, which is 0."""
    gradual = d.strategy.rollback
    if gradual is None or d.filter_only:
        return ()
    # A breaker that does not roll back has everyone on stable already: nothing is left to take slowly.
    share = BUCKETS if d.status is Status.ACTIVE else d.traffic_bp if d.policy.breaker else d.weight_bp
    return tuple(bp for bp in gradual.rungs if bp < share)


def _step_down(d: Deployment, now: datetime, rungs: tuple[int, ...], data: dict[str, Any] | None) -> Decision:
    """Take the next rung. What was promoted is a canary of everybody again, so that it can shrink."""
    back = d.going_back
    assert back is not None
    before, share = _share(d), rungs[0]
    moved = replace(
        d,
        status=Status.CANARY,
        traffic_bp=share,
        step_started_at=now,
        observed_seconds=0.0,
        ended_at=None,
        end_reason="",
        warm_until=None,
        phase=GOING,
        going_back=replace(back, moved_at=now),
    )
    message = f"Going back, {percent(before)} → {percent(share)}, while {d.stable_version} is healthy."
    intents = [SET_TRAFFIC]
    if d.status is Status.ACTIVE:
        intents.append(Intent(kind=IntentKind.TAKE_OVER, data={"version": d.stable_version}))
    if back.moved_at is None:
        message = f"{message[:-1]}: {back.reason}"
        intents.append(Intent(kind=IntentKind.TELL, topic="warning", data={"warnings": [message]}))
    shown = {"from_bp": before, "to_bp": share, "automatic": back.automatic, **(data or {})}
    return Decision(
        next_state=replace(moved, sentence=_sentence(moved)),
        intents=tuple(intents),
        reasons=(Reason(kind="going_back", message=message, data=shown),),
    )


def _sentence(d: Deployment) -> str:
    assert d.going_back is not None
    rungs = [percent(bp) for bp in (*_rungs(d), 0)]
    return f"Going back at {percent(d.traffic_bp)}, then {', '.join(rungs)}: {d.going_back.reason}"


def _held(d: Deployment) -> Decision:
    """Stay: nobody is moved to a side that is down. Say so once, and whenever its trouble is another."""
    assert d.going_back is not None
    message = (
        f"The rollback is held at {percent(_share(d))}: stable {d.stable_version} cannot be sent traffic "
        f"({d.stable_down}). It goes on by itself as soon as stable answers. Why back: {d.going_back.reason}"
    )
    return hold(d, message)


def hold(d: Deployment, message: str) -> Decision:
    """Stay, because stable is down, and say so once."""
    held = replace(d, sentence=message, phase=HELD)
    if d.phase == HELD:
        return Decision(next_state=held)
    return Decision(
        next_state=held,
        # Setting the traffic, which stays as it is, has the monitor look again at once.
        intents=(SET_TRAFFIC, Intent(kind=IntentKind.TELL, topic="warning", data={"warnings": [message]})),
        reasons=(Reason(kind="holding", message=message, data={"phase": "stable-down"}),),
    )


def _share(d: Deployment) -> int:
    return BUCKETS if d.status is Status.ACTIVE else d.traffic_bp
