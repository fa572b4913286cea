"""Prometheus alerting rules from a policy: its alerts, its checks, and burn rates of its SLOs."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any

from serinus.core.analysis.checks import Check, Comparison, Measure, OnFail
from serinus.core.analysis.queries import Query, RequestsFrom, SourceType
from serinus.core.policy.budget import BURNS
from serinus.core.policy.explain import check_sentence
from serinus.core.policy.file import PolicyFile
from serinus.core.policy.promql import duration, is_label, matching, quoted
from serinus.core.policy.slos import Alert, Severity, Slo
from serinus.core.policy.units import plain, share_text, span

__all__ = ["Rules", "counted", "rules_of"]

_SEVERITY = {
    OnFail.ROLLBACK: Severity.CRITICAL,
    OnFail.HOLD: Severity.WARNING,
    OnFail.WARN: Severity.INFO,
}
_QUANTILES = {Measure.LATENCY_P50: 0.5, Measure.LATENCY_P95: 0.95, Measure.LATENCY_P99: 0.99}


@dataclass(frozen=True, kw_only=True, slots=True)
class Rules:
    """A rule file's content, and what could not be put into it."""

    data: dict[str, Any]
    #: Sentences: which check has no rule, and why.
    left_out: tuple[str, ...]


class _NoRule(Exception):
    """A check that Prometheus cannot be asked about; says why."""


def rules_of(file: PolicyFile) -> Rules:
    """Return Prometheus alerting rules for a policy."""
    groups = {"alerts": [], "checks": [], "slos": []}  # type: dict[str, list[dict[str, Any]]]
    left_out: list[str] = []
    checks = {check.name: check for check in file.policy.checks}
    named = {alert.check for alert in file.alerts}
    for alert in file.alerts:
        try:
            expression = alert.expr or _failing(checks[alert.check], file)
            groups["alerts"].append(_own(alert, checks.get(alert.check), expression, file))
        except _NoRule as why:
            left_out.append(f"alert {alert.name}: {why}")
    for check in file.policy.checks:
        if check.name not in named:
            try:
                groups["checks"].append(_of_check(check, file))
            except _NoRule as why:
                left_out.append(f"check {check.name}: {why}")
    groups["slos"] = [rule for slo in file.slos for rule in _burning(slo, file)]
    made = [
        {"name": f"serinus: {file.name}: {group}", "rules": rules} for group, rules in groups.items() if rules
    ]
    return Rules(data={"groups": made}, left_out=tuple(left_out))


def _rule(name: str, expression: str, hold: float, severity: Severity, summary: str, policy: str) -> Any:
    return {
        "alert": name,
        "expr": expression,
        **({"for": duration(hold)} if hold else {}),
        "labels": {"severity": severity.value, "policy": policy},
        # What looks like a template of Prometheus' is text here.
        "annotations": {"summary": re.sub(r"\{\{", "{ {", summary)},
    }


def _own(alert: Alert, check: Check | None, expression: str, file: PolicyFile) -> Any:
    summary = alert.summary or (check_sentence(check) if check else alert.name)
    made = _rule(alert.name, expression, alert.for_, alert.severity, summary, file.name)
    if alert.summary:
        # Written by the user, who may well mean a template.
        made["annotations"]["summary"] = alert.summary
    return made


def _of_check(check: Check, file: PolicyFile) -> Any:
    expression = _failing(check, file)
    return _rule(check.name, expression, 0, _SEVERITY[check.on_fail], check_sentence(check), file.name)


def _failing(check: Check, file: PolicyFile) -> str:
    """Return PromQL that gives something while the check fails.

    Raises:
        _NoRule: Prometheus does not have what it is about.
    """
    canary, stable = _sides(check, file)
    sign = {(False, False): ">", (False, True): ">=", (True, False): "<", (True, True): "<="}
    compare = sign[check.floor, check.strict]
    enough = _enough(check, file)
    if check.comparison is Comparison.ZERO:
        return f"{canary} > 0{enough}"
    limit = f"{plain(check.limit)}"
    if check.comparison is Comparison.ABSOLUTE:
        return f"{canary} {compare} {limit}{enough}"
    if not stable:
        raise _NoRule("nothing is asked for stable")
    # The sides differ in labels, at least in the version's: `on ()` compares them all the same.
    other = f"{limit} * {stable}" if check.comparison is Comparison.RATIO else f"{stable} + {limit}"
    return f"{canary} {compare} on () ({other}){enough}"


def _enough(check: Check, file: PolicyFile) -> str:
    """Return the condition that there were enough requests to say anything."""
    if check.query or check.min_requests <= 1 or not file.policy.requests:
        return ""
    requests = replace(check, measure=Measure.REQUESTS)
    counted = _measured(requests, file.policy.requests, file.policy.requests.canary_is)
    return f" and on () {counted} >= {check.min_requests}"


def _sides(check: Check, file: PolicyFile) -> tuple[str, str]:
    if check.query:
        return _asked(check.query, file)
    if check.measure is Measure.SAMPLE:
        raise _NoRule(f"{check.metric} is reported to Serinus, not to Prometheus; give it a `query`")
    requests = file.policy.requests
    if requests is None:
        raise _NoRule("Serinus measures it itself; with `requests` it has a rule")
    if check.selector.endpoint and not requests.endpoint:
        raise _NoRule("it is about one endpoint; `requests` names no label for it")
    return _measured(check, requests, requests.canary_is), _measured(check, requests, requests.stable_is)


def _asked(query: Query, file: PolicyFile) -> tuple[str, str]:
    if file.policy.source(query.source).type is not SourceType.PROMETHEUS:
        raise _NoRule(f"{query.source} is no Prometheus")
    if not query.by:
        return f"({query.canary})", f"({query.stable})" if query.stable else ""
    return _where(query.canary, query.by, query.canary_is), _where(query.canary, query.by, query.stable_is)


def _where(expression: str, label: str, value: str) -> str:
    """Return the series of an expression whose label has this value."""
    if not value:
        raise _NoRule("without `canary_is` and `stable_is` the versions are not known before a rollout")
    wanted = f'label_replace(vector(1), {quoted(label)}, {quoted(value)}, "", "")'
    return f"(({expression}) * on ({label}) group_left () {wanted})"


def _measured(check: Check, requests: RequestsFrom, version: str) -> str:
    """Return one version's value of a built-in measure."""
    if not version:
        raise _NoRule(
            "without `canary_is` and `stable_is` in `requests` the versions are not known before a rollout"
        )
    label, sign, value = check.selector.label.partition("=")
    matchers = [f"{requests.by}={quoted(version)}"]
    if label and not (sign and is_label(label)):
        raise _NoRule(f"its label {label!r} has no name; write name=value")
    if label:
        matchers.append(f"{label}={quoted(value)}")
    if check.selector.endpoint:
        matchers.append(f"{requests.endpoint}={quoted(check.selector.endpoint)}")
    window = f"[{duration(check.window_seconds)}]"

    def rate(selector: str, need: str, by: str = "") -> str:
        if not selector:
            raise _NoRule(f"`requests` has no `{need}`")
        return f"sum{by}(rate({matching(selector, *matchers)}{window}))"

    if check.measure in _QUANTILES:
        buckets = rate(requests.latency, "latency", " by (le) ")
        return f"(1000 * histogram_quantile({_QUANTILES[check.measure]}, {buckets}))"
    if check.measure is Measure.LATENCY_MEAN:
        raise _NoRule("an average is not in a histogram's buckets; use latency_p50 or a `query`")
    total = rate(requests.total, "total")
    if check.measure is Measure.REQUESTS:
        return f"(sum(increase({matching(requests.total, *matchers)}{window})))"
    # Errors that have never happened have no series: that is none, not nothing known.
    errors = f"(({rate(requests.errors, 'errors')} or vector(0)) / {total})"
    return errors if check.measure is Measure.ERROR_RATE else f"(1 - {errors})"


def _burning(slo: Slo, file: PolicyFile) -> list[Any]:
    """Return multi-window, multi-burn-rate alerts: the long window says it matters, the short one
    that it is still going on.
    """
    rules = []
    allowed = plain(round(1 - slo.objective, 12))
    for burn in BURNS:
        if burn.long >= slo.period:
            continue
        rate = plain(burn.rate(slo.period))
        both = (f"{_bad_share(slo, file, window)} > {rate} * {allowed}" for window in (burn.long, burn.short))
        summary = (
            f"{slo.name}: {share_text(burn.spent)} of the error budget for {span(slo.period)} "
            f"(objective {share_text(slo.objective)}) is spent within {span(burn.long)}."
        )
        name = f"{slo.name}: the error budget burns {rate:g} times as fast as allowed"
        rules.append(_rule(name, " and ".join(both), burn.hold, burn.severity, summary, file.name))
    return rules


def _bad_share(slo: Slo, file: PolicyFile, window: float) -> str:
    total, bad, good = _selected(slo, file.policy.requests)
    over = f"[{duration(window)}]"
    if good:
        return f"(1 - sum(rate({good}{over})) / sum(rate({total}{over})))"
    return f"(sum(rate({bad}{over})) / sum(rate({total}{over})))"


def counted(slo: Slo, requests: RequestsFrom | None, window: float) -> tuple[str, str]:
    """Return PromQL for all requests of an objective over the last ``window`` seconds, and the bad ones.

    Where nothing has ever gone wrong there is no series of errors: that is none.
    """
    total, bad, good = _selected(slo, requests)
    every = f"sum(increase({total}[{duration(window)}]))"
    if good:
        return every, f"{every} - sum(increase({good}[{duration(window)}]))"
    return every, f"(sum(increase({bad}[{duration(window)}])) or vector(0))"


def _selected(slo: Slo, requests: RequestsFrom | None) -> tuple[str, str, str]:
    """Return the selectors of all requests, of the bad ones, or instead of those of the good ones."""
    if slo.under:
        assert requests is not None
        # Go's library writes a whole edge as 1, Python's as 1.0.
        edge = 'le=~"{:g}([.]0)?"' if slo.under % 1 == 0 else 'le="{:g}"'
        good = matching(requests.latency, edge.format(slo.under))
        return matching(requests.latency, 'le="+Inf"'), "", good
    total = slo.total or (requests.total if requests else "")
    return total, slo.bad or (requests.errors if requests else ""), ""
