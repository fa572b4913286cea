"""Talking to a running HAProxy through its runtime API, over a Unix socket or TCP."""

from __future__ import annotations

import asyncio
import csv
import io
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from serinus.drivers._address import split_address

__all__ = ["Refused", "Runtime", "Server", "Unreachable"]

#: The runtime API of a process on the same host answers in milliseconds.
TIMEOUT_SECONDS = 2.0
#: A line, or a payload, has to fit in HAProxy's buffer of 16 KiB.
MOST_BYTES = 8_000
#: Bit of ``srv_admin_state``: in maintenance because somebody said so.
_FORCED_MAINTENANCE = 0x01


class Unreachable(Exception):
    """This HAProxy does not answer."""


class Refused(Exception):
    """This HAProxy answered a change with something else than a yes; the message is in its words."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Server:
    """One server as it is in force."""

    address: str
    port: int
    #: It may get requests: no maintenance.
    ready: bool
    #: HAProxy's own health checks, if any, do not say otherwise.
    up: bool


class Runtime:
    """One HAProxy's runtime API. Every exchange is a connection of its own, as HAProxy closes them."""

    def __init__(self, admin: str) -> None:
        """``admin``: a socket's absolute path, or host:port."""
        self.admin = admin

    async def info(self) -> dict[str, str]:
        """Return version, start and description."""
        lines = (line.partition(":") for line in (await self.ask("show info")).splitlines())
        return {name.strip(): value.strip() for name, colon, value in lines if colon}

    async def map(self, file: str) -> dict[str, str]:
        """Return what a map holds."""
        text = await self.ask(f"show map {file}")
        if "Unknown map" in text:
            raise Refused(f"it has no {file}")
        made = {}
        for line in text.splitlines():
            parts = line.split(" ", 2)  # an internal address, the key, the value
            if len(parts) == 3:
                made[parts[1]] = parts[2].strip()
        return made

    async def replace_map(self, file: str, entries: Mapping[str, str]) -> None:
        """Exchange everything that a map holds at once: no request sees half of it.

        Raises:
            Refused: It did not take it; what was in force stays so.
        """
        made = await self.ask(f"prepare map {file}")
        version = made.rpartition(":")[2].strip()
        if not version.isdigit():
            raise Refused(made.strip()[:200])
        for some in _portions(f"{key} {value}\n" for key, value in entries.items()):
            # An empty line ends a payload, and ``ask`` ends this line.
            await self._change(f"add map @{version} {file} <<\n{some}")
        await self._change(f"commit map @{version} {file}")

    async def servers(self) -> dict[str, Server]:
        """Return every server as ``backend/server``."""
        lines = (await self.ask("show servers state")).splitlines()
        head = next((line for line in lines if line.startswith("# ")), "").split()[1:]
        made = {}
        for line in lines:
            values = line.split()
            if line.startswith("#") or len(values) < 2:
                continue
            row = dict(zip(head, values, strict=False))
            made[f"{row['be_name']}/{row['srv_name']}"] = Server(
                address=row["srv_addr"],
                port=int(row["srv_port"]),
                ready=not int(row["srv_admin_state"]) & _FORCED_MAINTENANCE,
                up=row["srv_op_state"] != "0",
            )
        return made

    async def aborts(self) -> dict[str, int]:
        """Return, per ``backend/server``, how many answers ended before their end."""
        text = await self.ask("show stat -1 4 -1")
        rows = csv.DictReader(io.StringIO(text.removeprefix("# ")))
        return {
            f"{row['pxname']}/{row['svname']}": int(row["srv_abrt"] or 0) for row in rows if row["svname"]
        }

    async def table(self, name: str) -> dict[str, dict[str, int]]:
        """Return a stick table's entries: key → stored data."""
        made = {}
        for line in (await self.ask(f"show table {name}")).splitlines():
            # 0x55e: key=KEY use=0 exp=0 [shard=0] gpc0=1 …; a key may hold spaces.
            before, found, stored = line.partition(" use=")
            if found and "key=" in before:
                pairs = (pair.partition("=") for pair in stored.split())
                made[before.partition("key=")[2]] = {n: int(v) for n, _, v in pairs if v.isdigit()}
        return made

    async def change(self, commands: Iterable[str]) -> None:
        """Run commands that say nothing, or only what they did.

        Raises:
            Refused: One of them was refused.
        """
        for some in _portions(f"{command};" for command in commands):
            await self._change(some.removesuffix(";"))

    async def _change(self, line: str) -> None:
        said = (await self.ask(line)).strip()
        for one in filter(None, said.splitlines()):
            # A changed address is told in words, a refusal too: "… changed from …", "no need to change …".
            if not one.startswith(("IP changed", "port changed", "no need to change", "nothing changed")):
                raise Refused(one[:200])

    async def ask(self, line: str) -> str:
        """Return what HAProxy answers to a line.

        Raises:
            Unreachable: It does not answer in time, or not at all.
        """
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                reader, writer = await self._connect()
                try:
                    writer.write(line.encode("utf-8", "surrogatepass") + b"\n")
                    await writer.drain()
                    return (await reader.read()).decode("utf-8", "replace")
                finally:
                    writer.close()
        except (OSError, TimeoutError) as error:
            raise Unreachable(f"does not answer at {self.admin}") from error

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self.admin.startswith("/"):
            return await asyncio.open_unix_connection(self.admin)
        return await asyncio.open_connection(*split_address(self.admin, "driver_config.instances.admin"))


def _portions(texts: Iterable[str]) -> Iterator[str]:
    """Join texts as far as they fit in one line to HAProxy."""
    made = ""
    for text in texts:
        if made and len(made) + len(text) > MOST_BYTES:
            yield made
            made = ""
        made += text
    if made:
        yield made
