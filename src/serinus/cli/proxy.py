"""``serinus proxy config``: what a person puts in place to start a proxy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from serinus.cli import drivers, render
from serinus.cli.common import api, err, failed, handled, out

if TYPE_CHECKING:
    from serinus.bootstrap.proxies import StartWith

__all__ = ["proxy"]

proxy = typer.Typer(no_args_is_help=True, help="Configurations for proxies.")
proxy.command("prometheus")(drivers.prometheus)


@proxy.command("config")
def config(
    driver: Annotated[str, typer.Argument(help="envoy, haproxy, nginx, nginx-reload or traefik.")],
    service: Annotated[
        str | None, typer.Option("--service", help="Whose settings; with --poll, whose split.")
    ] = None,
    file: Annotated[
        Path | None, typer.Option("--driver-config", help="Take the settings of this JSON file instead.")
    ] = None,
    instance: Annotated[
        str | None, typer.Option("--instance", help="Which instance; the first by default.")
    ] = None,
    poll: Annotated[
        str, typer.Option("--poll", "--xds-rest", help="The control plane's URL, which the proxy polls.")
    ] = "",
    into: Annotated[
        Path | None, typer.Option(help="Write every file that a proxy which polls needs into this folder.")
    ] = None,
    token: Annotated[
        str,
        typer.Option("--agent-token", help="What it polls with; for --into.", envvar="SERINUS_AGENT_TOKEN"),
    ] = "",
) -> None:
    """Print what a proxy is started with; what to do with it is said beside it (on stderr)."""
    from serinus.bootstrap.proxies import proxy_start
    from serinus.core.errors import SerinusError

    with handled():
        if poll and not service:
            raise failed("A proxy polls for one service.", "Say which: --service NAME.")
        if into and not poll:
            raise failed("Only a proxy that polls has its files written.", "Leave --into out, or add --poll.")
        settings = _settings(driver, service, file)
        try:
            made = proxy_start(
                driver, settings, instance, poll=poll, service=service or "", token=token if into else ""
            )
        except SerinusError as error:
            for line in render.problem_lines({"detail": error.detail, "next_step": error.next_step}):
                err().print(line)
            raise typer.Exit(2) from None
    if into:
        _write(made, into, token)
    else:
        print(made.text, end="")
    for note in made.notes:
        err().print(f"[dim]#[/] {escape(note)}")


def _settings(driver: str, service: str | None, file: Path | None) -> dict[str, Any]:
    if file is not None:
        try:
            settings = json.loads(file.read_text())
        except (OSError, ValueError) as error:
            raise failed(f"{file}: {error}", "Give one JSON object: the driver's settings.") from None
        if not isinstance(settings, dict):
            raise failed(f"{file}: no JSON object", "Give one JSON object: the driver's settings.")
        return settings
    if service is None:
        raise typer.BadParameter("Give --service or --driver-config.")
    found = api().get(f"/services/{service}")
    config: dict[str, Any] = found["driver_config"]
    if found["driver"] == driver:
        return config
    if found["driver"] != "agents":
        raise failed(
            f"{service} is carried by {found['driver']}, not by {driver}: its settings are another's.",
            f"Give {driver}'s own settings: --driver-config FILE.",
        )
    polled: dict[str, dict[str, Any]] = config.get("polled", {})
    if driver not in polled:
        raise failed(
            f"{service} is carried by agents; it has no settings for a {driver} that polls.",
            f'Add "polled": {{"{driver}": {{}}}} to its driver_config, or give the proxy\'s own settings: '
            "--driver-config FILE.",
        )
    return polled[driver]


def _write(made: StartWith, folder: Path, token: str) -> None:
    """Write the files; those with the token for this user only."""
    if not token:
        raise failed(
            "Every file is written, the token too.", "Give it as --agent-token or SERINUS_AGENT_TOKEN."
        )
    for name, text in {made.file: made.text, **made.others}.items():
        path = folder / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
            path.chmod(0o600 if name in made.secret else 0o644)
            path.write_text(text)
        except OSError as error:
            raise failed(f"{path}: {error.strerror}", "Choose a folder that this user may write.") from None
        out().print(f"[green]✔[/] {escape(str(path))}")
