"""The judge in words: a sign and a word for each finding, and its numbers as people read them.

The pages, the terminal and the notifications speak by these; a command loads them without the judge.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from serinus.core.analysis.sequential.plan import Finding
from serinus.core.analysis.sequential.words import duration, times

__all__ = [
    "FINDINGS",
    "SIGNS",
    "budget_text",
    "chance_text",
    "change_text",
    "interval_text",
    "needs_text",
    "slice_text",
    "value_text",
]

#: A sign and a short word for each finding: never a colour alone.
SIGNS = {Finding.HARM: "✘", Finding.SAFE: "✔", Finding.NOT_YET: "…", Finding.CANNOT_TELL: "?"}
FINDINGS = {
    Finding.HARM: "harm",
    Finding.SAFE: "safe",
    Finding.NOT_YET: "too early",
    Finding.CANNOT_TELL: "cannot tell in time",
}
#: Evidence above this is as good as certain: the number says nothing more.
CERTAIN = 1e6


def value_text(value: float | None, unit: str) -> str:
    """Return one side's value with its unit.

    >>> value_text(0.0031, "ratio"), value_text(152.4, "ms"), value_text(None, "ms")
    ('0.31 %', '152 ms', '–')
    """
    if value is None:
        return "–"
    if unit == "ratio":
        return f"{value * 100:.3g} %"
    return f"{value:.{0 if value >= 100 else 1}f} ms" if unit == "ms" else f"{value:.4g}"


def change_text(value: float, check: Mapping[str, Any]) -> str:
    """Return an estimate or a bound as people say it: ``2.1 ×``, ``+4.1 %``, or a difference.

    >>> check = {"scale": "ratio", "unit": "ms"}
    >>> change_text(1.041, check), change_text(0.85, check), change_text(2.5, check)
    ('+4.1 %', '−15 %', '2.5 ×')
    """
    if check["scale"] == "difference":
        return f"{value:+.3g}".replace("-", "−")
    if check["unit"] == "ms" and value < 2:
        part = round((value - 1) * 100, 1)
        if part == 0:
            return "0 %"
        return f"{part:+.{0 if abs(part) >= 10 else 1}f} %".replace("-", "−")
    if value >= 1000:
        return "> 1,000 ×"
    return times(value) if value >= 0.01 else "0 ×"


def interval_text(check: Mapping[str, Any]) -> str:
    """Return the estimate with its always-valid bounds; empty while there is nothing to estimate.

    >>> interval_text({"estimate": 1.5, "low": 0.9, "high": 2.5, "scale": "ratio", "unit": "ratio"})
    '1.5 × (0.9 to 2.5 ×)'
    """
    if check["estimate"] is None:
        return ""
    said = change_text(check["estimate"], check)
    if check["low"] is None or check["high"] is None:
        return said
    low, high = change_text(check["low"], check), change_text(check["high"], check)
    for unit in (" ×", " %"):
        if low.endswith(unit) and high.endswith(unit):
            low = low.removesuffix(unit)
    return f"{said} ({low} to {high})"


def needs_text(needed: Mapping[str, Any]) -> str:
    """Return how much longer a check, or the whole answer, has to look; empty when that is not known.

    >>> needs_text({"requests_needed": 1840, "seconds_needed": 370.0})
    'needs 1,840 more canary requests, about 6 min'
    """
    requests, seconds = needed["requests_needed"], needed["seconds_needed"]
    if not requests:
        return ""
    when = "" if seconds is None else f", about {duration(seconds)}"
    return f"needs {requests:,} more canary requests{when}"


def budget_text(used: float) -> str:
    """Return a part of the error budget in percent.

    >>> budget_text(0.0312), budget_text(0.31), budget_text(0.9999)
    ('3.1', '31', '99')
    """
    percent = min(100.0, used * 100)
    return f"{percent:.2g}" if percent < 10 else f"{int(percent)}"


def chance_text(evidence: float) -> str:
    """Return how likely at most such evidence is by chance alone (Markov): its inverse.

    >>> chance_text(1234.0), chance_text(1e9)
    ('1 in 1,234', 'below 1 in a million')
    """
    return "below 1 in a million" if evidence >= CERTAIN else f"1 in {max(1.0, evidence):,.0f}"


def slice_text(s: Mapping[str, Any]) -> str:
    """Return where harm shows, with both sides, how much worse, and how likely that is by chance."""
    unit, sides = "ratio" if s["check"] == "errors" else "ms", ""
    if s["canary"] is not None and s["stable"] is not None:
        sides = f" {value_text(s['canary'], unit)} against {value_text(s['stable'], unit)}"
    size = f", {change_text(s['ratio'], {'scale': 'ratio', 'unit': unit})}" if s["ratio"] else ""
    return f"{s['stratum']}: {s['check']}{sides}{size} (by chance: {chance_text(s['evidence'])})"
