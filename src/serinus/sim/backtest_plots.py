"""Pictures of a backtest as inline SVG: stretched to any width, with their words beside them in HTML.

Everything is drawn in a box of 1,000 units; lines keep their width when it is stretched, and a dot is
a line without length, so it stays round. No picture says anything that is not also in a table.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from math import isnan, log10, sqrt

import numpy as np
from numpy.typing import NDArray

from serinus.sim.recorded import Known, Slice

__all__ = ["Numbers", "Plot", "binned", "known_of", "log_scale", "p95_of", "rates", "root_scale"]

Numbers = NDArray[np.float64]
WIDTH = 1000.0


class Plot:
    """One picture. ``first`` and ``last`` are the values at its left and right edges."""

    def __init__(self, first: float, last: float, *, height: float = 60, spoken: str = "") -> None:
        """Start an empty picture; ``spoken`` is what a screen reader says."""
        self._first, self._span = first, (last - first) or 1.0
        self._height, self._spoken = height, spoken
        self._parts: list[str] = []

    def x(self, value: float) -> float:
        """Return where a value lies."""
        return min(WIDTH, max(0.0, (value - self._first) / self._span * WIDTH))

    def percent(self, value: float) -> float:
        """Return the same in percent of the width, for words in HTML."""
        return self.x(value) / WIDTH * 100

    def band(self, low: float, high: float, kind: str, *, top: float = 0.0, bottom: float = 1.0) -> Plot:
        """Fill from ``low`` to ``high``; ``top`` and ``bottom`` are shares of the height."""
        a, b = self.x(low), self.x(high)
        y, tall = top * self._height, (bottom - top) * self._height
        self._parts.append(
            f'<rect class="{kind}" x="{a:.1f}" y="{y:.1f}" '
            f'width="{max(1.5, b - a):.1f}" height="{tall:.1f}"/>'
        )
        return self

    def mark(self, at: float, kind: str) -> Plot:
        """Draw a line from top to bottom."""
        x = self.x(at)
        self._parts.append(f'<path class="mark {kind}" d="M{x:.1f} 0V{self._height:g}"/>')
        return self

    def rule(self, low: float, high: float, kind: str, *, y: float = 0.5) -> Plot:
        """Draw a level line."""
        self._parts.append(
            f'<path class="rule {kind}" d="M{self.x(low):.1f} {y * self._height:.1f}H{self.x(high):.1f}"/>'
        )
        return self

    def dots(self, values: Iterable[float], kind: str) -> Plot:
        """Draw dots; equal values are stacked around the middle, so that all are seen."""
        seen: dict[int, int] = {}
        parts = []
        for value in sorted(values):
            x = round(self.x(value))
            seen[x] = seen.get(x, 0) + 1
        most = max(seen.values(), default=1)
        for x, count in seen.items():
            step = min(6.0, self._height * 0.8 / most)
            top = self._height / 2 - step * (count - 1) / 2
            parts += [f"M{x} {top + step * i:.1f}h0" for i in range(count)]
        self._parts.append(f'<path class="dot {kind}" d="{"".join(parts)}"/>')
        return self

    def line(self, at: Sequence[float], values: Numbers, top: float, kind: str) -> Plot:
        """Draw a line on a scale from zero to ``top``; where nothing is known it is broken."""
        parts, down = [], False
        for moment, value in zip(at, values.tolist(), strict=True):
            if isnan(value):
                down = False
                continue
            y = self._height * (1 - 0.94 * min(1.0, value / (top or 1.0))) - 1
            parts.append(f"{'L' if down else 'M'}{self.x(moment):.1f} {y:.1f}")
            down = True
        self._parts.append(f'<path class="line {kind}" d="{"".join(parts)}"/>')
        return self

    def svg(self) -> str:
        """Return the picture."""
        return (
            f'<svg viewBox="0 0 1000 {self._height:g}" style="height:{self._height:g}px" role="img" '
            f'aria-label="{escape(self._spoken)}" preserveAspectRatio="none">{"".join(self._parts)}</svg>'
        )


def binned(part: Slice, size: int) -> Slice:
    """Add up ``size`` windows at a time; a bin is known when any of its windows is."""
    length = -(-len(part.counts) // size) * size
    pad = length - len(part.counts)
    # Windows that are not wholly known count for nothing: their neighbours give the rate.
    counts = np.where(whole_of(part)[:, None, None], part.counts, 0)
    counts = np.pad(counts, ((0, pad), (0, 0), (0, 0)))
    known = np.pad(part.known, ((0, pad), (0, 0)))
    shape = (length // size, size)
    seen: Known = np.asarray(known.reshape(*shape, known.shape[1]).any(axis=1))
    return Slice(counts=counts.reshape(*shape, *counts.shape[1:]).sum(axis=1), known=seen)


def whole_of(part: Slice) -> Known:
    """Return which windows are known at every endpoint."""
    return np.asarray(part.known.all(axis=1))


def known_of(part: Slice, size: int) -> Numbers:
    """Return how many windows of each bin are known, for rates that a gap does not lower."""
    known = whole_of(part)
    padded = np.pad(known, (0, -len(known) % size)).reshape(-1, size)
    found: Numbers = np.maximum(1, padded.sum(axis=1)).astype(np.float64)
    return found


def rates(part: Slice) -> tuple[Numbers, Numbers]:
    """Return requests and the error rate for each window; NaN where unknown."""
    counts = part.counts[:, :, :2].sum(axis=1).astype(np.float64)
    unknown = ~part.known.any(axis=1)
    requests = np.where(unknown, np.nan, counts[:, 0])
    with np.errstate(divide="ignore", invalid="ignore"):
        errors = np.where(requests > 0, counts[:, 1] / counts[:, 0], np.nan)
    return requests, errors


def p95_of(part: Slice, edges: Sequence[float], q: float = 0.95) -> Numbers:
    """Return the quantile in milliseconds for each window, linear inside a bucket as in PromQL."""
    buckets = part.counts[:, :, 2:].sum(axis=1)
    below = np.cumsum(buckets, axis=1)
    made = np.full(len(buckets), np.nan)
    for at, row in enumerate(below.tolist()):
        total = row[-1]
        if not total:
            continue
        index = next(i for i, count in enumerate(row) if count >= q * total)
        if index == len(edges) - 1:
            made[at] = edges[-2] if len(edges) > 1 else np.nan
            continue
        low, before = (edges[index - 1], row[index - 1]) if index else (0.0, 0)
        made[at] = low + (edges[index] - low) * (q * total - before) / max(1, row[index] - before)
    return made


def root_scale(value: float) -> float:
    """Spread small shares out."""
    return sqrt(max(0.0, value))


def log_scale(seconds: float) -> float:
    """Spread short times out."""
    return log10(max(1.0, seconds))
