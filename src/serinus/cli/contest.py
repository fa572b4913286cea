"""A/B/n on the command line: what is asked for, and each candidate's line on the screen."""

from __future__ import annotations

from typing import Any

from rich.markup import escape

from serinus.cli.common import failed
from serinus.cli.judged import budget_line, check_lines
from serinus.control.judgement import FINDINGS, SIGNS

__all__ = ["candidate_lines", "contest_of", "is_contested"]

COLOURS = {"harm": "red", "safe": "green", "not_yet": "yellow", "cannot_tell": "yellow"}


def contest_of(candidates: list[str], addresses: list[str], percentage: float | None) -> dict[str, Any]:
    """Return the strategy of candidates that were named as options: it walks, or is moved by hand.

    Args:
        candidates: Their versions, the canary first.
        addresses: ``VERSION=host:port``, for services behind a proxy.
        percentage: The share to start with; then people move it.

    Raises:
        typer.Exit: An address does not say whose it is.
    """
    given: dict[str, list[str]] = {v: [] for v in candidates}
    for text in addresses:
        whose, sign, address = text.partition("=")
        if not sign or whose not in given:
            raise failed(
                f"--address {text}: it does not say which candidate answers there.",
                f"Write VERSION=host:port, like {candidates[0]}=10.0.0.7:8000.",
            )
        given[whose].append(address)
    listed = [{"version": v, **({"addresses": a} if a else {})} for v, a in given.items()]
    return {"type": "ab", "candidates": listed, **({} if percentage is None else {"mode": "manual"})}


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
