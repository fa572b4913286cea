"""``serinus audit``: who did what, and whether the log is as it was written."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from serinus.cli.common import JsonFlag, api, err, explained, failed, handled, out, print_json
from serinus.cli.operate import settings_from

__all__ = ["audit"]

audit = typer.Typer(no_args_is_help=True, help="Who did what.")


@audit.command("list")
def list_entries(
    page: Annotated[int, typer.Option("--page", min=1, help="Which page; the newest entries are on 1.")] = 1,
    size: Annotated[int, typer.Option("--size", min=1, max=500, help="Entries of a page.")] = 50,
    as_json: JsonFlag = False,
) -> None:
    """List who did what, newest first. Admins only."""
    with handled():
        found = api().get("/audit", page=page, page_size=size)
        if as_json:
            print_json(found)
            return
        for e in found["audit"]:
            mark = "[green]✔[/]" if e["outcome"] == "ok" else f"[red]✘ {e['outcome']}[/]"
            said = (
                f"{e['seq']:>8}  {e['at'][:19].replace('T', ' ')}  {e['actor']}  {e['action']} {e['target']}"
            )
            out().print(f"{escape(said)}  {mark}")
        err().print(f"{found['total']} entries.")


@audit.command("head")
def show_head() -> None:
    """Print the last entry's number and hash as JSON: keep it where the database's owners cannot write."""
    with handled():
        print_json(api().get("/audit/head"))


@audit.command("verify")
def verify(
    head: Annotated[
        list[Path] | None,
        typer.Option("--head", help="A file that `serinus audit head` was kept in; may be repeated."),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Go over the log in the database; name the first entry that does not fit, and exit with 1."""
    from serinus.bootstrap import local

    kept = dict(map(_kept, head or ()))

    async def work() -> Any:
        async with local.opened(settings_from()) as store:
            return await local.verify(store, {name: local.AuditHead(**h) for name, h in kept.items()})

    with explained():
        found = asyncio.run(work())
    if as_json:
        print_json([_told(one) for one in found])
    else:
        for one in found:
            if one.broken:
                out().print(
                    f"[red]✘[/] {escape(one.tenant)}: entry {one.broken.seq}: {escape(one.broken.why)}."
                )
            else:
                known = ", the kept head among them" if one.tenant in kept else ""
                out().print(f"[green]✔[/] {escape(one.tenant)}: {one.head.seq} entries fit{known}.")
    raise typer.Exit(1 if any(one.broken for one in found) else 0)


def _kept(path: Path) -> tuple[str, Mapping[str, Any]]:
    try:
        read = json.loads(path.read_text())
        return str(read["tenant"]), {"seq": int(read["seq"]), "hash": str(read["hash"])}
    except (OSError, ValueError, KeyError, TypeError):
        raise failed(f"{path} is no head.", "Give a file that `serinus audit head` has printed.") from None


def _told(one: Any) -> dict[str, Any]:
    broken = {"seq": one.broken.seq, "why": one.broken.why} if one.broken else None
    return {"tenant": one.tenant, "entries": one.head.seq, "hash": one.head.hash, "broken": broken}
