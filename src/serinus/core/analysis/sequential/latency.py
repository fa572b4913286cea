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
from functools import lru_cache
from itertools import compress, pairwise, repeat
from math import exp, log, log1p
from operator import add, mul

from serinus.core.analysis.sequential.buckets import (
    Buckets,
    Latencies,
    buckets_of,
    chosen,
    edges_of,
    grid_of,
    ladder,
    merge,
    middle,
    place_fine,
)
from serinus.core.histogram import Histogram

__all__ = ["Buckets", "Harm", "Reference", "Tables", "buckets_of", "ladder", "merge", "rising", "tables"]

#: Part of the mass that an alternative leaves where it is: keeps every weight above zero.
STAY = 0.02
#: A weight is never more than this: one request cannot decide.
HEAVIEST = 40.0
#: A window with fewer canary requests than this is compared as if drawn with replacement.
FEW = 4
#: The saddle point falls short of the exact mean by at most about this over the pool's size (measured
#: against exact sums for pools of 20 to 400); adding it keeps it on the safe side. Only the largest
#: harm, whose weights differ most, needs up to 0.6.
SHORT = 0.12
#: Iterations for the saddle point at most; Newton's method from a good start needs one or two, and
#: up to nine where the canary has nearly all of the traffic and the weights differ most.
ROUNDS = 16
#: Close enough: the error of the logarithm is the square of this, times the spread.
CLOSE = 3e-3
#: Below this share of the pool, drawing with replacement is exact enough and much cheaper.
SMALL_SHARE = 0.015
#: Above this share floats do not tell the rest of the pool from nothing.
NEARLY_ALL = 1.0 - 1e-9


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
class Tables:
    """The weights of every alternative for one shape of latencies."""

    weights: tuple[tuple[float, ...], ...]
    logs: tuple[tuple[float, ...], ...]
    #: The shape itself, as parts of the whole.
    share: tuple[float, ...]


#: Some ten kilobytes each; two hundred deployments of 20 endpoints fit.
@lru_cache(maxsize=4096)
def tables(edges: tuple[float, ...], shape: tuple[int, ...], harms: tuple[Harm, ...]) -> Tables:
    """Return the weights for latencies of this shape: counts between ``edges``, one more than those."""
    # Half a request in every bucket: an empty one is rare, not impossible.
    mass = [c + 0.5 for c in shape]
    whole = sum(mass)
    share = [m / whole for m in mass]
    weights = tuple(tuple(_weights(edges, share, harm)) for harm in harms)
    return Tables(
        weights=weights,
        logs=tuple(tuple(log(g) for g in row) for row in weights),
        share=tuple(share),
    )


@lru_cache(maxsize=1024)
def _middles(edges: tuple[float, ...]) -> tuple[float, ...]:
    half = 0.5 * log(edges[1] / edges[0]) if len(edges) > 1 else 0.1
    inner = [0.5 * log(a * b) for a, b in pairwise(edges)]
    return (log(edges[0]) - half, *inner, log(edges[-1]) + half)


@dataclass(slots=True)
class Reference:
    """Stable's latencies so far: buckets to count in, and the shape that gives the weights."""

    edges: tuple[float, ...]
    counts: list[int]
    #: The counts when the weights were last made; they are made anew as the requests double.
    shape: tuple[int, ...] = ()
    #: Ratio of neighbouring edges; 0 for somebody's own buckets.
    step: float = 0.0
    #: The edges as indexes of a fine histogram; empty when buckets with edges of their own are counted.
    grid: tuple[int, ...] = ()
    #: The weights that were asked for last, with what they hang on: looking them up hashes all of it.
    _last: tuple[tuple[int, ...], tuple[Harm, ...], Tables] | None = field(
        default=None, compare=False, repr=False
    )

    @classmethod
    def of(cls, first: Latencies) -> Reference:
        """Choose edges from the first latencies seen: fine where most requests are."""
        if isinstance(first, Histogram):
            if not first.edges and first.buckets:
                grid = grid_of(first)
                return cls(edges=edges_of(grid), counts=[0] * (len(grid) + 1), grid=grid)
            first = buckets_of(first)
        edges, step = chosen(first)
        return cls(edges=edges, counts=[0] * (len(edges) + 1), step=step)

    @property
    def middles(self) -> tuple[float, ...]:
        """ln(ms) in the middle of each bucket."""
        return _middles(self.edges)

    def place(self, latencies: Latencies) -> list[int]:
        """Return a window's counts in the reference's buckets."""
        if isinstance(latencies, Histogram):
            if self.grid and not latencies.edges:
                return place_fine(latencies, self.grid)
            latencies = buckets_of(latencies)
        found = [0] * len(self.counts)
        edges, lower = self.edges, 0.0
        for edge, count in zip(latencies.edges, latencies.counts, strict=True):
            if count:
                found[bisect_left(edges, middle(lower, edge))] += count
            lower = edge
        return found

    def learn(self, stable: list[int]) -> None:
        """Add a window of stable to what is known, and renew the shape when that has doubled."""
        self.counts = list(map(add, self.counts, stable))
        if sum(self.counts) >= 2 * sum(self.shape):
            self.shape = tuple(self.counts)

    def _tables(self, harms: tuple[Harm, ...]) -> Tables:
        last = self._last
        if last is None or last[0] is not self.shape or last[1] is not harms:
            self._last = last = self.shape, harms, tables(self.edges, self.shape, harms)
        return last[2]

    def log_ratios(self, canary: list[int], stable: list[int], harms: tuple[Harm, ...]) -> list[float]:
        """Return ln(likelihood ratio) of every alternative for one window; zeros while nothing is known."""
        drawn, others = sum(canary), sum(stable)
        if drawn <= 0 or others <= 0 or not self.shape:
            return [0.0] * len(harms)
        known = self._tables(harms)
        both = list(map(add, canary, stable))
        counts = [float(n) for n in both if n]  # mixed with floats, whole numbers are slower
        found = []
        for weights, logs in zip(known.weights, known.logs, strict=True):
            score = sum(map(mul, canary, logs))
            found.append(score - _log_mean(counts, list(compress(weights, both)), drawn, drawn + others))
        return found


def _log_mean(counts: list[float], weights: list[float], drawn: int, whole: int) -> float:
    """Return ln E[prod g**C] for ``drawn`` out of ``whole`` requests with these counts and weights."""
    masses = list(map(mul, counts, weights))
    mean = sum(masses) / whole
    with_replacement = drawn * log(mean)
    share = drawn / whole
    if drawn < FEW or share < SMALL_SHARE or share > NEARLY_ALL:
        return with_replacement
    odds = share / (1.0 - share)
    # The first guess: to second order in how much the weights differ.
    uneven = sum(map(mul, masses, weights)) / (whole * mean * mean) - 1.0
    tilt, spread = odds / mean * exp(min((1.0 - share) * uneven, 0.5)), 0.0
    for _ in range(ROUNDS):
        total = spread = 0.0
        for n, g in zip(counts, weights, strict=True):
            left = 1.0 / (1.0 + tilt * g)
            part = n - n * left
            total += part
            spread += part * left
        off = (drawn - total) / spread
        tilt *= exp(max(-1.0, min(1.0, off)))
        if abs(off) < CLOSE:
            break
    grown: float = sum(map(mul, counts, map(log1p, map(mul, repeat(tilt), weights))))
    saddle = grown - whole * log1p(odds) - drawn * log(tilt / odds)
    saddle += 0.5 * log(whole * share * (1.0 - share) / spread) + SHORT / whole
    return min(with_replacement, saddle)


def _weights(edges: tuple[float, ...], share: list[float], harm: Harm) -> list[float]:
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
    plain = [min(HEAVIEST, (1.0 - part) + part * m / s) for m, s in zip(moved, share, strict=True)]
    return rising(plain, share)


def rising(weights: list[float], mass: list[float]) -> list[float]:
    """Return the nearest weights that never fall from one bucket to the next (pooling adjacent violators).

    Slower is to the right. Where stable's latencies have several peaks, a shift of them empties the place of
    each peak; without this a canary that answers *between* two peaks, and be it faster, would look like that
    shift. With one peak the weights rise by themselves, but for noise, which this smooths.
    """
    blocks: list[list[float]] = []  # mean, mass, buckets
    for weight, size in zip(weights, mass, strict=True):
        blocks.append([weight, size, 1.0])
        while len(blocks) > 1 and blocks[-2][0] > blocks[-1][0]:
            mean, size_, many = blocks.pop()
            last = blocks[-1]
            together = last[1] + size_
            blocks[-1] = [(last[0] * last[1] + mean * size_) / together, together, last[2] + many]
    return [mean for mean, _, many in blocks for _ in range(int(many))]


def _cumulative(share: list[float]) -> list[float]:
    total, found = 0.0, []
    for part in share:
        total += part
        found.append(total)
    return found


def _at(edges: tuple[float, ...], below: list[float], lower_edge: float, x: float) -> float:
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
