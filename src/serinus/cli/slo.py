"""``serinus slo show``: objectives, what is left of their error budgets, and how fast they burn."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from serinus.cli.common import JsonFlag, ServiceOption, api, err, failed, handled, out, print_json
from serinus.cli.policy_files import Wrong, load
from serinus.core.analysis.queries import SourceType
from serinus.core.errors import InvalidInput
from serinus.core.policy.budget import Counts, budget_of, budget_view, windows_of
from serinus.core.policy.file import PolicyFile
from serinus.core.policy.rules import counted
from serinus.core.policy.units import span

__all__ = ["budgets_of_policy", "slo", "slo_lines"]

slo = typer.Typer(no_args_is_help=True, help="Objectives and error budgets.")


@slo.callback()
def _group() -> None:
    """Keep ``show`` a command of its own."""


@slo.command()
def show(
    service: ServiceOption = "",
    policy: Annotated[
        Path | None, typer.Option("--policy", help="Measure this policy file's `slos` by its Prometheus.")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Show what is left of error budgets; exit code 1 when one is spent or burns too fast.

    Without --policy it is contract 5's objectives, from what the control plane has recorded while
    versions were compared.
    """
    with handled():
        if policy is not None:
            try:
                view = budgets_of_policy(policy)
            except InvalidInput as error:
                raise failed(error.detail, error.next_step, code=1) from None
        else:
            control = api()
            view = control.get(f"/services/{service or control.only_service()}/slos")
        if as_json:
            print_json(view)
        else:
            for line in slo_lines(view):
                out().print(line)
        bad = [s for s in view["slos"] if s["exhausted"] or any(_pages(b) for b in s["burns"])]
        raise typer.Exit(1 if bad else 0)


def _pages(burn: dict[str, Any]) -> bool:
    return bool(burn["fires"]) and burn["severity"] == "critical"


def slo_lines(view: dict[str, Any]) -> list[str]:
    """Return a view of error budgets as lines."""
    covered = view.get("measured_seconds")
    over = "" if covered is None else f", {span(covered) if covered else 'nothing yet'}"
    lines = [f"[bold]{escape(view['service'])}[/]  [dim]{escape(view['source'])}{over}[/]"]
    for s in view["slos"]:
        bad = s["exhausted"] or any(_pages(b) for b in s["burns"])
        sign = "[red]✘[/]" if bad else "[dim]·[/]" if s["spent"] is None else "[green]✔[/]"
        lines.append(f"{sign} {escape(s['sentence'])}")
        burns = [_burn_words(b) for b in s["burns"] if b["long"] is not None]
        if burns:
            lines.append(f"  burns  {'   '.join(burns)}")
    return lines


def _burn_words(burn: dict[str, Any]) -> str:
    said = f"{span(burn['long_seconds'])} {burn['long']:.3g} × (at most {burn['limit']:g})"
    return f"[red]{said}[/]" if burn["fires"] else said


def budgets_of_policy(path: Path) -> dict[str, Any]:
    """Return the error budgets of a policy file's objectives, asked of its Prometheus.

    Raises:
        typer.Exit: The file is wrong (2).
        InvalidInput: Its Prometheus does not answer.
    """
    try:
        file = load(path).file
    except Wrong as wrong:
        err().print(str(wrong), markup=False, soft_wrap=True)
        raise typer.Exit(2) from None
    named = file.policy.requests.source if file.policy.requests else ""
    sources = [s for s in file.sources if s.type is SourceType.PROMETHEUS and named in ("", s.name)]
    if not file.slos or len(sources) != 1:
        what = "has no `slos`" if not file.slos else "must name exactly one Prometheus in `sources`"
        raise failed(f"{path} {what}.", "docs/policy.md says how.")
    slos = asyncio.run(_measure(file, sources[0]))
    return {"service": file.name, "source": f"Prometheus {sources[0].name}", "slos": slos}


async def _measure(file: PolicyFile, source: Any) -> list[dict[str, Any]]:
    """Ask for every objective's counts over all of its windows.

    Raises:
        InvalidInput: The source cannot be used, or does not answer.
    """
    from serinus.bootstrap.sources import source_factory

    opened, now, made = source_factory(os.environ)(source), time.time(), []
    try:
        for slo_ in file.slos:
            found: dict[float, Counts] = {}
            for window in windows_of(slo_):
                total, bad = counted(slo_, file.policy.requests, window)
                values = [await _number(opened, question, now) for question in (total, bad)]
                found[window] = Counts(*values)
            made.append(budget_view(budget_of(slo_, found.__getitem__)))
    finally:
        await opened.close()
    return made


async def _number(opened: Any, question: str, now: float) -> float:
    readings = await opened.instant(question, now)
    if readings[0].value is None:
        if readings[0].problem == "no series matched":
            return 0.0
        raise InvalidInput(
            f"{question}: {readings[0].problem}.", next_step="Look at the source and its `slos`."
        )
    return float(sum(r.value or 0.0 for r in readings))
