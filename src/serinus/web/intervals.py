"""A check's interval as a small picture: estimate, bounds, what is tolerated, what is worth finding."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import log
from typing import Any

from markupsafe import Markup

from serinus.control.showing.judge_words import change_text

__all__ = ["interval_picture"]

WIDTH, HEIGHT, MIDDLE, LEFT, RIGHT = 320, 46, 16, 12, 308
#: Where ticks may stand: ratios of errors, and slowdowns.
ERROR_TICKS = (0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 1024.0)
LATENCY_TICKS = (0.5, 0.7, 0.8, 0.9, 0.95, 1.0, 1.05, 1.1, 1.25, 1.5, 2.0, 3.0, 5.0, 10.0, 20.0, 50.0)
MOST_TICKS = 5


@dataclass(frozen=True, slots=True)
class _Axis:
    """From a value to a place; what lies outside is put at the edge."""

    low: float
    high: float
    scale: str

    def at(self, value: float) -> float:
        """Return the x of a value."""
        a, b, x = (self._flat(v) for v in (self.low, self.high, value))
        return LEFT + (RIGHT - LEFT) * min(1.0, max(0.0, (x - a) / (b - a)))

    def _flat(self, value: float) -> float:
        return log(max(value, 1e-9)) if self.scale == "ratio" else value


def interval_picture(check: Mapping[str, Any], spoken: str) -> Markup:
    """Return the picture; ``spoken`` says the same in words. Empty while there is nothing to show."""
    if check["estimate"] is None:
        return Markup("")
    axis = _axis(check)
    marks = [
        _mark("same", axis.at(1.0 if check["scale"] == "ratio" else 0.0)),
        *(_mark("tolerated", axis.at(v)) for v in (check["tolerated"],) if v is not None),
        *(_mark("find", axis.at(v)) for v in (check["worth_finding"],) if v is not None),
    ]
    svg = (
        '<svg class="interval {finding}" viewBox="0 0 {w} {h}" role="img" aria-label="{label}">'
        '<line class="axis" x1="{left}" y1="{y}" x2="{right}" y2="{y}"/>{marks}{bar}'
        '<circle class="dot" cx="{x:.1f}" cy="{y}" r="5"/>{ticks}</svg>'
    )
    return Markup(svg).format(  # noqa: S704 - every value is escaped by format
        finding=check["finding"],
        w=WIDTH,
        h=HEIGHT,
        label=spoken,
        left=LEFT,
        right=RIGHT,
        y=MIDDLE,
        marks=Markup("").join(marks),
        bar=_bar(check, axis),
        x=axis.at(check["estimate"]),
        ticks=Markup("").join(_ticks(check, axis)),
    )


def _axis(check: Mapping[str, Any]) -> _Axis:
    """Choose what the axis spans: the marks and the estimate, and the bounds if they are not far out."""
    known = [v for v in (check["estimate"], check["tolerated"], check["worth_finding"]) if v is not None]
    if check["scale"] == "difference":
        widest = max((abs(v) for v in (*known, check["low"], check["high"]) if v is not None), default=1.0)
        reach = 1.2 * (widest or 1.0)
        return _Axis(-reach, reach, "difference")
    steps = LATENCY_TICKS if check["unit"] == "ms" else ERROR_TICKS
    near = 2 if check["unit"] == "ms" else 4
    low = min(1.0, check["estimate"], max(check["low"] or 1.0, check["estimate"] / near))
    high = max(1.0, *known, min(check["high"] or 1.0, max(known) * near))
    below = [s for s in steps if s < low * 0.98] or [steps[0]]
    above = [s for s in steps if s > high * 1.02] or [steps[-1]]
    return _Axis(below[-1], above[0], "ratio")


def _mark(kind: str, x: float) -> Markup:
    """Return a mark: short for "as stable", dashed for the tolerated limit, tall for worth finding."""
    top, bottom = {"same": (9, 23), "tolerated": (2, 30), "find": (2, 30)}[kind]
    return Markup('<line class="{}" x1="{:.1f}" y1="{}" x2="{:.1f}" y2="{}"/>').format(
        kind, x, top, x, bottom
    )


def _bar(check: Mapping[str, Any], axis: _Axis) -> Markup:
    """Return the interval; a bound outside the picture ends in an arrow."""
    if check["low"] is None or check["high"] is None:
        return Markup("")
    one, two = axis.at(check["low"]), axis.at(check["high"])
    bar = Markup('<line class="bar" x1="{:.1f}" y1="{y}" x2="{:.1f}" y2="{y}"/>').format(one, two, y=MIDDLE)
    for bound, x, way in ((check["low"], one, -1), (check["high"], two, 1)):
        beyond = bound < axis.low if way < 0 else bound > axis.high
        tip = x + 6 * way if beyond else x
        bar += Markup('<path class="end" d="M{a:.1f} {t} L{b:.1f} {y} L{a:.1f} {u}"/>').format(
            a=x, b=tip, t=MIDDLE - 5, y=MIDDLE, u=MIDDLE + 5
        )
    return bar


def _ticks(check: Mapping[str, Any], axis: _Axis) -> list[Markup]:
    """Return a few numbers under the axis, "as stable" always among them."""
    if axis.scale == "difference":
        chosen = [axis.low, 0.0, axis.high]
    else:
        steps = LATENCY_TICKS if check["unit"] == "ms" else ERROR_TICKS
        inside = [s for s in steps if axis.low <= s <= axis.high]
        every = -(-len(inside) // MOST_TICKS)
        start = inside.index(1.0) % every if 1.0 in inside else 0
        chosen = _apart(inside[start::every], axis)
    return [
        Markup('<text class="tick" x="{:.1f}" y="43" text-anchor="{}">{}</text>').format(
            axis.at(v), _anchor(axis.at(v)), _tick_text(v, check)
        )
        for v in chosen
    ]


def _apart(values: list[float], axis: _Axis) -> list[float]:
    """Leave out what would be written over its neighbour."""
    kept = [1.0] if 1.0 in values else []
    for v in values:
        if all(abs(axis.at(v) - axis.at(k)) >= 46 for k in kept):
            kept.append(v)
    return sorted(kept)


def _anchor(x: float) -> str:
    return "start" if x < LEFT + 12 else "end" if x > RIGHT - 12 else "middle"


def _tick_text(value: float, check: Mapping[str, Any]) -> str:
    if check["scale"] == "difference":
        return "0" if value == 0 else change_text(value, check)
    if check["unit"] == "ms" and value < 2:
        return "0 %" if value == 1 else f"{(value - 1) * 100:+.0f} %".replace("-", "−")
    return f"{value:g} ×"
