"""``serinus assignment …``: who is on which side and why, by hand if need be."""

from __future__ import annotations

import uuid
from typing import Annotated, Any

import typer
from rich.markup import escape

from serinus.cli.common import JsonFlag, api, failed, handled, lines, out, print_json

__all__ = ["assignments"]

assignments = typer.Typer(no_args_is_help=True, help="Units: who is on which side of a canary, and why.")

Named = Annotated[str, typer.Argument(help="Deployment id, or a service.")]
User = Annotated[str, typer.Option("--user", help="A user's id.")]
Session = Annotated[str, typer.Option("--session", help="A session's id.")]
Workflow = Annotated[str, typer.Option("--workflow", help="A workflow's id.")]
Reason = Annotated[str, typer.Option("--reason", help="Why; it is written down with your name.")]

_WHY = {
    "hash": "by the hash",
    "named": "named at the start",
    "kept": "stays: it was on the canary when the share shrank",
    "by_hand": "by hand",
    "breaker": "the breaker is open: everyone is on stable",
    "going_back": "a rollback is under way",
}
_COLOURS = {"canary": "yellow", "stable": "green"}


def _unit(user: str, session: str, workflow: str) -> dict[str, str]:
    given = {"workflow_id": workflow, "session_id": session, "user_id": user}
    return {name: key for name, key in given.items() if key}


@assignments.command("list")
def listed(
    deployment: Named,
    user: User = "",
    session: Session = "",
    workflow: Workflow = "",
    page: Annotated[int, typer.Option(help="Which page.", min=1)] = 1,
    size: Annotated[int, typer.Option("--page-size", help="How many on one.", min=1, max=500)] = 50,
    as_json: JsonFlag = False,
) -> None:
    """List units by hand, then those that were on the canary; or say where one unit is, and why."""
    with handled():
        control = api()
        path = f"/deployments/{control.find_deployment(deployment)}/assignments"
        asked = _unit(user, session, workflow)
        found = control.get(path, page=page, page_size=size, **asked)
        if as_json:
            print_json(found)
        elif asked and "unit" in found:
            out().print(_where(next(iter(asked.values())), found["unit"]))
        else:
            lines(_lines(found))


def _where(key: str, where: dict[str, Any]) -> str:
    side, place = where["side"], where["place_percentage"]
    return (
        f"{escape(key)} is on [{_COLOURS[side]}]{side}[/]: {_WHY[where['why']]} "
        f"[dim](on the canary above {place:g} % of traffic)[/]"
    )


def _lines(found: dict[str, Any]) -> list[str]:
    if not found["total"]:
        return ["Nobody is assigned: no unit has been on the canary yet, or nothing is rolling out."]
    rows = []
    for a in found["assignments"]:
        key, side = a[a["priority"]], a["side"]
        by = f" ({escape(a['by'])}: {escape(a['reason'] or 'no reason')})" if a["why"] == "by_hand" else ""
        rows.append(
            f"[{_COLOURS[side]}]{side:<6}[/]  {a['priority'].removesuffix('_id'):<8} {escape(key):<36} "
            f"[dim]{a['assigned_at']}[/]  {_WHY[a['why']]}{by}"
        )
    first = (found["page"] - 1) * found["page_size"]
    shown = f"{first + 1}-{first + len(rows)} of {found['total']:,}" if rows else f"of {found['total']:,}"
    return [*rows, f"[dim]{shown} units[/]"]


@assignments.command()
def place(
    deployment: Named,
    to: Annotated[str, typer.Option("--to", help="canary or stable.")],
    user: User = "",
    session: Session = "",
    workflow: Workflow = "",
    reason: Reason = "",
    as_json: JsonFlag = False,
) -> None:
    """Put one unit on a side, whatever the hash says. A rollback or a promotion ends it."""
    with handled():
        if to not in _COLOURS:
            raise failed(f"{to} is no side.", "Use --to canary or --to stable.")
        control = api()
        path = f"/deployments/{control.find_deployment(deployment)}/assignments"
        body = {**_unit(user, session, workflow), "to": to, "reason": reason}
        made = control.post(path, body, key=uuid.uuid4().hex)
        if as_json:
            print_json(made)
        else:
            key = escape(user or session or workflow)
            out().print(f"[green]✔[/] {key} is on {to} by hand, everywhere within a second or two.")


@assignments.command()
def reset(
    deployment: Named,
    user: User = "",
    session: Session = "",
    workflow: Workflow = "",
    everyone: Annotated[bool, typer.Option("--everyone", help="All units.")] = False,
    reason: Reason = "",
    as_json: JsonFlag = False,
) -> None:
    """Let the hash decide again, by the present share: for one unit, or for everyone."""
    with handled():
        control = api()
        path = f"/deployments/{control.find_deployment(deployment)}/assignments/reset"
        body = {**_unit(user, session, workflow), "everyone": everyone, "reason": reason}
        done = control.post(path, body, key=uuid.uuid4().hex)
        if as_json:
            print_json(done)
        elif everyone:
            some = "1 unit" if done["reset"] == 1 else f"{done['reset']:,} units"
            out().print(f"[green]✔[/] {some} reset: the hash decides, by the present share.")
        else:
            out().print(f"[green]✔[/] {_where(user or session or workflow, done['unit'])}")
