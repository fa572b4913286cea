"""``serinus pipeline run``: one command for CI. Guard, canary, smoke tests, watch, promote or roll back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from serinus.cli.common import JsonFlag, ServiceOption, api, err, handled, out, print_json, terminable
from serinus.cli.guard import (
    GuardOption,
    OverrideOption,
    StrictOption,
    examine,
    guard_lines,
    load_guard,
    verdict,
)
from serinus.cli.pipelined import Pipeline
from serinus.cli.planning import (
    AddressOption,
    PolicyOption,
    PollOption,
    ShareOption,
    VersionOption,
    plan_of,
)
from serinus.cli.reports import Case, Stage, junit
from serinus.cli.smoke import load_smoke

__all__ = ["pipeline"]

pipeline = typer.Typer(no_args_is_help=True, help="One non-interactive command for CI.")


@pipeline.callback()
def _group() -> None:
    """Keep ``run`` a command of its own."""


@pipeline.command()
def run(
    version: VersionOption,
    service: ServiceOption = "",
    address: AddressOption = None,
    percentage: ShareOption = 10,
    observation_period: Annotated[
        float,
        typer.Option(
            "--observation-period", min=0, help="Seconds it is watched.", envvar="SERINUS_OBSERVATION_PERIOD"
        ),
    ] = 900,
    policy: PolicyOption = "slo",
    guard: GuardOption = None,
    strict: StrictOption = False,
    override_freeze: OverrideOption = "",
    smoke: Annotated[
        Path | None, typer.Option("--smoke", help="Smoke tests that the canary must pass.")
    ] = None,
    smoke_url: Annotated[
        str, typer.Option("--smoke-url", help="Where the canary answers them; by default its address.")
    ] = "",
    max_hold: Annotated[
        float, typer.Option("--max-hold", min=0, help="Roll back after holding this many seconds.")
    ] = 900,
    timeout: Annotated[
        float, typer.Option("--timeout", min=1, help="Roll back when watching takes longer, in seconds.")
    ] = 7200,
    poll: PollOption = 1.0,
    report_json: Annotated[
        Path | None, typer.Option("--report-json", help="Write a report to this file.")
    ] = None,
    report_junit: Annotated[
        Path | None, typer.Option("--report-junit", help="Write a JUnit XML report to this file.")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Guard, deploy a canary, watch it, then promote it or roll it back. It asks nobody.

    Exit code 0 only when it was promoted; 1 when the guard refused or it was rolled back.
    """
    with handled():
        loaded = load_guard(guard)
        control = api()
        name = service or loaded.file.service or control.only_service()
        body = {
            "service_id": name,
            "version": version,
            "addresses": address or [],
            "changelog": "pipeline",
            **plan_of(f"{percentage:g}", observation_period, observation_period, policy, "persistent", ""),
        }
        made = Pipeline(
            control=control,
            out=err() if as_json else out(),
            service=name,
            version=version,
            body=body,
            smoke=load_smoke(smoke) if smoke else None,
            smoke_folder=smoke.parent if smoke else Path(),
            smoke_url=smoke_url,
            walk={"poll": poll, "max_hold": max_hold, "max_seconds": timeout},
            override=override_freeze,
        )
        root = (guard.parent if guard else Path()).resolve()
        with terminable():
            code = made.run(lambda: _guarded(made, loaded, root, override_freeze, strict=strict))
        report = made.report(code)
        if report_json:
            report_json.write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n", "utf-8")
        if report_junit:
            known = {k: str(report[k]) for k in ("service", "version", "outcome", "deployment_id")}
            title = f"serinus pipeline {name} {version}"
            report_junit.write_text(junit(title, made.stages, known, report["started_at"]), "utf-8")
        if as_json:
            print_json(report)
        raise typer.Exit(code)


def _guarded(made: Pipeline, loaded: Any, root: Path, override: str, *, strict: bool) -> Stage:
    found = examine(
        loaded, root=root, version=made.version, service=made.service, base_url="", override=override
    )
    view = verdict(loaded, found, strict=strict)
    for line in guard_lines(view):
        made.out.print(f"  {line}")
    words = {"pass": "passed", "fail": "failed", "skip": "skipped"}
    cases = [
        Case(
            name=f["name"],
            outcome="failed" if f["refuses"] else words[f["outcome"]],
            message=f["message"],
        )
        for f in view["findings"]
    ]
    refused = ", ".join(view["refused_by"])
    return Stage(
        name="guard",
        outcome="passed" if view["allowed"] else "failed",
        message=f"refused by {refused}" if refused else "nothing is in the way",
        cases=cases,
    )
