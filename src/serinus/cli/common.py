"""What every command shares: consoles, output forms, and errors as exit codes."""

from __future__ import annotations

import json
import signal
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from serinus.cli.client import Api, Refused, Unreachable

if TYPE_CHECKING:
    from rich.console import Console

__all__ = [
    "JsonFlag",
    "ServiceOption",
    "WhyOption",
    "api",
    "err",
    "explained",
    "failed",
    "handled",
    "lines",
    "out",
    "print_json",
    "terminable",
]

ServiceOption = Annotated[
    str,
    typer.Option(
        "--service", help="Which service; may be left out when there is only one.", envvar="SERINUS_SERVICE"
    ),
]
JsonFlag = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]


def _why(reason: str) -> str:
    """Ask for the reason that is missing; who cannot be asked is told how to give it."""
    if reason.strip():
        return reason
    if not sys.stdin.isatty():
        raise failed("A reason is missing: it is written down with your name.", 'Give it: --reason "WHY"')
    return str(typer.prompt("Why"))


WhyOption = Annotated[
    str,
    typer.Option("--reason", callback=_why, help="Why, in one sentence; asked for when it is left out."),
]


def out() -> Console:
    """Return the console for data: colours only on a terminal, no cutting of lines elsewhere."""
    from rich.console import Console

    return Console(highlight=False, soft_wrap=not sys.stdout.isatty())


def err() -> Console:
    """Return the console for chatter."""
    from rich.console import Console

    return Console(stderr=True, highlight=False, soft_wrap=not sys.stderr.isatty())


def api() -> Api:
    """Return the control plane that the environment or the profile names."""
    return Api()


def lines(items: Iterable[str]) -> None:
    """Print marked-up lines as data."""
    console = out()
    for item in items:
        console.print(item)


def print_json(value: Any) -> None:
    """Print JSON as data."""
    print(json.dumps(value, indent=2, ensure_ascii=False))


@contextmanager
def explained() -> Iterator[None]:
    """Turn the errors of what runs here, and not at a control plane, into words and exit code 1."""
    from serinus.cli.render import problem_lines
    from serinus.core.errors import SerinusError

    try:
        yield
    except SerinusError as error:
        problem = {"detail": error.detail, "field": error.field, "next_step": error.next_step}
        for line in problem_lines(problem):
            err().print(line)
        raise typer.Exit(1) from None


def failed(what: str, next_step: str = "", code: int = 2) -> typer.Exit:
    """Say on stderr what is wrong and what to do next; return the exit to raise."""
    err().print(f"[red]✘[/] {escape(what)}")
    if next_step:
        err().print(f"  [dim]next[/]  {escape(next_step)}")
    return typer.Exit(code)


@contextmanager
def terminable() -> Iterator[None]:
    """Take SIGTERM, by which CI systems and supervisors end a job, for Ctrl-C: what was begun is taken back.

    Once: what follows is the rollback, and that is not ended.
    """

    def end(*_: object) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield  # only a program's main thread is told of signals
        return
    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def handled() -> Iterator[None]:
    """Turn what can go wrong into words on stderr and an exit code."""
    from serinus.cli.render import problem_lines

    try:
        yield
    except Unreachable as error:
        raise failed(str(error), error.next_step, code=3) from None
    except Refused as error:
        for line in problem_lines(error.problem):
            err().print(line)
        raise typer.Exit(4) from None
    except KeyboardInterrupt:
        err().print("\n[yellow]Interrupted.[/]")
        raise typer.Exit(5) from None
