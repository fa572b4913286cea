"""The two small examples: an application guarded by the SDK, and a proxy that Serinus does not know."""

from __future__ import annotations

import importlib.util
import json
import re
import sys
from pathlib import Path

import httpx

from serinus.core.bucketing import is_on_canary
from serinus.sdk import Client

EXAMPLES = Path(__file__).parents[2] / "examples"


def in_app():
    """Import the application of the example."""
    spec = importlib.util.spec_from_file_location("example_in_app", EXAMPLES / "in-app/app.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def asking(app) -> httpx.AsyncClient:
    """Return a client of an application in this process."""
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://shop")


async def test_without_a_control_plane_everyone_gets_the_stable_way(monkeypatch):
    """The application never waits for us."""
    monkeypatch.delenv("SERINUS_URL", raising=False)
    async with asking(in_app().app) as client:
        answer = await client.post("/total", json={"prices": [100, 200, 300]})
    assert answer.json() == {"total": 600, "version": "v1"}
    assert answer.headers["x-serinus-version"] == "v1"


async def test_attached_it_puts_users_where_the_hash_says_and_measures_them(world, monkeypatch):
    """By the real control plane's own snapshot; each user stays on one side."""
    await world.service()
    identity = await world.canary(pct=30, strategy={"salt": "checkout-v2"})
    async with world.client() as c:
        snapshot = (await c.get("/sdk/snapshot")).json()
    monkeypatch.delenv("SERINUS_URL", raising=False)
    async with asking(in_app().create_app(Client(snapshot=snapshot))) as client:
        for n in range(60):
            user = {"x-user-id": f"user-{n}"}
            answer = await client.post("/total", json={"prices": [100, 200, 300]}, headers=user)
            canary = is_on_canary("checkout-v2", f"user-{n}", 3000)
            expected = {"total": 500, "version": "v2"} if canary else {"total": 600, "version": "v1"}
            assert answer.json() == expected
    assert identity in json.dumps(snapshot)


async def test_any_proxy_follows_by_hooks(world, tmp_path):
    """The README's own strategy: the file has each share before Serinus counts it, and 0 after a rollback."""
    weight, reloads = tmp_path / "canary-weight", tmp_path / "reloads"
    reload = tmp_path / "reload"
    reload.write_text(
        f"#!/bin/sh\n[ -e {tmp_path}/down ] && {{ echo 'proxy is down' >&2; exit 1; }}\n"
        f"cat {weight} >>{reloads}\n"
    )
    reload.chmod(0o755)
    route = str(EXAMPLES / "any-proxy/route.py")
    world.running.settings.hook_commands["route"] = [sys.executable, route, str(weight), str(reload)]
    readme = (EXAMPLES / "any-proxy/README.md").read_text()
    strategy = json.loads(re.search(r"```json\n(.*?)```", readme, re.DOTALL)[1])
    strategy["steps"] = [{**step, "hold_seconds": 2} for step in strategy["steps"]]
    await world.service()
    identity = await world.canary(strategy=strategy, analysis={"preset": "orchestrator", "only": True})

    async def share() -> float:
        await world.tick(2)
        await world.running.hooks.tick()
        await world.running.hooks.settled()
        await world.tick(0)
        async with world.client() as c:
            return (await c.get(f"/deployments/{identity}")).json()["traffic_percentage"]

    (tmp_path / "down").touch()
    assert (await share(), weight.read_text()) == (0, "0\n")
    (tmp_path / "down").unlink()
    assert (await share(), weight.read_text()) == (5, "5\n")
    while await share() < 25:
        assert weight.read_text() in ("5\n", "25\n")
    assert weight.read_text() == "25\n"
    async with world.client() as c:
        await c.post(f"/deployments/{identity}/rollback", json={"reason": "seen enough"})
    await share()
    assert weight.read_text() == "0\n"
    assert reloads.read_text().split() == ["5", "25", "0"]
