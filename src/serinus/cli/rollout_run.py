"""``serinus rollout run``: start a walk, follow it to its end, and say how it went."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Annotated, Any

import typer

from serinus.cli import judged, render
from serinus.cli.client import Api
from serinus.cli.common import JsonFlag, ServiceOption, api, err, handled, out, print_json
from serinus.cli.planning import (
    STAGES,
    AddressOption,
    CompensationOption,
    PolicyOption,
    PollOption,
    StickinessOption,
    VersionOption,
    hooks_of,
    plan_of,
)
from serinus.cli.strategy_files import strategy_of
from serinus.core.analysis.checks import Check
from serinus.core.codec import from_json
from serinus.core.model import CompensationStrategy as Undoing
from serinus.core.policy.explain import limit_words

__all__ = ["run"]


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
    stickiness: StickinessOption = "",
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
        plan = plan_of(
            stages, observation_period, final_observation, policy, stickiness or "persistent", salt
        )
        if strategy:
            beside = {"stickiness": stickiness, "salt": salt}
            plan["strategy"] = strategy_of(strategy) | {k: v for k, v in beside.items() if v}
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
        checks = [from_json(Check, c, "checks") for c in draft["analysis"]["checks"]]
        held_to += [f"{c.name}: {limit_words(c)} over {c.window_seconds:g} s" for c in checks]
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

    control.post("/deployments/plan", body)  # what is refused leaves no draft behind
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
