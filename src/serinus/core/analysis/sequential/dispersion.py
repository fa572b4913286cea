"""How clustered errors are, learned from stable: retries of one failure are not independent failures.

Tempering a likelihood ratio by the variance-to-mean ratio of stable's errors makes a cluster count
as about one event. Neighbouring windows are compared with each other, so that drift and long bursts
do not look like clusters, and each pair's part is bounded, so that their edges do not either.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

__all__ = ["Dispersion"]

#: Belief before anything was seen, and its weight in pairs of windows.
PRIOR, PRIOR_WEIGHT = 1.0, 2.0
#: A pair says at most this many times the present estimate.
CLIP = 5.0
#: An excess within this many standard errors is taken for chance.
NOISE = 1.5
#: Doubt before anything was seen; it fades as windows come in.
UNKNOWN = 20.0
#: Pairs of windows (the prior's among them) up to which the estimate is hardly more than a guess.
GUESS = 19.0
#: What is likely at most: so many standard errors above the estimate.
ABOVE = 2.0
#: Mean of ``min(chi-square with one degree of freedom, CLIP)``: what clipping takes away.
CLIPPED_MEAN = 0.93


@dataclass(slots=True)
class Dispersion:
    """A running estimate of variance ÷ mean (1 or more) of stable's errors in a window."""

    total: float = PRIOR * PRIOR_WEIGHT
    weight: float = PRIOR_WEIGHT
    last_requests: int = 0
    last_errors: int = 0

    @property
    def factor(self) -> float:
        """What a log likelihood ratio is divided by: 1 when errors come one by one."""
        found = self.total / self.weight
        return found if found > 1.0 + NOISE * sqrt(2.0 / self.weight) else 1.0

    @property
    def worst(self) -> float:
        """What it may be while little is known: how many failures may be one event."""
        return max(self.factor, 1.0 + UNKNOWN / (self.weight + 1.0))

    @property
    def guessed(self) -> bool:
        """Whether too little was seen yet to tell clusters from chance."""
        return self.weight <= GUESS

    @property
    def likely(self) -> float:
        """What it likely is at most, by what was seen: nearer to the truth than ``worst``."""
        return max(self.factor, self.total / self.weight * (1.0 + ABOVE * sqrt(2.0 / self.weight)))

    def observe(self, requests: int, errors: int) -> None:
        """Take stable's next window in."""
        if requests <= 0:
            return
        if self.last_requests > 0:
            self._pair(requests, errors)
        self.last_requests, self.last_errors = requests, errors

    def _pair(self, requests: int, errors: int) -> None:
        both, before = errors + self.last_errors, self.last_requests
        if both == 0:
            return
        share = requests / (requests + before)
        spread = both * share * (1.0 - share)
        found = (errors - both * share) ** 2 / spread
        weight = min(1.0, spread)
        now = self.total / self.weight
        clipped = min(found, CLIP * max(1.0, now)) / (CLIPPED_MEAN if spread > 1.0 else 1.0)
        self.total += weight * clipped
        self.weight += weight
