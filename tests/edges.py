"""What every real proxy's fixture shares: versions that answer, and an edge in front of them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from needs import free_port
from serinus.core.model import Upstream
from serinus.ports.traffic import DesiredSplit, Share, TrafficDriver


class Backend:
    """A version that answers its name, or misbehaves as told.

    ``mode``: ``ok``, ``500``, ``hang`` (30 s), ``close`` (no answer) or ``die`` (in mid-answer).
    """

    def __init__(self, version: str) -> None:
        self.version = version
        self.port = free_port()
        self.mode = "ok"
        self.requests: list[tuple[str, str]] = []
        #: The head of every request, as it came.
        self.heads: list[str] = []
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    async def start(self) -> None:
        """Listen."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, backlog=512)

    async def stop(self) -> None:
        """Refuse connections from now on, and drop the open ones."""
        if self._server:
            self._server.close()
            for writer in list(self._writers):
                writer.close()
            await self._server.wait_closed()
            self._server = None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                lines = head.split("\r\n")
                length = next(
                    (int(x.split(":")[1]) for x in lines if x.lower().startswith("content-length:")), 0
                )
                if length:
                    await reader.readexactly(length)
                method, path, _ = lines[0].split(" ", 2)
                self.requests.append((method, path))
                self.heads.append(head)
                if self.mode == "hang":
                    await asyncio.sleep(30)
                if self.mode == "close":
                    return
                body = self.version.encode()
                status = b"500 Broken" if self.mode == "500" else b"200 OK"
                whole = len(body) * 1000 if self.mode == "die" else len(body)
                writer.write(b"HTTP/1.1 %b\r\ncontent-length: %d\r\n\r\n%b" % (status, whole, body))
                await writer.drain()
                if self.mode == "die":
                    return
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            return
        finally:
            self._writers.discard(writer)
            writer.close()


@dataclass
class Edge:
    """A service behind a real proxy; a driver's fixture says how the proxy starts and stops."""

    folder: Path
    config: Any
    driver: TrafficDriver
    stable: Backend
    canary: Backend
    #: Where the proxy answers.
    port: int
    #: A third version, for A/B/n and mirrors; a fixture starts it with the others.
    third: Backend = field(default_factory=lambda: Backend("v3"))
    salt: str = "dep_test"
    clients: list = field(default_factory=list)

    def upstream(self, backend: Backend) -> Upstream:
        """Return a backend as an upstream."""
        return Upstream(version=backend.version, addresses=(f"127.0.0.1:{backend.port}",))

    def split(self, bp: int | None, *, third_bp: int = 0, **more) -> DesiredSplit:
        """Return a desired split; ``None`` means no canary."""
        others = (Share(upstream=self.upstream(self.third), bp=third_bp),) if third_bp else ()
        return DesiredSplit(
            service_id="svc",
            service="checkout",
            stable=self.upstream(self.stable),
            canary=None if bp is None else self.upstream(self.canary),
            canary_bp=bp or 0,
            salt=self.salt,
            others=others,
            **more,
        )

    def start(self) -> None:
        """Start the proxy."""
        raise NotImplementedError

    def stop(self) -> None:
        """End the proxy, by pid."""
        raise NotImplementedError

    async def begin(self) -> None:
        """Start everything, with everyone on stable."""
        for backend in (self.stable, self.canary, self.third):
            await backend.start()
        await self.driver.apply(self.split(None))
        self.start()
        await self.carries(self.split(None))

    async def end(self) -> None:
        """Stop everything."""
        for client in self.clients:
            await client.aclose()
        await self.driver.close()
        self.stop()
        for backend in (self.stable, self.canary, self.third):
            await backend.stop()

    async def carries(self, desired: DesiredSplit) -> None:
        """Apply until it is carried."""
        for _ in range(200):
            if (await self.driver.apply(desired)).acknowledged:
                return
            await asyncio.sleep(0.05)
        pytest.fail(f"not carried: {await self.driver.read(desired)}")

    def client(self) -> httpx.AsyncClient:
        """Return a client of the edge."""
        made = httpx.AsyncClient(base_url=f"http://127.0.0.1:{self.port}", trust_env=False, timeout=10)
        self.clients.append(made)
        return made
