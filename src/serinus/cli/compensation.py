"""``serinus compensation``: what rollbacks have left to undo."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Annotated, Any

import typer
from rich.markup import escape

from serinus.cli.client import Api, Refused
from serinus.cli.common import JsonFlag, api, err, handled, lines, print_json
from serinus.cli.compensated import compensation_line, compensation_lines

__all__ = ["compensation"]

compensation = typer.Typer(no_args_is_help=True, help="What rollbacks have to undo.")

Named = Annotated[str, typer.Argument(help="Deployment id, or a service.")]
Item = Annotated[
    str | None,
    typer.Argument(help="step-2, deployment or task; may be left out when there is only one to choose."),
]


@compensation.command("list")
def list_(as_json: JsonFlag = False) -> None:
    """List everything that is not undone yet, of all deployments."""
    with handled():
        found = api().get("/compensations")["compensations"]
    if as_json:
        print_json(found)
        return
    lines(
        f"{compensation_line(one)}  [dim]{one['deployment_id']} {escape(one['service'])}[/]" for one in found
    )
    if not found:
        err().print("Nothing is left to undo.")


@compensation.command("show")
def show(deployment: Named, as_json: JsonFlag = False) -> None:
    """Show what a deployment's rollback undoes, in order, and how far it is."""
    with handled():
        control = api()
        found = control.get(f"/deployments/{control.find_deployment(deployment)}/compensation")
    _print(found, as_json)


@compensation.command("retry")
def retry(deployment: Named, item: Item = None, as_json: JsonFlag = False) -> None:
    """Try one again that was given up; what waits for it follows."""
    with handled():
        control = api()
        identity = control.find_deployment(deployment)
        name = item or _only(control, identity, "was given up", lambda one: one["state"] == "failed")
        found = control.post(f"/deployments/{identity}/compensation/{name}/retry", key=uuid.uuid4().hex)
    _print(found, as_json)


@compensation.command("complete")
def complete(
    deployment: Named,
    note: Annotated[str, typer.Option("--note", help="What was done, in one sentence.")],
    item: Item = None,
    as_json: JsonFlag = False,
) -> None:
    """Say that a task, or what a hook could not do, was done by hand."""
    with handled():
        control = api()
        identity = control.find_deployment(deployment)
        name = item or _only(control, identity, "waits for a person", _waits_for_person)
        path = f"/deployments/{identity}/compensation/{name}/complete"
        found = control.post(path, {"note": note}, key=uuid.uuid4().hex)
    _print(found, as_json)


def _waits_for_person(one: dict[str, Any]) -> bool:
    return bool(one["state"] == "failed" or (one["by_hand"] and one["state"] == "pending"))


def _only(control: Api, identity: str, what: str, fits: Callable[[dict[str, Any]], bool]) -> str:
    """Return the name of the only one that fits.

    Raises:
        Refused: There are none, or several.
    """
    items = control.get(f"/deployments/{identity}/compensation")["items"]
    names = [str(one["name"]) for one in items if fits(one)]
    if len(names) == 1:
        return names[0]
    found = f"Several fit: {', '.join(names)}." if names else f"Nothing of {identity} {what}."
    help_ = "Say which." if names else f"serinus compensation show {identity}"
    raise Refused({"detail": found, "next_step": help_})


def _print(found: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(found)
    elif found["items"]:
        lines(compensation_lines(found))
    else:
        err().print("Nothing of it is compensated.")
