"""A simulation's report as Markdown: two tables, for a repository or a wiki."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from serinus.sim.intervals import percent, span

__all__ = ["markdown"]

Row = Sequence[str]


def markdown(data: Mapping[str, Any]) -> str:
    """Return the tables of a report that was written with ``--json``."""
    parts = [f"Policy `{data['policy']}`, seed {data['seed']}."]
    if data["healthy"]:
        parts += [
            f"## Healthy worlds: at most {percent(data['budget'])} may be rolled back",
            _table(
                ("world", "what it is like", "rollouts", "rolled back", "95 % interval", "to 100 %"),
                [_healthy(line) for line in data["healthy"]],
            ),
        ]
    if data["faulty"]:
        parts += [
            "## Faulty worlds",
            "Medians since the fault began; requests are the canary's.",
            _table(
                (
                    "world",
                    "what it is like",
                    "found",
                    "95 % interval",
                    "requests",
                    "oracle",
                    "ratio",
                    "after (p90)",
                ),
                [_faulty(line) for line in data["faulty"]],
            ),
            _families(data),
        ]
    return "\n\n".join(parts) + "\n"


def _healthy(line: Mapping[str, Any]) -> Row:
    share = line["rolled_back"]
    return (
        line["world"],
        line["title"],
        f"{share['of']:,}",
        percent(share["hits"] / share["of"], 2),
        _interval(share),
        span(line["promoted_seconds"]),
    )


def _faulty(line: Mapping[str, Any]) -> Row:
    share = line["found"]
    after = f"{span(line['seconds'][0])} ({span(line['seconds'][1])})"
    return (
        line["world"],
        line["title"],
        percent(share["hits"] / share["of"]) if share["of"] else "–",
        _interval(share) if share["of"] else "–",
        _number(line["requests"][0]),
        _number(line["oracle_requests"][0]),
        "–" if line["ratio"] is None else f"{line['ratio']:.2f}",
        after,
    )


def _families(data: Mapping[str, Any]) -> str:
    rows = [(name, f"{value:.2f}") for name, value in data["by_family"].items()]
    if data["overall"] is not None:
        rows.append(("**over all**", f"**{data['overall']:.2f}**"))
    return _table(("ratio to the oracle, geometric mean", ""), rows) + f"\n\nWorst: {data['worst']}."


def _table(head: Row, rows: Sequence[Row]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "/") for cell in row) + " |" for row in lines)


def _interval(share: Mapping[str, Any]) -> str:
    return f"{percent(share['low'], 2)} – {percent(share['high'], 2)}"


def _number(value: float | None) -> str:
    return "not found" if value is None else f"{value:,.0f}"
