"""``serinus freeze``: times in which a tenant rolls nothing out, or some of its services."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import quote

import typer

from serinus.cli.common import JsonFlag, WhyOption, api, handled, lines, out, print_json

__all__ = ["app"]

app = typer.Typer(
    no_args_is_help=True, help="Times in which nothing is rolled out. Rollbacks are never frozen."
)

Name = Annotated[str, typer.Argument(help="The freeze's name.")]


@app.command("set")
def set_(
    name: Name,
    from_: Annotated[str, typer.Option("--from", help='"fri 16:00", "20:00" or "2026-12-20 00:00".')],
    until: Annotated[str, typer.Option("--until", help="Written alike.")],
    reason: WhyOption = "",
    day: Annotated[
        list[str] | None, typer.Option("--day", help="With clock times: a day on which it begins; repeat.")
    ] = None,
    zone: Annotated[str, typer.Option("--zone", help="Time zone, such as Europe/Berlin.")] = "UTC",
    service: Annotated[
        list[str] | None, typer.Option("--service", help="Only this service, with *; repeat.")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Set a freeze, in place of one of that name; needs the role admin."""
    with handled():
        body = {
            "from": from_,
            "until": until,
            "days": day or [],
            "zone": zone,
            "services": service or [],
            "reason": reason,
        }
        view = api().put(f"/freezes/{quote(name, safe='')}", body)
        if as_json:
            print_json(view)
        else:
            _show(view)


@app.command("list")
def list_(as_json: JsonFlag = False) -> None:
    """List the freezes, and which is on."""
    with handled():
        found = api().get("/freezes")
        if as_json:
            print_json(found)
        elif not found["freezes"]:
            lines(["No freeze. Set one: serinus freeze set NAME --from … --until … --reason …"])
        else:
            for view in found["freezes"]:
                _show(view)


@app.command()
def remove(name: Name) -> None:
    """Remove a freeze; needs the role admin."""
    with handled():
        api().delete(f"/freezes/{quote(name, safe='')}")
        out().print(f"The freeze {name!r} is removed.", markup=False)


def _show(view: dict[str, Any]) -> None:
    console = out()
    console.print("[yellow]❄ on[/] " if view["on"] else "[dim]· off[/] ", end="")
    whom = ", ".join(view["services"]) or "every service"
    console.print(f"{view['name']}: {view['words']}, {whom}", markup=False)
    until = f" until {view['frozen_until'][:16].replace('T', ' ')} UTC" if view["on"] else ""
    console.print(f"  {view['reason']} ({view['created_by']}){until}", markup=False)
