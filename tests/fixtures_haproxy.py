"""A real HAProxy with small upstreams, on free ports, in its own folder, ended by pid."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from edges import TRY_SECONDS, Backend, Edge
from needs import free_port, program
from serinus.drivers.traffic.haproxy import HaproxyConfig, HaproxyDriver


@dataclass
class HaproxyEdge(Edge):
    """A service behind a real HAProxy."""

    #: Where Prometheus scrapes.
    metrics: int = 0
    breaks_are_scraped: bool = False
    process: subprocess.Popen | None = None

    @property
    def command(self) -> list[str]:
        """Return what starts HAProxy."""
        return [program("haproxy", "apt-get install haproxy"), "-f", str(self.folder / "haproxy.cfg"), "-db"]

    @property
    def socket(self) -> str:
        """Return where the runtime API answers."""
        return self.config.instances[0].admin

    def start(self) -> None:
        """Start HAProxy; its standard output is the canary's log."""
        with (self.folder / "canary.log").open("a") as log, (self.folder / "errors.log").open("a") as errors:
            self.process = subprocess.Popen(self.command, stdout=log, stderr=errors)

    def stop(self) -> None:
        """End HAProxy."""
        if self.process:
            self.process.terminate()
            self.process.wait(10)
            self.process = None

    async def change_by_hand(self, bp: int) -> None:
        """Set the canary's edge through the runtime API, as an operator would."""
        await self.say(f"set map {self.folder}/split.map edge.1 {bp}")

    async def say(self, command: str) -> str:
        """Run a command of the runtime API by hand."""
        reader, writer = await asyncio.open_unix_connection(self.socket)
        writer.write(command.encode() + b"\n")
        said = (await reader.read()).decode()
        writer.close()
        return said


@asynccontextmanager
async def haproxy_with(folder: Path, *, tcp: bool = False, **settings: Any) -> AsyncIterator[HaproxyEdge]:
    """Run a HAProxy that routes everyone to v1, with these settings."""
    port, metrics = free_port(), free_port()
    admin = f"127.0.0.1:{free_port()}" if tcp else str(folder / "a.sock")
    data = {
        "listen": f"127.0.0.1:{port}",
        "metrics_listen": f"127.0.0.1:{metrics}",
        "instances": [{"name": "edge-1", "admin": admin, "config_dir": str(folder)}],
        "try_seconds": TRY_SECONDS,
        **settings,
    }
    config = HaproxyConfig.read(data)
    made = HaproxyEdge(
        folder, config, HaproxyDriver(config), Backend("v1"), Backend("v2"), port, metrics=metrics
    )
    try:
        await made.begin()
        yield made
    finally:
        await made.end()


@pytest.fixture
async def haproxy_edge(tmp_path):
    """Return a running HAProxy that routes everyone to v1."""
    async with haproxy_with(tmp_path) as made:
        yield made
