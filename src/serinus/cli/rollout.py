"""``serinus rollout …``: the walk, and every move by hand."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from serinus.cli import render
from serinus.cli.common import JsonFlag, WhyOption, api, handled, lines, out, print_json
from serinus.cli.planning import CompensationOption, StickinessOption, analysis_of
from serinus.cli.rollout_run import run
from serinus.cli.strategy_files import contest_of, moment_of, no_share_beside_steps, strategy_of
from serinus.core.model import CompensationStrategy as Undoing
from serinus.core.policy.units import number_of

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="Release a version: walk it, move it, roll it back.")
app.command("run")(run)

Named = Annotated[str, typer.Argument(help="Deployment id, or a service: its running deployment.")]


@app.command()
def start(
    service: Annotated[str, typer.Argument(help="Which service.")],
    version: Annotated[str, typer.Argument(help="Which version.")] = "",
    candidate: Annotated[
        list[str] | None,
        typer.Option("--candidate", help="A/B/n: a version under test; once for each, the canary first."),
    ] = None,
    percentage: Annotated[float | None, typer.Option("--percentage", help="Share to start with.")] = None,
    address: Annotated[
        list[str] | None,
        typer.Option("--address", help="host:port; may be repeated. With candidates: VERSION=host:port."),
    ] = None,
    user: Annotated[
        list[str] | None, typer.Option("--user", help="Start with this user only; may be repeated.")
    ] = None,
    workflow: Annotated[
        list[str] | None, typer.Option("--workflow", help="Start with this workflow only.")
    ] = None,
    policy: Annotated[
        str, typer.Option("--policy", help="Policy file, or a preset; the judge unless given.")
    ] = "",
    stickiness: StickinessOption = "",
    strategy: Annotated[
        Path | None, typer.Option("--strategy", help="Strategy file (YAML or JSON), instead of by hand.")
    ] = None,
    compensation: CompensationOption = Undoing.ROLLBACK_ONLY,
    at: Annotated[str, typer.Option("--at", help="Start by itself at this time: 2026-01-31T06:00.")] = "",
    as_json: JsonFlag = False,
) -> None:
    """Start a canary that is moved by hand, or as a strategy file says; or several candidates (A/B/n)."""
    with handled():
        if bool(version) == bool(candidate) or (candidate and strategy):
            raise typer.BadParameter("Give a VERSION (and maybe --strategy), or --candidate once for each.")
        control = api()
        moves: dict[str, Any] = {"mode": "manual"}
        if strategy:
            moves = strategy_of(strategy)
            no_share_beside_steps(strategy, moves, percentage)
        if candidate:
            moves = contest_of(candidate, address or [], percentage)
        moves |= {"stickiness": stickiness} if stickiness else {}
        body = {
            "service_id": service,
            "version": version or (candidate or [""])[0],
            "addresses": [] if candidate else address or [],
            "compensation_strategy": compensation.value,
            "analysis": analysis_of(policy or "sequential")[0],
            "strategy": moves,
        }
        later = {"start_at": moment_of(at)} if at else {}
        asked: dict[str, Any] = {} if percentage is None else {"canary_pct": percentage}
        if user or workflow:
            asked["canary_target_filter"] = {"user_ids": user or [], "workflow_ids": workflow or []}
        if not later:  # what stands in the way of one for later may be gone by then
            control.post("/deployments/plan", {**body, **asked})
        made = control.post("/deployments", body, key=uuid.uuid4().hex)
        verb = "schedule" if later else "start-canary"
        _show(control.post(f"/deployments/{made['deployment_id']}/{verb}", {**asked, **later}), as_json)


@app.command("list")
def list_(
    service: Annotated[str | None, typer.Option("--service", help="Only of this service.")] = None,
    status: Annotated[str | None, typer.Option("--status", help="Only in this status.")] = None,
    page: Annotated[int, typer.Option("--page", min=1, help="Older ones, 50 a page.")] = 1,
    as_json: JsonFlag = False,
) -> None:
    """List deployments, newest first."""
    with handled():
        control = api()
        if service:
            control.get(f"/services/{service}")  # a name that does not exist is told, and no empty list
        found = control.get("/deployments", service_id=service, status=status, page=page)
        if as_json:
            print_json(found)
            return
        if not found["deployments"] and page > 1:
            there = "is" if found["total"] == 1 else "are"
            lines([f"No page {page}: there {there} {number_of(found['total'], 'deployment')}, 50 a page."])
            return
        if not found["deployments"]:
            which = "No such deployment" if service or status else "No deployment"
            lines([f"{which} yet. Start one: serinus rollout run --service S --version V"])
            return
        from rich.table import Table

        table = Table(box=None, pad_edge=False, show_header=False)
        for view in found["deployments"]:
            table.add_row(*render.deployment_row(view))
        out().print(table)
        older = found["total"] - (page - 1) * found["page_size"] - len(found["deployments"])
        if older > 0:
            lines([f"… and {older} older: --page {page + 1}"])


@app.command()
def status(deployment: Named, as_json: JsonFlag = False) -> None:
    """Show everything about a deployment."""
    with handled():
        control = api()
        page = control.get(f"/deployments/{control.find_deployment(deployment)}/page")
        if as_json:
            print_json(page)
        else:
            lines(render.status_lines(page))


@app.command()
def traffic(
    deployment: Named,
    percentage: Annotated[float, typer.Argument(help="0 to 100.")],
    force: Annotated[
        bool, typer.Option("--force", help="Past a step's minimum time, or to a side that does not answer.")
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Set the canary's share."""
    with handled():
        control = api()
        path = f"/deployments/{control.find_deployment(deployment)}/traffic"
        _show(control.put(path, {"traffic_percentage": percentage, "force": force}), as_json)


def _act(deployment: str, action: str, body: dict[str, Any], as_json: bool, **which: Any) -> None:
    with handled():
        control = api()
        path = f"/deployments/{control.find_deployment(deployment, **which)}/{action}"
        _show(control.post(path, body, key=uuid.uuid4().hex), as_json)


@app.command()
def pause(deployment: Named, as_json: JsonFlag = False) -> None:
    """Hold the share where it is; automatic rollback stays on."""
    _act(deployment, "pause", {}, as_json)


@app.command()
def resume(deployment: Named, as_json: JsonFlag = False) -> None:
    """Go on where it was paused."""
    _act(deployment, "resume", {}, as_json)


@app.command()
def approve(
    deployment: Named,
    reason: Annotated[str, typer.Option("--reason", help="Why; it is written down with your name.")] = "",
    as_json: JsonFlag = False,
) -> None:
    """Pass the gate that it waits at, or go on where a rollback is blocked."""
    _act(deployment, "approve", {"reason": reason}, as_json)


@app.command()
def cancel(deployment: Named, as_json: JsonFlag = False) -> None:
    """Take a scheduled start back."""
    _act(deployment, "cancel", {}, as_json, first="scheduled")


@app.command("override-freeze")
def override_freeze(
    deployment: Named,
    reason: WhyOption = "",
    as_json: JsonFlag = False,
) -> None:
    """Let it start and grow in a freeze; needs the role admin."""
    _act(deployment, "override-freeze", {"reason": reason}, as_json)


@app.command()
def promote(
    deployment: Named,
    force: Annotated[bool, typer.Option("--force", help="Promote past a gate that is not met.")] = False,
    version: Annotated[
        str, typer.Option("--version", help="A/B/n: which candidate; by default the best, if there is one.")
    ] = "",
    as_json: JsonFlag = False,
) -> None:
    """Give everyone the new version."""
    _act(deployment, "promote", {"force": force, **({"version": version} if version else {})}, as_json)


@app.command()
def rollback(
    deployment: Named,
    reason: WhyOption = "",
    compensation: Annotated[bool, typer.Option(help="Run the compensation strategy.")] = True,
    force: Annotated[
        bool, typer.Option("--force", help="At once, and to a stable side that does not answer as well.")
    ] = False,
    across: Annotated[
        bool,
        typer.Option("--across-irreversible", help="Also across an irreversible step that was completed."),
    ] = False,
    version: Annotated[
        str, typer.Option("--version", help="A/B/n: only this candidate; the others go on.")
    ] = "",
    as_json: JsonFlag = False,
) -> None:
    """Put everyone on stable: at once, unless its strategy goes back gradually."""
    body: dict[str, Any] = {
        "reason": reason,
        "apply_compensation": compensation,
        "force": force,
        "across_irreversible": across,
        **({"version": version} if version else {}),
    }
    _act(deployment, "rollback", body, as_json, begun=True)


def _show(view: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(view)
    else:
        sign, colour = render.STATES[view["status"]]
        said = escape(view["sentence"])
        out().print(f"[{colour}]{sign}[/] {said}  [dim]{view['deployment_id']}[/]")
