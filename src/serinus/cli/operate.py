"""``serinus up``, ``doctor``, ``watch``, ``demo``, ``version``."""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from serinus.cli import render
from serinus.cli.client import data_dir, save_profile
from serinus.cli.common import JsonFlag, api, err, failed, handled, lines, out, print_json

__all__ = ["demo", "doctor", "settings_from", "up", "version", "watch"]


def settings_from(**given: Any) -> Any:
    """Return the settings; what is not given comes from the environment."""
    from pydantic import ValidationError

    from serinus.settings import Settings

    known = {name: value for name, value in given.items() if value is not None}
    known.setdefault("data_dir", data_dir())
    try:
        return Settings(**known)
    except ValidationError as error:
        for one in error.errors():
            where = "_".join(str(part) for part in one["loc"])
            err().print(f"[red]✘[/] SERINUS_{where.upper()}: {one['msg']}")
        raise typer.Exit(2) from None


def up(
    host: Annotated[str | None, typer.Option(help="Address to listen on.", envvar="SERINUS_HOST")] = None,
    port: Annotated[int | None, typer.Option(help="Port; 8600 by default.", envvar="SERINUS_PORT")] = None,
    database_url: Annotated[
        str | None, typer.Option(help="sqlite:///… or postgresql://…", envvar="DATABASE_URL")
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option("--data-dir", help="Embedded database and profile.", envvar="SERINUS_DATA_DIR"),
    ] = None,
) -> None:
    """Start the control plane."""
    from serinus.bootstrap.serve import serve
    from serinus.core.errors import SerinusError

    settings = settings_from(host=host, port=port, database_url=database_url, data_dir=data)

    def ready(running: Any, address: str) -> None:
        console = err()
        console.print(f"[green]●[/] Serinus {running.plane.version} answers at [bold]{address}[/]")
        if running.first_token:
            path = save_profile(settings.data_dir.expanduser(), address, running.first_token)
            console.print(f"  admin token (shown only now): {running.first_token}", markup=False)
            console.print(f"  kept for the commands of this machine in {path}", markup=False)
        console.print("  next  serinus dashboard · serinus service create · serinus doctor")

    try:
        serve(settings, ready)
    except SerinusError as error:
        for line in render.problem_lines({"detail": error.detail, "next_step": error.next_step}):
            err().print(line)
        raise typer.Exit(1) from None


def doctor(as_json: JsonFlag = False) -> None:
    """Check proxies, database, channels, monitor and clocks, and say what to do."""
    from serinus.bootstrap.doctor import doctor as examine
    from serinus.core.errors import SerinusError

    try:
        findings = asyncio.run(examine(settings_from()))
    except SerinusError as error:
        for line in render.problem_lines({"detail": error.detail, "next_step": error.next_step}):
            err().print(line)
        raise typer.Exit(1) from None
    if as_json:
        print_json([{"name": f.name, "ok": f.ok, "detail": f.detail, "remedy": f.remedy} for f in findings])
    else:
        for f in findings:
            out().print(f"{'[green]✔[/]' if f.ok else '[red]✘[/]'} {f.name:<26} {escape(f.detail)}")
            if not f.ok and f.remedy:
                out().print(f"  [dim]next[/]  {escape(f.remedy)}")
    raise typer.Exit(0 if all(f.ok for f in findings) else 1)


def watch(
    deployment: Annotated[str, typer.Argument(help="Deployment id, or a service.")],
    once: Annotated[bool, typer.Option("--once", help="Print once and end.")] = False,
    interval: Annotated[float, typer.Option("--interval", min=0.2, help="Seconds between two looks.")] = 1.0,
) -> None:
    """Watch a deployment live: the same content as its page."""
    with handled():
        control = api()
        identity = control.find_deployment(deployment)
        if once or not sys.stdout.isatty():
            lines(render.status_lines(control.get(f"/deployments/{identity}/page")))
            return
        from rich.live import Live
        from rich.text import Text

        with Live(console=out(), refresh_per_second=4) as live:
            while True:
                page = control.get(f"/deployments/{identity}/page")
                live.update(Text.from_markup("\n".join(render.status_lines(page, events=12))))
                if page["deployment"]["status"] != "canary" and not page["deployment"]["watch"]:
                    return
                time.sleep(interval)


def demo(
    speed: Annotated[
        float,
        typer.Option(help="How many times faster than real; 60 makes 15 minutes 15 s.", min=10, max=300),
    ] = 75,
    proxy_name: Annotated[
        str, typer.Option("--proxy", help="Which proxy carries the split: envoy.")
    ] = "envoy",
    headless: Annotated[bool, typer.Option(help="End when it is done instead of staying up.")] = False,
    report: Annotated[Path | None, typer.Option(help="Write the summary as JSON to this file.")] = None,
    rate: Annotated[
        float, typer.Option(help="Requests per second of all simulated users.", min=20, max=1000)
    ] = 150,
) -> None:
    """Run the main job for real: a good release walks to 100 %, a bad one is caught, rolled back and told."""
    try:
        from serinus.demo.run import main
    except ModuleNotFoundError as error:
        raise failed(f"The demo needs its extra ({error.name}): pip install 'serinus[demo]'") from None
    raise typer.Exit(main(speed=speed, proxy=proxy_name, headless=headless, report=report, rate=rate))


def version() -> None:
    """Print the version."""
    from serinus import __version__

    print(__version__)
