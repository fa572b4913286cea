"""``serinus guard check``: what has to be true before anything moves."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from serinus.cli.client import Api
from serinus.cli.common import JsonFlag, api, err, handled, out, print_json
from serinus.cli.policy_files import Wrong, read_as
from serinus.core.errors import InvalidInput

__all__ = ["GuardOption", "OverrideOption", "StrictOption", "examine", "guard", "guard_lines", "load_guard"]

#: Looked for where the command runs, when no file is named.
USUAL = "serinus-guard.yaml"
_SIGNS = {"pass": ("✔", "green"), "fail": ("✘", "red"), "skip": ("–", "dim")}

guard = typer.Typer(no_args_is_help=True, help="What has to be true before anything moves.")

GuardOption = Annotated[
    Path | None,
    typer.Option("--guard", help=f"The guard's file; {USUAL} by default, when there is one."),
]
StrictOption = Annotated[
    bool, typer.Option("--strict", help="Nothing may be left out but what the file switches off.")
]
OverrideOption = Annotated[
    str, typer.Option("--override-freeze", help="Go on in a freeze window, for this reason.")
]


@guard.command()
def check(
    file: Annotated[
        Path | None, typer.Argument(metavar="[FILE]", help=f"The guard's file; {USUAL} by default.")
    ] = None,
    strict: StrictOption = False,
    version: Annotated[
        str, typer.Option("--version", help="The release; by default the tag that is checked out.")
    ] = "",
    service: Annotated[
        str, typer.Option("--service", help="Look at this service too.", envvar="SERINUS_SERVICE")
    ] = "",
    base_url: Annotated[
        str, typer.Option("--base-url", help="Ask stable here.", envvar="SERINUS_BASE_URL")
    ] = "",
    override_freeze: OverrideOption = "",
    as_json: JsonFlag = False,
) -> None:
    """Check everything before a rollout; exit code 1 refuses it."""
    with handled():
        loaded = load_guard(file)
        found = examine(
            loaded,
            root=(file.parent if file else Path()).resolve(),
            version=version,
            service=service or loaded.file.service,
            base_url=base_url,
            override=override_freeze,
        )
        view = verdict(loaded, found, strict=strict)
        if as_json:
            print_json(view)
        else:
            for line in guard_lines(view):
                out().print(line)
        raise typer.Exit(0 if view["allowed"] else 1)


@guard.command()
def schema() -> None:
    """Print the JSON Schema of guard files, for editors."""
    from serinus.guard.file import guard_schema

    print(json.dumps(guard_schema(), indent=2, ensure_ascii=False))


def load_guard(path: Path | None) -> Any:
    """Return a guard's file or the defaults, or end the command with what is wrong (exit code 2)."""
    from serinus.guard.file import Guard, GuardFile, guard_from

    if path is None and not Path(USUAL).is_file():
        return Guard(file=GuardFile())
    try:
        return read_as(path or Path(USUAL), guard_from)
    except Wrong as wrong:
        for problem in wrong.problems:
            err().print(str(problem), markup=False, soft_wrap=True)
        raise typer.Exit(2) from None


def examine(
    loaded: Any, *, root: Path, version: str, service: str, base_url: str, override: str
) -> list[Any]:
    """Look at everything that the guard's file names; return the findings in their order.

    Args:
        loaded: The guard's file, read.
        root: The folder of the release.
        version: The release; empty: the tag that is checked out.
        service: The service at the control plane; empty: none is asked.
        base_url: Where stable answers; empty: what the file says.
        override: Why a freeze is overridden; empty: it is not.
    """
    from serinus.guard import stable
    from serinus.guard.predeploy import before_deployment

    file = loaded.file
    found = before_deployment(file, root, version, os.environ)
    control = api() if service else None
    view = control.get(f"/services/{service}/health") if control else None
    if file.stable:
        wanted = replace(file.stable, base_url=base_url or file.stable.base_url)
        found.append(stable.health(view))
        measured = stable.probe(wanted) if wanted.base_url else stable.measured_from(view or {})
        found.append(stable.performance(wanted, measured))
    if file.slos != "off":
        try:
            found.append(stable.objectives(_budgets(file, root, control, service)))
        except InvalidInput as error:
            found.append(stable.unmeasured(error.detail, error.next_step))
    found.append(stable.calendar(loaded, datetime.now(UTC), override, view))
    return found


def _budgets(file: Any, root: Path, control: Api | None, service: str) -> list[dict[str, Any]] | None:
    from serinus.cli.slo import budgets_of_policy

    if file.slos:
        return list(budgets_of_policy(root / file.slos)["slos"])
    if control is None:
        return None
    return list(control.get(f"/services/{service}/slos")["slos"])


def verdict(loaded: Any, found: Sequence[Any], *, strict: bool) -> dict[str, Any]:
    """Return the guard's word as plain data."""
    from serinus.guard.findings import refuses

    required = loaded.file.required
    listed = [{**asdict(f), "refuses": refuses(f, strict=strict, required=required)} for f in found]
    refused = [f["name"] for f in listed if f["refuses"]]
    return {"allowed": not refused, "strict": strict, "refused_by": refused, "findings": listed}


def guard_lines(view: dict[str, Any]) -> list[str]:
    """Return the findings as a tree with ticks, and the word below it."""
    lines = ["[bold]Guard[/]" + ("  [dim]strict[/]" if view["strict"] else "")]
    groups = [(name, list(some)) for name, some in groupby(view["findings"], key=lambda f: f["group"])]
    for at, (name, some) in enumerate(groups):
        last = at == len(groups) - 1
        lines.append(f"{'└' if last else '├'}─ {name}")
        for n, finding in enumerate(some):
            branch = "└" if n == len(some) - 1 else "├"
            lines += _finding(finding, f"{' ' if last else '│'}  {branch}─ ")
    count = len(view["findings"])
    if view["allowed"]:
        left = sum(f["outcome"] == "skip" for f in view["findings"])
        also = f", {left} left out" if left else ""
        lines.append(f"Guard [bold green]PASSED[/]: {count - left} of {count} checks{also}")
    else:
        lines.append(f"Guard [bold red]REFUSED[/] by {', '.join(view['refused_by'])}")
        lines += [
            f"  [dim]next[/]  {escape(f['name'])}: {escape(f['next_step'])}"
            for f in view["findings"]
            if f["refuses"] and f["next_step"]
        ]
    return lines


def _finding(finding: dict[str, Any], branch: str) -> list[str]:
    sign, colour = _SIGNS[finding["outcome"]]
    if finding["refuses"] and finding["outcome"] == "skip":
        sign, colour = "✘", "red"
    text = escape(finding["message"])
    shown = f"[dim]{text}[/]" if finding["outcome"] == "skip" and not finding["refuses"] else text
    return [f"{branch}[{colour}]{sign}[/] {finding['name']:<12} {shown}"]
