"""Faults laid over what was recorded: what a bad version would have added to healthy traffic."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, log

import numpy as np
from numpy.typing import NDArray

from serinus.sim.recorded import Counts

__all__ = ["FAULTS", "Fault", "slowed"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Fault:
    """What is wrong with a version, from ``onset`` on (a share of the time before the last step)."""

    name: str
    #: Its error rate is this many times the service's.
    errors_times: float = 1.0
    #: So many of its requests fail in addition (0.01: one percentage point).
    errors_plus: float = 0.0
    #: Its answers take this many times as long.
    slower: float = 1.0
    onset: float = 0.0

    @property
    def is_outage(self) -> bool:
        """Tell whether nothing works any more."""
        return self.errors_plus >= 1.0

    def laid_over(
        self, counts: Counts, rates: NDArray[np.float64], moves: NDArray[np.float64], rng: np.random.Generator
    ) -> Counts:
        """Return one moment's counts (endpoints × columns) with the fault in them.

        Args:
            counts: What the healthy canary did.
            rates: The service's error rate by endpoint.
            moves: How latency buckets move, from :func:`slowed`.
            rng: Chance, seeded by the caller.
        """
        made = counts.copy()
        more = np.minimum(
            1.0, self.errors_plus + rates * (self.errors_times - 1) / np.maximum(1e-9, 1 - rates)
        )
        made[:, 1] += rng.binomial(made[:, 0] - made[:, 1], more)
        if self.slower > 1.0:
            made[:, 2:] = rng.multinomial(made[:, 2:], moves).sum(axis=1)
        return made


FAULTS: tuple[Fault, ...] = (
    Fault(name="errors ×2", errors_times=2.0),
    Fault(name="errors +1 pp", errors_plus=0.01),
    Fault(name="errors +5 pp", errors_plus=0.05),
    Fault(name="latency +20 %", slower=1.2),
    Fault(name="latency ×2", slower=2.0),
    Fault(name="outage", errors_plus=1.0),
    Fault(name="late outage", errors_plus=1.0, onset=0.8),
    Fault(name="late +5 pp", errors_plus=0.05, onset=0.8),
)


def slowed(edges: tuple[float, ...], times: float) -> NDArray[np.float64]:
    """Return which share of each bucket's values moves to which when all take ``times`` as long.

    Inside a bucket values are taken to be spread evenly on a logarithmic scale; the first bucket
    reaches down to a quarter of its edge. What lies beyond the last finite edge stays there.

    >>> slowed((100.0, 200.0, float("inf")), 2.0)[1].round(2).tolist()
    [0.0, 0.0, 1.0]
    """
    size = len(edges)
    moves = np.zeros((size, size))
    for at, upper in enumerate(edges):
        if upper == inf:
            moves[at, at] = 1.0
            continue
        low, high = (edges[at - 1] if at else upper / 4) * times, upper * times
        for to, ceiling in enumerate(edges):
            floor = edges[to - 1] if to else 0.0
            a, b = max(low, floor), min(high, ceiling)
            if a < b:
                moves[at, to] = log(b / a) / log(high / low)
    total: NDArray[np.float64] = moves.sum(axis=1, keepdims=True)
    return moves / total
