"""Strategies on a real Envoy, moved by a whole control plane."""

from __future__ import annotations

import asyncio

import pytest

from edges import ask
from serinus.drivers.probe.tcp import TcpProbe
from serinus.sdk.routing import Router

pytestmark = pytest.mark.real

USERS = [f"user-{n}" for n in range(60)]
NO_CHECKS = {"checks": [], "only": True}


@pytest.fixture
async def shop(world, edge):
    """Return a function that starts v2 behind the edge with a strategy, and gives its path."""
    upstreams = {v: [f"127.0.0.1:{b.port}"] for v, b in (("v1", edge.stable), ("v2", edge.canary))}
    await world.service(driver="envoy", driver_config=edge.settings(), upstreams=upstreams)

    async def begin(c, strategy: dict, **more) -> str:
        body = {
            "service_id": "checkout",
            "version": "v2",
            "strategy": strategy,
            "analysis": NO_CHECKS,
            **more,
        }
        made = await c.post("/deployments", json=body)
        assert made.status_code == 201, made.text
        path = f"/deployments/{made.json()['deployment_id']}"
        begun = await c.post(f"{path}/start-canary")
        assert begun.status_code == 200, begun.text
        await world.tick(0)
        return path

    return begin


async def test_a_preview_reaches_the_canary_at_nought(world, edge, shop):
    """Whoever sends the cookie; everybody else stays."""
    strategy = {
        "mode": "auto",
        "preview": {"cookie": {"name": "preview", "value": "v2"}},
        "steps": [{"traffic_percentage": 0, "hold_seconds": 600}, {"traffic_percentage": 100}],
    }
    async with world.client() as c:
        path = await shop(c, strategy)
        previewed = await edge.client().get("/", headers={"cookie": "a=b; preview=v2", "x-user-id": "ada"})
        assert previewed.text == "v2"
        assert set(await ask(edge.port, USERS)) == {"v1"}
        assert (await c.get(path)).json()["strategy"]["preview"] == strategy["preview"]
        await c.post(f"{path}/rollback", json={"reason": "seen"})
        await world.tick(2)
        after = await edge.client().get("/", headers={"cookie": "preview=v2", "x-user-id": "ada"})
        assert after.text == "v1"


async def test_failing_copies_end_a_mirror_and_nobody_saw_one(world, edge, shop):
    """The copies' errors roll back; every client was answered by stable."""
    edge.canary.mode = "500"
    policy = {"checks": [{"name": "errors", "measure": "error_rate", "at_most": "5 %"}], "only": True}
    strategy = {
        "mirror": {"percent": 100, "seconds": 60},
        "steps": [{"traffic_percentage": 5, "hold_seconds": 60}],
    }
    async with world.client() as c:
        path = await shop(c, strategy, analysis=policy)
        assert (await c.get(path)).json()["sentence"].startswith("Mirroring 100 % of requests to v2")
        assert await ask(edge.port, USERS) == ["v1"] * len(USERS)
        async with asyncio.timeout(10):
            while (view := (await c.get(path)).json())["status"] == "canary":
                await asyncio.sleep(0.02)
                await world.tick(2)
        assert view["status"] == "rolled_back"
        assert "copies" not in view["end_reason"]
        assert "errors: canary 100 %" in view["end_reason"] or "failures in a row" in view["end_reason"]
        copied = len(edge.canary.requests)
        assert copied == len(USERS)
        await ask(edge.port, USERS)
        assert len(edge.canary.requests) == copied


async def test_good_copies_are_measured_and_the_walk_begins(world, edge, shop):
    """Errors and latency of the copies; nobody was answered by the canary."""
    limits = [
        {"name": "errors", "measure": "error_rate", "at_most": "5 %", "min_requests": 20},
        {"name": "p95", "measure": "latency_p95", "at_most": "10 s", "min_requests": 20},
    ]
    strategy = {
        "mirror": {"percent": 100, "seconds": 6},
        "steps": [{"traffic_percentage": 5, "hold_seconds": 60}],
    }
    async with world.client() as c:
        path = await shop(c, strategy, analysis={"checks": limits, "only": True})
        async with asyncio.timeout(15):
            while "→ 5 %" not in (view := (await c.get(path)).json())["sentence"]:
                assert view["status"] == "canary", view["sentence"]
                assert await ask(edge.port, USERS) == ["v1"] * len(USERS)
                # Envoy sums its latencies up once a second of its own time.
                await asyncio.sleep(0.2)
                await world.tick(2)
        assert view["sentence"].startswith("Mirror of 100 % passed: 2 of 2 checks pass.")
        measured = (await c.get(f"{path}/metrics")).json()["v2_metrics"]
        assert measured["total_requests"] >= len(USERS)
        assert (measured["error_count"], measured["p95_latency_ms"] is None) == (0, False)


async def test_blue_green_switches_there_and_back(world, edge, shop):
    """Nobody, everybody, promoted, and everybody back while the old side is kept."""
    strategy = {
        "type": "blue_green",
        "warm_seconds": 4,
        "hold_seconds": 4,
        "keep_warm_seconds": 600,
        "auto_promote": True,
    }
    async with world.client() as c:
        path = await shop(c, strategy)
        assert set(await ask(edge.port, USERS)) == {"v1"}
        await world.tick(2)
        await world.tick(2)
        sentence = (await c.get(path)).json()["sentence"]
        assert "Everyone switched to v2 at once; v1 is kept warm until" in sentence
        assert set(await ask(edge.port, USERS)) == {"v2"}
        await world.tick(2)
        await world.tick(2)
        view = (await c.get(path)).json()
        assert (view["status"], view["warm_until"][:19]) == ("active", "2026-01-31T12:10:04")
        assert set(await ask(edge.port, USERS)) == {"v2"}
        back = (await c.post(f"{path}/rollback", json={"reason": "invoices are wrong"})).json()
        assert back["sentence"] == "Switched back at once from 100 % to v1: invoices are wrong"
        await world.tick(0)
        assert set(await ask(edge.port, USERS)) == {"v1"}
        assert (await c.get("/services/checkout")).json()["stable_version"] == "v1"


async def test_blue_green_does_not_switch_to_a_dead_side_and_releases_the_old_one(world, edge, shop):
    """It holds until the new side answers; after its time the old one may be stopped."""
    await edge.canary.stop()
    strategy = {"type": "blue_green", "hold_seconds": 0, "keep_warm_seconds": 60, "auto_promote": True}
    async with world.client() as c:
        path = await shop(c, strategy)
        view = (await c.get(path)).json()
        assert view["phase"] == "holding:canary-down"
        assert f"127.0.0.1:{edge.canary.port}" in view["sides"]["canary_down"]
        await edge.canary.start()
        await world.tick(2)
        await world.tick(2)
        assert set(await ask(edge.port, USERS)) == {"v2"}
        await world.tick(61)
        view = (await c.get(path)).json()
        assert (view["status"], view["warm_until"]) == ("active", None)
        told = [e["message"] for e in (await c.get(f"{path}/events")).json()["events"]]
        assert any(line.startswith("v1 is released:") for line in told)


async def test_a_rollback_to_a_dead_stable_side_is_held_and_ends_when_it_is_back(world, edge, shop):
    """Everyone is served all the while; ``held`` is said, told, and over by itself."""
    async with world.client() as c:
        path = await shop(c, {"mode": "manual"})
        await c.put(f"{path}/traffic", json={"traffic_percentage": 100})
        await world.tick(2)
        await edge.stable.stop()
        view = (await c.post(f"{path}/rollback", json={"reason": "invoices are wrong"})).json()
        assert (view["status"], view["phase"]) == ("canary", "holding:stable-down")
        assert "The rollback is held at 100 %: stable v1 cannot be sent traffic" in view["sentence"]
        await world.tick(2)
        assert set(await ask(edge.port, USERS)) == {"v2"}
        await edge.stable.start()
        await world.tick(2)
        assert (await c.get(path)).json()["status"] == "rolled_back"
        assert set(await ask(edge.port, USERS)) == {"v1"}


async def test_a_gradual_rollback_moves_real_traffic_rung_by_rung(world, edge, shop):
    """About the share of each rung, then nobody."""
    users = [f"user-{n}" for n in range(400)]
    async with world.client() as c:
        path = await shop(c, {"mode": "manual", "rollback": {"steps": [50], "seconds": 10}})
        await c.put(f"{path}/traffic", json={"traffic_percentage": 100})
        await world.tick(2)
        await c.post(f"{path}/rollback", json={"reason": "invoices are wrong"})
        await world.tick(2)
        assert 140 < (await ask(edge.port, users)).count("v2") < 260
        await world.tick(10)
        assert (await ask(edge.port, users)).count("v2") == 0
        assert (await c.get(path)).json()["status"] == "rolled_back"


async def test_knocking_tells_who_is_there(edge):
    """A side is there when one of its addresses is."""
    probe = TcpProbe()
    here = f"127.0.0.1:{edge.stable.port}"
    await edge.canary.stop()
    gone = f"127.0.0.1:{edge.canary.port}"
    assert await probe([here, gone]) == ""
    assert (await probe([gone])).startswith(f"{gone}: ")
    assert (await probe(["nowhere"])).startswith("nowhere: ")
    assert await probe([]) == ""


async def test_several_candidates_get_their_buckets_and_a_failing_one_is_dropped_alone(world, edge):
    """The same users as the SDK has; none of the others notices, and the winner gets everybody."""
    backends = (("v1", edge.stable), ("v2", edge.canary), ("v3", edge.third))
    upstreams = {v: [f"127.0.0.1:{b.port}"] for v, b in backends[:2]}
    await world.service(driver="envoy", driver_config=edge.settings(), upstreams=upstreams)
    users = [f"user-{n}" for n in range(400)]
    strategy = {
        "type": "ab",
        "candidates": [{"version": "v2"}, {"version": "v3", "addresses": [f"127.0.0.1:{edge.third.port}"]}],
        "steps": [
            {"traffic_percentage": 20, "hold_seconds": 6},
            {"traffic_percentage": 40, "hold_seconds": 600},
        ],
        "salt": "contest",
    }
    check = {"name": "errors", "measure": "error_rate", "at_most": "5 %", "min_requests": 20}
    body = {"service_id": "checkout", "version": "v2", "strategy": strategy}
    async with world.client() as c:
        made = await c.post("/deployments", json={**body, "analysis": {"checks": [check], "only": True}})
        assert made.status_code == 201, made.text
        path = f"/deployments/{made.json()['deployment_id']}"
        assert (await c.post(f"{path}/start-canary")).status_code == 200
        await world.tick(0)
        router = Router("checkout")

        async def agreed() -> list[str]:
            router.adopt((await c.get("/sdk/snapshot")).json()["services"]["checkout"])
            answers = await ask(edge.port, users)
            assert answers == [router.decide(user).version for user in users]
            return answers

        before = await agreed()
        assert set(before) == {"v1", "v2", "v3"}
        async with asyncio.timeout(20):
            while (view := (await c.get(path)).json())["traffic_percentage"] < 40:
                await ask(edge.port, users)
                await asyncio.sleep(0.05)
                await world.tick(2)
        after = await agreed()
        moved = {(was, now) for was, now in zip(before, after, strict=True) if was != now}
        assert moved == {("v1", "v2"), ("v1", "v3")}
        counted = (await c.get(f"{path}/metrics")).json()["candidates"]
        assert all(counted[v]["total_requests"] > 0 for v in ("v2", "v3"))
        edge.third.mode = "500"
        async with asyncio.timeout(20):
            while view["candidates"][1]["state"] == "under test":
                await ask(edge.port, users)
                await asyncio.sleep(0.05)
                await world.tick(2)
                view = (await c.get(path)).json()
        reason = view["candidates"][1]["drop_reason"]
        assert "errors: canary" in reason or "failures in a row" in reason
        assert view["status"] == "canary"
        left = await agreed()
        assert left == [("v1" if was == "v3" else was) for was in after]
        done = await c.post(f"{path}/promote", json={"version": "v2", "force": True})
        assert done.status_code == 200, done.text
        await world.tick(2)
        assert set(await ask(edge.port, users)) == {"v2"}
