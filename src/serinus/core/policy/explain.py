"""A policy in plain sentences, for whoever is on call."""

from __future__ import annotations

from collections.abc import Iterable

from serinus.core.analysis.checks import Check, Comparison, Measure, OnFail, OnNoData, Policy
from serinus.core.analysis.queries import Source
from serinus.core.analysis.sequential.plan import MetricHarm, Plan, StepUp, Unsure
from serinus.core.breaker import FAILURES
from serinus.core.model import Step, percent
from serinus.core.notices import Topic
from serinus.core.policy.file import PolicyFile
from serinus.core.policy.limits import unit_of
from serinus.core.policy.slos import Slo
from serinus.core.policy.units import plain, share_text, span

__all__ = ["check_sentence", "explain", "limit_words"]

_MEASURES = {
    Measure.ERROR_RATE: "the error rate",
    Measure.SUCCESS_RATE: "the success rate",
    Measure.LATENCY_P50: "the median latency",
    Measure.LATENCY_P95: "p95 latency",
    Measure.LATENCY_P99: "p99 latency",
    Measure.LATENCY_MEAN: "the average latency",
    Measure.REQUESTS: "the number of requests",
}
_TOPICS = {
    Topic.ROLLBACK: "rollbacks",
    Topic.WARNING: "warnings and holds",
    Topic.WAITING: "rollouts that wait for somebody",
    Topic.PROMOTED: "promotions",
}


def explain(file: PolicyFile) -> dict[str, list[str]]:
    """Return the policy as sentences under headings; headings without any are left out."""
    policy = file.policy
    told = {
        "Steps": _steps(file.steps, policy),
        "Rolled back at once when": _rollback(policy),
        "Held while": _failing(policy, OnFail.HOLD),
        "Only warned about": _failing(policy, OnFail.WARN),
        "Tolerated": _tolerated(policy.judge) if policy.judge else [],
        "When it cannot tell": _unsure(policy),
        "After 100 %": _after(policy.judge) if policy.judge else [],
        "A promotion by hand asks that": _gate(policy),
        "Measurements come from": [*_sources(policy)],
        "Objectives": [_objective(slo) for slo in file.slos],
        "Told": [_told(policy)],
    }
    return {heading: sentences for heading, sentences in told.items() if sentences}


def _steps(steps: tuple[Step, ...], policy: Policy) -> list[str]:
    if not steps:
        return ["This policy names no steps: whoever starts the rollout says them (--stages)."]
    lines = []
    for number, step in enumerate(steps, 1):
        gate = " Then somebody has to approve." if step.gate else ""
        held = f"held for {span(step.hold_seconds)}" if step.hold_seconds else "not held"
        lines.append(f"{number}. {percent(step.traffic_bp)} of users, {held}.{gate}")
    total = sum(step.hold_seconds for step in steps)
    lines.append(
        f"All steps together take {span(total)} or longer: only time in which it was measured counts."
    )
    if policy.judge and policy.judge.step_up is StepUp.ADAPTIVE:
        least = span(policy.judge.min_step)
        lines.append(f"A step ends early once harm that matters is excluded, after {least} at the earliest.")
    return lines


def _rollback(policy: Policy) -> list[str]:
    lines = []
    if policy.breaker:
        lines.append(
            f"{FAILURES} requests to the canary fail in a row, or a breaker opens in the proxy or SDK."
        )
    if policy.judge:
        lines += _judge(policy.judge)
    lines += _failing(policy, OnFail.ROLLBACK)
    return lines or ["Never by itself: no breaker, no judge and no check asks for it."]


def _judge(plan: Plan) -> list[str]:
    lines = []
    if plan.errors:
        lines.append(
            f"It fails more often than stable: more than {plan.errors.ratio:g} times as often, "
            f"and by more than {plan.errors.points:g} percentage points."
        )
    if plan.latency:
        warm = f" (the first {span(plan.warm_up)} of each step do not count)" if plan.warm_up else ""
        lines.append(f"It is more than {share_text(plan.latency.slower)} slower than stable{warm}.")
    lines += [_metric(metric) for metric in plan.metrics]
    where = "per endpoint and label, and in total" if plan.slices else "in total"
    lines.append(
        f"These comparisons run all the time, {where}. A canary that is no worse than tolerated "
        f"is rolled back by them in at most {share_text(plan.budget)} of rollouts, however often one looks."
    )
    return lines


def _metric(metric: MetricHarm) -> str:
    side = "below" if metric.higher_is_better else "above"
    return f"{metric.name} is more than {share_text(metric.tolerate)} {side} stable's."


def _failing(policy: Policy, on_fail: OnFail) -> list[str]:
    return [check_sentence(c) for c in policy.checks if c.on_fail is on_fail]


def check_sentence(check: Check, *, holds: bool = False) -> str:
    """Return when a check fails in words; with ``holds``, when it does not."""
    what = "its value" if check.query else _MEASURES.get(check.measure, check.metric or check.name)
    where = " ".join(
        f"with {name} {value}"
        for name, value in (("label", check.selector.label), ("endpoint", check.selector.endpoint))
        if value
    )
    least = f" (from {check.min_requests} canary requests on)" if check.min_requests > 1 else ""
    over, side = f"over {span(check.window_seconds)}", _side(check, holds=holds)
    text = f"{check.name}: {what}{' ' + where if where else ''} is {side} {_limit(check)} {over}"
    optional = "" if check.required else "; skipped where it is not reported"
    return f"{text}{least}{optional}."


def limit_words(check: Check) -> str:
    """Return what a check holds its value to: "at most 0.5 %"."""
    return f"{_side(check, holds=True)} {_limit(check)}"


def _side(check: Check, *, holds: bool) -> str:
    if check.comparison is Comparison.ZERO:
        return "at" if holds else "above"
    if holds:
        words = {
            (False, False): "at most",
            (False, True): "below",
            (True, False): "at least",
            (True, True): "above",
        }
    else:
        words = {
            (False, False): "above",
            (False, True): "at or above",
            (True, False): "below",
            (True, True): "at or below",
        }
    return words[check.floor, check.strict]


def _limit(check: Check) -> str:
    if check.comparison is Comparison.ZERO:
        return "zero"
    unit, limit = unit_of(check), check.limit
    if check.comparison is Comparison.RATIO:
        return f"{plain(limit)} times stable's"
    shown = share_text(limit) if unit == "%" else f"{plain(limit)} ms" if unit == "ms" else f"{plain(limit)}"
    if check.comparison is Comparison.ABSOLUTE:
        return shown
    return f"stable's plus {shown}" if limit else "stable's"


def _tolerated(plan: Plan) -> list[str]:
    lines = []
    if plan.errors:
        e = plan.errors
        lines.append(
            f"Errors up to {e.ratio:g} times stable's, or up to {e.points:g} percentage points more."
        )
    if plan.latency:
        lines.append(f"Latency up to {share_text(plan.latency.slower)} slower.")
    lines += [f"{m.name} up to {share_text(m.tolerate)} worse." for m in plan.metrics]
    return lines


def _unsure(policy: Policy) -> list[str]:
    lines = ["Missing data is never a pass: a required check without an answer holds the step."]
    if policy.on_no_data is OnNoData.ROLLBACK:
        after = span(policy.no_data_deadline_seconds)
        lines.append(f"After {after} without a usable measurement it is rolled back.")
    else:
        lines.append("It holds for as long as that lasts, and tells people.")
    plan = policy.judge
    if plan is None:
        return lines
    lines.append(f"No step is passed with fewer than {plan.min_requests} canary requests in it.")
    sizes = []
    if plan.errors:
        sizes.append(f"{plan.errors.find:g} times the errors")
    if plan.latency:
        sizes.append(f"{share_text(plan.latency.find)} more latency")
    small = f" (harm the size of {' or '.join(sizes)})" if sizes else ""
    if plan.unsure is Unsure.HOLD:
        lines.append(
            f"A step is held until harm is excluded{small} with {share_text(plan.confidence)} confidence."
        )
    else:
        lines.append(
            f"At a step's time it goes on when no harm was found, even if some{small} is not excluded."
        )
    return lines


def _after(plan: Plan) -> list[str]:
    lines = []
    if plan.watch:
        lines.append(f"It is watched for {span(plan.watch)} after its promotion, with automatic rollback.")
    lines.append(
        "Without stable traffic it is compared with stable's recorded history; "
        f"stable itself may have become {plan.drift:g} times worse since."
    )
    return lines


def _gate(policy: Policy) -> list[str]:
    lines = [check_sentence(check, holds=True) for check in policy.gate]
    if policy.breaker:
        lines.append("The breaker is closed.")
    if policy.gate_majority_seconds is None:
        lines.append("It has been at 50 % or more for as long as one step of canary_config lasts.")
    elif policy.gate_majority_seconds:
        lines.append(f"It has been at 50 % or more for {span(policy.gate_majority_seconds)}.")
    return [*lines, "Or it is forced, which is written down."]


def _sources(policy: Policy) -> Iterable[str]:
    asked = policy.queries()
    for source in policy.sources:
        names = [one.name for one in asked if one.query.source == source.name]
        if policy.requests and policy.requests.source == source.name:
            names.insert(0, "requests")
        yield f"{source.name} ({source.type.value}, {_address(source)}): {', '.join(names) or 'nothing yet'}."
    if not policy.requests:
        yield f"The SDK, the proxy and the API{': everything else' if policy.sources else ''}."


def _address(source: Source) -> str:
    return source.url or f"address in ${source.url_env}"


def _objective(slo: Slo) -> str:
    good = f"took at most {span(slo.under)}" if slo.under else "did not fail"
    return f"{slo.name}: {share_text(slo.objective)} of requests {good}, over {span(slo.period)}."


def _told(policy: Policy) -> str:
    notes = policy.notifications
    if not notes.on:
        return "Nobody, about anything."
    where = ", ".join(notes.channels) or "every channel that is configured"
    topics = ", ".join(_TOPICS[topic] for topic in notes.on)
    return f"{topics[0].upper()}{topics[1:]}: to {where}."
