"""``serinus release-set``: several services that are released together, or one in region after region."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from serinus.cli.client import Api, Refused
from serinus.cli.common import JsonFlag, WhyOption, api, err, handled, lines, out, print_json
from serinus.cli.policy_files import Wrong, read_as
from serinus.core.codec import to_json
from serinus.core.policy.release_sets import release_set_from

__all__ = ["app"]

app = typer.Typer(
    no_args_is_help=True, help="Release several services together, or one in region after region."
)

Named = Annotated[str, typer.Argument(help="Release set id, or its name; left out: the newest.")]
Reason = Annotated[str, typer.Option("--reason", help="Why; it is written down with your name.")]

#: Sign and colour per state.
STATES = {
    "running": ("◐", "yellow"),
    "watched": ("◉", "green"),
    "done": ("●", "green"),
    "rolling_back": ("↩", "red"),
    "rolled_back": ("↩", "red"),
}
_MARKS = {"done": "[green]✔[/]", "now": "[yellow]▶[/]", "todo": "[dim]○[/]", "back": "[red]↩[/]"}
_STATUS = {"": "[dim]not begun[/]", "canary": "running", "rolled_back": "[red]rolled back[/]"}


@app.command()
def start(
    file: Annotated[Path, typer.Argument(help="YAML or JSON file with its members, or its waves.")],
    as_json: JsonFlag = False,
) -> None:
    """Check a release set whole, and start it."""
    with handled():
        try:
            data = read_as(file, _checked)
        except Wrong as wrong:
            err().print(str(wrong), markup=False, soft_wrap=True)
            raise typer.Exit(2) from None
        _show(api().post("/release-sets", data, key=uuid.uuid4().hex), as_json)


def _checked(data: Any) -> dict[str, Any]:
    release_set_from(data)
    return dict(to_json(data))


@app.command("list")
def list_(
    state: Annotated[str | None, typer.Option("--state", help="Only in this state.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """List release sets, newest first."""
    with handled():
        found = api().get("/release-sets", state=state)
        if as_json:
            print_json(found)
            return
        if not found["release_sets"]:
            lines(["No release set yet. Start one: serinus release-set start FILE"])
        for view in found["release_sets"]:
            _head(view)


@app.command()
def status(release_set: Named = "", as_json: JsonFlag = False) -> None:
    """Show a release set: its members in their order, and its timeline."""
    with handled():
        control = api()
        path = f"/release-sets/{_find(control, release_set)}"
        view, events = control.get(path), control.get(f"{path}/events", limit=1000)["events"]
        if as_json:
            print_json({**view, "events": events})
            return
        _show(view, as_json)
        console = out()
        console.print("\n[bold]Timeline[/]")
        for e in events[-20:]:
            console.print(f"  [dim]{e['at'][11:19]}[/] ", end="")
            console.print(f"{e['message']}  ({e['actor']})", markup=False)


@app.command()
def approve(release_set: Named = "", reason: Reason = "", as_json: JsonFlag = False) -> None:
    """Let the next stage begin."""
    _act(release_set, "approve", {"reason": reason}, as_json)


@app.command()
def promote(release_set: Named = "", reason: Reason = "", as_json: JsonFlag = False) -> None:
    """Have the present stage promoted, where that waits for a person."""
    _act(release_set, "promote", {"reason": reason}, as_json)


@app.command()
def pause(release_set: Named = "", as_json: JsonFlag = False) -> None:
    """Begin and promote nothing more; automatic rollback stays on."""
    _act(release_set, "pause", {}, as_json)


@app.command()
def resume(release_set: Named = "", as_json: JsonFlag = False) -> None:
    """Go on where it was paused, or after the harm that held it."""
    _act(release_set, "resume", {}, as_json)


@app.command()
def rollback(
    release_set: Named = "",
    reason: WhyOption = "",
    as_json: JsonFlag = False,
) -> None:
    """Roll back every member, the last first."""
    _act(release_set, "rollback", {"reason": reason}, as_json)


def _act(release_set: str, action: str, body: dict[str, Any], as_json: bool) -> None:
    with handled():
        control = api()
        path = f"/release-sets/{_find(control, release_set)}/{action}"
        _show(control.post(path, body, key=uuid.uuid4().hex), as_json)


def _find(control: Api, named: str) -> str:
    """Return a set's id for an id or a name; the newest of that name, or of all."""
    if named.startswith("set_"):
        return named
    found = control.get("/release-sets", page_size=500)["release_sets"]
    for view in found:
        if named in ("", view["name"]):
            return str(view["release_set_id"])
    what = f"There is no release set {named!r}." if named else "There is no release set yet."
    raise Refused({"detail": what, "next_step": "`serinus release-set list` shows what there is."})


def _show(view: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(view)
        return
    _head(view)
    console = out()
    for stage in view["stages"]:
        noun = "Wave" if view["kind"] == "waves" else "Stage"
        name = f" ({escape(stage['name'])})" if stage["name"] else ""
        after = ""
        if stage["number"] < len(view["stages"]):
            bake = f"bakes {stage['bake_seconds']:g} s" if stage["bake_seconds"] else ""
            gate = f"gate: {stage['gate']}" if stage["gate"] else ""
            after = "  [dim]then " + ", ".join(part for part in (bake, gate) if part) + "[/]"
        after = after if after != "  [dim]then [/]" else ""
        console.print(f"  {_MARKS[stage['state']]} {noun} {stage['number']}{name}{after}")
        for m in stage["members"]:
            state = _STATUS.get(m["status"], m["status"])
            share = f" at {m['traffic_percentage']:g} %" if m["status"] == "canary" else ""
            console.print(
                f"      {m['service']} {m['version']}  {state}{share}  [dim]{m['deployment_id'] or ''}[/]"
            )


def _head(view: dict[str, Any]) -> None:
    sign, colour = STATES[view["state"]]
    console = out()
    console.print(f"[{colour}]{sign} {view['state'].replace('_', ' ')}[/] ", end="")
    console.print(view["name"], markup=False, end="")
    console.print(f"  [dim]{view['release_set_id']}[/]")
    console.print(f"  {view['sentence']}", markup=False)
