"""``serinus smoke run FILE``: smoke tests as data, step by step."""

from __future__ import annotations

import json
import os
import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from serinus.cli.client import Api, Refused
from serinus.cli.common import JsonFlag, api, err, failed, handled, out, print_json
from serinus.cli.policy_files import Wrong, read_as
from serinus.cli.steps import SIGNS
from serinus.core.errors import InvalidInput
from serinus.core.policy.units import number_of

__all__ = ["run_smoke", "smoke", "where_of"]

smoke = typer.Typer(no_args_is_help=True, help="Smoke tests as data.")


@smoke.command()
def run(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The smoke tests, as YAML.")],
    canary: Annotated[bool, typer.Option("--canary", help="Test the canary instead of the service.")] = False,
    base_url: Annotated[
        str, typer.Option("--base-url", help="Where it answers.", envvar="SERINUS_BASE_URL")
    ] = "",
    service: Annotated[
        str,
        typer.Option("--service", help="Whose canary; by default the file's.", envvar="SERINUS_SERVICE"),
    ] = "",
    as_json: JsonFlag = False,
) -> None:
    """Run smoke tests; exit code 0 only when every one passed."""
    with handled():
        loaded = load_smoke(file)
        where = base_url or where_of(loaded, canary=canary, service=service)
        summary = run_smoke(loaded, where, file.parent, err() if as_json else out(), canary=canary)
        if as_json:
            print_json(summary)
        raise typer.Exit(1 if summary["failed"] or summary["skipped"] else 0)


@smoke.command()
def lint(files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Smoke files.")]) -> None:
    """Tell everything that is wrong, by file, line and column; exit 0 when nothing is."""
    for path in files:
        loaded = load_smoke(path)
        counts = (("step", loaded.steps), ("log line", loaded.logs), ("metric", loaded.metrics))
        said = ", ".join(number_of(len(some), what) for what, some in counts if some)
        err().print(f"[green]✔[/] {escape(str(path))}: {said}", soft_wrap=True)


@smoke.command()
def schema() -> None:
    """Print the JSON Schema of smoke files, for editors."""
    from serinus.smoke.file import smoke_schema

    print(json.dumps(smoke_schema(), indent=2, ensure_ascii=False))


def load_smoke(path: Path) -> Any:
    """Return a smoke file, or end the command with what is wrong and where (exit code 2)."""
    from serinus.smoke.file import smoke_from

    try:
        return read_as(path, smoke_from)
    except Wrong as wrong:
        for problem in wrong.problems:
            err().print(str(problem), markup=False, soft_wrap=True)
        raise typer.Exit(2) from None


def where_of(file: Any, *, canary: bool, service: str = "", control: Api | None = None) -> str:
    """Return the address that is tested.

    Raises:
        Refused: It is not known.
    """
    if not canary:
        if file.base_url:
            return str(file.base_url)
        raise Refused({"detail": "It is not known where it answers.", "next_step": "Give --base-url URL."})
    if file.canary_url:
        return str(file.canary_url)
    name = service or file.service
    if not name:
        help_ = "Write `canary_url` or `service` into the file, or give --service NAME or --base-url URL."
        raise Refused({"detail": "It is not known where the canary answers.", "next_step": help_})
    control = control or api()
    running = control.get(f"/services/{name}/health")["rollout"]
    if running is None:
        help_ = f"Start one: serinus rollout start {name} VERSION, or give --base-url URL."
        raise Refused({"detail": f"No rollout of {name} is running.", "next_step": help_})
    addresses = control.get(f"/services/{name}")["upstreams"].get(running["version"], [])
    if not addresses:
        detail = f"No address is known for {name} {running['version']}."
        raise Refused({"detail": detail, "next_step": "Give --base-url URL."})
    return f"http://{addresses[0]}"


def run_smoke(file: Any, where: str, folder: Path, console: Console, *, canary: bool) -> dict[str, Any]:
    """Run, print each result as it comes and a summary; return it."""
    from serinus.smoke.run import Run

    side = "canary" if canary else "service"
    console.print(f"[bold]Smoke tests[/] {escape(file.name)}  [dim]{side} at {escape(where)}[/]")
    began, results = time.perf_counter(), []
    number = len(file.steps) + len(file.logs) + len(file.metrics)
    try:
        for at, result in enumerate(
            Run(file=file, base_url=where, environment=os.environ, folder=folder).results(), 1
        ):
            results.append(result)
            sign, colour = SIGNS[result.outcome]
            place = f"{at:>{len(str(number))}}/{number}"
            console.print(
                f"  {place} [{colour}]{sign}[/] {result.kind:<6} {escape(result.name)}  "
                f"[dim]{escape(result.message)} ({result.seconds * 1000:.0f} ms)[/]"
            )
    except InvalidInput as error:
        raise failed(error.detail, error.next_step) from None
    counts = {what: sum(r.outcome == what for r in results) for what in ("passed", "failed", "skipped")}
    took = time.perf_counter() - began
    word = "[bold green]PASSED[/]" if counts["passed"] == number else "[bold red]FAILED[/]"
    told = ", ".join(f"{n} {what}" for what, n in counts.items() if n or what != "skipped")
    console.print(f"Smoke tests {word}: {told} in {took:.2f} s")
    listed = [asdict(r) for r in results]
    return {
        "name": file.name,
        "base_url": where,
        "canary": canary,
        **counts,
        "seconds": took,
        "results": listed,
    }
