"""Checks with fixed thresholds: one rule on one measurement over its own window.

A check compares the canary with a number (absolute), with stable (ratio or difference), or
allows nothing at all (zero tolerance). The sequential judge joins beside this module as another
method that ends in verdicts; a :class:`Policy` says which checks apply.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum

from serinus.core.analysis.evidence import Arm, Evidence, Selector, Side
from serinus.core.analysis.queries import MetricQuery, Query, RequestsFrom, Source
from serinus.core.analysis.sequential.plan import Plan
from serinus.core.analysis.verdict import Outcome, Verdict
from serinus.core.notices import Notifications

__all__ = ["Check", "Comparison", "Measure", "OnFail", "OnNoData", "Policy", "evaluate", "evaluate_all"]


class Measure(StrEnum):
    """What is measured."""

    ERROR_RATE = "error_rate"
    SUCCESS_RATE = "success_rate"
    LATENCY_P50 = "latency_p50"
    LATENCY_P95 = "latency_p95"
    LATENCY_P99 = "latency_p99"
    LATENCY_MEAN = "latency_mean"
    REQUESTS = "requests"
    SAMPLE = "sample"  #: a metric that the service reports by name


class Comparison(StrEnum):
    """What the canary's value is held against."""

    ABSOLUTE = "absolute"  #: the limit itself
    RATIO = "ratio"  #: limit × stable's value
    DIFFERENCE = "difference"  #: stable's value + limit
    ZERO = "zero"  #: zero: one is enough


class OnFail(StrEnum):
    """What a failure does."""

    ROLLBACK = "rollback"
    HOLD = "hold"  #: no next step while it fails
    WARN = "warn"  #: tell, and go on


class OnNoData(StrEnum):
    """What happens when a step's time is over and a required check still has no answer."""

    HOLD = "hold"
    ROLLBACK = "rollback"  #: after the policy's deadline


@dataclass(frozen=True, kw_only=True, slots=True)
class Check:
    """One rule on one measurement."""

    name: str
    measure: Measure
    limit: float = 0.0
    comparison: Comparison = Comparison.ABSOLUTE
    #: The limit is a floor (success rate) instead of a ceiling.
    floor: bool = False
    #: The limit itself already fails (``<`` and ``>`` of a contract instead of ``≤`` and ``≥``).
    strict: bool = False
    window_seconds: float = 300
    #: Canary requests needed in the window before it says anything.
    min_requests: int = 1
    on_fail: OnFail = OnFail.ROLLBACK
    selector: Selector = Selector()
    #: Name of the reported metric for ``Measure.SAMPLE``.
    metric: str = ""
    #: A metric that the service never reports blocks the step.
    required: bool = True
    #: Where the metric comes from when the service does not report it itself: its readings arrive as
    #: samples that are named after the check.
    query: Query | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Policy:
    """Which checks apply and what follows from missing data."""

    name: str = "custom"
    #: What the sequential judge is asked; ``None``: fixed thresholds only.
    judge: Plan | None = None
    checks: tuple[Check, ...] = ()
    #: What must hold to promote; shown by, and refused without force by, ``promote``.
    gate: tuple[Check, ...] = ()
    #: Seconds at 50 % or more that the gate asks for; ``None``: one step's configured duration.
    gate_majority_seconds: float | None = 0
    #: Roll back at once when a breaker opens.
    breaker: bool = True
    on_no_data: OnNoData = OnNoData.HOLD
    #: Blind seconds of a step after which ``on_no_data`` applies.
    no_data_deadline_seconds: float = 1800
    #: Who is asked for measurements, by name.
    sources: tuple[Source, ...] = ()
    #: Where the judge's gauges and business metrics come from.
    metrics: tuple[MetricQuery, ...] = ()
    #: Where the judge's counts come from; ``None``: from the SDK, the proxy or the API.
    requests: RequestsFrom | None = None
    notifications: Notifications = Notifications()

    def queries(self) -> tuple[MetricQuery, ...]:
        """Return what sources have to be asked, each sample once."""
        asked = [MetricQuery(name=c.metric, query=c.query) for c in (*self.checks, *self.gate) if c.query]
        return tuple(dict.fromkeys((*asked, *self.metrics)))

    def source(self, name: str) -> Source:
        """Return a source by its name; every query's is known."""
        return next(source for source in self.sources if source.name == name)

    @property
    def horizon_seconds(self) -> float:
        """How far back any check looks."""
        return max((c.window_seconds for c in (*self.checks, *self.gate)), default=300)

    def scaled(self, factor: float) -> Policy:
        """Return the same policy with all times divided by ``factor``, for compressed time."""

        def shrink(check: Check) -> Check:
            return replace(check, window_seconds=check.window_seconds / factor)

        return replace(
            self,
            judge=self.judge and self.judge.scaled(factor),
            checks=tuple(shrink(c) for c in self.checks),
            gate=tuple(shrink(c) for c in self.gate),
            gate_majority_seconds=self.gate_majority_seconds and self.gate_majority_seconds / factor,
            no_data_deadline_seconds=self.no_data_deadline_seconds / factor,
        )


_QUANTILES = {Measure.LATENCY_P50: 0.5, Measure.LATENCY_P95: 0.95, Measure.LATENCY_P99: 0.99}
_UNITS = {Measure.ERROR_RATE: "ratio", Measure.SUCCESS_RATE: "ratio", Measure.LATENCY_MEAN: "ms"}


def evaluate_all(checks: tuple[Check, ...], evidence: Evidence, now: float) -> tuple[Verdict, ...]:
    """Evaluate every check. ``now`` is Unix seconds."""
    return tuple(evaluate(check, evidence, now) for check in checks)


def evaluate(check: Check, evidence: Evidence, now: float) -> Verdict:
    """Hold one measurement against its limit. ``now`` is Unix seconds."""
    if check.measure is Measure.SAMPLE:
        return _evaluate_sample(check, evidence, now)
    since = now - check.window_seconds
    canary = evidence.over(Side.CANARY, since, now, check.selector)
    # Once the canary has all traffic, stable's recorded history is what it is compared with.
    recorded = evidence.stable_baseline(check.selector)
    stable = recorded if evidence.baseline else evidence.over(Side.STABLE, since, now, check.selector)
    if canary.requests or stable.requests:
        check = replace(check, required=True)
    draft = _Draft(check, canary.requests, stable.requests)
    if canary.requests < max(1, check.min_requests):
        return draft.unknown(f"{canary.requests} of {max(1, check.min_requests)} canary requests so far")
    return draft.judge(_value(check, canary), _value(check, stable))


def _evaluate_sample(check: Check, evidence: Evidence, now: float) -> Verdict:
    since = now - check.window_seconds
    label = check.selector.label
    draft = _Draft(check, 0, 0)
    if check.metric in evidence.problems:
        # An older reading may still be there: it says nothing of now, so it is no pass.
        return replace(
            draft.unknown(evidence.problems[check.metric]), outcome=Outcome.ERROR, required=check.required
        )
    canary = evidence.sample(Side.CANARY, check.metric, since, label)
    if canary is None:
        if not evidence.reports(check.metric):
            return draft.unknown(f"{check.metric} is not reported by this service")
        return replace(draft.unknown(f"no {check.metric} from the canary"), required=True)
    return draft.judge(canary, evidence.sample(Side.STABLE, check.metric, since, label))


def _value(check: Check, arm: Arm) -> float | None:
    if check.measure is Measure.ERROR_RATE:
        return arm.error_rate
    if check.measure is Measure.SUCCESS_RATE:
        return arm.success_rate
    if check.measure is Measure.LATENCY_MEAN:
        return arm.latency.mean
    if check.measure is Measure.REQUESTS:
        return float(arm.requests)
    return arm.latency.quantile(_QUANTILES[check.measure])


@dataclass(slots=True)
class _Draft:
    """A verdict in the making: the check and the sizes of both sides."""

    check: Check
    canary_requests: int
    stable_requests: int
    unit: str = field(init=False)

    def __post_init__(self) -> None:
        self.unit = "ms" if self.check.measure in _QUANTILES else _UNITS.get(self.check.measure, "")

    def unknown(self, why: str) -> Verdict:
        """Not measured enough: never a pass."""
        return self._verdict(Outcome.INCONCLUSIVE, f"{self.check.name}: {why}")

    def judge(self, canary: float | None, stable: float | None) -> Verdict:
        """Hold the canary's value against the limit."""
        check = self.check
        if canary is None:
            return self.unknown("nothing measured at the canary")
        limit = self._limit(stable)
        if limit is None:
            why = f"canary {self._show(canary)}, but nothing measured at stable to compare with"
            return replace(self.unknown(why), canary=canary)
        inside = canary >= limit if check.floor else canary <= limit
        if check.strict and canary == limit:
            inside = False
        outcome = Outcome.PASS if inside else Outcome.FAIL
        return self._verdict(outcome, self._words(canary, stable, limit), canary, stable, limit)

    def _limit(self, stable: float | None) -> float | None:
        check = self.check
        if check.comparison is Comparison.ZERO:
            return 0.0
        if check.comparison is Comparison.ABSOLUTE:
            return check.limit
        if stable is None:
            return None
        return stable * check.limit if check.comparison is Comparison.RATIO else stable + check.limit

    def _words(self, canary: float, stable: float | None, limit: float) -> str:
        bound = "at least" if self.check.floor else "at most"
        if self.check.strict:
            bound = "above" if self.check.floor else "below"
        beside = "" if stable is None else f", stable {self._show(stable)}"
        need = f"{bound} {self._show(limit)}"
        if self.check.comparison is Comparison.RATIO:
            need += f" = {self.check.limit:g} × stable"
        return f"{self.check.name}: canary {self._show(canary)}{beside} ({need})"

    def _show(self, value: float) -> str:
        if self.unit == "ratio":
            return f"{value * 100:.3g} %" if value * 100 < 99.95 else f"{value * 100:.4g} %"
        if self.unit == "ms":
            return f"{value:.0f} ms" if value >= 10 else f"{value:.2g} ms"
        return f"{value:g}"

    def _verdict(
        self,
        outcome: Outcome,
        message: str,
        canary: float | None = None,
        stable: float | None = None,
        limit: float | None = None,
    ) -> Verdict:
        return Verdict(
            check=self.check.name,
            outcome=outcome,
            message=message,
            canary=canary,
            stable=stable,
            limit=limit,
            unit=self.unit,
            canary_requests=self.canary_requests,
            stable_requests=self.stable_requests,
            window_seconds=self.check.window_seconds,
            on_fail=self.check.on_fail,
            required=self.check.required,
        )
