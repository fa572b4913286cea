"""A whole control plane in the test's process, on SQLite, with a client for each role."""

from __future__ import annotations

from dataclasses import dataclass

import httpx
import pytest

from fixtures_store import FakeClock
from serinus.bootstrap.build import Running, build, create_app
from serinus.control.context import Caller
from serinus.core.model import Role
from serinus.settings import Settings


@dataclass
class World:
    """A control plane whose loops run when the test says so."""

    running: Running
    app: object
    clock: FakeClock
    token: str

    def client(self, token: str | None = None) -> httpx.AsyncClient:
        """Return a client with a token (the admin's by default, none for an empty one)."""
        token = self.token if token is None else token
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
        return httpx.AsyncClient(transport=transport, base_url="http://serinus/api/v1", headers=headers)

    async def token_of(self, role: str, **more) -> str:
        """Return a fresh token of a role."""
        async with self.client() as c:
            answer = await c.post("/tokens", json={"name": f"a {role}", "role": role, **more})
            return answer.json()["token"]

    async def second_tenant(self) -> str:
        """Return the admin token of another tenant."""
        plane = self.running.plane
        async with plane.context.store.begin() as tx:
            return await plane.access.add_tenant(tx, "other")

    async def tick(self, seconds: float = 2.0) -> None:
        """Let time pass, then let the monitor and the relay look once."""
        self.clock.pass_(seconds)
        for loop in self.running.loops[:2]:
            await loop.work()

    async def service(self, name: str = "checkout", **more) -> dict:
        """Make a service on v1."""
        async with self.client() as c:
            answer = await c.post("/services", json={"name": name, "stable_version": "v1", **more})
            assert answer.status_code == 201, answer.text
            return answer.json()

    async def canary(self, version: str = "v2", service: str = "checkout", pct: float = 10, **more) -> str:
        """Make a deployment and start it; return its id."""
        async with self.client() as c:
            made = await c.post("/deployments", json={"service_id": service, "version": version, **more})
            assert made.status_code == 201, made.text
            identity = made.json()["deployment_id"]
            begun = await c.post(f"/deployments/{identity}/start-canary", json={"canary_pct": pct})
            assert begun.status_code == 200, begun.text
            return identity

    async def serve(
        self, deployment: str, side: str, requests: int, errors: int = 0, ms: float = 20.0, **more
    ) -> None:
        """Send one SDK batch."""
        from serinus.core.histogram import Histogram

        self.seq = getattr(self, "seq", 0) + 1
        latency = Histogram()
        latency.record(ms, requests)
        window = {
            "service": "checkout",
            "deployment": deployment,
            "side": side,
            "start": int(self.clock.now().timestamp()),
            "requests": requests,
            "errors": errors,
            "latency": latency.to_json(),
            **more,
        }
        async with self.client() as c:
            answer = await c.post(
                "/sdk/telemetry", json={"source": "proc-1", "seq": self.seq, "windows": [window]}
            )
            assert answer.status_code == 202, answer.text


SYSTEM = Caller(tenant_id="", name="test", role=Role.VIEWER)


@pytest.fixture
async def world(tmp_path, clock):
    """Return a control plane whose loops do not run by themselves."""
    settings = Settings(data_dir=tmp_path, public_url="http://serinus.example")
    running = build(settings, clock=clock, notifiers={})
    loops, running.loops = running.loops, ()
    await running.start()
    running.loops = loops
    app = create_app(settings, running)
    yield World(running, app, clock, running.first_token)
    running.loops = ()
    await running.stop()
