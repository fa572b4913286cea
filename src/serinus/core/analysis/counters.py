"""How much counters grew, window by window, from their raw samples.

A counter is only known where it was read. Between two reads nobody knows when it grew, so growth
belongs to the window in which it was *seen*: window ``w`` holds what was seen in ``(w, w + width]``.
Nothing is interpolated or extrapolated: whole numbers stay whole, and windows add up to the total.

- **Resets.** A value that went down was counted from zero again, so it grew by the new value.
- **Coverage.** A window is given when reads reach to both of its edges without a hole, a hole being
  a step of more than ``HOLE_STEPS`` usual steps, or one longer than a window. Otherwise its key is
  missing: late and lost data are not zeros. One series with a hole takes the window from its whole
  group, as a sum without it would be too small.
- **Series that end** (a pod that went away) are closed once the rest of the group is ahead by more
  than a hole; before that they are late, and hold their group's windows back. Should one come back
  after all, the windows in between are taken away again.
- **Series that appear** start at their first sample: nothing is invented. Unless the same target
  (``job`` and ``instance``) was read just before without the series, which proves that it was still
  at zero: the first error of a process counts. When another series of that target ends at the same
  read, it is taken for a renamed one, and does not count.

What no sample shows is lost: a counter that restarts and passes its old value between two reads.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from math import ceil, floor, isfinite
from statistics import median

__all__ = ["Increases", "RawSeries", "increases"]

#: A read may fail once and the next one may be late; two missing in a row are a hole.
HOLE_STEPS = 2.5
#: No step may be longer than a window, give or take a scraper's jitter.
JITTER = 1.05
#: What names the process that was read.
TARGET = ("job", "instance")


@dataclass(frozen=True, kw_only=True, slots=True)
class RawSeries:
    """One counter as it was read: ``(unix seconds, value)``, oldest first."""

    labels: Mapping[str, str]
    samples: Sequence[tuple[float, float]]

    @property
    def target(self) -> tuple[str, ...]:
        """The process that was read, or nothing when the labels do not tell."""
        return (
            tuple(self.labels[name] for name in TARGET)
            if self.labels.get("instance") and "job" in self.labels
            else ()
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Increases:
    """Growth by group and window. A key that is missing is unknown, not zero."""

    #: (values of the ``by`` labels, window start in Unix seconds) → growth.
    windows: Mapping[tuple[tuple[str, ...], int], float] = field(default_factory=dict)
    #: How often a counter restarted between the start and the end.
    resets: int = 0
    newest_sample_at: float | None = None
    #: Why there is nothing, in words; empty when there is something.
    problem: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Line:
    """One series with its resets taken out."""

    times: list[float]
    totals: list[float]
    resets: list[float]
    #: The longest step that is no hole.
    patience: float

    def total(self, at: float) -> float:
        """Return what had been counted by then."""
        index = bisect_right(self.times, at)
        return self.totals[index - 1] if index else 0.0

    def stretches(self) -> list[tuple[float, float]]:
        """Return from when to when it was read without a hole."""
        edges = [(a, b) for a, b in pairwise(self.times) if b - a > self.patience]
        starts = [self.times[0], *(b for _, b in edges)]
        return list(zip(starts, [*(a for a, _ in edges), self.times[-1]], strict=True))


def increases(
    series: Iterable[RawSeries],
    *,
    start: float,
    end: float,
    width: int,
    by: Sequence[str] = (),
    seen: Mapping[tuple[str, ...], Sequence[float]] | None = None,
) -> Increases:
    """Return the growth in every known window between ``start`` and ``end``, summed by labels.

    Args:
        series: Raw samples, from before ``start`` (about two widths) to past ``end``.
        start: Windows begin here or later.
        end: Windows end here or earlier.
        width: Seconds; windows start at its multiples. At least two reads should fit.
        by: Labels whose values make the groups.
        seen: When each target was read for certain, beside what the series themselves show.

    >>> told = increases(
    ...     [RawSeries(labels={}, samples=[(0, 5), (5, 7), (10, 9), (15, 1), (20, 4)])],
    ...     start=0, end=20, width=10,
    ... )
    >>> told.windows, told.resets
    ({((), 0): 4.0, ((), 10): 4.0}, 1)
    """
    kept = [RawSeries(labels=s.labels, samples=p) for s in series if (p := _finite(s.samples))]
    if not kept:
        return Increases(problem="no samples")
    groups: dict[tuple[str, ...], list[_Line]] = {}
    for one, line in zip(kept, _lines(kept, start, width, seen or {}), strict=True):
        groups.setdefault(tuple(one.labels.get(name, "") for name in by), []).append(line)
    starts = range(ceil(start / width) * width, floor(end / width) * width, width)
    windows = {
        (group, at): sum(line.total(at + width) - line.total(at) for line in lines)
        for group, lines in sorted(groups.items())
        for at in _covered(lines, starts)
    }
    everything = [line for lines in groups.values() for line in lines]
    return Increases(
        windows=windows,
        resets=sum(start < at <= end for line in everything for at in line.resets),
        newest_sample_at=max(line.times[-1] for line in everything),
    )


def _finite(samples: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Leave out what counts nothing: NaN and infinities."""
    return [(at, value) for at, value in samples if isfinite(value)]


def _lines(
    kept: Sequence[RawSeries], start: float, width: int, seen: Mapping[tuple[str, ...], Sequence[float]]
) -> list[_Line]:
    """Return each series as a line; one that appears after ``start`` may get zeros in front."""
    reads: dict[tuple[str, ...], set[float]] = {target: set(times) for target, times in seen.items()}
    ends: dict[tuple[str, ...], set[float]] = {}
    for one in kept:
        reads.setdefault(one.target, set()).update(at for at, _ in one.samples)
        ends.setdefault(one.target, set()).add(one.samples[-1][0])
    lines = []
    for one in kept:
        first = one.samples[0][0]
        zeros: list[tuple[float, float]] = []
        if one.target and first > start:
            before = sorted(at for at in reads[one.target] if at < first)
            if before and before[-1] not in ends[one.target]:
                zeros = [(at, 0.0) for at in before]
        lines.append(_line([*zeros, *one.samples], width))
    return lines


def _line(samples: Sequence[tuple[float, float]], width: int) -> _Line:
    totals, resets = [0.0], []
    for (_, before), (at, after) in pairwise(samples):
        if after < before:
            resets.append(at)
        totals.append(totals[-1] + (after - before if after >= before else after))
    times = [at for at, _ in samples]
    steps = [b - a for a, b in pairwise(times)]
    patience = min(width * JITTER, HOLE_STEPS * median(steps)) if steps else width * JITTER
    return _Line(times=times, totals=totals, resets=resets, patience=patience)


def _covered(lines: Sequence[_Line], starts: range) -> Iterable[int]:
    """Return the windows that the group's reads reach over, with no series late or with a hole."""
    whole = _joined(lines)
    newest = max(line.times[-1] for line in lines)
    late = min((x.times[-1] for x in lines if newest - x.times[-1] <= x.patience), default=newest)
    holes = [(a, b) for x in lines for (_, a), (b, _) in pairwise(x.stretches())]
    for at in starts:
        till = at + starts.step
        if (
            till <= late
            and any(a <= at and till <= b for a, b in whole)
            and not any(a < till and at < b for a, b in holes)
        ):
            yield at


def _joined(lines: Sequence[_Line]) -> list[tuple[float, float]]:
    """Return from when to when the group was read, whichever series it was."""
    patience = max(line.patience for line in lines)
    joined: list[tuple[float, float]] = []
    for a, b in sorted(stretch for line in lines for stretch in line.stretches()):
        if joined and a - joined[-1][1] <= patience:
            joined[-1] = (joined[-1][0], max(joined[-1][1], b))
        else:
            joined.append((a, b))
    return joined
