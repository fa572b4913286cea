"""A whole control plane in the test's process, on SQLite, with a client for each role."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

import httpx
import pytest

from fixtures_store import FakeClock
from schemas import put_schema, without_waiting
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
        self,
        deployment: str,
        side: str,
        requests: int,
        errors: int = 0,
        ms: float = 20.0,
        spread: float = 0.0,
        **more,
    ) -> None:
        """Send one SDK batch; its latencies are ``ms``, or ``spread`` (log-normal) around it."""
        from serinus.core.histogram import Histogram

        self.seq = getattr(self, "seq", 0) + 1
        latency = Histogram()
        chance = random.Random(self.seq)
        for _ in range(requests if spread else 0):
            latency.record(ms * chance.lognormvariate(0, spread))
        if not spread:
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

    async def compare(
        self,
        deployment: str,
        windows: int,
        canary: tuple = (50, 0, 50.0),
        stable: tuple = (450, 1, 50.0),
        endpoint: str = "",
    ) -> None:
        """Let both sides answer (requests, errors, ms) window by window, and the monitor look at each."""
        for _ in range(windows):
            for side, (requests, errors, ms) in (("canary", canary), ("stable", stable)):
                if requests:
                    more = {"spread": 0.45, "endpoint": endpoint}
                    await self.serve(deployment, side, requests, errors, ms, **more)
            await self.tick(10)

    async def assign(self, deployment: str, units: int) -> None:
        """Put units on the canary, as an SDK would report them."""
        from serinus.ports.assignments import Assignment

        async with self.running.plane.context.store.begin() as tx:
            tenant = (await tx.tenants.all())[0].id
            items = [
                Assignment(
                    tenant_id=tenant,
                    book=deployment,
                    unit_hash=f"{n:016x}",
                    priority="user_id",
                    key=f"user-{n}",
                    assigned_at=self.clock.now(),
                )
                for n in range(units)
            ]
            await tx.assignments.add(items)

    async def answered(self, deployment: str, answer: object, **changes) -> None:
        """Store a judge's answer (see ``answers.py``) as if the monitor had just looked."""
        async with self.running.plane.context.store.begin() as tx:
            tenant = (await tx.tenants.all())[0].id
            d = await tx.deployments.get(tenant, deployment)
            await tx.deployments.save(replace(d, answer=answer, **changes))


SYSTEM = Caller(tenant_id="", name="test", role=Role.VIEWER)


@pytest.fixture
async def world(tmp_path, clock):
    """Return a control plane whose loops do not run by themselves."""
    # One process for rules is enough here; what several do is shown over the engines themselves.
    settings = Settings(data_dir=tmp_path, public_url="http://serinus.example", rule_workers=1)
    put_schema(tmp_path)
    running = build(settings, clock=clock, notifiers={})
    without_waiting(running.plane.context.store)
    loops, running.loops = running.loops, ()
    await running.start()
    running.loops = loops
    app = create_app(settings, running)
    yield World(running, app, clock, running.first_token)
    running.loops = ()
    await running.stop()
