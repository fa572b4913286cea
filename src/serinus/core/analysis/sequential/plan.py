"""What the sequential judge is asked: budget, what counts as harm, and what to do while unsure."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import lru_cache
from math import log

from serinus.core.analysis.sequential.latency import Harm

__all__ = ["Bets", "ErrorHarm", "Finding", "LatencyHarm", "MetricHarm", "Plan", "StepUp", "Unsure", "bets_of"]


class Finding(StrEnum):
    """What the judge says of a check, and of a rollout."""

    HARM = "harm"  #: worse than tolerated; the chance that this is wrong is within the budget
    SAFE = "safe"  #: no harm of the size worth finding, with the plan's confidence
    NOT_YET = "not_yet"  #: no harm seen, and not enough seen to exclude it
    CANNOT_TELL = "cannot_tell"  #: at this rate it will not know in time


class StepUp(StrEnum):
    """When a step may end."""

    SCHEDULE = "schedule"  #: at its time: finds late faults best
    ADAPTIVE = "adaptive"  #: as soon as harm that matters at this share is excluded


class Unsure(StrEnum):
    """What happens at a step's time when the judge cannot say safe."""

    HOLD = "hold"  #: stay until it can
    ACCEPT = "accept"  #: go on: no harm was found


@dataclass(frozen=True, kw_only=True, slots=True)
class ErrorHarm:
    """Which difference in errors is harm. Tolerated is what stays inside either bound."""

    #: Tolerated ratio canary ÷ stable.
    ratio: float = 1.1
    #: Tolerated difference in percentage points.
    points: float = 0.1
    #: The smallest ratio worth finding: "safe" means that it is excluded.
    find: float = 2.0


@dataclass(frozen=True, kw_only=True, slots=True)
class LatencyHarm:
    """Which difference in latency is harm."""

    #: Tolerated slowdown: 0.05 is 5 %.
    slower: float = 0.05
    #: The smallest slowdown worth finding.
    find: float = 0.10


@dataclass(frozen=True, kw_only=True, slots=True)
class MetricHarm:
    """A gauge or business metric whose mean is compared, window by window."""

    name: str
    #: Higher is better (conversion, revenue) instead of lower (queue length, cost).
    higher_is_better: bool = False
    #: Tolerated relative difference of the means: 0.05 is 5 %.
    tolerate: float = 0.05


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """The sequential policy. The defaults are what a deployment gets that says nothing.

    All times are seconds.
    """

    #: Chance that a canary that is no worse is ever rolled back: all checks, all looks, the whole rollout.
    budget: float = 0.01
    #: Of "safe" and of the intervals.
    confidence: float = 0.95
    errors: ErrorHarm | None = ErrorHarm()
    latency: LatencyHarm | None = LatencyHarm()
    metrics: tuple[MetricHarm, ...] = ()
    #: Latency at the beginning of each step that is not held against the canary. One that is clearly
    #: slow for so long gets half as long again to settle.
    warm_up: float = 120.0
    #: A window is closed this long after its end: what arrives later is not seen.
    lag: float = 5.0
    #: Canary requests of a step below which nothing is accepted.
    min_requests: int = 100
    step_up: StepUp = StepUp.SCHEDULE
    #: A step lasts at least this long under ``adaptive``.
    min_step: float = 60.0
    unsure: Unsure = Unsure.ACCEPT
    #: How long the rollout is planned to take: spreads what is kept for late faults over it.
    horizon: float = 2700.0
    #: After 100 %, how much worse than its recorded history stable may itself have become.
    drift: float = 2.0
    #: How long the judge goes on after promotion, with automatic rollback.
    watch: float = 1800.0
    #: Compare per endpoint and label; otherwise only totals.
    slices: bool = True
    #: Versions that share the budget (A/B/n).
    candidates: int = 1

    def scaled(self, factor: float) -> Plan:
        """Return the same plan with all times divided by ``factor``, for compressed time."""
        return replace(
            self,
            warm_up=self.warm_up / factor,
            lag=self.lag / factor,
            min_step=self.min_step / factor,
            horizon=self.horizon / factor,
            watch=self.watch / factor,
        )


@dataclass(frozen=True, slots=True)
class Bets:
    """The alternatives that the capital is spread over. See ``docs/judge.md`` for how they were chosen."""

    #: Error ratios; weights of what is staked at the start, and of what is kept for later.
    ratios: tuple[float, ...] = ()
    ratio_weights: tuple[float, ...] = ()
    ratio_late: tuple[float, ...] = ()
    harms: tuple[Harm, ...] = ()
    harm_weights: tuple[float, ...] = ()
    harm_late: tuple[float, ...] = ()
    #: Tempering per ratio: how much more a cluster counts on large ones.
    temper: tuple[float, ...] = field(default=())

    @classmethod
    def of(cls, plan: Plan) -> Bets:
        """Place the bets around what the plan tolerates."""
        errors, latency = plan.errors or ErrorHarm(), plan.latency or LatencyHarm()
        ratios = tuple(errors.find * r for r in (1.0, 1.6, 3.5, 11.0, 150.0))
        slow = (1.0 + latency.find) / 1.1
        return cls(
            ratios=ratios,
            ratio_weights=(0.36, 0.34, 0.15, 0.10, 0.05),
            ratio_late=(0.60, 0.25, 0.07, 0.04, 0.04),
            harms=(
                Harm(1.1 * slow),
                Harm(1.22 * slow),
                Harm(1.6 * slow),
                Harm(2.6 * slow),
                Harm(5.0 * slow, 0.02),
                Harm(3.0 * slow, 0.1),
            ),
            harm_weights=(0.34, 0.30, 0.09, 0.09, 0.10, 0.08),
            harm_late=(0.34, 0.42, 0.12, 0.04, 0.05, 0.03),
            temper=tuple(1.0 + 0.12 * log(max(r, 2.0) / 2.0) + 0.45 * log(max(r, 4.0) / 4.0) for r in ratios),
        )


@lru_cache(maxsize=256)
def bets_of(plan: Plan) -> Bets:
    """Return ``Bets.of(plan)``, made once."""
    return Bets.of(plan)
