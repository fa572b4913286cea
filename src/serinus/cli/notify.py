"""``serinus notify``: what people were told about a deployment, and whether the channels work."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import typer
from rich.markup import escape

from serinus.cli import render
from serinus.cli.common import JsonFlag, api, err, handled, lines, out, print_json
from serinus.cli.operate import settings_from

__all__ = ["notify"]

notify = typer.Typer(no_args_is_help=True, help="Telling people.")

#: A sign and its colour by state.
_SIGNS = {
    "sent": "[green]✔[/]",
    "pending": "[yellow]…[/]",
    "failed": "[red]✘[/]",
    "held": "[yellow]⏸[/]",
    "grouped": "[dim]≡[/]",
    "off": "[dim]–[/]",
}


@notify.command("list")
def notify_list(
    deployment: Annotated[str, typer.Argument(help="Deployment id, or a service.")],
    as_json: JsonFlag = False,
) -> None:
    """List what was told about a deployment, to whom, and what became of it."""
    with handled():
        control = api()
        identity = control.find_deployment(deployment)
        found = control.get(f"/deployments/{identity}/notifications")["notifications"]
    if as_json:
        print_json(found)
        return
    lines(_line(one) for one in found)
    if not found:
        err().print("Nobody was told anything yet.")


@notify.command("show")
def notify_show(
    notification: Annotated[str, typer.Argument(help="Its id, from `serinus notify list`.")],
    as_json: JsonFlag = False,
) -> None:
    """Show one notification: what it says and what became of it."""
    with handled():
        # An id begins with its deployment's.
        deployment = notification.partition(".")[0]
        one = api().get(f"/deployments/{deployment}/notifications/{notification}")
    if as_json:
        print_json(one)
        return
    shown = [_line(one), "", f"[bold]{escape(one['title'])}[/]", escape(one["text"])]
    shown += [f"  [dim]{escape(f['name'])}[/]  {escape(f['value'])}" for f in one["fields"]]
    shown += [escape(one["link"])] if one["link"] else []
    shown += [f"[dim]summed up in[/] {one['summary_id']}"] if one["summary_id"] else []
    lines(shown)


@notify.command("test")
def notify_test(
    channel: Annotated[
        str | None, typer.Argument(help="Only this one: slack, email, pagerduty, twilio, webhook, apprise.")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Send a test message to every configured channel, and say what became of it."""
    from serinus.bootstrap.doctor import try_channels
    from serinus.core.errors import SerinusError

    try:
        answers, off = asyncio.run(try_channels(settings_from(), channel))
    except SerinusError as error:
        for line in render.problem_lines({"detail": error.detail, "next_step": error.next_step}):
            err().print(line)
        raise typer.Exit(1) from None
    if as_json:
        print_json({name: not why for name, why in answers.items()})
    else:
        for name, why in answers.items():
            out().print(f"[red]✘[/] {name:<9} {escape(why)}" if why else f"[green]✔[/] {name:<9} sent")
        for name, why in off.items():
            out().print(f"[dim]– {name:<9} off: {escape(why)}[/]")
    if not answers:
        err().print("No channel is configured: docs/notifications.md says how.")
    raise typer.Exit(0 if answers and not any(answers.values()) else 1)


def _line(one: dict[str, Any]) -> str:
    at = one["done_at"] or one["next_attempt_at"] or one["created_at"]
    tries = f" · {one['attempts']} tries" if one["attempts"] > 1 else ""
    said = f"  [dim]{escape(one['error'])}[/]" if one["error"] else ""
    return (
        f"{_SIGNS.get(one['state'], '?')} {one['state']:<8} {escape(one['channel']):<9} "
        f"{escape(one['title'])}  [dim]{one['id']} · {at}{tries}[/]{said}"
    )
