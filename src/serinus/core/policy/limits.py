"""A check as people write it (``at_most: 800ms``) to a check of the model, and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from serinus.core.analysis.checks import Check, Comparison, Measure, OnFail
from serinus.core.analysis.evidence import Selector
from serinus.core.analysis.queries import Query, Source, SourceType
from serinus.core.codec import at
from serinus.core.policy.forms import LONGEST, Amount, Duration
from serinus.core.policy.inputs import CheckInput, MetricInput
from serinus.core.policy.promql import is_label
from serinus.core.policy.units import plain, share_text

__all__ = [
    "BOUNDS",
    "bound_of",
    "check_from",
    "has_stable",
    "query_from",
    "unit_of",
    "written_check",
    "written_query",
]

_WORDS = {"at_most": (False, False), "below": (False, True), "at_least": (True, False), "above": (True, True)}
_ENDINGS = {"": Comparison.ABSOLUTE, "_ratio": Comparison.RATIO, "_more": Comparison.DIFFERENCE}
#: Key → comparison, floor, strict.
BOUNDS = {
    word + ending: (comparison, floor, strict)
    for ending, comparison in _ENDINGS.items()
    for word, (floor, strict) in _WORDS.items()
}
_LATENCY = {Measure.LATENCY_P50, Measure.LATENCY_P95, Measure.LATENCY_P99, Measure.LATENCY_MEAN}
_RATES = {Measure.ERROR_RATE, Measure.SUCCESS_RATE}
_QUERY_KEYS = tuple(f.name for f in fields(Query))
_LONG_KEYS = ("comparison", "limit", "floor", "strict")


def check_from(
    given: CheckInput, sources: Mapping[str, Source], where: str, problems: dict[str, str]
) -> Check:
    """Return the check that is meant; what is wrong is added to ``problems``."""
    query = query_from(given, sources, where, problems)
    measure, metric = _measured(given, query, where, problems)
    values: dict[str, Any] = {"name": given.name, "measure": measure, "metric": metric, "query": query}
    bound = _bound(given, measure, where, problems)
    values |= bound
    compared = bound.get("comparison") in (Comparison.RATIO, Comparison.DIFFERENCE)
    if query and compared and not has_stable(query, sources):
        problems[at(where, "stable")] = "missing: this limit is about stable's value"
    plain_keys = {"min_requests": given.min_requests, "on_fail": given.on_fail, "required": given.required}
    values |= {key: value for key, value in plain_keys.items() if value is not None}
    if given.window is not None:
        values["window_seconds"] = given.window
    values["selector"] = given.selector or Selector(endpoint=given.endpoint, label=given.label)
    if given.selector and (given.endpoint or given.label):
        problems[at(where, "selector")] = "give either this, or `endpoint` and `label`"
    if query and values["selector"] != Selector():
        problems[where] = "`label` and `endpoint` are for built-in measures: put them into the query"
    return Check(**values)


def query_from(
    given: CheckInput | MetricInput, sources: Mapping[str, Source], where: str, problems: dict[str, str]
) -> Query | None:
    """Return what a source is asked, or ``None`` when nobody is."""
    asked = {key: getattr(given, key) for key in _QUERY_KEYS}
    if given.query and given.canary:
        problems[at(where, "query")] = "give either `query` or `canary`"
    canary = given.query or given.canary
    if not canary:
        extra = next((key for key, value in asked.items() if value), "")
        if extra:
            problems[at(where, extra)] = "has no effect without `query` or `canary`"
        return None
    if not given.source and len(sources) == 1:
        asked["source"] = next(iter(sources))
    elif given.source not in sources:
        known = f"; `sources` has {', '.join(sources)}" if sources else ": add it to `sources`"
        what = f"there is no source {given.source[:60]!r}" if given.source else "missing"
        problems[at(where, "source")] = what + known
    if given.by and not is_label(given.by):
        problems[at(where, "by")] = "expected the name of a label"
    if given.by and given.stable:
        problems[at(where, "stable")] = "with `by` one answer holds both versions: leave `stable` out"
    if not given.by and (given.canary_is or given.stable_is):
        problems[at(where, "canary_is" if given.canary_is else "stable_is")] = "has no effect without `by`"
    return Query(**{**asked, "canary": canary})


def has_stable(query: Query, sources: Mapping[str, Source]) -> bool:
    """Tell whether stable's value is asked for as well. A SELECT is told by ``:side`` whom it is about."""
    source = sources.get(query.source)
    return bool(query.stable or query.by or (source and source.type is SourceType.SQL))


def _measured(
    given: CheckInput, query: Query | None, where: str, problems: dict[str, str]
) -> tuple[Measure, str]:
    if query is None and given.measure is None and not given.metric:
        problems[at(where, "measure")] = "missing: give `measure`, a reported `metric`, or a `query`"
    builtin = given.measure not in (None, Measure.SAMPLE)
    if builtin and (query or given.metric):
        problems[at(where, "measure")] = "give either `measure`, or a `query` or `metric`"
    if query and given.metric not in ("", given.name):
        problems[at(where, "metric")] = "a query's readings are named after the check: leave `metric` out"
    if given.measure is Measure.SAMPLE and not (query or given.metric):
        problems[at(where, "metric")] = "missing: which reported metric?"
    measure = given.measure or Measure.SAMPLE
    return measure, given.name if query else given.metric


def _bound(given: CheckInput, measure: Measure, where: str, problems: dict[str, str]) -> dict[str, Any]:
    """Return comparison, limit, floor and strict."""
    short = [key for key in BOUNDS if getattr(given, key) is not None] + ["zero"] * given.zero
    long = {key: getattr(given, key) for key in _LONG_KEYS if getattr(given, key) is not None}
    if len(short) + bool(long) > 1:
        problems[where] = f"more than one limit: {', '.join(short + list(long))}"
        return {}
    if long:
        return long
    if not short:
        problems[where] = f"no limit: give one of {', '.join([*BOUNDS, 'zero'])}"
        return {}
    if short == ["zero"]:
        return {"comparison": Comparison.ZERO}
    comparison, floor, strict = BOUNDS[short[0]]
    amount: Amount = getattr(given, short[0])
    wrong = _wrong_unit(amount, measure, comparison)
    if wrong:
        problems[at(where, short[0])] = wrong
    return {"comparison": comparison, "floor": floor, "strict": strict, "limit": amount.value}


def _wrong_unit(amount: Amount, measure: Measure, comparison: Comparison) -> str:
    if amount.unit == "ms" and (measure not in _LATENCY or comparison is Comparison.RATIO):
        return "a time is no limit for this"
    if amount.unit == "%" and comparison is not Comparison.RATIO and measure in {*_LATENCY, Measure.REQUESTS}:
        return "a share is no limit for this"
    if measure in _RATES and comparison is Comparison.ABSOLUTE and not amount.unit and amount.value >= 1:
        return f"{amount.value:g} could mean {amount.value:g} %: write the % sign"
    return ""


def bound_of(check: Check) -> str:
    """Return the key under which a check's limit is written."""
    if check.comparison is Comparison.ZERO:
        return "zero"
    wanted = (check.comparison, check.floor, check.strict)
    return next(key for key, meaning in BOUNDS.items() if meaning == wanted)


def unit_of(check: Check) -> str:
    """Return ``%``, ``ms`` or nothing: what the limit counts in."""
    if check.comparison is Comparison.RATIO:
        return ""
    return "ms" if check.measure in _LATENCY else "%" if check.measure in _RATES else ""


def written_check(check: Check) -> dict[str, Any]:
    """Return a check as a person would write it; reading it gives the same check."""
    written: dict[str, Any] = {"name": check.name}
    if check.measure is not Measure.SAMPLE:
        written["measure"] = check.measure.value
    elif check.query is None:
        written["metric"] = check.metric
    written |= written_query(check.query)
    bound = bound_of(check)
    written[bound] = True if bound == "zero" else _written_limit(check)
    for key in ("label", "endpoint"):
        if getattr(check.selector, key):
            written[key] = getattr(check.selector, key)
    written["window"] = Duration().show(check.window_seconds)
    if check.min_requests != 1:
        written["min_requests"] = check.min_requests
    if check.on_fail is not OnFail.ROLLBACK:
        written["on_fail"] = check.on_fail.value
    if not check.required:
        written["required"] = False
    return written


def _written_limit(check: Check) -> Any:
    # Signs belong to numbers only; and what is no decimal fraction is left as it is.
    if unit_of(check) == "%" and 0 <= check.limit <= 1 and len(share_text(check.limit)) <= LONGEST:
        return share_text(check.limit)
    if unit_of(check) == "ms" and 0 <= check.limit < 1e9 and float(check.limit).is_integer():
        return f"{check.limit:.0f}ms"
    return plain(check.limit)


def written_query(query: Query | None) -> dict[str, Any]:
    """Return a query's keys as a person would write them."""
    if query is None:
        return {}
    written = {key: getattr(query, key) for key in _QUERY_KEYS if getattr(query, key)}
    if query.by or not query.stable:
        written["query"] = written.pop("canary")
    return written
