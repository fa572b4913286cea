"""What the demo tells at its end."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.markup import escape

__all__ = ["print_summary", "shown", "title"]

#: What is kept of a check.
CHECK = ("check", "outcome", "message", "canary", "stable", "limit", "canary_requests")


def shown(done: dict[str, Any]) -> dict[str, Any]:
    """Return what the demo's report keeps of a walk's."""
    return {
        "version": done["deployment"]["version"],
        "deployment_id": done["deployment_id"],
        "outcome": done["outcome"],
        "exit_code": done["exit_code"],
        "stages": [
            {
                "percentage": s["percentage"],
                "outcome": s["outcome"],
                "checks": [{key: check[key] for key in CHECK} for check in s["checks"]],
            }
            for s in done["stages"]
        ],
    }


def print_summary(console: Console, report: dict[str, Any]) -> None:
    """Print the report as a person reads it."""
    title(console, "3. What happened")
    for version, name in (("v2", "good"), ("v3", "bad")):
        if name in report:
            _release(console, version, report[name])
    users = report["users"]
    fault = report.get("fault")
    if fault:
        seconds = fault["first_faulty_answer_to_last_canary_request_seconds"]
        _row(console, "fault → last canary request", f"{seconds:.2f} s")
        ms = fault["decision_to_every_proxy_on_stable_ms"]
        _row(console, "decision → every proxy on stable", f"{ms:.0f} ms")
        _row(console, "users exposed to v3", f"{report['users_exposed']} of {users}")
    told = report.get("messages", {})
    messages = f"Slack {told.get('slack', 0)}, e-mail {told.get('email', 0)}"
    _row(console, "messages of the rollback", messages)
    requests = f"{report['client_errors']} of {report['client_requests']:,} requests"
    _row(console, "errors that users saw", requests)
    _row(console, "whole demo", f"{report['duration_seconds']:.0f} s at {report['speed']:g} × real time")
    for problem in report["problems"]:
        console.print(f"[red]✘ {escape(problem)}[/]")
    if report["ok"]:
        console.print("\n[bold green]✔ Everything went as told.[/]")


def title(console: Console, text: str) -> None:
    """Print a heading."""
    console.rule(f"[bold]{escape(text)}[/]", align="left")


def _release(console: Console, version: str, release: dict[str, Any]) -> None:
    stages = " → ".join(f"{s['percentage']:g} % {s['outcome']}" for s in release["stages"])
    _row(console, f"{version}: {release['outcome'].replace('_', ' ')}", stages)
    for check in release["stages"][-1]["checks"] if release["stages"] else []:
        _row(console, "", f"{check['outcome']}  {check['message']}")


def _row(console: Console, name: str, value: str) -> None:
    console.print(f"  {name:<34}{escape(value)}")
