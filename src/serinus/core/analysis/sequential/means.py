"""Gauges and business metrics: one reading a window, canary minus stable, compared at every look.

The bet is Robbins' one-sided normal mixture on the sum of standardised differences, an asymptotic
confidence sequence (Waudby-Smith and others, 2021): valid at all times once there are enough
windows, whatever the metric's distribution. Neighbouring readings of a gauge resemble each other, so
the variance is raised by their correlation before anything is believed.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import erfc, exp, sqrt

from serinus.core.analysis.sequential.estimate import radius

__all__ = ["MeanBet"]

#: Windows before it says anything: the variance has to be known.
FEW = 40
#: Standard errors that the correlation of neighbours is taken to be higher, and its largest value.
DOUBT, MOST_ALIKE = 2.0, 0.98
#: Where the mixture is most powerful, in windows.
TIGHT = 30.0


@dataclass(slots=True)
class MeanBet:
    """Differences "canary worse by", in units of the tolerated bound above zero; few numbers, no history."""

    windows: int = 0
    total: float = 0.0
    squares: float = 0.0
    products: float = 0.0
    last: float = 0.0
    #: Sums of the readings themselves, for showing.
    canary: float = 0.0
    stable: float = 0.0

    def observe(self, worse_by: float, canary: float, stable: float) -> None:
        """Take one window's readings in; ``worse_by`` is above zero when outside the tolerance."""
        if self.windows:
            self.products += worse_by * self.last
        self.windows += 1
        self.total += worse_by
        self.squares += worse_by * worse_by
        self.last = worse_by
        self.canary += canary
        self.stable += stable

    @property
    def mean(self) -> float:
        """The mean difference beyond the tolerance."""
        return self.total / self.windows if self.windows else 0.0

    @property
    def variance(self) -> float:
        """The variance of one window's difference, raised by the correlation of neighbours."""
        n = self.windows
        if n < 2:
            return 0.0
        plain = max(self.squares / n - self.mean**2, 0.0) * n / (n - 1)
        if plain == 0.0:
            return 0.0
        together = (self.products / (n - 1) - self.mean**2) / plain
        # Estimated from few windows it comes out too low: as much as chance can explain is added.
        r = min(max(together + DOUBT / sqrt(n), 0.0), MOST_ALIKE)
        return plain * (1.0 + r) / (1.0 - r)

    def value(self) -> float:
        """Return the capital of the bet "worse than tolerated": 1 while it says nothing."""
        if self.windows < FEW:
            return 1.0
        variance = self.variance
        if variance == 0.0:
            return 1.0 if self.mean <= 0 else exp(min(0.5 * self.windows, 300.0))
        v = self.windows + TIGHT
        s = self.total / sqrt(variance)
        grown = 2.0 * sqrt(TIGHT / v) * (0.5 * erfc(-s / sqrt(2.0 * v)))
        return grown * exp(min(s * s / (2.0 * v), 300.0)) if s > 0 else min(grown, 1.0)

    def beyond(self, tolerance: float) -> float:
        """Return the capital of the bet "the mean is further from zero than this", on either side."""
        if self.windows < FEW:
            return 1.0
        sd = sqrt(self.variance) or 1e-9
        v, s = self.windows + TIGHT, (abs(self.total) - tolerance * self.windows) / sd
        return exp(min(s * s / (2.0 * v), 300.0)) * sqrt(TIGHT / v) if s > 0 else 1.0

    def half_width(self, alpha: float) -> float:
        """Return the half width of the always-valid interval around ``mean``."""
        if self.windows < FEW:
            return float("inf")
        return sqrt(self.variance) * radius(float(self.windows), alpha, TIGHT)
