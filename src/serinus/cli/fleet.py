"""``serinus agent`` and ``serinus fleet …``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from serinus.cli import render
from serinus.cli.client import data_dir
from serinus.cli.common import JsonFlag, api, err, failed, handled, out, print_json
from serinus.core.policy.units import number_of

__all__ = ["agent", "fleet"]

fleet = typer.Typer(no_args_is_help=True, help="Proxies on other hosts, each with an agent beside it.")

_MARKS = {"follows": "[green]✔[/]", "pending": "[yellow]…[/]"}


def agent(
    service: Annotated[str, typer.Option(help="The service whose split is carried here.")],
    instance: Annotated[str, typer.Option(help="The name of this instance in the fleet, like edge-1.")],
    driver: Annotated[str, typer.Option(help="What carries it: envoy, haproxy, nginx, traefik …")],
    file: Annotated[Path, typer.Option("--driver-config", help="JSON file with that driver's settings.")],
    url: Annotated[str, typer.Option(help="The control plane.", envvar="SERINUS_URL")],
    token: Annotated[
        str, typer.Option(help="A token with the role agent.", envvar="SERINUS_TOKEN", show_envvar=True)
    ],
    state: Annotated[
        Path | None, typer.Option("--state", help="Keeps the last split; in the data folder by default.")
    ] = None,
    log_level: Annotated[
        str, typer.Option(help="debug, info, warning.", envvar="SERINUS_LOG_LEVEL")
    ] = "info",
) -> None:
    """Carry a service's split by the proxy beside this process, and say what is carried."""
    from serinus.bootstrap.agent import AgentSettings, run_agent
    from serinus.core.errors import SerinusError

    try:
        config = json.loads(file.read_text())
    except (OSError, ValueError) as error:
        raise failed(f"{file}: {error}", "Give one JSON object; docs/fleets.md shows it.") from None
    settings = AgentSettings(
        url=url,
        token=token,
        service=service,
        instance=instance,
        driver=driver,
        driver_config=config,
        state=state or data_dir() / "agents" / f"{_plain(service)}-{_plain(instance)}.json",
        log_level=log_level,
    )
    try:
        run_agent(settings)
    except SerinusError as error:
        for line in render.problem_lines({"detail": error.detail, "next_step": error.next_step}):
            err().print(line)
        raise typer.Exit(2) from None


def _plain(name: str) -> str:
    """Return a name as part of a file's name.

    >>> _plain("shop/check out")
    'shop_check_out'
    """
    return "".join(c if c.isalnum() or c in "-." else "_" for c in name)


@fleet.command("list")
def list_instances(
    service: Annotated[str | None, typer.Option("--service", help="Only this one.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """List instances: what each carries, since when it does not follow, and why. Exit 1 if one does not."""
    with handled():
        found = _fleets(service)
        if as_json:
            print_json({"fleets": found})
        for one in [] if as_json else found:
            there = sum(i["seen_at"] is not None for i in one["instances"])
            out().print(f"[bold]{escape(one['service'])}[/]  {number_of(there, 'instance')}")
            for i in one["instances"]:
                out().print(_line(i))
        if not found and not as_json:
            out().print('No service is carried by agents. docs/fleets.md shows how: driver "agents".')
    if any(not i["ok"] for one in found for i in one["instances"]):
        raise typer.Exit(1)


def _line(i: dict[str, Any]) -> str:
    share = "–" if i["carried_percentage"] is None else f"{i['carried_percentage']:g} %"
    mark = _MARKS.get(i["state"], "[red]✘[/]")
    who = f"{i['driver']}, polls" if i["polls"] else i["driver"]
    words = f"{i['name']:<20} {i['state']:<8} {share:>7}  {who:<8} {i['problem']}"
    return f"{mark} {escape(words.rstrip())}"


def _fleets(service: str | None) -> list[dict[str, Any]]:
    control = api()
    names = (
        [service]
        if service
        else [s["name"] for s in control.get("/services")["services"] if s["driver"] == "agents"]
    )
    return [control.get(f"/services/{name}/instances") for name in names]


@fleet.command("forget")
def forget(
    name: Annotated[str, typer.Argument(help="The instance that is gone for good.")],
    service: Annotated[
        str | None, typer.Option("--service", help="Whose; needed where several have this name.")
    ] = None,
) -> None:
    """Forget an instance, so that nothing waits for it any more. One that still runs comes back."""
    with handled():
        mine = [one["service"] for one in _fleets(service) if name in {i["name"] for i in one["instances"]}]
        if len(mine) > 1:
            raise failed(f"{', '.join(mine)} each have an instance {name}.", "Say which: --service NAME.")
        if not mine:
            raise failed(f"There is no instance {name}.", "`serinus fleet list` shows what there is.")
        api().delete(f"/services/{mine[0]}/instances/{name}")
        out().print(f"[green]✔[/] {escape(name)} of {escape(mine[0])} is forgotten.")
