"""Pictures of a report as inline SVG. Words stay in HTML, so that they keep their size on a phone."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from math import log10

from serinus.sim.intervals import percent
from serinus.sim.summary import FaultyLine, HealthyLine, Verdict

__all__ = ["COLOUR", "Axis", "curve", "interval", "ratio", "ruler"]

#: Style class of each verdict.
COLOUR = {Verdict.KEPT: "good", Verdict.UNCLEAR: "open", Verdict.BROKEN: "bad"}
#: Points of a curve at most.
POINTS = 60


class Axis:
    """A logarithmic axis from ``low`` to ``high``, read as percent of a picture's width."""

    def __init__(self, low: float, high: float, ticks: Sequence[tuple[float, str]]) -> None:
        """Set the ends and the marks: value and word."""
        self.low, self.high, self.ticks = low, high, ticks

    def at(self, value: float) -> float:
        """Return where a value lies, in percent; beyond the ends it lies on them, a little inside."""
        inside = min(max(value, self.low), self.high)
        return round(1.5 + 97 * log10(inside / self.low) / log10(self.high / self.low), 2)


def _frame(axis: Axis, spoken: str, marks: str) -> str:
    grid = "".join(
        f'<line class="grid" x1="{axis.at(v)}%" x2="{axis.at(v)}%" y1="0" y2="100%"/>' for v, _ in axis.ticks
    )
    return f'<svg class="strip" role="img" aria-label="{escape(spoken)}">{grid}{marks}</svg>'


def ruler(axis: Axis) -> str:
    """Return the words below a column of pictures."""
    words = "".join(f'<span style="left:{axis.at(v)}%">{escape(word)}</span>' for v, word in axis.ticks)
    return f'<div class="ruler" aria-hidden="true">{words}</div>'


def interval(axis: Axis, line: HealthyLine, budget: float, allowed: float) -> str:
    """Draw a share with its interval against the budget."""
    share = line.rolled_back
    low, high, middle = axis.at(share.low), axis.at(share.high), axis.at(share.value)
    kind = COLOUR[line.verdict]
    marks = (
        f'<line class="budget" x1="{axis.at(budget)}%" x2="{axis.at(budget)}%" y1="0" y2="100%"/>'
        f'<line class="allowed" x1="{axis.at(allowed)}%" x2="{axis.at(allowed)}%" y1="0" y2="100%"/>'
        f'<line class="range {kind}" x1="{low}%" x2="{high}%" y1="50%" y2="50%"/>'
        f'<circle class="dot {kind}" cx="{middle}%" cy="50%" r="4.5"/>'
    )
    spoken = (
        f"{percent(share.value, 2)} rolled back, interval {percent(share.low, 2)} to {percent(share.high, 2)}"
    )
    return _frame(axis, spoken, marks)


def ratio(axis: Axis, line: FaultyLine) -> str:
    """Draw how many times the oracle's requests were needed."""
    one = axis.at(1.0)
    marks = f'<line class="budget" x1="{one}%" x2="{one}%" y1="0" y2="100%"/>'
    if line.ratio is None:
        marks += (
            f'<text class="missed" x="{axis.at(axis.high)}%" y="50%" dy=".35em" text-anchor="end">✕</text>'
        )
        return _frame(axis, "less than half of the rollouts found it", marks)
    at = axis.at(line.ratio)
    marks += (
        f'<line class="range mid" x1="{min(one, at)}%" x2="{max(one, at)}%" y1="50%" y2="50%"/>'
        f'<circle class="dot mid" cx="{at}%" cy="50%" r="4.5"/>'
    )
    return _frame(axis, f"{line.ratio:.2f} times the oracle's requests", marks)


def curve(line: FaultyLine, top: float) -> str:
    """Draw which share of rollouts had found the fault after how long, up to ``top`` seconds."""
    points = _steps(line, top)
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    oracle = line.oracle_seconds[0]
    beside = ""
    if oracle is not None and oracle <= top:
        x = oracle / top * 200
        beside = f'<line class="budget" x1="{x:.1f}" x2="{x:.1f}" y1="0" y2="80"/>'
    return (
        f'<svg class="curve" viewBox="0 0 200 80" preserveAspectRatio="none" role="img" '
        f'aria-label="{escape(line.world)}: share found over time">'
        '<line class="grid" x1="0" x2="200" y1="40" y2="40"/>'
        '<line class="grid" x1="0" x2="200" y1="4" y2="4"/>'
        f'{beside}<polygon class="area" points="0,76 {path} 200,76"/>'
        f'<polyline class="line" points="{path}"/></svg>'
    )


def _steps(line: FaultyLine, top: float) -> list[tuple[float, float]]:
    """Return the share found over time as a staircase, thinned."""
    total = max(1, line.found.of)
    points, share = [(0.0, 76.0)], 76.0
    skip = max(1, len(line.delays) // POINTS)
    for rank, delay in enumerate(line.delays, start=1):
        if rank % skip and rank != len(line.delays):
            continue
        x = min(delay / top, 1.0) * 200
        points.append((x, share))
        share = 76 - 72 * rank / total
        points.append((x, share))
    points.append((200.0, share))
    return points
