"""A few hundred simulated users at a bounded rate, over keep-alive connections."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import Counter
from dataclasses import dataclass, field

__all__ = ["Users"]

#: Connections that share the rate.
CONNECTIONS = 16
#: An answer that takes longer counts as an error that the user saw.
PATIENCE_SECONDS = 5.0


@dataclass(kw_only=True)
class Users:
    """Sends requests of a fixed crowd until it is stopped, and counts what they saw."""

    port: int
    rate: float = 150.0
    count: int = 400
    #: Version that answered → how often; errors are counted apart.
    seen: Counter[str] = field(default_factory=Counter)
    errors: int = 0
    requests: int = 0
    #: Why the first few failed.
    troubles: list[str] = field(default_factory=list)
    #: User → versions that answered it, for telling whether anybody flipped back.
    sides: dict[str, list[str]] = field(default_factory=dict)
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)

    def names(self) -> list[str]:
        """Return the crowd: the same names in every run."""
        return [f"user-{n:04d}" for n in range(self.count)]

    def start(self) -> None:
        """Begin to send."""
        self._tasks = [asyncio.create_task(self._connection(n)) for n in range(CONNECTIONS)]

    async def stop(self) -> None:
        """Stop sending; requests under way are left out of the count."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _connection(self, number: int) -> None:
        chance = random.Random(number)  # the same crowd in every run
        names = self.names()
        loop = asyncio.get_running_loop()
        due = loop.time() + chance.random() * CONNECTIONS / self.rate
        stream: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        try:
            while True:
                await asyncio.sleep(max(0.0, due - loop.time()))
                due = max(due + CONNECTIONS / self.rate, loop.time())
                stream = await self._request(chance.choice(names), stream)
        finally:
            if stream:
                stream[1].close()

    async def _request(
        self, user: str, stream: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        """Send one request; return the connection if it can be used again."""
        self.requests += 1
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                stream = stream or await asyncio.open_connection("127.0.0.1", self.port)
                status, version = await _exchange(*stream, user)
        except (OSError, TimeoutError, asyncio.IncompleteReadError, ValueError) as error:
            self._failed(f"{type(error).__name__} for {user}")
            if stream:
                with contextlib.suppress(OSError):
                    stream[1].close()
            return None
        self.seen[version] += 1
        if status >= 400:
            self._failed(f"{status} from {version} for {user}")
        sides = self.sides.setdefault(user, [])
        if not sides or sides[-1] != version:
            sides.append(version)
        return stream

    def _failed(self, why: str) -> None:
        self.errors += 1
        if len(self.troubles) < 10:
            self.troubles.append(why)


async def _exchange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, user: str) -> tuple[int, str]:
    """Send one GET and read its whole answer: status and the version that answered."""
    writer.write(f"GET /hello HTTP/1.1\r\nhost: demo\r\nx-user-id: {user}\r\n\r\n".encode())
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    headers = {k.strip().lower(): v.strip() for k, _, v in (line.partition(":") for line in head[1:])}
    if "content-length" in headers:
        await reader.readexactly(int(headers["content-length"]))
    else:
        await _chunks(reader)
    return int(head[0].split(" ")[1]), headers.get("x-serinus-version", "?")


async def _chunks(reader: asyncio.StreamReader) -> None:
    while True:
        size = int((await reader.readline()).split(b";")[0], 16)
        await reader.readexactly(size + 2)
        if size == 0:
            return
