"""Latency counts as they come in, and the buckets that they are compared in."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from math import ceil, exp, floor, inf, log, sqrt
from operator import mul
from typing import TypeVar

from serinus.core.histogram import SCALE, ZERO_THRESHOLD, Histogram

__all__ = [
    "Buckets",
    "Latencies",
    "Moments",
    "buckets_of",
    "chosen",
    "edges_of",
    "grid_of",
    "ladder",
    "measured",
    "merge",
    "middle",
    "moments",
    "place_fine",
]

#: Buckets that a reference aims at, between its 0.5 % and 99.5 % quantiles.
WANTED = 14
#: Buckets at most, and how far above the 99.5 % quantile they reach.
MOST, ROOM = 48, 8.0
#: Outside the middle 99 % the buckets of a fine histogram widen by this, as far as these powers of two.
WIDER, BELOW, ABOVE = 1.5, 2, 3
#: Buckets further from 1 ms than this (at 8 a power of two: 2**-100 to 2**100 ms) are nobody's latency.
FAR = 800


#: An edge in ms, or an index.
Place = TypeVar("Place", int, float)


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
    """Return an exponential histogram as buckets: at ``scale`` or coarser, or as its source measured."""
    if histogram.edges:
        return _measured(histogram)
    shift = max(0, histogram.scale - scale)
    coarse: dict[int, int] = {}
    for index, count in histogram.buckets.items():
        at = index >> shift
        coarse[at] = coarse.get(at, 0) + count
    power = _powers(histogram.scale - shift)
    coarse = _within(coarse, FAR)
    indexes = sorted(coarse)
    edges: list[float] = []
    counts: list[int] = []
    if histogram.zero:
        # One place whatever else was measured: both sides' zeros must meet.
        edges.append(min(ZERO_THRESHOLD, power[indexes[0] + FAR]) if indexes else ZERO_THRESHOLD)
        counts.append(histogram.zero)
    for index in indexes:
        if edges and edges[-1] < power[index + FAR]:
            edges.append(power[index + FAR])
            counts.append(0)
        edges.append(power[index + FAR + 1])
        counts.append(coarse[index])
    return Buckets(tuple(edges), tuple(counts))


def _measured(histogram: Histogram) -> Buckets:
    """Return the counts between the edges that a source measured with."""
    edges = histogram.edges
    counts = [0] * (len(edges) + 1)
    counts[0] += histogram.zero
    step = 2.0**-histogram.scale
    for index, count in histogram.buckets.items():
        counts[bisect_left(edges, 2.0 ** ((index + 0.5) * step))] += count
    if edges[-1] == inf:
        return Buckets(edges, tuple(counts[:-1]))
    return Buckets((*edges, inf), tuple(counts))


@lru_cache(maxsize=16)
def _powers(scale: int) -> tuple[float, ...]:
    """Return the edges of an exponential histogram's buckets, from index ``-FAR`` on."""
    step = 2.0**-scale
    return tuple(2.0 ** (index * step) for index in range(-FAR, FAR + 2))


def _within(counts: dict[int, int], far: int) -> dict[int, int]:
    """Count what nobody can have measured in the last bucket that there is."""
    if not counts or (-far <= min(counts) and max(counts) <= far):
        return counts
    kept: dict[int, int] = {}
    for index, count in counts.items():
        at = max(-far, min(far, index))
        kept[at] = kept.get(at, 0) + count
    return kept


def _merge_buckets(parts: Iterable[Buckets | None]) -> Buckets | None:
    """Add up counts over the union of their edges; ``None`` when nothing was measured."""
    measured = [part for part in parts if part]
    if len(measured) == 1 and measured[0].edges:
        return measured[0]
    total: dict[float, int] = {}
    for part in measured:
        for edge, count in zip(part.edges, part.counts, strict=True):
            total[edge] = total.get(edge, 0) + count
    if not total:
        return None
    edges = tuple(sorted(total))
    return Buckets(edges, tuple(total[edge] for edge in edges))


#: Latencies of one side in one window: buckets with edges of their own, or a fine histogram.
Latencies = Buckets | Histogram


def measured(latency: Latencies | None) -> int:
    """Return how many requests were timed."""
    if latency is None:
        return 0
    return latency.count if isinstance(latency, Histogram) else latency.total


#: Requests, and mean and variance of ln(ms).
Moments = tuple[float, float, float]


def moments(latency: Latencies) -> Moments:
    """Return how many requests were timed, and mean and variance of ln(ms); zeros count as 1 µs."""
    if isinstance(latency, Histogram) and not latency.edges:
        return _fine_moments(latency)
    buckets = buckets_of(latency) if isinstance(latency, Histogram) else latency
    lower = (0.0, *buckets.edges)
    places = [log(middle(below, edge)) for below, edge in zip(lower, buckets.edges, strict=False)]
    total = float(sum(buckets.counts))
    mean = sum(map(mul, places, buckets.counts)) / total
    return total, mean, sum(c * (x - mean) ** 2 for c, x in zip(buckets.counts, places, strict=True)) / total


def _fine_moments(histogram: Histogram) -> Moments:
    unit = log(2.0) * 2.0**-histogram.scale
    counts = _sane(histogram)
    if histogram.zero:
        least = floor(log(ZERO_THRESHOLD) / unit)
        counts = {**counts, least: counts.get(least, 0) + histogram.zero}
    total = sum(counts.values())
    weighted = list(map(mul, counts, counts.values()))
    first, second = sum(weighted), sum(map(mul, counts, weighted))
    # Whole numbers up to here: nothing is lost in the difference.
    return float(total), (first / total + 0.5) * unit, (total * second - first * first) / total**2 * unit**2


def merge(parts: Iterable[Latencies | None]) -> Latencies | None:
    """Add up counts: fine histograms exactly, others over the union of their edges; ``None`` of nothing."""
    some = [part for part in parts if part is not None and measured(part)]
    if len(some) < 2:
        return some[0] if some else None
    if all(isinstance(part, Histogram) and not part.edges for part in some):
        total = Histogram()
        for part in some:
            total.merge(part)  # type: ignore[arg-type]
        return total
    return _merge_buckets(buckets_of(p) if isinstance(p, Histogram) else p for p in some)


def grid_of(first: Histogram) -> tuple[int, ...]:
    """Choose buckets for latencies like these: upper indexes at the finest scale.

    As fine as is useful where the requests are, wider outside, with room on both sides. Every edge is one
    of the histogram's own, so nothing is split that was measured as one.
    """
    shift = SCALE - first.scale
    found = sorted((_at_finest(index, shift), count) for index, count in _sane(first).items())
    low, high = _range(found)
    step = max(1, round((high - low) / WANTED))
    core = list(range(low - step, high + step, step))
    whole = 1 << SCALE
    return (
        *reversed(_widening(core[0], -step, BELOW * whole)),
        *core,
        *_widening(core[-1], step, ABOVE * whole),
    )


def _widening(start: int, step: int, reach: int) -> list[int]:
    """Return further edges from ``start`` on, each step wider than the last, until ``reach`` is covered."""
    found, at, width = [], start, float(abs(step))
    while abs(at - start) < reach:
        width *= WIDER
        at += ceil(width) if step > 0 else -ceil(width)
        found.append(at)
    return found


def edges_of(grid: tuple[int, ...]) -> tuple[float, ...]:
    """Return the upper edges in ms of these indexes."""
    return tuple(2.0 ** ((index + 1) * 2.0**-SCALE) for index in grid)


def _at_finest(index: int, shift: int) -> int:
    """Return where a bucket of a coarser (or finer) scale lies at the finest, by its middle."""
    return (index << shift) + ((1 << shift) >> 1) if shift >= 0 else index >> -shift


def _sane(histogram: Histogram) -> dict[int, int]:
    """Return a histogram's counts as far as somebody can have measured them."""
    return _within(histogram.buckets, _far(histogram.scale))


def _far(scale: int) -> int:
    """Return the index at a scale beyond which nobody's latency lies."""
    return FAR << max(0, scale - 3)


def place_fine(histogram: Histogram, grid: tuple[int, ...]) -> list[int]:
    """Return a fine histogram's counts in the buckets of a grid, one more than its edges."""
    found = [0] * (len(grid) + 1)
    found[0] = histogram.zero
    places = _places(grid, histogram.scale)
    for index, count in histogram.buckets.items():
        found[places[index]] += count
    return found


class _Places(dict[int, int]):
    """Where indexes of a scale lie in a grid: found once each, as the same come window after window."""

    def __init__(self, grid: tuple[int, ...], scale: int) -> None:
        super().__init__()
        self.grid, self.shift, self.far = grid, SCALE - scale, _far(scale)

    def __missing__(self, index: int) -> int:
        """Find a place. One that nobody can have measured is the last there is, and not remembered."""
        sane = max(-self.far, min(self.far, index))
        at = bisect_left(self.grid, _at_finest(sane, self.shift))
        if sane == index:
            self[index] = at
        return at


@lru_cache(maxsize=1024)
def _places(grid: tuple[int, ...], scale: int) -> _Places:
    return _Places(grid, scale)


@lru_cache(maxsize=1024)
def ladder(first: float, step: float, many: int) -> tuple[float, ...]:
    """Return that many edges from the first on, each the one before times ``step``."""
    edges, edge = [], first
    for _ in range(many):
        edges.append(edge)
        edge *= step
    return tuple(edges)


def chosen(first: Buckets) -> tuple[tuple[float, ...], float]:
    """Return edges to count in, and their ratio: some of those measured with, fine where requests are.

    Edges of their own would split some measured buckets and not others, which looks like structure.
    """
    finite = [(e, c) for e, c in zip(first.edges, first.counts, strict=True) if ZERO_THRESHOLD < e < inf]
    if not finite:
        return (1.0,), 0.0
    ratio = _geometric([e for e, _ in finite])
    if ratio is None:
        own = [e for e, _ in finite]  # somebody's own buckets: theirs are all there are
        return tuple(own[:: -(-len(own) // MOST)]), 0.0
    low, high = _range(finite)
    step = ratio ** max(1, round(log(max(high / low, 1.3)) / WANTED / log(ratio)))
    edges = ladder(low, step, MOST)
    return edges[: bisect_right(edges, high * ROOM)], step


def _range(found: list[tuple[Place, int]]) -> tuple[Place, Place]:
    """Return the edges (or indexes) around the middle 99 % of the requests."""
    total = sum(c for _, c in found) or 1
    low, high, seen = found[0][0], found[-1][0], 0
    for edge, count in found:
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


def middle(lower: float, edge: float) -> float:
    """Return a value that stands for a measured bucket."""
    if edge == inf:
        return lower * 1.01
    return sqrt(lower * edge) if lower > 0 else edge * 0.99
