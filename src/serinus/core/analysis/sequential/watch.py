"""Alone at 100 %: no live stable is left, so the canary is held against what was recorded of it.

Nothing cancels common drift any more. So the null is wide: stable itself may have become ``drift``
times as bad as recorded. What is left to find are outages and faults beyond that, with the same
bounded chance of a false alarm as long as drift stays inside.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import log, sqrt

from serinus.core.analysis.sequential.capital import Capital
from serinus.core.analysis.sequential.latency import Harm, Reference, rising, tables

__all__ = ["Recorded", "Watch"]

#: How much worse than the tolerated drift, and what is staked on it.
RATIOS, WEIGHTS, LATE = (1.7, 4.0, 20.0), (0.3, 0.3, 0.4), (0.4, 0.3, 0.3)
#: Latency may drift by the square root of what errors may, and the harms beyond that.
SLOWER = (1.3, 2.0)
SLOW_WEIGHTS = (0.5, 0.5)
EARLY = 0.2


@dataclass(slots=True)
class Recorded:
    """Stable's own totals while it was live."""

    requests: int = 0
    errors: int = 0

    @property
    def rate(self) -> float:
        """An error rate that stable's is hardly above: two standard errors more than measured."""
        if not self.requests:
            return 1.0
        return min(1.0, (self.errors + 2.0 + 2.0 * sqrt(self.errors + 1.0)) / self.requests)


@dataclass(slots=True)
class Watch:
    """The capital that is staked while the canary is alone."""

    errors: Capital = field(default_factory=lambda: Capital.of(len(RATIOS)))
    latency: Capital = field(default_factory=lambda: Capital.of(len(SLOWER)))
    windows: int = 0

    def see_errors(
        self, requests: int, errors: int, recorded: Recorded, drift: float, temper: float, release: float
    ) -> None:
        """Settle one window: ``errors`` of ``requests`` against at most ``drift`` times the recorded rate."""
        allowed = min(1.0, drift * recorded.rate)
        # E[r**X] <= exp(n p (r - 1)) for X binomial: a bound for every rate up to the allowed one.
        logs = [(errors * log(r) - requests * allowed * (r - 1.0)) / temper for r in RATIOS]
        self.windows += 1
        self.errors.bet(logs, 0.0, release)

    def see_latency(
        self, pieces: list[tuple[Reference, list[int]]], drift: float, cap: float, release: float
    ) -> None:
        """Settle one window: counts per stratum against its recorded latencies, ``drift`` times as long."""
        harms = (Harm(drift), *(Harm(drift * s) for s in SLOWER))
        logs = [0.0] * len(SLOWER)
        for reference, counts in pieces:
            known = tables(reference.edges, reference.shape, harms)
            null = [s * w for s, w in zip(known.share, known.weights[0], strict=True)]
            whole = sum(null)
            for k in range(len(SLOWER)):
                lean = rising(
                    [b / a for a, b in zip(known.weights[0], known.weights[k + 1], strict=True)], null
                )
                mean = sum(n * g for n, g in zip(null, lean, strict=True)) / whole
                score = sum(c * log(g) for c, g in zip(counts, lean, strict=True) if c)
                logs[k] += score - sum(counts) * log(max(mean, 1.0))
        self.latency.bet([min(v, cap) for v in logs], 0.0, release)

    def value(self) -> float:
        """Return the capital per unit, 1 before the first window."""
        if not self.windows:
            return 1.0
        return 0.7 * self.errors.value(WEIGHTS, LATE, EARLY) + 0.3 * self.latency.value(
            SLOW_WEIGHTS, SLOW_WEIGHTS, EARLY
        )

    def blames(self) -> str:
        """Return which check has gained most."""
        errors = self.errors.value(WEIGHTS, LATE, EARLY)
        latency = self.latency.value(SLOW_WEIGHTS, SLOW_WEIGHTS, EARLY)
        return "errors" if 0.7 * errors >= 0.3 * latency else "latency"
