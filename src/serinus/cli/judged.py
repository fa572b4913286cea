"""What the terminal says of the judge: a line per check, what is left of the budget, and where it hurts."""

from __future__ import annotations

from typing import Any

from rich.markup import escape

from serinus.control.showing.judge_words import (
    FINDINGS,
    SIGNS,
    budget_text,
    interval_text,
    needs_text,
    slice_text,
    value_text,
)
from serinus.core.analysis.sequential.words import duration

__all__ = ["brief", "budget_line", "check_lines", "judge_lines", "plan_words", "watch_line"]

COLOURS = {"harm": "red", "safe": "green", "not_yet": "yellow", "cannot_tell": "yellow"}
BAR = 20
#: A progress line mentions the budget from here on.
NOTABLE = 0.05
#: A message names so many slices; the page has all.
MOST_SLICES = 5


def judge_lines(judge: dict[str, Any], view: dict[str, Any]) -> list[str]:
    """Return the judge's part of a deployment's screen."""
    finding = judge["finding"]
    lines = [f"judge  [{COLOURS[finding]}]{SIGNS[finding]} {judge['headline']}[/]"]
    for check in judge["checks"]:
        lines += check_lines(check, view)
    lines.append(f"  └─ {budget_line(judge)}")
    if judge["slices"] and finding == "harm":
        lines += [
            "  where it hurts",
            *(f"     [red]✘[/] {escape(slice_text(s))}" for s in judge["slices"][:MOST_SLICES]),
        ]
    return lines


def check_lines(check: dict[str, Any], view: dict[str, Any]) -> list[str]:
    """Return a check: its finding, how much worse the canary is, and both sides' numbers below."""
    sign, word, colour = SIGNS[check["finding"]], FINDINGS[check["finding"]], COLOURS[check["finding"]]
    if check["over"]:
        word += ", while both ran"
    size = interval_text(check) or ("" if check["note"] else "nothing to compare yet")
    lines = [f"  ├─ [{colour}]{sign} {escape(check['label']):<9}[/] {size:<26} [{colour}]{word}[/]"]
    if check["canary"] is not None or check["stable"] is not None:
        canary, stable = (value_text(check[side], check["unit"]) for side in ("canary", "stable"))
        recorded = " (recorded)" if check["check"] == "alone" else ""
        sides = f"{view['version']} {canary}, {view['stable_version']} {stable}{recorded}"
        lines.append(f"  │    [dim]{escape(sides)}[/]")
    if needs := needs_text(check):
        lines.append(f"  │    [dim]{needs}[/]")
    if check["note"]:
        lines.append(f"  │    [dim]{check['note']}[/]")
    return lines


def budget_line(judge: dict[str, Any]) -> str:
    """Return the budget as a bar and in words; at 100 % it rolls back."""
    used = judge["budget_used"]
    filled = min(BAR, round(used * BAR))
    colour = "red" if judge["finding"] == "harm" else "green" if used < 0.5 else "yellow"
    words, when = f"{budget_text(used)} % of the error budget used", judge["seconds_needed"]
    if judge["tolerated"]:
        words = "it surely differs, but no more than is tolerated"
    elif when:
        words += f"; sure in about {duration(when)}"
    elif any(c["waits"] for c in judge["checks"]):
        words += "; time still unknown"
    return f"[{colour}]{'━' * filled}[/][dim]{'─' * (BAR - filled)}[/] {words}"


def watch_line(watch: dict[str, Any]) -> str:
    """Return how long a promoted version is still watched, and against what."""
    left = watch["seconds_left"]
    how_long = f"another {duration(left)}" if left is not None else f"until {watch['until'][11:16]} UTC"
    return f"[yellow]◉ watched[/] for {how_long}, against {escape(watch['compared_with'])}; worse rolls back"


def brief(judge: dict[str, Any]) -> str:
    """Return the judge in a few plain words, for a progress line."""
    said = f"{SIGNS[judge['finding']]} {FINDINGS[judge['finding']]}"
    used = judge["budget_used"]
    return f"{said}, {budget_text(used)} % of budget" if used >= NOTABLE else said


def plan_words(plan: dict[str, Any]) -> str:
    """Return what the judge of a plan will do, in a line."""
    found = []
    if plan["errors"]:
        found.append(f"errors {plan['errors']['find']:g} ×")
    if plan["latency"]:
        found.append(f"latency +{plan['latency']['find'] * 100:g} %")
    found += [metric["name"] for metric in plan["metrics"]]
    sure, risk = plan["confidence"] * 100, plan["budget"] * 100
    return f"judge: {', '.join(found)} found or excluded ({sure:g} % sure), wrong rollback at most {risk:g} %"
