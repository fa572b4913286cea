"""Latency as counts: where in the window's pooled histogram do the canary's requests sit?

Given the pooled counts of a window, both sides alike means that the canary's requests are a random
draw from them. A slower canary draws more from the slow buckets: alternative ``k`` gives bucket ``b``
the weight ``g = (mass of b if latencies were k times as long) / (mass of b)``, and the likelihood ratio is

    prod g[b]**c[b] / E[prod g[b]**C[b]].

Two numbers bound the mean from above or come close to it: that of drawing with replacement,
``(sum of g over the pool / n)**c`` (Hoeffding 1963, theorem 4), exact for a small canary, and a
saddle point of the conditional distribution, exact for a large one. No distribution is assumed: the
weights come from a reference, the latencies of earlier windows, and only say where to look.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field
from itertools import pairwise
from math import exp, inf, log, sqrt

from serinus.core.histogram import Histogram

__all__ = ["Buckets", "Harm", "Reference", "buckets_of"]

#: Part of the mass that an alternative leaves where it is: keeps every weight above zero.
STAY = 0.02
#: A weight is never more than this: one request cannot decide.
HEAVIEST = 40.0
#: Buckets that a reference aims at, between its 0.5 % and 99.5 % quantiles.
WANTED = 22
#: Buckets at most, and how far above the 99.5 % quantile they reach.
MOST, ROOM = 48, 8.0
#: A window with fewer canary requests than this is compared as if drawn with replacement.
FEW = 4
#: The saddle point falls short of the exact mean by at most about this over the pool's size (measured
#: against exact sums for pools of 20 to 400); adding it keeps it on the safe side.
SHORT = 0.12
#: Iterations for the saddle point; Newton's method from a good start needs two.
ROUNDS = 3


@dataclass(frozen=True, slots=True)
class Harm:
    """One way of being slower: a share of the requests takes ``factor`` times as long."""

    factor: float
    share: float = 1.0

    def __str__(self) -> str:
        """Say it in words."""
        if self.share >= 1.0:
            return f"{(self.factor - 1) * 100:.0f} % slower"
        return f"{self.share * 100:g} % of requests {self.factor:g} × slower"


@dataclass(frozen=True, slots=True)
class Buckets:
    """Latency counts: ``counts[i]`` requests took more than ``edges[i - 1]`` and up to ``edges[i]`` ms.

    The last edge may be infinite. Edges rise.
    """

    edges: tuple[float, ...]
    counts: tuple[int, ...]

    @property
    def total(self) -> int:
        """All requests."""
        return sum(self.counts)


def buckets_of(histogram: Histogram, scale: int = 3) -> Buckets:
    """Return an exponential histogram as buckets, at ``scale`` or coarser."""
    shift = max(0, histogram.scale - scale)
    coarse: dict[int, int] = {}
    for index, count in histogram.buckets.items():
        at = index >> shift
        coarse[at] = coarse.get(at, 0) + count
    step = 2.0 ** -(histogram.scale - shift)
    found = sorted(coarse.items())
    edges: list[float] = []
    counts: list[int] = []
    if histogram.zero:
        edges.append(2.0 ** (found[0][0] * step) if found else 0.001)
        counts.append(histogram.zero)
    for index, count in found:
        lower = 2.0 ** (index * step)
        if edges and edges[-1] < lower * (1 - 1e-9):
            edges.append(lower)
            counts.append(0)
        edges.append(2.0 ** ((index + 1) * step))
        counts.append(count)
    return Buckets(tuple(edges), tuple(counts))


@dataclass(slots=True)
class Reference:
    """Latencies of earlier windows: bucket edges to count in, and the weights that they give."""

    edges: list[float]
    counts: list[float]
    #: Requests that had been seen when the weights were made; they are made anew as it doubles.
    made_at: float = 0.0
    weights: list[list[float]] = field(default_factory=list)
    logs: list[list[float]] = field(default_factory=list)

    @classmethod
    def of(cls, first: Buckets) -> Reference:
        """Choose edges from the first latencies seen: fine where most requests are."""
        return cls(edges=_chosen(first), counts=[])

    def place(self, buckets: Buckets) -> list[float]:
        """Return a window's counts in the reference's buckets."""
        edges = self.edges
        found = [0.0] * (len(edges) + 1)
        lower = 0.0
        for edge, count in zip(buckets.edges, buckets.counts, strict=True):
            if count:
                middle = (
                    sqrt(lower * edge)
                    if lower > 0 and edge < inf
                    else lower * 1.01
                    if edge == inf
                    else edge * 0.99
                )
                found[bisect_left(edges, middle)] += count
            lower = edge
        return found

    def learn(self, pooled: list[float], harms: tuple[Harm, ...]) -> None:
        """Add a window to what is known, and make the weights anew when that has doubled."""
        if not self.counts:
            self.counts = [0.0] * len(pooled)
        self.counts = [a + b for a, b in zip(self.counts, pooled, strict=True)]
        if sum(self.counts) >= 2 * self.made_at:
            self.weigh(harms)

    def weigh(self, harms: tuple[Harm, ...]) -> None:
        """Make the weights of every alternative from what is known now."""
        self.made_at = sum(self.counts)
        # Half a request in every bucket: an empty one is rare, not impossible.
        mass = [c + 0.5 for c in self.counts]
        whole = sum(mass)
        share = [m / whole for m in mass]
        self.weights = [_weights(self.edges, share, harm) for harm in harms]
        self.logs = [[log(g) for g in row] for row in self.weights]

    def log_ratios(self, canary: list[float], pooled: list[float]) -> list[float]:
        """Return ln(likelihood ratio) of every alternative for one window."""
        drawn, whole = sum(canary), sum(pooled)
        if drawn <= 0 or drawn >= whole or not self.weights:
            return [0.0] * len(self.weights)
        filled = [b for b, count in enumerate(pooled) if count]
        mine = [b for b in filled if canary[b]]
        found = []
        for weights, logs in zip(self.weights, self.logs, strict=True):
            score = sum(canary[b] * logs[b] for b in mine)
            pool = [(pooled[b], weights[b]) for b in filled]
            found.append(score - _log_mean(pool, drawn, whole))
        return found


def _log_mean(pool: list[tuple[float, float]], drawn: float, whole: float) -> float:
    """Return ln E[prod g**C] for ``drawn`` requests out of the pool of (count, weight)."""
    mean = sum(n * g for n, g in pool) / whole
    with_replacement = drawn * log(mean)
    share = drawn / whole
    if drawn < FEW or share < 0.02:
        return with_replacement
    odds = share / (1.0 - share)
    tilt = odds / mean
    spread = 0.0
    for _ in range(ROUNDS):
        total = spread = 0.0
        for n, g in pool:
            q = tilt * g / (1.0 + tilt * g)
            total += n * q
            spread += n * q * (1.0 - q)
        tilt *= exp(max(-1.0, min(1.0, (drawn - total) / spread)))
    grown = sum(n * log(1.0 + tilt * g) for n, g in pool)
    plain = whole * log(1.0 + odds)
    saddle = grown - drawn * log(tilt) - plain + drawn * log(odds)
    saddle += 0.5 * log(whole * share * (1.0 - share) / spread) + SHORT / whole
    return min(with_replacement, saddle)


def _weights(edges: list[float], share: list[float], harm: Harm) -> list[float]:
    """Return the density ratio of each bucket under ``harm``."""
    below = _cumulative(share)
    lower_edge = edges[0] / 2
    moved = []
    before = 0.0
    for at in range(len(edges) + 1):
        upto = _at(edges, below, lower_edge, edges[at] / harm.factor) if at < len(edges) else 1.0
        moved.append(max(0.0, upto - before))
        before = max(before, upto)
    part = harm.share * (1.0 - STAY)
    return [min(HEAVIEST, (1.0 - part) + part * m / s) for m, s in zip(moved, share, strict=True)]


def _cumulative(share: list[float]) -> list[float]:
    total, found = 0.0, []
    for part in share:
        total += part
        found.append(total)
    return found


def _at(edges: list[float], below: list[float], lower_edge: float, x: float) -> float:
    """Return the part of latencies up to ``x``, between edges as straight lines over log(x)."""
    at = bisect_left(edges, x)
    if at >= len(edges):
        return below[-2] if len(below) > 1 else 1.0
    upper = edges[at]
    lower = edges[at - 1] if at else lower_edge
    start = below[at - 1] if at else 0.0
    if x <= lower:
        return start if at else 0.0
    return start + (below[at] - start) * log(x / lower) / log(upper / lower)


def _chosen(first: Buckets) -> list[float]:
    """Return edges to count in: some of those measured with, fine where requests are, room above.

    Edges of their own would split some measured buckets and not others, which looks like structure.
    """
    finite = [(e, c) for e, c in zip(first.edges, first.counts, strict=True) if 0 < e < inf]
    if not finite:
        return [1.0]
    ratio = _geometric([e for e, _ in finite])
    if ratio is None:
        return [e for e, _ in finite][:MOST]  # somebody's own buckets: theirs are all there are
    low, high = _range(finite)
    step = ratio ** max(1, round(log(max(high / low, 1.3)) / WANTED / log(ratio)))
    edges: list[float] = []
    edge = low
    while edge <= high * ROOM and len(edges) < MOST:
        edges.append(edge)
        edge *= step
    return edges


def _range(finite: list[tuple[float, int]]) -> tuple[float, float]:
    """Return the edges around the middle 99 % of the requests."""
    total = sum(c for _, c in finite) or 1
    low, high, seen = finite[0][0], finite[-1][0], 0
    for edge, count in finite:
        if seen <= 0.005 * total:
            low = edge
        if seen < 0.995 * total:
            high = edge
        seen += count
    return low, high


def _geometric(edges: list[float]) -> float | None:
    """Return the smallest ratio of neighbours when all are whole powers of it, else ``None``."""
    logs = [log(b / a) for a, b in pairwise(edges)]
    smallest = min(logs, default=log(2) / 8)
    even = all(abs(g / smallest - round(g / smallest)) < 0.01 for g in logs)
    return exp(smallest) if even and smallest < log(2) else None
