"""What a service's counters did in the past, window by window, in memory.

A :class:`Record` keeps one :class:`Cell` for each instance, version and endpoint: whole numbers of
requests, errors and latency buckets per window. What was not read is unknown, never zero.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from serinus.core.analysis.evidence import Side, Window
from serinus.core.histogram import Histogram

__all__ = ["Cell", "Counts", "Key", "Known", "Record", "Shape", "Slice", "stretches"]

#: Columns: requests, errors, then one for each latency bucket.
Counts = NDArray[np.int64]
Known = NDArray[np.bool_]


class Key(NamedTuple):
    """Whose counts these are."""

    instance: str
    version: str
    endpoint: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Cell:
    """One key's counts, from the first window in which it was known to the last."""

    #: Index of the first window.
    first: int
    counts: Counts
    known: Known

    @property
    def last(self) -> int:
        """The index after the last window."""
        return self.first + len(self.known)

    def overlaps(self, low: int, high: int) -> bool:
        """Tell whether it has windows in ``low`` (included) to ``high``."""
        return self.first < high and low < self.last

    def part(self, low: int, high: int) -> tuple[Counts, Known]:
        """Return the windows from ``low`` to ``high``; outside its life it counted nothing, for certain."""
        counts = np.zeros((high - low, self.counts.shape[1]), dtype=np.int64)
        known = np.ones(high - low, dtype=np.bool_)
        a, b = max(low, self.first), min(high, self.last)
        if a < b:
            counts[a - low : b - low] = self.counts[a - self.first : b - self.first]
            known[a - low : b - low] = self.known[a - self.first : b - self.first]
        return counts, known


@dataclass(frozen=True, kw_only=True, slots=True)
class Slice:
    """The sum of some cells over some windows, by endpoint."""

    #: windows × endpoints × columns
    counts: Counts
    #: windows × endpoints: unknown where any cell is.
    known: Known

    @property
    def requests(self) -> int:
        """Requests in all windows and endpoints."""
        return int(self.counts[:, :, 0].sum())


@dataclass(frozen=True, kw_only=True)
class Shape:
    """How the record is cut: window, endpoints and latency buckets."""

    width: int
    endpoints: tuple[str, ...]
    #: Upper edges of the latency buckets in milliseconds, ascending; the last is infinity.
    edges: tuple[float, ...]

    @cached_property
    def _places(self) -> tuple[tuple[int | None, float], ...]:
        """Return each bucket's index in our histogram (``None``: it counts as zero), and its value.

        :meth:`Histogram.from_cumulative` is asked once for each, so both put values in the same place.
        """
        made = [
            Histogram.from_cumulative({e: int(e >= edge) for e in self.edges}, 0.0) for edge in self.edges
        ]
        return tuple((next(iter(h.buckets), None), h.quantile(0.5) or 0.0) for h in made)

    def windows(self, side: Side, start: int, counts: Counts, known: Known) -> list[Window]:
        """Return one moment's counts (endpoints × columns) as evidence; unknown ones are left out."""
        return [
            Window(
                side=side,
                start=start,
                seconds=self.width,
                requests=row[0],
                errors=row[1],
                latency=self._histogram(row[2:]),
                endpoint=self.endpoints[at],
            )
            for at, row in enumerate(counts.tolist())
            if known[at]
        ]

    def _histogram(self, buckets: list[int]) -> Histogram:
        made = Histogram()
        for (place, value), count in zip(self._places, buckets, strict=True):
            if not count:
                continue
            made.count += count
            made.total += value * count
            if place is None:
                made.zero += count
            else:
                made.buckets[place] = made.buckets.get(place, 0) + count
        made.edges = self.edges
        return made


@dataclass(kw_only=True)
class Record:
    """Everything that was read about one service."""

    #: Unix seconds of the first window, a multiple of the width.
    start: int
    #: How many windows.
    length: int
    shape: Shape
    cells: Mapping[Key, Cell]
    #: Counters that restarted while they were read.
    resets: int = 0
    #: What the reader should know about the data, in sentences.
    notes: list[str] = field(default_factory=list)

    @property
    def end(self) -> int:
        """The first second after the last window."""
        return self.start + self.length * self.shape.width

    def at(self, index: int) -> int:
        """Return when window ``index`` starts, in Unix seconds."""
        return self.start + index * self.shape.width

    def index(self, moment: float) -> int:
        """Return the window that holds ``moment``, within the record."""
        return min(max(0, int((moment - self.start) // self.shape.width)), self.length)

    def alive(self, low: int, high: int) -> tuple[str, ...]:
        """Return the instances that have windows there, in order of their names."""
        return tuple(sorted({key.instance for key, cell in self.cells.items() if cell.overlaps(low, high)}))

    def versions(self) -> tuple[str, ...]:
        """Return the versions, the earliest first."""
        first: dict[str, int] = {}
        for key, cell in self.cells.items():
            first[key.version] = min(first.get(key.version, cell.first), cell.first)
        return tuple(sorted(first, key=lambda version: (first[version], version)))

    def slice(
        self,
        low: int,
        high: int,
        *,
        instances: Iterable[str] | None = None,
        version: str | None = None,
    ) -> Slice:
        """Add up the cells of some instances or of one version."""
        wanted = None if instances is None else set(instances)
        shape = (high - low, len(self.shape.endpoints))
        total = np.zeros((*shape, 2 + len(self.shape.edges)), dtype=np.int64)
        known = np.ones(shape, dtype=np.bool_)
        for key, cell in self.cells.items():
            if not cell.overlaps(low, high) or version not in (None, key.version):
                continue
            if wanted is not None and key.instance not in wanted:
                continue
            at = self.shape.endpoints.index(key.endpoint)
            counts, sure = cell.part(low, high)
            total[:, at] += counts
            known[:, at] &= sure
        if self.cells:
            # Where nobody at all was read, silence is a gap, not an hour without visitors.
            known &= self._read[low:high, None]
        return Slice(counts=total, known=known)

    @cached_property
    def _read(self) -> Known:
        """Tell for each window whether any cell was known in it."""
        read = np.zeros(self.length, dtype=np.bool_)
        for cell in self.cells.values():
            read[cell.first : cell.last] |= cell.known
        return read

    @cached_property
    def gaps(self) -> list[tuple[int, int]]:
        """Stretches of windows (first, after the last) in which something is unknown."""
        holes: Known = np.logical_not(self.slice(0, self.length).known.all(axis=1))
        return stretches(holes)


def stretches(flags: Known) -> list[tuple[int, int]]:
    """Return where flags are set, as (first, after the last).

    >>> stretches(np.array([True, False, True, True]))
    [(0, 1), (2, 4)]
    """
    steps = np.diff(np.concatenate(([0], flags.astype(np.int8), [0])))
    starts, ends = np.nonzero(steps == 1)[0], np.nonzero(steps == -1)[0]
    return [(int(a), int(b)) for a, b in zip(starts, ends, strict=True)]
