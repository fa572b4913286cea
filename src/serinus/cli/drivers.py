"""``serinus drivers`` and ``serinus proxy prometheus``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from serinus.cli import render
from serinus.cli.common import JsonFlag, err, out, print_json

__all__ = ["drivers", "markdown", "prometheus"]


def drivers(
    as_markdown: Annotated[bool, typer.Option("--markdown", help="As a table for documents.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Say what each traffic driver can do."""
    from serinus.bootstrap.proxies import who_can_what

    known = who_can_what()
    if as_json:
        print_json(known)
    elif as_markdown:
        print(markdown(known))
    else:
        table = Table(box=None, pad_edge=False)
        table.add_column("")
        for name in next(iter(known.values())):
            table.add_column(name, justify="center")
        for meaning, who in known.items():
            table.add_row(meaning, *("[green]✔[/]" if able else "[dim]–[/]" for able in who.values()))
        out().print(table)


def markdown(known: dict[str, dict[str, bool]]) -> str:
    """Return who can what as a Markdown table."""
    names = list(next(iter(known.values())))
    rows = [
        f"| {meaning} | {' | '.join('✔' if who[n] else '–' for n in names)} |"
        for meaning, who in known.items()
    ]
    return "\n".join([f"| | {' | '.join(names)} |", f"| --- |{' :-: |' * len(names)}", *rows])


def prometheus(
    driver: Annotated[str, typer.Argument(help="A traffic driver; `serinus drivers` lists them.")],
    file: Annotated[Path, typer.Option("--driver-config", help="The service's driver settings, JSON.")],
    stable: Annotated[str, typer.Option(help="The stable version.")],
    canary: Annotated[str | None, typer.Option(help="The version under test.")] = None,
    window: Annotated[float, typer.Option(help="How far back each query looks, in seconds.", min=1)] = 300,
) -> None:
    """Print what Prometheus scrapes a service's proxies by, and the PromQL of the checks."""
    from serinus.bootstrap.proxies import prometheus_of
    from serinus.core.errors import SerinusError

    try:
        print_json(prometheus_of(driver, json.loads(file.read_text()), stable, canary, window))
    except (OSError, ValueError) as error:
        err().print(f"[red]✘[/] {file}: {error}")
        raise typer.Exit(2) from None
    except SerinusError as error:
        for line in render.problem_lines({"detail": error.detail, "next_step": error.next_step}):
            err().print(line)
        raise typer.Exit(2) from None
