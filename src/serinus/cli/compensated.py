"""What commands print of compensation."""

from __future__ import annotations

from typing import Any

from rich.markup import escape

__all__ = ["compensation_line", "compensation_lines"]

#: A sign and its colour by state.
_SIGNS = {"done": "[green]✔[/]", "pending": "[yellow]…[/]", "failed": "[red]✘[/]"}


def compensation_lines(found: dict[str, Any]) -> list[str]:
    """Return a deployment's compensation, one line a piece."""
    return [f"compensation {found['state']}", *(f"  {compensation_line(one)}" for one in found["items"])]


def compensation_line(one: dict[str, Any]) -> str:
    """Return one piece: its sign, state and name, what it undoes, and what came of it."""
    waits = one["by_hand"] and one["state"] == "pending"
    what = "somebody has to complete it" if waits else one["what"]
    tries = f" · {one['attempts']} tries" if one["attempts"] > 1 else ""
    by = f" · by {escape(one['done_by'])}: {escape(one['note'])}" if one["done_by"] else ""
    said = f"  [dim]{escape(one['error'])}[/]" if one["error"] and not by else ""
    return f"{_SIGNS[one['state']]} {one['state']:<8} {one['name']:<11} {what}{tries}{by}{said}"
