"""A/B/n tests where other parts of the control plane have a say: fleets, units by hand, release sets."""

from __future__ import annotations

import pytest

from following import Process
from serinus.core.bucketing import bucket_of
from serinus.ports.fleet import Order

STRATEGY = {
    "type": "ab",
    "candidates": [
        {"version": "v2", "addresses": ["10.0.0.2:80"]},
        {"version": "v3", "addresses": ["10.0.0.3:80"]},
    ],
    "steps": [{"traffic_percentage": 20, "hold_seconds": 0}],
}
FREE = {"checks": [], "only": True}
PLAIN = {"strategy": STRATEGY, "analysis": FREE, "canary_config": {"duration_minutes": 0}}


def placed_in(salt: str, low: int, high: int) -> list[str]:
    """Return three users whose buckets are in a range."""
    return [u for n in range(20_000) if low <= bucket_of(salt, u := f"user-{n}") < high][:3]


# -- fleets ---------------------------------------------------------------------------------------


async def test_agents_and_proxies_that_poll_are_given_the_gaps(world):
    """What lies between two candidates is stable's, in each form that an order travels in."""
    await world.service(
        driver="agents",
        driver_config={"drivers": ["envoy", "traefik"], "polled": {"envoy": {}, "traefik": {}}},
        upstreams={"v1": ["10.0.0.1:80"]},
    )
    await world.canary("v2", pct=20, **PLAIN)
    await world.tick()
    async with world.client(await world.token_of("agent")) as agent:
        sent = (await agent.get("/services/checkout/split")).json()["order"]
        assert sent["split"]["canary_bp"] == 1000
        assert [(o["upstream"]["version"], o["bp"], o["gap_bp"]) for o in sent["split"]["others"]] == [
            ("v3", 1000, 4000)
        ]
        ranges = Order.from_json(sent).split.ranges
        assert [(u.version, bp) for u, bp in ranges] == [("v2", 1000), ("v1", 4000), ("v3", 1000)]

        url = "/services/checkout/instances/edge-2/traefik"
        made = (await agent.get(url)).json()["http"]["middlewares"]
        split = made["split"]["plugin"]["serinus"]
        assert [(s["version"], s.get("from", 0), s["upTo"]) for s in split["sides"]] == [
            ("v2", 0, 1000),
            ("v3", 5000, 6000),
        ]

        named = {"version": {"major_number": 1, "minor_number": 40}}
        node = {"id": "edge-1", "cluster": "checkout", "user_agent_build_version": named}
        has = {"clusters": "", "routes": ""}
        for kind in ("clusters", "routes", "clusters", "routes"):
            asked = {"node": node, "version_info": has[kind]}
            answer = await agent.post(f"http://serinus/v3/discovery:{kind}", json=asked)
            if answer.status_code == 200:
                has[kind], last = answer.json()["version_info"], answer.json()
                routes = last["resources"][0] if kind == "routes" else None
        general = routes["virtual_hosts"][0]["routes"][-1]["route"]["weighted_clusters"]["clusters"]
        assert [(c["name"], c["weight"]) for c in general] == [
            ("v2_or_stable", 1000),
            ("v1", 4000),
            ("v3_or_stable", 1000),
            ("v1", 4000),
        ]


# -- units ----------------------------------------------------------------------------------------


async def test_units_stay_and_are_placed_on_the_candidate_whose_slot_they_are_in(world):
    """When the share shrinks, and by hand; a candidate that is dropped keeps nobody."""
    await world.service()
    by_hand = {**STRATEGY, "mode": "manual", "steps": []}
    d = await world.canary("v2", pct=60, **{**PLAIN, "strategy": by_hand})
    one, two = Process(world, "one"), Process(world, "two")
    await one.follow()
    on_v2, on_v3 = placed_in(d, 1000, 3000), placed_in(d, 6000, 8000)  # above 20 %, below 60 %
    far = placed_in(d, 9000, 10_000)
    assert one.on(*on_v2[:2], *on_v3[:2], *far) == [True] * 4 + [False] * 3
    await one.report()
    path = f"/deployments/{d}"

    async with world.client() as c:
        assert (await c.put(f"{path}/traffic", json={"traffic_percentage": 20})).status_code == 200
        body = {"user_id": far[0], "to": "canary", "reason": "pilot"}
        put = (await c.post(f"{path}/assignments", json=body)).json()
        assert (put["why"], put["canary_version_id"]) == ("by_hand", "v3")
        body = {"user_id": on_v3[1], "to": "stable", "reason": "wants out"}
        assert (await c.post(f"{path}/assignments", json=body)).json()["canary_version_id"] is None

        async def where(user: str) -> tuple[str, str]:
            found = await c.get(f"{path}/assignments", params={"user_id": user})
            return found.json()["unit"]["side"], found.json()["unit"]["why"]

        await two.follow()
        decide = two.client.service("checkout").decide
        asked = [*on_v2, *on_v3, far[0], far[1]]
        versions = ["v2", "v2", "v1", "v3", "v1", "v1", "v3", "v1"]
        assert [decide(u).version for u in asked] == versions
        whys = ["kept", "kept", "hash", "kept", "by_hand", "hash", "by_hand", "hash"]
        assert [(await where(u))[1] for u in asked] == whys
        assert [(await where(u))[0] != "stable" for u in asked] == [v != "v1" for v in versions]

        dropped = {"reason": "slow", "version": "v3"}
        assert (await c.post(f"{path}/rollback", json=dropped)).status_code == 200
        await two.follow()
        assert [decide(u).version for u in asked] == ["v2", "v2", *["v1"] * 6]
        assert [await where(u) for u in (on_v3[0], far[0])] == [("stable", "dropped")] * 2


# -- release sets ---------------------------------------------------------------------------------


@pytest.fixture
async def shop(world):
    """Return the path of a set with a test of v2 and v3 in it, and with an ordinary canary."""
    for name in ("pricing", "checkout"):
        await world.service(name)
    walked = {"steps": [{"traffic_percentage": 100, "hold_seconds": 0}]}
    shared = {"analysis": FREE, "canary_config": {"duration_minutes": 0}}
    members = [
        {"service": "pricing", "version": "v2", "strategy": STRATEGY},
        {"service": "checkout", "version": "v2", "strategy": walked},
    ]
    async with world.client() as c:
        made = await c.post("/release-sets", json={"name": "shop", "members": members, **shared})
        assert made.status_code == 201, made.text
    await _look(world, 3)
    return f"/release-sets/{made.json()['release_set_id']}"


async def _look(world, times: int) -> None:
    for _ in range(times):
        await world.tick()
        await world.running.plane.coordinator.tick()


async def _member(c, path: str, service: str) -> dict:
    members = (await c.get(path)).json()["stages"][0]["members"]
    found = next(m["deployment_id"] for m in members if m["service"] == service)
    return (await c.get(f"/deployments/{found}")).json()


async def test_a_set_promotes_the_best_candidate_and_waits_while_there_is_none(world, shop):
    """It says what is missing; once one candidate is left the set goes on by itself, with that one."""
    async with world.client() as c:
        assert (await c.get("/services/pricing")).json()["upstreams"]["v3"] == ["10.0.0.3:80"]
        view = (await c.get(shop)).json()
        missing = "v2 and v3 cannot be told apart: promote one by its version, with force"
        assert f"pricing cannot be promoted yet ({missing})" in view["sentence"]
        pricing = await _member(c, shop, "pricing")
        body = {"reason": "legal says no", "version": "v2"}
        assert (
            await c.post(f"/deployments/{pricing['deployment_id']}/rollback", json=body)
        ).status_code == 200
        await _look(world, 3)
        pricing = await _member(c, shop, "pricing")
        assert (pricing["status"], pricing["version"]) == ("active", "v3")
        assert (await c.get("/services/pricing")).json()["stable_version"] == "v3"
        assert (await _member(c, shop, "checkout"))["status"] == "active"


async def test_a_set_goes_back_with_all_of_its_candidates(world, shop):
    """The test is one member: everybody of it is on stable again."""
    async with world.client() as c:
        assert (await c.post(f"{shop}/rollback", json={"reason": "wrong prices"})).status_code == 200
        await _look(world, 2)
        for name in ("pricing", "checkout"):
            assert (await _member(c, shop, name))["status"] == "rolled_back"
            assert (await c.get(f"/services/{name}")).json()["stable_version"] == "v1"
