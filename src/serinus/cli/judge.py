"""``serinus judge``: the sequential judge over JSON lines, for use from any language."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from serinus.cli.common import failed
from serinus.cli.policies import load_policy
from serinus.core.analysis.sequential.lines import Contest
from serinus.core.analysis.sequential.plan import Plan
from serinus.core.errors import InvalidInput

__all__ = ["judge"]

#: A line longer than this is refused: a window of a thousand strata is a tenth of it.
LONGEST = 4_000_000


def judge(
    policy: Annotated[
        str, typer.Option("--policy", "-p", help="A policy file, or a preset's name.")
    ] = "sequential",
    state: Annotated[
        Path | None,
        typer.Option(help="Keep what is known in this file, and go on from it when it exists."),
    ] = None,
    stop: Annotated[bool, typer.Option("--stop", help="End at the first harm, with exit code 1.")] = False,
    plain: Annotated[bool, typer.Option("--plain", help="Print sentences instead of JSON.")] = False,
) -> None:
    r"""Judge windows: one JSON object a line on stdin, one answer a line on stdout.

    A window has `at` (seconds), `seconds` (default 10) and `arms`; every arm beside `stable` is a candidate:

    {"at": 0, "arms": {"stable": {"requests": 990, "errors": 3}, "canary": {"requests": 10, "errors": 0}}}

    Optional: per arm `latency`, as {"edges": \[100, 200], "counts": \[7, 2, 1]} or as {"cumulative":
    {"100": 7, "+Inf": 10}}; `strata` (name → arms) instead of `arms`; `step`, which changes with the
    percentage; `share`, the canary's configured percent; `alone`, when it has all traffic on purpose;
    `metrics` (name → arm → value).

    Each answer has `finding` (harm, safe, not_yet, cannot_tell), `sentence`, `evidence` and `needed`,
    `budget_used`, `checks`, `slices` and `warnings`. docs/judge.md says what they mean.
    """
    plan = _plan(policy)
    contest = _contest(plan, state)
    for number, line in enumerate(sys.stdin, 1):
        if not line.strip():
            continue
        answer = _feed(contest, line, number)
        if state:
            _keep(state, contest)
        sys.stdout.write((_sentence(answer) if plain else json.dumps(answer, allow_nan=False)) + "\n")
        sys.stdout.flush()
        if stop and _harmful(answer):
            raise typer.Exit(1)


def _plan(policy: str) -> Plan:
    found = load_policy(policy)
    if found.judge is None:
        raise failed(
            f"The policy {found.name!r} has fixed thresholds only.",
            next_step="Use `sequential`, or a policy file without `judge: off`.",
        )
    return found.judge


def _contest(plan: Plan, state: Path | None) -> Contest:
    if state is None or not state.exists():
        return Contest(plan)
    try:
        return Contest(plan, json.loads(state.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise failed(
            f"{state} cannot be read as a state: {error}.",
            next_step="Delete it to begin anew, or give the policy that it was made with.",
        ) from None


def _feed(contest: Contest, line: str, number: int) -> dict[str, Any]:
    try:
        if len(line) > LONGEST:
            raise InvalidInput(f"longer than {LONGEST:,} characters.")
        return contest.feed(json.loads(line))
    except json.JSONDecodeError as error:
        message, help_ = f"no JSON at column {error.colno}: {error.msg}", "Give one JSON object a line."
    except (InvalidInput, RecursionError) as error:
        message, help_ = str(error), getattr(error, "next_step", "")
    raise failed(f"line {number}: {message}", next_step=help_) from None


def _keep(path: Path, contest: Contest) -> None:
    """Replace the file whole: a crash leaves the old state or the new one."""
    fresh = path.with_name(path.name + ".new")
    fresh.write_text(json.dumps(contest.state()), encoding="utf-8")
    fresh.replace(path)


def _sentence(answer: dict[str, Any]) -> str:
    several = answer.get("candidates") or {"": answer}
    parts = [f"{name + ': ' if name else ''}{a['finding']}: {a['sentence']}" for name, a in several.items()]
    return f"{answer['at']:g}\t" + " | ".join(parts)


def _harmful(answer: dict[str, Any]) -> bool:
    return any(a["finding"] == "harm" for a in (answer.get("candidates") or {"": answer}).values())
