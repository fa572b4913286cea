"""A/B/n in the terminal: each candidate's line, and how they stand to one another."""

from __future__ import annotations

from typing import Any

from rich.markup import escape

from serinus.cli.judged import budget_line, check_lines
from serinus.control.showing.judge_words import FINDINGS, SIGNS

__all__ = ["candidate_lines", "is_contested"]

COLOURS = {"harm": "red", "safe": "green", "not_yet": "yellow", "cannot_tell": "yellow"}


def is_contested(view: dict[str, Any]) -> bool:
    """Tell whether several candidates are under test."""
    return bool(view.get("candidates")) and not view["winner"] and view["status"] == "canary"


def candidate_lines(view: dict[str, Any]) -> list[str]:
    """Return the candidates as branches of a tree, and how they stand to one another."""
    lines = [f"A/B/n  {escape(view['tested'])} against {escape(view['stable_version'])}"]
    for c in view["candidates"]:
        lines += _candidate(c, view)
    if view["status"] == "canary":
        lines.append(f"  └─ {escape(view['standing']['sentence'])}")
    return lines


def _candidate(c: dict[str, Any], view: dict[str, Any]) -> list[str]:
    head = f"  ├─ [bold]{escape(c['version'])}[/]"
    if c["state"] == "dropped":
        return [f"{head}  [red]✘ dropped[/]: {escape(c['drop_reason'])}"]
    judge = c["judge"]
    share = f"{c['traffic_percentage']:g} %"
    if judge is None:
        return [f"{head}  {c['state']}, {share}", *(f"  │    {escape(v['message'])}" for v in c["checks"])]
    finding = judge["finding"]
    said = f"[{COLOURS[finding]}]{SIGNS[finding]} {FINDINGS[finding]}[/]"
    lines = [f"{head}  {c['state']}, {share}  {said}"]
    inner = [line for check in judge["checks"] for line in check_lines(check, {**view, **c})]
    return [*lines, *(f"  │ {line}" for line in inner), f"  │   └─ {budget_line(judge)}"]
