"""``serinus weights set N``: one command sets a percentage, and proves that it is carried."""

from __future__ import annotations

import time
import uuid
from typing import Annotated, Any

import typer

from serinus.cli import render
from serinus.cli.client import Api, Refused
from serinus.cli.common import JsonFlag, ServiceOption, api, err, failed, handled, out, print_json
from serinus.cli.contest import is_contested
from serinus.cli.edge import edge_url, read_back, verify
from serinus.cli.steps import Steps
from serinus.core.errors import InvalidInput
from serinus.core.model import parse_percentage

__all__ = ["weights"]

weights = typer.Typer(no_args_is_help=True, help="One command sets a percentage (0 rolls back).")


@weights.callback()
def _group() -> None:
    """Keep ``set`` a command of its own."""


@weights.command("set")
def set_(
    percentage: Annotated[float, typer.Argument(metavar="N", help="0 to 100; 0 rolls back.")],
    service: ServiceOption = "",
    reason: Annotated[str, typer.Option("--reason", help="Why; kept with a rollback.")] = "",
    url: Annotated[
        str,
        typer.Option("--url", help="Where the proxy answers; by default where its driver listens."),
    ] = "",
    requests: Annotated[
        int, typer.Option("--requests", min=2, max=1000, help="Real requests that verify the split.")
    ] = 100,
    no_verify: Annotated[
        bool, typer.Option("--no-verify", help="Send no requests; reading back is enough.")
    ] = False,
    timeout: Annotated[
        float, typer.Option("--timeout", min=0.1, help="Seconds to wait for the proxies.")
    ] = 15.0,
    as_json: JsonFlag = False,
) -> None:
    """Set the canary's share: validate, apply, read back, verify by real requests, log.

    It moves the rollout that is running; 0 rolls it back. Exit code 0 only when the share is carried.
    """
    with handled():
        bp = _valid(percentage)
        control = api()
        name = service or control.only_service()
        known = control.get(f"/services/{name}")
        running = control.get(f"/services/{name}/health")["rollout"]
        steps = Steps(console=err() if as_json else out())
        steps.passed("validate", f"{percentage:g} % is between 0 and 100")
        if running is None:
            _nothing_runs(control, known, bp)
        elif bp and is_contested(running):
            raise failed(
                f"{running['tested']} are under test: one share is not what each of them gets.",
                f"serinus rollout traffic {running['deployment_id']} {percentage:g}",
            )
        edge = "" if no_verify else edge_url(known, url)
        if known["driver"] != "in-process" and not edge and not no_verify:
            raise Refused(
                {
                    "detail": f"It is not known where the proxy of {known['name']} answers.",
                    "field": "--url",
                    "next_step": "Give --url http://host:port/, or --no-verify.",
                }
            )
        view = running or _last(control, name)
        moved = _apply(control, steps, known, view, bp, reason) if running else view
        done = _prove(control, steps, known, moved, bp, edge, requests, timeout)
        if as_json:
            print_json({"ok": done, "steps": steps.taken, "deployment": moved})
        raise typer.Exit(0 if done else 1)


def _valid(percentage: float) -> int:
    try:
        return parse_percentage(percentage, "N")
    except InvalidInput as error:
        raise failed(error.detail, error.next_step) from None


def _last(control: Api, name: str) -> dict[str, Any]:
    found: dict[str, Any] = control.get(f"/deployments/{control.find_deployment(name)}")
    return found


def _nothing_runs(control: Api, service: dict[str, Any], bp: int) -> None:
    """Refuse a share where there is no canary; 0 is what is carried then, and is proven again.

    Raises:
        Refused: There is nothing whose share could be set.
    """
    name = service["name"]
    before = control.get("/deployments", service_id=name, page_size=1)["deployments"]
    last = before[0] if before else None
    if bp == 0 and last and last["status"] == "rolled_back":
        return
    hint = f"Start one: serinus rollout start {name} VERSION --percentage {bp / 100:g}"
    if bp == 0:
        hint = f"Everyone is on {service['stable_version']} already."
        if last and last["status"] == "active":
            hint += f' To take that back: serinus rollout rollback {last["deployment_id"]} --reason "…"'
    raise Refused({"detail": f"No rollout of {name} is running.", "next_step": hint})


def _apply(
    control: Api, steps: Steps, service: dict[str, Any], view: dict[str, Any], bp: int, reason: str
) -> dict[str, Any]:
    share = bp / 100
    steps.console.print(f"  {'weights':<{steps.width}}   {render.traffic_line(view, share)}")
    path = f"/deployments/{view['deployment_id']}"
    proxy = control.get(f"/services/{service['name']}/health")["proxy"] or {}
    if bp == 0:
        why = reason or "weights set 0 by hand"
        moved = control.post(f"{path}/rollback", {"reason": why}, key=uuid.uuid4().hex)
    else:
        moved = control.put(f"{path}/traffic", {"traffic_percentage": share})
    steps.passed("apply", moved["sentence"])
    moved["before"] = proxy.get("at", "")
    return moved  # type: ignore[no-any-return]


def _prove(
    control: Api,
    steps: Steps,
    service: dict[str, Any],
    view: dict[str, Any],
    bp: int,
    edge: str,
    requests: int,
    timeout: float,
) -> bool:
    """Read back, verify, and put what was found on the timeline; tell whether the share is carried."""
    since = view.pop("before", "")
    carried = read_back(
        control, service["name"], bp / 100, since=since, timeout=timeout, clock=time.monotonic
    )
    say = steps.passed if carried.ok else steps.failed
    say("read back", f"{carried.words}, after {carried.seconds:.2f} s" if carried.ok else carried.words)
    if carried.ok and edge:
        seen = verify(edge, service, view, bp, requests)
        (steps.passed if seen.ok else steps.failed)("verify", seen.words)
    elif carried.ok:
        where = "give --url to send real requests" if service["driver"] == "in-process" else "--no-verify"
        steps.say("verify", "skipped", f"not by requests ({where})")
    said = "; ".join(f"{s['step']}: {s['message']}" for s in steps.taken[1:])
    found = {"kind": "verified", "message": f"weights set {bp / 100:g}: {said}"[:2000]}
    control.post(f"/deployments/{view['deployment_id']}/notes", {**found, "data": {"ok": steps.ok}})
    steps.passed("log", f"on the timeline of {view['deployment_id']}, and in the audit log")
    if not steps.ok:
        steps.console.print(
            f"  [dim]next[/]  serinus doctor · serinus rollout status {view['deployment_id']}"
        )
    elif bp == 10_000:
        steps.console.print(f"  [dim]next[/]  serinus rollout promote {view['deployment_id']}")
    return steps.ok
