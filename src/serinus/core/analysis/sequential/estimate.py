"""How much worse, with an interval that is valid at every look.

Sums over windows and strata of differences within them, so that common drift and a different mix of
endpoints cancel: for errors the Mantel-Haenszel ratio, for latency the mean difference of logarithms.
The interval is Robbins' normal mixture boundary: for a sum with variance ``v`` (in units where the
bet's spread is 1) it holds at all times together with the given confidence.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, log, sqrt

__all__ = ["Interval", "Tally", "radius"]

#: Where the mixture boundary is tightest, in units of information: a harm of about 40 % seen at three sigma.
TIGHT = 80.0


def radius(information: float, alpha: float, tight: float = TIGHT) -> float:
    """Return the half width around an estimate whose variance is ``1 / information``.

    Robbins (1970): with probability 1 - alpha, for all v together,
    ``|S_v| < sqrt((v + t) (ln((v + t) / t) + 2 ln(1 / alpha)))``; divided by v for the estimate.
    """
    if information <= 0:
        return 50.0
    v = information
    return min(50.0, sqrt((v + tight) * (log((v + tight) / tight) + 2 * log(1 / alpha))) / v)


@dataclass(frozen=True, kw_only=True, slots=True)
class Interval:
    """An estimate with its always-valid bounds, all as ratios canary ÷ stable."""

    estimate: float
    low: float
    high: float


@dataclass(slots=True)
class Tally:
    """Sums over windows for one check on one group, since its start or since harm began to show."""

    canary: int = 0
    stable: int = 0
    canary_errors: int = 0
    stable_errors: int = 0
    #: Mantel-Haenszel sums for the error ratio.
    over: float = 0.0
    under: float = 0.0
    #: Weighted differences of mean log latency, their weights, and the pooled variance times weight.
    shift: float = 0.0
    shift_weight: float = 0.0
    variance: float = 0.0
    #: Unix seconds of the first window in it.
    since: float = 0.0

    def errors(self, canary: int, canary_errors: int, stable: int, stable_errors: int) -> None:
        """Add one window of one stratum."""
        both = canary + stable
        self.canary += canary
        self.stable += stable
        self.canary_errors += canary_errors
        self.stable_errors += stable_errors
        if both:
            self.over += canary_errors * stable / both
            self.under += stable_errors * canary / both

    def fade(self, by: float) -> None:
        """Forget a part of the counts, so that they tell of lately."""
        self.canary = int(self.canary * by)
        self.canary_errors = int(self.canary_errors * by)  # rounded up, the last failure would stay

    def latency(
        self, canary: float, mean_canary: float, stable: float, mean_stable: float, variance: float
    ) -> None:
        """Add one window of one stratum: counts, means and the variance of ln(latency)."""
        weight = canary * stable / (canary + stable)
        self.shift += weight * (mean_canary - mean_stable)
        self.shift_weight += weight
        self.variance += weight * variance

    def error_ratio(self, alpha: float, dispersion: float) -> Interval | None:
        """Return the ratio of error rates, or ``None`` while neither side has failed."""
        if self.canary_errors + self.stable_errors == 0 or not self.canary or not self.stable:
            return None
        # Half an event on each side keeps a side without errors finite.
        half = min(self.canary, self.stable) / (self.canary + self.stable) / 2
        point = log((self.over + half) / (self.under + half))
        information = 1 / (dispersion * (1 / (self.canary_errors + 0.5) + 1 / (self.stable_errors + 0.5)))
        return _interval(point, radius(information, alpha, 9.0))

    def latency_ratio(self, alpha: float) -> Interval | None:
        """Return the ratio of typical latencies, or ``None`` while nothing was compared."""
        if self.shift_weight <= 0 or self.variance <= 0:
            return None
        information = self.shift_weight**2 / self.variance
        return _interval(self.shift / self.shift_weight, radius(information, alpha, 400.0))


def _interval(point: float, width: float) -> Interval:
    return Interval(estimate=_exp(point), low=_exp(point - width), high=_exp(point + width))


def _exp(x: float) -> float:
    return exp(max(-50.0, min(50.0, x)))
