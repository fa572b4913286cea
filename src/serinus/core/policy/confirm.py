"""Moves that hooks have to confirm: asked first, made once every hook has said yes.

Nothing here is called for a rollback: that waits for nobody.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from serinus.core.analysis.evidence import Evidence
from serinus.core.analysis.sequential.words import duration
from serinus.core.analysis.verdict import Outcome, Verdict
from serinus.core.decision import Decision, Intent, IntentKind, Reason
from serinus.core.errors import SerinusError
from serinus.core.hooks import Ask, Hook, OnNo, OnTimeout, Phase, Said
from serinus.core.lifecycle import moves
from serinus.core.lifecycle.back import go_back_by_itself
from serinus.core.lifecycle.hooked import about, hook_names, stuck
from serinus.core.model import Deployment, Intended, Role, Status, TargetFilter, Waiting, percent
from serinus.core.policy.freezing import frozen_for
from serinus.core.policy.gate import promotion_gate

__all__ = ["confirm_move", "confirm_step", "promoted", "shifted", "started"]

#: So many answers are kept: those of the present step, and the newest of the steps before.
KEPT = 40


# -- moves that a person asks for -----------------------------------------------------------------


def started(
    d: Deployment, now: datetime, *, bp: int | None = None, target: TargetFilter | None = None
) -> Decision:
    """Start it; with hooks in the way it is a canary without traffic until they say yes."""
    decision = moves.start(d, now, bp=bp, target=target)
    if not _hooks(d, Phase.CONFIRM_ROLLOUT):
        return decision
    still = replace(
        decision.next_state,
        traffic_bp=0,
        peak_bp=0,
        passed=0,
        target_filter=TargetFilter(),
        filter_only=False,
    )
    wanted = Intended(phase=Phase.CONFIRM_ROLLOUT, at=now, bp=bp, target=target or TargetFilter())
    return _intend(still, wanted, now)


def shifted(
    d: Deployment,
    now: datetime,
    bp: int,
    *,
    keeps_units: bool = True,
    role: Role = Role.ADMIN,
    force: bool = False,
) -> Decision:
    """Change the share; only more traffic is asked about."""
    free = replace(d, intended=None)
    decision = moves.shift(free, now, bp, keeps_units=keeps_units, role=role, force=force)
    if d.awaits_start:
        return _intend(d, Intended(phase=Phase.CONFIRM_ROLLOUT, at=now, bp=bp), now)
    if bp <= d.traffic_bp or not _hooks(d, Phase.CONFIRM_TRAFFIC):
        return decision
    return _intend(d, Intended(phase=Phase.CONFIRM_TRAFFIC, at=now, bp=bp, force=force), now)


def promoted(
    d: Deployment,
    now: datetime,
    gate: tuple[Verdict, ...] = (),
    *,
    force: bool = False,
    role: Role = Role.ADMIN,
) -> Decision:
    """Promote it; ``force`` goes past the hooks as it goes past the gate, and says so."""
    hooks = _hooks(d, Phase.CONFIRM_PROMOTION)
    if force:
        gate += tuple(_unasked(hook) for hook in hooks)
    decision = moves.promote(replace(d, intended=None), now, gate, force=force, role=role)
    if not hooks or force:
        return decision
    return _intend(d, Intended(phase=Phase.CONFIRM_PROMOTION, at=now, version=d.winner), now)


def _unasked(hook: Hook) -> Verdict:
    said = f"hook {hook.name} has not said yes"
    return Verdict(check=f"hook {hook.name}", outcome=Outcome.INCONCLUSIVE, message=said, on_fail="hold")


def _intend(d: Deployment, wanted: Intended, now: datetime) -> Decision:
    meant = replace(d, intended=wanted, waiting=Waiting.NOTHING)
    return _ask(meant, wanted.phase, now) or Decision(next_state=meant)


# -- rules of the tick ----------------------------------------------------------------------------


def confirm_move(d: Deployment, evidence: Evidence, now: datetime) -> Decision | None:
    """Hold a move by hand until its hooks have answered, then make it; hold what a hook has stopped."""
    if d.paused:
        return None
    if stuck(d):
        return Decision(next_state=replace(d, last_tick_at=now))
    if d.intended is None:
        return None
    return _ask(d, d.intended.phase, now) or _made(d, d.intended, evidence, now)


def _made(d: Deployment, wanted: Intended, evidence: Evidence, now: datetime) -> Decision:
    """Make the move that was asked for; it may have become impossible meanwhile, and then that is said."""
    freeze = frozen_for(d, now)
    if freeze is not None:
        message = f"The hooks said yes. {freeze.sentence}."
        return Decision(next_state=replace(d, sentence=message, phase="confirming", last_tick_at=now))
    free = replace(d, intended=None)
    try:
        if wanted.phase is Phase.CONFIRM_ROLLOUT:
            fresh = replace(free, status=Status.DRAFT)
            return moves.start(fresh, now, bp=wanted.bp, target=wanted.target or None)
        if wanted.phase is Phase.CONFIRM_TRAFFIC:
            return moves.shift(free, now, wanted.bp or 0, force=wanted.force)
        return moves.promote(free, now, promotion_gate(free, evidence, now))
    except SerinusError as refusal:
        message = f"The hooks said yes, but it cannot be done any more: {refusal.detail}"
        return Decision(
            next_state=replace(free, sentence=message),
            intents=(Intent(kind=IntentKind.TELL, topic="warning", data={"warnings": [message]}),),
            reasons=(Reason(kind="hook", message=message),),
        )


def confirm_step(d: Deployment, evidence: Evidence, now: datetime) -> Decision | None:
    """Ask at the end of a step, then before what follows it: more traffic, or the promotion."""
    step = d.step
    if step is None or step.manual or not d.strategy.hooks:
        return None  # after a manual step somebody moves it, and that move is asked about
    if stop := _ask(d, Phase.CONFIRM_STEP, now):
        return stop
    if step.gate and not d.approved:
        return None
    if d.step_index + 1 < len(d.strategy.steps):
        return _ask(d, Phase.CONFIRM_TRAFFIC, now)
    gate = promotion_gate(d, evidence, now)
    met = all(v.outcome is Outcome.PASS for v in gate)
    return _ask(d, Phase.CONFIRM_PROMOTION, now) if d.strategy.auto_promote and met else None


# -- asking ---------------------------------------------------------------------------------------


def _hooks(d: Deployment, phase: Phase) -> tuple[Hook, ...]:
    return tuple(hook for hook in d.strategy.hooks if hook.phase is phase)


def _ask(d: Deployment, phase: Phase, now: datetime) -> Decision | None:
    """Ask a phase's hooks, or weigh what they have said; ``None`` once nothing is in the way."""
    hooks, what = _hooks(d, phase), about(d)
    asked = {a.hook: a for a in d.asks if a.phase is phase and a.about == what}
    fresh = tuple(
        Ask(id=f"{d.id}.{d.revision}.{hook.name}", hook=hook.name, phase=phase, about=what, asked_at=now)
        for hook in hooks
        if hook.name not in asked
    )
    if fresh:
        return _begun(d, phase, fresh)
    return _weighed(d, phase, [(hook, asked[hook.name]) for hook in hooks], now)


def _begun(d: Deployment, phase: Phase, fresh: tuple[Ask, ...]) -> Decision:
    message = f"Asking {hook_names(fresh)} {_before(d, phase)}."
    return Decision(
        next_state=replace(d, asks=(d.asks + fresh)[-KEPT:], sentence=message, phase="confirming"),
        intents=tuple(
            Intent(
                kind=IntentKind.HOOK,
                topic=phase.value,
                data={"hook": a.hook, "id": a.id, "version": d.tested},
            )
            for a in fresh
        ),
        reasons=(Reason(kind="hook", message=message, data={"phase": phase.value}),),
    )


def _weighed(d: Deployment, phase: Phase, answers: list[tuple[Hook, Ask]], now: datetime) -> Decision | None:
    for hook, ask in answers:
        late = (now - ask.asked_at).total_seconds() >= hook.timeout_seconds
        if ask.said is Said.NO:
            why = f"hook {hook.name} said no" + (f": {ask.words}" if ask.words else "")
            return _stopped(d, ask, why, now, back=hook.on_no is OnNo.ROLLBACK)
        if ask.said is Said.TIMEOUT or (ask.said is Said.NOTHING and late):
            why = f"hook {hook.name} did not answer in {duration(hook.timeout_seconds)}"
            why += f" (last: {ask.words})" if ask.words else ""
            if hook.on_timeout is OnTimeout.CONTINUE:
                return _went_on(d, ask, why)
            back = hook.on_timeout is OnTimeout.ROLLBACK
            return _stopped(d, ask, why, now, back=back, said=Said.TIMEOUT)
    waiting = tuple(ask for _, ask in answers if ask.said is Said.NOTHING)
    if not waiting:
        return None
    since = duration((now - min(a.asked_at for a in waiting)).total_seconds())
    words = "; ".join(a.words for a in waiting if a.words)
    message = f"Waiting for {hook_names(waiting)} {_before(d, phase)}, for {since} so far"
    return Decision(
        next_state=replace(
            d, sentence=message + (f": {words}." if words else "."), phase="confirming", last_tick_at=now
        )
    )


def _stopped(
    d: Deployment, ask: Ask, why: str, now: datetime, *, back: bool, said: Said = Said.NO
) -> Decision:
    """Roll back, or hold until somebody decides."""
    asks = _noted(d, ask, said)
    if back:
        data = {"rule": "hook", "hook": ask.hook}
        stopped = replace(d, asks=asks, intended=None)
        cause = (f"hook {ask.hook}",)
        return go_back_by_itself(stopped, now, why, causes=cause, data=data) or _went_on(d, ask, why)
    message = f"Holding at {percent(d.traffic_bp)}: {why}. Approve to go on without it, or roll back."
    return Decision(
        next_state=replace(
            d, asks=asks, waiting=Waiting.APPROVAL, sentence=message, phase="waiting:approval"
        ),
        intents=(Intent(kind=IntentKind.TELL, topic="waiting", data={"what": Waiting.APPROVAL.value}),),
        reasons=(Reason(kind="holding", message=message, data={"hook": ask.hook}),),
    )


def _went_on(d: Deployment, ask: Ask, why: str) -> Decision:
    message = f"Going on without it: {why}."
    return Decision(
        next_state=replace(d, asks=_noted(d, ask, Said.WAIVED), sentence=message),
        reasons=(Reason(kind="hook", message=message, data={"hook": ask.hook}),),
    )


def _noted(d: Deployment, ask: Ask, said: Said) -> tuple[Ask, ...]:
    return tuple(replace(a, said=said) if a.id == ask.id else a for a in d.asks)


def _before(d: Deployment, phase: Phase) -> str:
    """Say what waits for the answer."""
    match phase:
        case Phase.CONFIRM_ROLLOUT:
            return f"before the first request to {d.tested}"
        case Phase.CONFIRM_TRAFFIC:
            if d.intended is not None:
                return f"before {percent(d.intended.bp or 0)}"
            return f"before {percent(d.strategy.steps[d.step_index + 1].traffic_bp)}"
        case Phase.CONFIRM_STEP:
            return f"at the end of the step at {percent(d.traffic_bp)}"
        case _:
            return f"before {d.version} is promoted"
