"""The same evidence, added up faster.

A check over five minutes adds up thirty windows' histograms at every look. Over millions of looks that
is nearly all of the time, so the simulator keeps the counts as arrays and adds those up. A test holds
the answers against :class:`~serinus.core.analysis.evidence.Evidence`'s own.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from serinus.core.analysis.evidence import Arm, Evidence, Selector, Side, Window
from serinus.core.histogram import Histogram
from serinus.sim.grid import Grid, Ints
from serinus.sim.traffic import EPOCH, fill
from serinus.sim.weather import CANARY, SIDES, STABLE, WIDTH

__all__ = ["SummedEvidence", "Totals"]


class Totals:
    """Counts of all endpoints together, per side and window, as far as they have arrived."""

    def __init__(self, grid: Grid, count: int) -> None:
        """Begin with nothing."""
        self.grid = grid
        self.requests = np.zeros((SIDES, count), dtype=np.int64)
        self.errors = np.zeros((SIDES, count), dtype=np.int64)
        self.latency = np.zeros((SIDES, count, len(grid.index)), dtype=np.int64)
        #: What has arrived and was not asked for yet: the sequential policies never ask.
        self._arrived: list[tuple[int, int, list[Window], Ints]] = []
        self._arms: dict[tuple[Side, int, int], Arm] = {}

    def take(self, side: int, at: int, windows: list[Window], latency: Ints) -> None:
        """Add a window that has arrived."""
        self._arrived.append((side, at, windows, latency))

    def over(self, side: Side, since: float, until: float) -> Arm:
        """Add up the windows that end after ``since`` and start by ``until``."""
        self._write_down()
        first = max(0, int((since - EPOCH) // WIDTH))
        last = max(first, int((until - EPOCH) // WIDTH) + 1)
        key = (side, first, last)
        if key not in self._arms:
            self._arms[key] = self._add(CANARY if side is Side.CANARY else STABLE, first, last)
        return self._arms[key]

    def _write_down(self) -> None:
        if not self._arrived:
            return
        for side, at, windows, latency in self._arrived:
            self.requests[side, at] = sum(w.requests for w in windows)
            self.errors[side, at] = sum(w.errors for w in windows)
            self.latency[side, at] = latency
        self._arrived.clear()
        self._arms.clear()

    def _add(self, side: int, first: int, last: int) -> Arm:
        latency = Histogram(self.grid.scale)
        fill(latency, self.grid, self.latency[side, first:last].sum(axis=0))
        return Arm(
            requests=int(self.requests[side, first:last].sum()),
            errors=int(self.errors[side, first:last].sum()),
            latency=latency,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class SummedEvidence(Evidence):
    """Evidence whose totals over all endpoints come from :class:`Totals`."""

    totals: Totals

    def over(self, side: Side, since: float, until: float, selector: Selector | None = None) -> Arm:
        """Add up one side's windows that end after ``since`` and start by ``until``."""
        if selector is None or selector == Selector():
            return self.totals.over(side, since, until)
        return Evidence.over(self, side, since, until, selector)
