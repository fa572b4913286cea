"""Small line charts as inline SVG: no script, no request, readable by a screen reader."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from markupsafe import Markup, escape

__all__ = ["chart", "charts", "sparkline"]

WIDTH, HEIGHT, BASE = 320, 96, 84


def charts(series: Sequence[dict[str, Any]], window_seconds: float) -> list[dict[str, Any]]:
    """Return the charts of a deployment: requests per second, error rate, p95 of both sides."""
    rows = _thinned(series, 120)

    def values(side: str, kind: str) -> list[float | None]:
        return [_value(row[side], kind, window_seconds) for row in rows]

    return [
        {
            "title": title,
            "unit": unit,
            "svg": chart(title, unit, values("stable", kind), values("canary", kind)),
            "stable": _last(values("stable", kind), unit),
            "canary": _last(values("canary", kind), unit),
        }
        for title, kind, unit in (
            ("Requests per second", "rate", "/s"),
            ("Error rate", "errors", "%"),
            ("p95 latency", "p95", "ms"),
        )
    ]


def _thinned(series: Sequence[dict[str, Any]], most: int) -> Sequence[dict[str, Any]]:
    return series[-most:]


def _value(arm: dict[str, Any], kind: str, window_seconds: float) -> float | None:
    if kind == "rate":
        return float(arm["requests"]) / window_seconds
    if not arm["requests"]:
        return None
    if kind == "errors":
        return float(100.0 * arm["errors"] / arm["requests"])
    return float(arm["p95_ms"]) if arm["p95_ms"] is not None else None


def _last(values: Sequence[float | None], unit: str) -> str:
    known = [v for v in values if v is not None]
    return f"{known[-1]:.1f} {unit}" if known else "–"


def chart(title: str, unit: str, stable: Sequence[float | None], canary: Sequence[float | None]) -> Markup:
    """Return one chart: stable as a thin line, canary as a thick one, on one scale from zero."""
    top = max((v for v in (*stable, *canary) if v is not None), default=0.0) or 1.0
    spoken = f"{title}: stable {_last(stable, unit)}, canary {_last(canary, unit)}"
    return Markup(
        '<svg class="chart" viewBox="0 0 {w} {h}" role="img" aria-label="{label}" '
        'preserveAspectRatio="none">'
        '<line class="axis" x1="0" y1="{base}" x2="{w}" y2="{base}"/>'
        '<path class="line stable" d="{one}"/><path class="line canary" d="{two}"/>'
        "</svg><span class='top'>{top}</span>"
    ).format(
        w=WIDTH,
        h=HEIGHT,
        base=BASE,
        label=spoken,
        one=_path(stable, top),
        two=_path(canary, top),
        top=f"{top:.3g} {unit}",
    )


def _path(values: Sequence[float | None], top: float) -> str:
    """Return the line; where nothing was measured it is broken, not zero."""
    step = WIDTH / max(1, len(values) - 1)
    parts, pen_up = [], True
    for at, value in enumerate(values):
        if value is None:
            pen_up = True
            continue
        place = f"{at * step:.1f} {BASE - value / top * (BASE - 6):.1f}"
        parts.append(f"M{place}h0" if pen_up else f"L{place}")  # a point that stands alone is a dot
        pen_up = False
    return " ".join(parts)


def sparkline(steps: Sequence[dict[str, Any]], now: float) -> Markup:
    """Return the split's steps as bars, those reached filled."""
    levels = [float(s["traffic_percentage"]) for s in steps] or [now]
    width = 100 / len(levels)
    bars = "".join(
        f'<rect class="{"done" if level <= now else "todo"}" x="{at * width + 1:.1f}"'
        f' y="{30 - max(2.0, level * 0.28):.1f}" width="{width - 2:.1f}" '
        f'height="{max(2.0, level * 0.28):.1f}"/>'
        for at, level in enumerate(levels)
    )
    return Markup('<svg class="spark" viewBox="0 0 100 30" role="img" aria-label="{}">{}</svg>').format(
        escape(f"{now:g} % of traffic"),
        Markup(bars),  # noqa: S704 - made of numbers only
    )
