"""``serinus secret`` and ``serinus keys``: secrets in the database, and what they are sealed with.

They work on the database itself: for whoever operates the control plane, on a machine that has its settings.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Annotated

import typer

from serinus.cli.common import JsonFlag, err, explained, out, print_json
from serinus.cli.operate import settings_from

__all__ = ["keys", "secrets"]

secrets = typer.Typer(
    no_args_is_help=True, help="Secrets of channels, sources and hooks, sealed in the database."
)
keys = typer.Typer(no_args_is_help=True, help="The keys that secrets are sealed with.")

NameArgument = Annotated[str, typer.Argument(help="The variable that it stands for: SLACK_WEBHOOK_URL.")]


@secrets.command("set")
def set_secret(name: NameArgument) -> None:
    """Store a secret that is given on standard input."""
    from serinus.bootstrap import local

    async def work() -> str:
        settings = settings_from()
        local.check_name(name)
        ring = local.key_ring(settings)
        async with local.vault(settings) as vault:
            return (await vault.set(ring, name, _asked(name))).key_id

    with explained():
        key = asyncio.run(work())
        out().print(f"[green]✔[/] {name} is stored, sealed with the key {key}.")
        err().print("  next  restart the control plane: secrets are read at its start.")


def _asked(name: str) -> str:
    """Return what is typed without an echo, or what is piped in, without the newline that ends it."""
    if sys.stdin.isatty():
        return str(typer.prompt(name, hide_input=True))
    return sys.stdin.read().removesuffix("\n").removesuffix("\r")


@secrets.command("list")
def list_secrets(as_json: JsonFlag = False) -> None:
    """List what is stored: names, keys and times, never values."""
    from serinus.bootstrap import local

    async def work() -> list[dict[str, str]]:
        async with local.vault(settings_from()) as vault:
            return [
                {"name": s.name, "key": s.key_id, "set_at": s.set_at.isoformat(timespec="seconds")}
                for s in await vault.all()
            ]

    with explained():
        found = asyncio.run(work())
    if as_json:
        print_json(found)
        return
    for one in found:
        out().print(f"{one['name']:<40} key {one['key']}  {one['set_at']}", markup=False)
    if not found:
        err().print("There is none. Store one: serinus secret set NAME < file")


@secrets.command("unset")
def unset_secret(name: NameArgument) -> None:
    """Forget a stored secret."""
    from serinus.bootstrap import local

    async def work() -> None:
        async with local.vault(settings_from()) as vault:
            await vault.unset(name)

    with explained():
        asyncio.run(work())
        out().print(f"[green]✔[/] {name} is forgotten.")


@keys.command("new")
def new_key(
    show: Annotated[
        bool, typer.Option("--print", help="Only print it, for SERINUS_KEYS or a secret store.")
    ] = False,
) -> None:
    """Make a key and put it at the front of the key file: from now on it seals."""
    from serinus.bootstrap import local

    if show:
        out().print(local.new_key(), markup=False)
        return
    with explained():
        settings = settings_from()
        path = local.add_key(settings)
        out().print(f"[green]✔[/] The key {local.key_ring(settings).ids[0]} is in {path}.")
        err().print("  next  keep a copy apart from the database's; every replica needs the same file.")


@keys.command("list")
def list_keys(as_json: JsonFlag = False) -> None:
    """List the ring's keys by their fingerprints, newest first, and how many secrets each seals."""
    from serinus.bootstrap import local

    async def work() -> list[dict[str, object]]:
        settings = settings_from()
        ring = local.key_ring(settings)
        async with local.vault(settings) as vault:
            sealed = [s.key_id for s in await vault.all()]
        absent = sorted(set(sealed) - set(ring.ids))
        return [
            {"key": key, "secrets": sealed.count(key), "in_ring": key in ring.ids}
            for key in (*ring.ids, *absent)
        ]

    with explained():
        found = asyncio.run(work())
    if as_json:
        print_json(found)
        return
    for at, one in enumerate(found):
        use = f"{one['secrets']} secrets" if one["secrets"] else "nothing"
        said = "" if one["in_ring"] else "  [red]✘ not in the ring[/]"
        out().print(f"{one['key']}  seals {use}{'  (the newest)' if not at else ''}{said}")


@keys.command("rotate")
def rotate() -> None:
    """Seal every stored secret with the newest key; after that the others can go."""
    from serinus.bootstrap import local

    async def work() -> tuple[int, tuple[str, ...]]:
        settings = settings_from()
        ring = local.key_ring(settings)
        async with local.vault(settings) as vault:
            return await vault.rotate(ring), ring.ids

    with explained():
        changed, (newest, *others) = asyncio.run(work())
        out().print(f"[green]✔[/] {changed} sealed anew; all are sealed with the key {newest}.")
        if others:
            err().print(f"  next  restart every replica with this ring, then take out {', '.join(others)}.")
