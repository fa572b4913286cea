"""The rules that a tick runs through, in order: the first that answers decides.

Safety comes first: what rolls back is asked before what holds, and what holds before what goes on.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from serinus.core.analysis.checks import OnNoData
from serinus.core.analysis.evidence import Evidence
from serinus.core.analysis.judging import on_the_verge, sure_enough
from serinus.core.analysis.sequential.plan import Finding
from serinus.core.analysis.sequential.words import duration
from serinus.core.analysis.verdict import Outcome, Verdict, blocking, failed
from serinus.core.breaker import OPEN
from serinus.core.bucketing import BUCKETS
from serinus.core.codec import to_json
from serinus.core.decision import Decision, Intent, IntentKind, Reason
from serinus.core.lifecycle.back import carry_on, go_back_by_itself
from serinus.core.lifecycle.moves import SET_TRAFFIC, enter_step, promote
from serinus.core.model import Deployment, Mode, Role, Step, Waiting, percent
from serinus.core.policy.confirm import confirm_move, confirm_step
from serinus.core.policy.freezing import frozen_for
from serinus.core.policy.gate import promotion_gate
from serinus.core.strategy import StrategyType
from serinus.core.values import changed

__all__ = ["ORDER", "Rule", "unseen"]

#: A rule looks at the measured deployment and either decides or passes (``None``).
Rule = Callable[[Deployment, Evidence, datetime], Decision | None]


def on_the_way_back(d: Deployment, evidence: Evidence, now: datetime) -> Decision | None:  # noqa: ARG001
    """Go on with a rollback that was decided: nothing else is asked any more."""
    return carry_on(d, now) if d.going_back is not None else None


def somebody_decides(d: Deployment, evidence: Evidence, now: datetime) -> Decision | None:  # noqa: ARG001
    """Stay while somebody has to decide whether it goes back across an irreversible step."""
    return Decision(next_state=d) if d.blocked is not None else None


def breaker_open(d: Deployment, evidence: Evidence, now: datetime) -> Decision | None:
    """Roll back at once when the breaker is open."""
    if not d.policy.breaker or d.breaker.state != OPEN:
        return None
    where = f" ({', '.join(evidence.open_breakers)})" if evidence.open_breakers else ""
    reason = f"the circuit breaker opened after {max(d.breaker.consecutive, 1)} failures in a row{where}"
    data = {"rule": "breaker", "verdicts": to_json(d.verdicts)}
    return go_back_by_itself(d, now, reason, causes=("breaker",), data=data)


def check_failed(d: Deployment, evidence: Evidence, now: datetime) -> Decision | None:  # noqa: ARG001
    """Roll back when a check that asks for it failed."""
    bad = failed(d.verdicts, "rollback")
    if not bad:
        return None
    reason = "; ".join(v.message for v in bad)
    data = {"rule": "check", "verdicts": to_json(d.verdicts)}
    return go_back_by_itself(d, now, reason, causes=tuple(v.check for v in bad), data=data)


def blind_too_long(d: Deployment, evidence: Evidence, now: datetime) -> Decision | None:  # noqa: ARG001
    """Apply ``on_no_data`` when its deadline is over."""
    policy = d.policy
    if policy.on_no_data is not OnNoData.ROLLBACK or d.blind_seconds < policy.no_data_deadline_seconds:
        return None
    missing = "; ".join(v.message for v in blocking(d.verdicts))
    reason = f"no usable measurement for {d.blind_seconds:.0f} s ({missing})"
    return go_back_by_itself(d, now, reason, causes=("no_data",), data={"rule": "no_data"})


def not_carried(d: Deployment, evidence: Evidence, now: datetime) -> Decision | None:  # noqa: ARG001
    """Hold while the data plane does not carry the wanted split."""
    if evidence.traffic.acknowledged:
        return None
    if not evidence.traffic.problems:  # nobody is late yet: nothing to tell people
        return _hold(d, "carrying", "the split is on its way")
    problems = "; ".join(evidence.traffic.problems)
    return _hold(d, "not-carried", f"the split is not carried: {problems}", warn=True)


def is_paused(d: Deployment, evidence: Evidence, now: datetime) -> Decision | None:  # noqa: ARG001
    """Hold while a person has paused it."""
    return _hold(d, "paused", "paused by hand") if d.paused else None


def hold_check_failed(d: Deployment, evidence: Evidence, now: datetime) -> Decision | None:  # noqa: ARG001
    """Hold while a check that asks for holding fails."""
    bad = failed(d.verdicts, "hold")
    return _hold(d, "check", "; ".join(v.message for v in bad), warn=True) if bad else None


def manual_mode(d: Deployment, evidence: Evidence, now: datetime) -> Decision | None:  # noqa: ARG001
    """In manual mode a person moves it."""
    if d.strategy.mode is not Mode.MANUAL and d.strategy.steps:
        return None
    return _stay(d, f"At {percent(d.traffic_bp)}, moved by hand: {_tally(d)}.")


def waits_for_person(d: Deployment, evidence: Evidence, now: datetime) -> Decision | None:  # noqa: ARG001
    """Hold at a gate until somebody passes it."""
    if d.waiting is Waiting.PROMOTION:
        return _stay(d, f"Every step passed. {d.version} waits at {percent(d.traffic_bp)} to be promoted.")
    if d.waiting is Waiting.APPROVAL:
        return _stay(d, f"Step passed. {d.version} waits at {percent(d.traffic_bp)} for {_approval(d)}.")
    if d.waiting is Waiting.MOVE:
        return _stay(
            d, f"Manual step: {d.version} waits at {percent(d.traffic_bp)} to be moved. {_tally(d)}."
        )
    return None


def still_observing(d: Deployment, evidence: Evidence, now: datetime) -> Decision | None:  # noqa: ARG001
    """Observe until the step's time is over."""
    step = d.step
    if step is None or d.observed_seconds >= step.hold_seconds or _sure(d, step):
        return None
    left = step.hold_seconds - d.observed_seconds
    return _stay(d, f"{_doing(d, step)}: {_tally(d)}; {duration(left)} left.")


def on_verge(d: Deployment, evidence: Evidence, now: datetime) -> Decision | None:  # noqa: ARG001
    """Hold, for as long again as the step at most, while evidence of harm is there but not enough yet."""
    step, plan, answer = d.step, d.policy.judge, d.answer
    if step is None or plan is None or answer is None or not on_the_verge(plan, answer):
        return None
    if d.observed_seconds >= 2 * step.hold_seconds:
        return None
    worst = max(answer.checks, key=lambda check: check.evidence)
    why = (
        f"evidence of harm is {answer.evidence:.3g} of the {answer.needed:.0f} that roll back, "
        f"and fades or grows before more traffic comes; {worst.sentence}"
    )
    return _hold(d, "verge", why)


def _sure(d: Deployment, step: Step) -> bool:
    """An adaptive policy ends a step as soon as harm that matters at the next share is excluded."""
    plan = d.policy.judge
    if plan is None or d.observed_seconds < max(min(plan.min_step, step.hold_seconds), step.min_seconds):
        return False
    following = d.strategy.steps[d.step_index + 1 :]
    return sure_enough(plan, d.answer, following[0].traffic_bp if following else BUCKETS)


def not_enough_measured(d: Deployment, evidence: Evidence, now: datetime) -> Decision | None:  # noqa: ARG001
    """Hold when a required check cannot say yet: missing data is never a pass."""
    unknown = blocking(d.verdicts)
    if not unknown or unseen(d.step):
        return None
    return _hold(d, "no-data", "not enough measured: " + "; ".join(v.message for v in unknown), warn=True)


def unseen(step: Step | None) -> bool:
    """Tell whether nothing reaches the canary at a step, so that nothing can be measured there."""
    return step is not None and step.traffic_bp == 0 and step.mirror_bp == 0


def canary_down(d: Deployment, evidence: Evidence, now: datetime) -> Decision | None:  # noqa: ARG001
    """Hold while the canary cannot be sent more: it does not answer."""
    if not d.canary_down or d.step is None or d.step.manual:
        return None
    return _hold(d, "canary-down", f"{d.version} cannot be sent traffic ({d.canary_down})", warn=True)


def in_freeze(d: Deployment, evidence: Evidence, now: datetime) -> Decision | None:  # noqa: ARG001
    """Hold a step that could grow while a freeze is on. Going back was asked before this."""
    freeze = frozen_for(d, now)
    if freeze is None or d.step is None or d.step.manual:
        return None
    return _hold(d, "frozen", freeze.sentence)


def step_passed(d: Deployment, evidence: Evidence, now: datetime) -> Decision | None:
    """Go on: to the next step, to a gate, or to the end."""
    step = d.step
    if step is None:
        return None
    if step.manual:
        return _wait(d, Waiting.MOVE, f"waits at {percent(d.traffic_bp)} to be moved by hand")
    if step.gate and not d.approved:
        return _wait(d, Waiting.APPROVAL, f"waits at {percent(d.traffic_bp)} for {_approval(d)}")
    index = d.step_index + 1
    if index < len(d.strategy.steps):
        return _advance(d, index, now)
    gate = promotion_gate(d, evidence, now)
    unmet = [v for v in gate if v.outcome is not Outcome.PASS]
    if d.strategy.auto_promote and not unmet:
        return promote(d, now, gate)
    why = f" ({'; '.join(v.message for v in unmet)})" if unmet else ""
    return _wait(d, Waiting.PROMOTION, f"waits at {percent(d.traffic_bp)} to be promoted{why}")


#: Asked from the first to the last; the first answer decides.
ORDER: tuple[Rule, ...] = (
    on_the_way_back,
    somebody_decides,
    breaker_open,
    check_failed,
    blind_too_long,
    not_carried,
    is_paused,
    hold_check_failed,
    confirm_move,
    waits_for_person,
    manual_mode,
    still_observing,
    on_verge,
    not_enough_measured,
    canary_down,
    in_freeze,
    confirm_step,
    step_passed,
)


def _advance(d: Deployment, index: int, now: datetime) -> Decision:
    moved = enter_step(d, index, now)
    message = f"{_passed(d)}: {_tally(d)}. Traffic → {percent(moved.traffic_bp)}."
    if d.strategy.type is StrategyType.BLUE_GREEN and moved.traffic_bp == BUCKETS:
        message = f"{_passed(d)}: {_tally(d)}. Everyone switched to {d.version} at once{_kept(moved)}."
    data = {"from_bp": d.traffic_bp, "to_bp": moved.traffic_bp, "verdicts": to_json(d.verdicts)}
    return Decision(
        next_state=changed(moved, sentence=message, phase="observing"),
        intents=(SET_TRAFFIC,),
        reasons=(Reason(kind="step_passed", message=message, data=data),),
    )


def _wait(d: Deployment, waiting: Waiting, what: str) -> Decision:
    message = f"{_passed(d)}: {_tally(d)}. {d.version} {what}."
    tell = Intent(kind=IntentKind.TELL, topic="waiting", data={"what": waiting.value})
    # Nobody has to do anything: it is promoted with its release set.
    set_promotes = bool(d.release_set) and waiting is Waiting.PROMOTION
    return Decision(
        next_state=changed(
            d,
            waiting=waiting,
            passed=len(d.strategy.steps) if waiting is Waiting.PROMOTION else d.passed,
            sentence=message,
            phase=f"waiting:{waiting.value}",
        ),
        intents=() if set_promotes else (tell,),
        reasons=(Reason(kind="step_passed", message=message, data={"verdicts": to_json(d.verdicts)}),),
    )


def _approval(d: Deployment) -> str:
    """Say whose approval is waited for."""
    role = d.step.gate_role if d.step else Role.APPROVER
    return "an approval" if role is Role.APPROVER else f"an approval by the role {role.value}"


def _doing(d: Deployment, step: Step) -> str:
    if step.mirror_bp:
        return f"Mirroring {percent(step.mirror_bp)} of requests to {d.version}, whose answers nobody sees"
    if d.strategy.type is StrategyType.BLUE_GREEN and d.traffic_bp == 0:
        return f"{d.version} is warm, everyone is on {d.stable_version}"
    return f"Observing at {percent(d.traffic_bp)}"


def _passed(d: Deployment) -> str:
    mirrored = d.step.mirror_bp if d.step else 0
    return f"Mirror of {percent(mirrored)} passed" if mirrored else f"{percent(d.traffic_bp)} passed"


def _kept(d: Deployment) -> str:
    if d.warm_until is None:
        return ""
    return f"; {d.stable_version} is kept warm until {d.warm_until:%Y-%m-%d %H:%M:%S %Z}"


def _hold(d: Deployment, phase: str, why: str, *, warn: bool = False) -> Decision:
    """Stay, and say so once: on the timeline, and to people when it needs them."""
    message = f"Holding at {percent(d.traffic_bp)}: {why.rstrip('.')}."
    held = changed(d, sentence=message, phase=f"holding:{phase}")
    if d.phase == held.phase:
        return Decision(next_state=held)
    tell = Intent(kind=IntentKind.TELL, topic="warning", data={"warnings": [why]})
    return Decision(
        next_state=held,
        intents=(tell,) if warn else (),
        reasons=(Reason(kind="holding", message=message, data={"phase": phase}),),
    )


def _stay(d: Deployment, sentence: str) -> Decision:
    """Stay without an event, or with one when a hold is over."""
    calm = changed(d, sentence=sentence, phase=f"waiting:{d.waiting.value}" if d.waiting else "observing")
    if not d.phase.startswith("holding"):
        return Decision(next_state=calm)
    message = f"Going on at {percent(d.traffic_bp)}: what held it is over."
    return Decision(next_state=calm, reasons=(Reason(kind="going_on", message=message),))


def _tally(d: Deployment) -> str:
    """Say in a clause how the checks stand."""
    required = [v for v in d.verdicts if v.required]
    if not required:
        return "no checks"
    if d.answer is not None:
        return _judged_tally(d, required)
    good = sum(v.outcome is Outcome.PASS for v in required)
    return f"{good} of {len(required)} checks pass"


def _judged_tally(d: Deployment, required: list[Verdict]) -> str:
    open_ones = [v for v in required if v.outcome is not Outcome.PASS]
    if not open_ones:
        return "safe: " + "; ".join(v.message for v in required)
    if d.answer is not None and d.answer.finding is Finding.CANNOT_TELL:
        return "no harm seen; " + open_ones[0].message
    return "no harm seen so far; " + open_ones[0].message
