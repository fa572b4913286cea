"""``serinus service …``, ``serinus login``, ``serinus dashboard``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from serinus.cli.client import Api, data_dir, save_profile
from serinus.cli.common import JsonFlag, api, failed, handled, out, print_json

__all__ = ["dashboard", "login", "services"]

services = typer.Typer(no_args_is_help=True, help="Things that have versions.")


def _upstreams(given: list[str] | None) -> dict[str, list[str]]:
    made: dict[str, list[str]] = {}
    for one in given or []:
        version, sign, addresses = one.partition("=")
        if not sign or not version or not addresses:
            raise typer.BadParameter(
                f"{one!r}: write VERSION=host:port[,host:port].", param_hint="--upstream"
            )
        made.setdefault(version, []).extend(addresses.split(","))
    return made


def _config(path: Path | None) -> dict[str, Any]:
    if path is None:
        return {}
    try:
        loaded = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise typer.BadParameter(f"{path}: {error}", param_hint="--driver-config") from None
    if not isinstance(loaded, dict):
        raise typer.BadParameter(f"{path}: expected one JSON object.", param_hint="--driver-config")
    return loaded


@services.command("create")
def create_service(
    name: Annotated[str, typer.Argument(help="Its name.")],
    stable: Annotated[str, typer.Option("--stable", help="The version that serves everyone now.")],
    kind: Annotated[str, typer.Option("--kind", help="application, feature or ruleset.")] = "application",
    driver: Annotated[
        str, typer.Option("--driver", help="in-process, envoy, haproxy, nginx, nginx-reload or traefik.")
    ] = "in-process",
    driver_config: Annotated[
        Path | None, typer.Option("--driver-config", help="JSON file with the driver's settings.")
    ] = None,
    upstream: Annotated[
        list[str] | None, typer.Option("--upstream", help="VERSION=host:port; may be repeated.")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Make a service."""
    with handled():
        body = {
            "name": name,
            "kind": kind,
            "stable_version": stable,
            "driver": driver,
            "driver_config": _config(driver_config),
            "upstreams": _upstreams(upstream),
        }
        made = api().post("/services", body)
        if as_json:
            print_json(made)
            return
        out().print(
            f"[green]✔[/] {made['name']} is on {made['stable_version'] or 'no version yet'}.", markup=True
        )
        out().print(f"  next  serinus rollout run --service {made['name']} --version V")


@services.command("list")
def list_services(as_json: JsonFlag = False) -> None:
    """List services."""
    with handled():
        found = api().get("/services")
        if as_json:
            print_json(found)
            return
        for s in found["services"]:
            out().print(f"{s['name']:<24} {s['stable_version'] or '–':<16} {s['kind']:<12} {s['driver']}")
        if not found["services"]:
            out().print("No service yet. Make one: serinus service create NAME --stable V1")


@services.command("show")
def show_service(name: Annotated[str, typer.Argument(help="Name or id.")]) -> None:
    """Show a service with what its proxies carry, as JSON."""
    with handled():
        print_json(api().get(f"/services/{name}"))


@services.command("set-stable")
def set_stable(
    name: Annotated[str, typer.Argument(help="Name or id.")],
    version: Annotated[str, typer.Argument(help="The version that serves everyone now.")],
    as_json: JsonFlag = False,
) -> None:
    """Say which version serves everyone now."""
    with handled():
        made = api().patch(f"/services/{name}", {"stable_version": version})
        if as_json:
            print_json(made)
        else:
            out().print(f"[green]✔[/] {made['name']} is on {made['stable_version']}.")


def login(
    url: Annotated[str, typer.Argument(help="Where the control plane is.")],
    token: Annotated[
        str, typer.Option("--token", prompt=True, hide_input=True, envvar="SERINUS_TOKEN", help="Your token.")
    ],
) -> None:
    """Remember a control plane and a token for the commands that follow."""
    if not url.startswith(("http://", "https://")):
        raise failed(f"{url} is no address of a control plane.", "Write it like http://127.0.0.1:8600")
    with handled():
        who = Api(url, token).get("/whoami")
        save_profile(data_dir(), url, token)
        out().print(f"[green]✔[/] {who['name']} ({who['role']}) at {url}")


def dashboard() -> None:
    """Print a link that opens the dashboard once, within minutes."""
    with handled():
        control = api()
        out().print(control.url + control.post("/login-code")["path"], markup=False)
