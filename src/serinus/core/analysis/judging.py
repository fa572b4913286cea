"""From a deployment's evidence to the sequential judge's verdicts.

Closed windows are fed once, in order; the judge's state and its answer live in the deployment. The
window that is still open is looked at only for an outage, and that look is not kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from serinus.core.analysis.evidence import REQUESTS, Evidence, Side, Window
from serinus.core.analysis.sequential.answer import Answer, CheckAnswer
from serinus.core.analysis.sequential.judge import Judge
from serinus.core.analysis.sequential.latency import Buckets, buckets_of, merge
from serinus.core.analysis.sequential.moment import Counts, Moment, Pair
from serinus.core.analysis.sequential.plan import Finding, Plan, StepUp, Unsure
from serinus.core.analysis.verdict import Outcome, Verdict

__all__ = ["Judged", "Setting", "judge_evidence", "sure_enough"]

#: Failures in the open window from which on it is looked at before it closes.
OPEN_ERRORS = 5
#: Without a closed window for so many window lengths (and at least this many seconds) nothing is known.
STALE_WINDOWS, STALE_SECONDS = 6, 60.0
#: Next share (basis points) up to which a step may end while only larger harm is excluded.
SMALL, MIDDLE = 500, 3000

_OUTCOMES = {Finding.HARM: Outcome.FAIL, Finding.SAFE: Outcome.PASS}


@dataclass(frozen=True, slots=True)
class Judged:
    """What one look has made of the windows that closed since the last."""

    state: str = ""
    #: Unix seconds up to which windows have been fed.
    until: float = 0.0
    answer: Answer | None = None
    verdicts: tuple[Verdict, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Setting:
    """What the judge has to know of the deployment beside what was measured."""

    step: str
    step_started: float
    alone: bool
    share: float | None
    #: Seconds until the step may end.
    left: float | None


def judge_evidence(plan: Plan, before: Judged, evidence: Evidence, setting: Setting, now: float) -> Judged:
    """Feed what has closed; return the new state, answer and verdicts. ``now`` is Unix seconds."""
    windows = [w for w in evidence.windows if w.start >= before.until]
    closed = [w for w in windows if w.end + plan.lag <= now]
    state, until = before.state, before.until
    judge = Judge.restore(plan, state)
    for moment in _moments(closed, evidence, setting, judge.book.step):
        judge.take(moment)
        until = moment.start + moment.seconds
    answer = before.answer
    if until > before.until or answer is None:
        answer = judge.answer(left=setting.left)
        state = judge.state()
    answer = _with_open(judge, plan, [w for w in windows if w.start >= until], evidence, setting) or answer
    answer = replace(
        answer, warnings=(*answer.warnings, *(n for n in evidence.notes if n not in answer.warnings))
    )
    blind = _blind(plan, closed or windows, judge, setting, now)
    return Judged(
        state=state,
        until=until,
        answer=answer,
        verdicts=tuple(_verdicts(plan, judge, answer, setting, blind, evidence.problems)),
    )


def sure_enough(plan: Plan, answer: Answer | None, next_bp: int) -> bool:
    """Tell whether a step may end before its time: what could harm at the next share is excluded."""
    if plan.step_up is not StepUp.ADAPTIVE or answer is None or answer.step_requests < plan.min_requests:
        return False
    allowed = 2 if next_bp <= SMALL else 1 if next_bp <= MIDDLE else 0
    return answer.excluded <= allowed and answer.finding is not Finding.HARM


def _with_open(
    judge: Judge, plan: Plan, windows: list[Window], evidence: Evidence, setting: Setting
) -> Answer | None:
    """Return the answer with the open windows counted in, if that is harm; otherwise ``None``."""
    failed = sum(w.errors for w in windows if w.side is Side.CANARY)
    if failed < OPEN_ERRORS:
        return None
    ahead = Judge.restore(plan, judge.state())
    for moment in _moments(windows, evidence, setting, ahead.book.step):
        ahead.take(moment)
    answer = ahead.answer()
    return answer if answer.finding is Finding.HARM else None


def _moments(windows: list[Window], evidence: Evidence, setting: Setting, last_step: str) -> Iterable[Moment]:
    for start in sorted({w.start for w in windows}):
        here = [w for w in windows if w.start == start]
        seconds = here[0].seconds
        begun = start + seconds > setting.step_started
        yield Moment(
            start=start,
            seconds=seconds,
            strata=_strata(here),
            step=setting.step if begun or not last_step else last_step,
            share=setting.share if begun else None,
            alone=setting.alone and begun,
            metrics=evidence.paired(start, start + seconds),
        )


def _strata(windows: list[Window]) -> dict[str, Pair]:
    """Split one moment's windows by endpoint and label."""
    found: dict[str, dict[Side, list[Window]]] = {}
    for w in windows:
        name = f"{w.endpoint} {w.label}".strip()
        found.setdefault(name, {}).setdefault(w.side, []).append(w)
    return {
        name: Pair(stable=_counts(sides.get(Side.STABLE, [])), canary=_counts(sides.get(Side.CANARY, [])))
        for name, sides in found.items()
    }


def _counts(windows: list[Window]) -> Counts:
    return Counts(
        requests=sum(w.requests for w in windows),
        errors=sum(w.errors for w in windows),
        latency=merge(_buckets(w) for w in windows),
    )


def _buckets(window: Window) -> Buckets | None:
    return buckets_of(window.latency) if window.latency.count else None


def _blind(plan: Plan, windows: list[Window], judge: Judge, setting: Setting, now: float) -> str:
    """Say which side has not been seen for too long; empty when both have."""
    width = windows[0].seconds if windows else 10
    since = now - max(STALE_SECONDS, STALE_WINDOWS * width) - plan.lag
    if setting.step_started > since:
        return ""
    sides = (Side.CANARY,) if setting.alone else (Side.CANARY, Side.STABLE)
    missing = [s.value for s in sides if not any(w.side is s and w.end > since for w in windows)]
    if not missing or (judge.book.last > since and not windows):
        return ""
    return f"no requests of {' and '.join(missing)} for {now - since:.0f} s"


def _verdicts(
    plan: Plan, judge: Judge, answer: Answer, setting: Setting, blind: str, problems: Mapping[str, str]
) -> Iterable[Verdict]:
    enough = answer.step_requests >= plan.min_requests
    metrics = {m.name for m in plan.metrics}
    for check in answer.checks:
        outcome = _OUTCOMES.get(check.finding, Outcome.INCONCLUSIVE)
        message = check.sentence
        metric = check.check in metrics
        problem = problems.get(check.check if metric else REQUESTS, "")
        why = "; ".join(w for w in ("" if metric else blind, problem if metric or blind else "") if w)
        if why and outcome is not Outcome.FAIL:
            outcome, message = Outcome.ERROR if problem else Outcome.INCONCLUSIVE, f"{check.check}: {why}"
        elif outcome is Outcome.INCONCLUSIVE and not enough:
            message += f" ({answer.step_requests} of {plan.min_requests} canary requests of this step)"
        yield Verdict(
            check=check.check,
            outcome=outcome,
            message=message,
            canary=check.canary,
            stable=check.stable,
            unit=check.unit,
            canary_requests=answer.requests,
            required=_required(check, judge),
            accepted=not why and enough and _accepted(plan, check, setting),
        )


def _required(check: CheckAnswer, judge: Judge) -> bool:
    """A service that has never reported a latency is not held for it."""
    return check.check != "latency" or bool(judge.book.references)


def _accepted(plan: Plan, check: CheckAnswer, setting: Setting) -> bool:
    if setting.alone and check.check in ("errors", "latency"):
        return True  # there is no live stable left to compare with; ``alone`` speaks now
    return plan.unsure is Unsure.ACCEPT and check.finding is not Finding.HARM
