"""``serinus rollout …``: the walk, and every move by hand."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Annotated, Any

import typer

from serinus.cli import judged, render
from serinus.cli.client import Api
from serinus.cli.common import JsonFlag, ServiceOption, api, err, handled, lines, out, print_json
from serinus.cli.planning import (
    STAGES,
    AddressOption,
    PolicyOption,
    PollOption,
    VersionOption,
    analysis_of,
    hooks_of,
    plan_of,
)
from serinus.cli.strategy_files import contest_of, moment_of, strategy_of
from serinus.core.model import CompensationStrategy as Undoing

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="Release a version: walk it, move it, roll it back.")

CompensationOption = Annotated[
    Undoing,
    typer.Option("--compensation", help="What a rollback does beside moving traffic."),
]
Named = Annotated[str, typer.Argument(help="Deployment id, or a service: its running deployment.")]


@app.command()
def run(
    version: VersionOption,
    service: ServiceOption = "",
    address: AddressOption = None,
    stages: Annotated[
        str | None,
        typer.Option(
            "--stages",
            help=f"Percentages, rising; by default the policy file's steps, else {STAGES}.",
            envvar="SERINUS_STAGES",
        ),
    ] = None,
    observation_period: Annotated[
        float,
        typer.Option(
            "--observation-period", min=0, help="Seconds per stage.", envvar="SERINUS_OBSERVATION_PERIOD"
        ),
    ] = 900,
    final_observation: Annotated[
        float,
        typer.Option(
            "--final-observation", min=0, help="Seconds at 100 %.", envvar="SERINUS_FINAL_OBSERVATION"
        ),
    ] = 1800,
    policy: PolicyOption = "orchestrator",
    stickiness: Annotated[str, typer.Option("--stickiness", help="persistent or hash.")] = "persistent",
    strategy: Annotated[
        Path | None,
        typer.Option(
            "--strategy", help="Strategy file (YAML or JSON), instead of stages.", envvar="SERINUS_STRATEGY"
        ),
    ] = None,
    salt: Annotated[
        str, typer.Option("--salt", help="Choose who goes first; the deployment's id by default.")
    ] = "",
    changelog: Annotated[str, typer.Option("--changelog", help="What is new.")] = "",
    hooks: Annotated[
        Path | None, typer.Option("--hooks", help="YAML or JSON file with the hooks to ask and to tell.")
    ] = None,
    compensation: CompensationOption = Undoing.ROLLBACK_ONLY,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Everything but the traffic change.")] = False,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Promote without asking once every stage passed.")
    ] = False,
    max_hold: Annotated[
        float, typer.Option("--max-hold", min=0, help="Give up after holding this many seconds (0: never).")
    ] = 0,
    poll: PollOption = 1.0,
    report: Annotated[
        Path | None, typer.Option("--report", help="Write what happened to this JSON file.")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Walk a version through its stages; exit code 0 only when every stage passed."""
    with handled():
        control = api()
        plan = plan_of(stages, observation_period, final_observation, policy, stickiness, salt)
        if strategy:
            plan["strategy"] = strategy_of(strategy)
        body = {
            "service_id": service or control.only_service(),
            "version": version,
            "changelog": changelog,
            "addresses": address or [],
            "compensation_strategy": compensation.value,
            **plan,
        }
        if hooks:
            body["strategy"]["hooks"] = hooks_of(hooks)
        if dry_run:
            _dry_run(control, body, as_json)
            return
        _walk(control, body, yes=yes, max_hold=max_hold, poll=poll, report=report, as_json=as_json)


def _dry_run(control: Api, body: dict[str, Any], as_json: bool) -> None:
    """Have the control plane check everything, and show the walk, without a single request moved."""
    service = control.get(f"/services/{body['service_id']}")
    draft = control.post("/deployments/plan", body)
    if as_json:
        print_json(draft)
        return
    console = out()
    console.print(f"[bold]Dry run[/]: {service['name']} {service['stable_version']} → {body['version']}")
    console.print(f"  driver      {service['driver']}: {_proxy_words(service)}")
    for number, step in enumerate(draft["strategy"]["steps"], 1):
        share = step["traffic_percentage"]
        console.print(f"\n[bold]Stage {number} of {len(draft['strategy']['steps'])}[/]  would set")
        console.print(f"  traffic     {render.traffic_line(draft, share)}")
        console.print(f"  observing   {step['hold_seconds']:g} s, then")
        held_to = [judged.plan_words(draft["analysis"]["judge"])] if draft["judge"] else []
        held_to += [f"{c['name']} over {c['window_seconds']:g} s" for c in draft["analysis"]["checks"]]
        for at, words in enumerate(held_to, 1):
            console.print(f"  {'└' if at == len(held_to) else '├'}─ {words}", markup=False)
    if draft["if_blocked"]:
        console.print(f"\n{draft['if_blocked']}", markup=False)
    console.print("\nNothing was changed. Without --dry-run this walk begins.")


def _proxy_words(service: dict[str, Any]) -> str:
    proxy = service.get("proxy") or {}
    if service["driver"] == "in-process":
        return "the SDK carries the split"
    if not proxy.get("instances"):
        return "the monitor has not looked at its proxies yet"
    bad = [f"{i['name']}: {i['problem']}" for i in proxy["instances"] if not i["ok"]]
    return "; ".join(bad) if bad else "every proxy follows"


def _walk(
    control: Api,
    body: dict[str, Any],
    *,
    yes: bool,
    max_hold: float,
    poll: float,
    report: Path | None,
    as_json: bool,
) -> None:
    from serinus.cli.walk import Walk

    made = control.post("/deployments", body, key=uuid.uuid4().hex)
    identity = made["deployment_id"]
    control.post(f"/deployments/{identity}/start-canary", {}, key=uuid.uuid4().hex)
    console = err() if as_json else out()
    console.print(
        f"[bold]{made['service']} {made['stable_version']} → {made['version']}[/]  [dim]{identity}[/]"
    )
    walk = Walk(
        api=control, out=console, err=err(), deployment_id=identity, yes=yes, max_hold=max_hold, poll=poll
    )
    try:
        code, view = walk.follow()
    except KeyboardInterrupt:
        console.print(f"\n[yellow]No longer watching; the rollout goes on.[/] serinus watch {identity}")
        console.print(f'Stop it: serinus rollout rollback {identity} --reason "…"')
        raise typer.Exit(5) from None
    summary = {
        "deployment_id": identity,
        "exit_code": code,
        "outcome": _outcome(code, view),
        "stages": walk.stages,
        "deployment": view,
    }
    if report:
        report.write_text(json.dumps(summary, indent=2, ensure_ascii=False) + "\n")
    if as_json:
        print_json(summary)
    _summary(console, summary, view)
    raise typer.Exit(code)


def _outcome(code: int, view: dict[str, Any]) -> str:
    from serinus.cli.walk import EARLY

    if code == EARLY:
        return "promoted_early"
    if view["status"] == "active":
        return "promoted"
    if view["status"] == "rolled_back":
        return "rolled_back"
    return "held" if code == 6 else "waiting"


def _summary(console: Any, summary: dict[str, Any], view: dict[str, Any]) -> None:
    passed = sum(s["outcome"] == "passed" for s in summary["stages"])
    identity = view["deployment_id"]
    outcome = summary["outcome"].replace("_", " ")
    console.print(f"\n[bold]Summary[/]  {passed} of {view['step']['of']} stages passed; {outcome}")
    if summary["outcome"] == "promoted":
        console.print(
            f"  {view['version']} is stable now. Retire {view['stable_version']} when nothing needs it."
        )
        if view.get("watch"):
            console.print(f"  {judged.watch_line(view['watch'])}")
            console.print(f"  next  serinus watch {identity}")
    elif summary["outcome"] == "promoted_early":
        console.print("  Somebody promoted it before every stage had passed.")
        console.print(f"  next  serinus rollout status {identity}")
    elif summary["outcome"] == "rolled_back":
        console.print(f"  Everyone is on {view['stable_version']}. Why: {view['end_reason']}", markup=False)
        console.print(f"  next  serinus rollout status {identity}")
    elif summary["outcome"] == "waiting":
        console.print(f"  next  serinus rollout promote {identity}")
    else:
        console.print(f"  It still holds. next  serinus watch {identity}")


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
        str, typer.Option("--policy", help="Policy file, or a preset: rulesets, for candidates sequential.")
    ] = "",
    stickiness: Annotated[str, typer.Option("--stickiness", help="persistent or hash.")] = "persistent",
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
        moves = strategy_of(strategy) if strategy else {"mode": "manual", "stickiness": stickiness}
        if candidate:
            moves = {**contest_of(candidate, address or [], percentage), "stickiness": stickiness}
        body = {
            "service_id": service,
            "version": version or (candidate or [""])[0],
            "addresses": [] if candidate else address or [],
            "compensation_strategy": compensation.value,
            "analysis": analysis_of(policy or ("sequential" if candidate else "rulesets"))[0],
            "strategy": moves,
        }
        later = {"start_at": moment_of(at)} if at else {}
        made = control.post("/deployments", body, key=uuid.uuid4().hex)
        asked: dict[str, Any] = {} if percentage is None else {"canary_pct": percentage}
        if user or workflow:
            asked["canary_target_filter"] = {"user_ids": user or [], "workflow_ids": workflow or []}
        verb = "schedule" if later else "start-canary"
        _show(control.post(f"/deployments/{made['deployment_id']}/{verb}", {**asked, **later}), as_json)


@app.command("list")
def list_(
    service: Annotated[str | None, typer.Option("--service", help="Only of this service.")] = None,
    status: Annotated[str | None, typer.Option("--status", help="Only in this status.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """List deployments, newest first."""
    with handled():
        found = api().get("/deployments", service_id=service, status=status)
        if as_json:
            print_json(found)
            return
        if not found["deployments"]:
            lines(["No deployment yet. Start one: serinus rollout run --service S --version V"])
            return
        from rich.table import Table

        table = Table(box=None, pad_edge=False, show_header=False)
        for view in found["deployments"]:
            table.add_row(*render.deployment_row(view))
        out().print(table)


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


def _act(deployment: str, action: str, body: dict[str, Any], as_json: bool) -> None:
    with handled():
        control = api()
        path = f"/deployments/{control.find_deployment(deployment)}/{action}"
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
    _act(deployment, "cancel", {}, as_json)


@app.command("override-freeze")
def override_freeze(
    deployment: Named,
    reason: Annotated[str, typer.Option("--reason", prompt="Why", help="Why, in one sentence.")],
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
    reason: Annotated[str, typer.Option("--reason", prompt="Why", help="Why, in one sentence.")],
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
    _act(deployment, "rollback", body, as_json)


def _show(view: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(view)
    else:
        sign, colour = render.STATES[view["status"]]
        out().print(f"[{colour}]{sign}[/] {view['sentence']}  [dim]{view['deployment_id']}[/]")
