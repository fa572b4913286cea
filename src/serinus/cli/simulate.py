"""``serinus simulate``: what a policy would do, before it is switched on."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from serinus.cli.common import JsonFlag, err, failed, handled, out, print_json
from serinus.cli.policies import load_policy
from serinus.cli.render import problem_lines
from serinus.core.errors import InvalidInput, SerinusError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from serinus.sim.pool import Progress
    from serinus.sim.summary import FaultyLine, HealthyLine, Report
    from serinus.sim.world import World

__all__ = ["simulate"]

#: Below this share of rollouts a fault counts as missed in the table's mark.
FOUND_ENOUGH = 0.99
_MARKS = {"kept": "[green]✔[/]", "unclear": "[yellow]?[/]", "broken": "[red]✘[/]"}


def simulate(
    policy: Annotated[str, typer.Argument(help="A preset's name, or a YAML or JSON file.")] = "sequential",
    world: Annotated[
        list[str] | None, typer.Option("--world", help="Only this world, or those of a file; repeatable.")
    ] = None,
    chosen: Annotated[
        str, typer.Option("--set", help="Which shipped worlds: tuned, held-out or all.")
    ] = "tuned",
    runs: Annotated[int, typer.Option(min=1, help="Rollouts per healthy world.")] = 2000,
    faulty_runs: Annotated[int, typer.Option(min=1, help="Rollouts per faulty world.")] = 500,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same answer.")] = 1,
    jobs: Annotated[int, typer.Option(min=0, help="Processes; 0: one per core.")] = 0,
    watch: Annotated[
        float, typer.Option(min=0, help="Seconds after 100 % in which a rollback still counts.")
    ] = 0,
    html: Annotated[Path | None, typer.Option(help="Write a report with pictures to this file.")] = None,
    tables: Annotated[
        Path | None, typer.Option("--markdown", help="Write the tables to this file, as Markdown.")
    ] = None,
    show: Annotated[bool, typer.Option("--list", help="Show the worlds and end.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Run a policy over synthetic worlds: how often it is wrong, and how fast it finds what is.

    The policy is looked at by the very function that the monitor runs, on a fake clock. Ends with 0 when
    every healthy world keeps the budget of false rollbacks, with 1 when one does not.
    """
    with handled(), _words():
        from serinus.sim.library import Set, find_worlds
        from serinus.sim.markdown import markdown
        from serinus.sim.pool import simulate as run
        from serinus.sim.report import page
        from serinus.sim.run import Options

        if chosen not in {member.value for member in Set}:
            raise InvalidInput(f"There is no set {chosen!r}.", next_step="Use tuned, held-out or all.")
        worlds = find_worlds(world or (), Set(chosen))
        if show:
            _list(worlds, as_json=as_json)
            return
        read = load_policy(policy)
        options = Options(seed=seed, watch=watch)
        with _progress(worlds) as tell:
            report = run(
                worlds,
                read,
                runs=runs,
                faulty_runs=faulty_runs,
                options=options,
                jobs=jobs,
                progress=tell,
            )
        if tables:
            tables.write_text(markdown(_plain(report)), encoding="utf-8")
        if html:
            html.write_text(page(report), encoding="utf-8")
        if as_json:
            print_json(_plain(report))
        else:
            _print(report, html)
    if report.partial:
        err().print("[yellow]Interrupted.[/] What was done until then is above.")
        raise typer.Exit(5)
    raise typer.Exit(0 if report.kept else 1)


@contextmanager
def _words() -> Iterator[None]:
    """Turn what the caller got wrong, and a missing extra, into words and exit code 2."""
    try:
        yield
    except SerinusError as error:
        wrong = [{"field": at, "message": what} for at, what in error.extra.get("errors", {}).items()]
        problem = {"detail": error.detail, "field": error.field, "next_step": error.next_step}
        for line in problem_lines({**problem, "errors": wrong}):
            err().print(line)
        raise typer.Exit(2) from None
    except ModuleNotFoundError as error:
        if error.name not in {"numpy", "yaml"}:
            raise
        raise failed(f"Simulating needs its extra ({error.name}): pip install 'serinus[sim]'") from None


@contextmanager
def _progress(worlds: tuple[World, ...]) -> Iterator[Progress]:
    """Show how far it is on stderr: a bar on a terminal, a line per finished world elsewhere."""
    console = err()
    if not console.is_terminal:

        def say(world: World, done: int, of: int) -> None:
            if done >= of:
                console.print(f"  {world.name}: {of} rollouts", markup=False)

        yield say
        return
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    columns = (
        TextColumn("{task.description:<26}"),
        BarColumn(bar_width=32),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Bars(*columns, console=console, transient=True) as bars:
        whole = bars.add_task("worlds", total=len(worlds))
        tasks: dict[str, Any] = {}

        def move(world: World, done: int, of: int) -> None:
            if world.name not in tasks:
                tasks[world.name] = bars.add_task(world.name, total=of)
            bars.update(tasks[world.name], completed=done, visible=done < of)
            if done >= of:
                bars.advance(whole)

        yield move


def _list(worlds: tuple[World, ...], *, as_json: bool) -> None:
    if as_json:
        from serinus.core.codec import to_json

        print_json([to_json(world) for world in worlds])
        return
    table = _table("world", "kind", "family", "what it is like")
    for world in worlds:
        table.add_row(world.name, world.kind.value, world.family, world.title)
    _wide().print(table)


def _plain(report: Report) -> dict[str, Any]:
    """Return the report as JSON data; every single delay stays out of it."""
    from serinus.core.codec import to_json

    data: dict[str, Any] = {"kept": report.kept, **to_json(report)}
    for line in data["faulty"]:
        del line["delays"]
    return data


def _print(report: Report, html: Path | None) -> None:
    from serinus.sim.intervals import percent

    console = out()
    console.print(f"[bold]{report.policy}[/], seed {report.seed}")
    if report.healthy:
        console.print(
            f"\n[bold]Healthy worlds[/], {report.runs:,} rollouts each: "
            f"at most {percent(report.budget)} may be rolled back."
        )
        table = _table("", "world", "rolled back", "95 % interval", "to 100 %", "why")
        for healthy in report.healthy:
            table.add_row(*_healthy(healthy))
        _wide().print(table)
    if report.faulty:
        console.print(
            f"\n[bold]Faulty worlds[/], {report.faulty_runs:,} rollouts each. Medians since the fault began; "
            "requests are the canary's; the oracle knows both rates; early are rollbacks before the fault."
        )
        table = _table("", "world", "found", "early", "requests", "oracle", "ratio", "after", "users")
        for faulty in report.faulty:
            table.add_row(*_faulty(faulty))
        _wide().print(table)
        families = " · ".join(f"{name} {value:.2f}" for name, value in report.by_family.items())
        console.print(f"Ratio to the oracle (geometric mean; 50 where not found): {families}")
        console.print(f"over all [bold]{report.overall:.2f}[/], worst {report.worst}")
    if report.healthy:
        console.print("\n" + report.sentence)
    if html:
        console.print(f"Report: {html}")


def _healthy(line: HealthyLine) -> tuple[str, ...]:
    from serinus.sim.intervals import percent, span

    share = line.rolled_back
    stuck = f"{line.stuck} stuck" if line.stuck else ""
    why = f"{line.reasons[0][0]} ({line.reasons[0][1]}×)" if line.reasons else stuck
    return (
        _MARKS[line.verdict.value],
        line.world,
        f"{percent(share.value, 2)}",
        f"{percent(share.low, 2)} – {percent(share.high, 2)}",
        span(line.promoted_seconds),
        why,
    )


def _faulty(line: FaultyLine) -> tuple[str, ...]:
    from serinus.sim.intervals import percent, span

    return (
        "[green]✔[/]" if line.found.value >= FOUND_ENOUGH else "[red]✘[/]",
        line.world,
        f"{percent(line.found.value)}",
        f"{percent(line.early.value)}" if line.early.hits else "",
        _count(line.requests[0]),
        _count(line.oracle_requests[0]),
        "–" if line.ratio is None else f"{line.ratio:.2f}",
        span(line.seconds[0]),
        _count(line.users[0]),
    )


def _wide() -> Console:
    """Return the console for tables: as wide as the terminal, and wide enough where there is none."""
    from rich.console import Console

    return Console(highlight=False, width=None if sys.stdout.isatty() else 120)


def _count(value: float | None) -> str:
    return "–" if value is None else f"{value:,.0f}"


def _table(*columns: str) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    words = {"", "world", "kind", "family", "why", "what it is like"}
    for name in columns:
        wraps = name in {"why", "what it is like"}
        table.add_column(name, justify="left" if name in words else "right", no_wrap=not wraps)
    return table
