"""From a deployment's evidence to the sequential judge's verdicts.

Closed windows are fed once, in order; the judge's state and its answer live in the deployment. The
window that is still open is looked at only for an outage, and that look is not kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from serinus.core.analysis.evidence import REQUESTS, Evidence, Side, Window
from serinus.core.analysis.sequential.answer import Answer, CheckAnswer
from serinus.core.analysis.sequential.buckets import merge
from serinus.core.analysis.sequential.judge import Judge
from serinus.core.analysis.sequential.moment import Counts, Moment, Pair
from serinus.core.analysis.sequential.plan import Finding, Plan, StepUp, Unsure
from serinus.core.analysis.sequential.words import duration
from serinus.core.analysis.verdict import Outcome, Verdict

__all__ = ["Judged", "Setting", "judge_evidence", "on_the_verge", "sure_enough"]

#: Failures in the open window from which on it is looked at before it closes.
OPEN_ERRORS = 5
#: Without a closed window for so many window lengths (and at least this many seconds) nothing is known.
STALE_WINDOWS, STALE_SECONDS = 6, 60.0
#: Next share (basis points) up to which a step may end while only larger harm is excluded.
SMALL, MIDDLE = 500, 3000
#: Evidence (1 at the start, ``needed`` rolls back) from which on a step is not ended as long as it is there.
VERGE = 3.0

#: Judges by the state that they wrote, so that the next look need not read it: each is taken out when it is
#: used, and what is not here any more is read. Only time is saved; the answers are the same.
_LAID_DOWN: dict[str, Judge] = {}
MOST_KEPT = 256

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
    state, until, answer = before.state, before.until, before.answer
    if closed or answer is None:
        judge = _taken_up(plan, state)
        for moment in _moments(closed, evidence, setting, judge.book.step):
            judge.take(moment)
            until = moment.start + moment.seconds
        answer = judge.answer(left=setting.left)
        state = _laid_down(judge)
    answer = _with_open(state, plan, [w for w in windows if w.start >= until], evidence, setting) or answer
    news = tuple(n for n in evidence.notes if n not in answer.warnings)
    answer = replace(answer, warnings=answer.warnings + news) if news else answer
    blind = _blind(plan, answer, evidence, windows, setting, now)
    return Judged(
        state=state,
        until=until,
        answer=answer,
        verdicts=tuple(_verdicts(plan, answer, setting, blind, evidence.problems)),
    )


def _taken_up(plan: Plan, state: str) -> Judge:
    """Return the judge with this state: the one that wrote it, when it is still here."""
    judge = _LAID_DOWN.pop(state, None)
    if judge is not None and (judge.plan is plan or judge.plan == plan):
        return judge
    return Judge.restore(plan, state)


def _laid_down(judge: Judge) -> str:
    """Return the judge's state, and keep the judge for the next look. Nobody else may use it any more."""
    state = judge.state()
    while len(_LAID_DOWN) >= MOST_KEPT:
        _LAID_DOWN.pop(next(iter(_LAID_DOWN)), None)
    _LAID_DOWN[state] = judge
    return state


def sure_enough(plan: Plan, answer: Answer | None, next_bp: int) -> bool:
    """Tell whether a step may end before its time: what could harm at the next share is excluded."""
    if plan.step_up is not StepUp.ADAPTIVE or answer is None or answer.step_requests < plan.min_requests:
        return False
    allowed = 2 if next_bp <= SMALL else 1 if next_bp <= MIDDLE else 0
    return answer.excluded <= allowed and answer.finding is not Finding.HARM


def on_the_verge(plan: Plan, answer: Answer | None) -> bool:
    """Tell whether there is enough evidence of harm to wait for more before more traffic comes."""
    return answer is not None and answer.evidence >= VERGE * plan.candidates


def _with_open(
    state: str, plan: Plan, windows: list[Window], evidence: Evidence, setting: Setting
) -> Answer | None:
    """Return the answer with the open windows counted in, if that is harm; otherwise ``None``."""
    failed = sum(w.errors for w in windows if w.side is Side.CANARY)
    if failed < OPEN_ERRORS:
        return None
    ahead = Judge.restore(plan, state)
    for moment in _moments(windows, evidence, setting, ahead.book.step):
        ahead.take(moment)
    answer = ahead.answer()
    return answer if answer.finding is Finding.HARM else None


def _moments(windows: list[Window], evidence: Evidence, setting: Setting, last_step: str) -> Iterable[Moment]:
    by_start: dict[int, list[Window]] = {}
    for w in windows:
        by_start.setdefault(w.start, []).append(w)
    for start, here in sorted(by_start.items()):
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
    found: dict[str, tuple[list[Window], list[Window]]] = {}
    for w in windows:
        sides = found.setdefault(f"{w.endpoint} {w.label}".strip(), ([], []))
        sides[w.side is Side.CANARY].append(w)
    return {name: Pair(_counts(stable), _counts(canary)) for name, (stable, canary) in found.items()}


def _counts(windows: list[Window]) -> Counts:
    if len(windows) == 1:
        (only,) = windows
        return Counts(only.requests, only.errors, only.latency if only.latency.count else None)
    return Counts(
        requests=sum(w.requests for w in windows),
        errors=sum(w.errors for w in windows),
        latency=merge(w.latency for w in windows),
    )


def _blind(
    plan: Plan, answer: Answer, evidence: Evidence, windows: list[Window], setting: Setting, now: float
) -> str:
    """Say which side has had no requests for too long; empty when both have."""
    width = evidence.windows[0].seconds if evidence.windows else 0
    since = now - max(STALE_SECONDS, STALE_WINDOWS * width) - plan.lag
    if setting.step_started > since:
        return ""
    seen = [(Side.CANARY, answer.canary_seen), (Side.STABLE, answer.stable_seen)]
    found = []
    for side, closed in seen[:1] if setting.alone else seen:
        at = max([closed, *(w.end for w in windows if w.side is side and w.requests)])
        if at <= since:
            found.append(_unseen(side, at, now))
    return " and ".join(found)


def _unseen(side: Side, at: float, now: float) -> str:
    return f"no requests of {side} for {duration(now - at)}" if at else f"no requests of {side} yet"


def _verdicts(
    plan: Plan, answer: Answer, setting: Setting, blind: str, problems: Mapping[str, str]
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
        elif outcome is Outcome.FAIL and not check.stratum:
            message += _worst(answer, check)
        yield Verdict(
            check=check.check,
            outcome=outcome,
            message=message,
            canary=check.canary,
            stable=check.stable,
            unit=check.unit,
            canary_requests=answer.requests,
            required=_required(check),
            accepted=not why and enough and _accepted(plan, check, setting),
        )


def _worst(answer: Answer, check: CheckAnswer) -> str:
    """Say in which endpoint or label it shows most."""
    found = [s.stratum for s in answer.slices if s.check == check.check]
    return f"; worst in {found[0]}" if found else ""


def _required(check: CheckAnswer) -> bool:
    """A service that has never reported a latency is not held for it."""
    return check.check != "latency" or check.stable is not None


def _accepted(plan: Plan, check: CheckAnswer, setting: Setting) -> bool:
    if setting.alone and check.check in ("errors", "latency"):
        return True  # there is no live stable left to compare with; ``alone`` speaks now
    if check.canary is None and check.check in (harm.name for harm in plan.metrics):
        return False  # a metric that was asked for and never came is no pass
    return plan.unsure is Unsure.ACCEPT and check.finding is not Finding.HARM
