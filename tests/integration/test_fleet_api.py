"""Fleets by the API: who may, what is refused, and what a deployment says of its instances."""

from __future__ import annotations

import json

import pytest

REPORT = {"run": "r1", "seq": 1, "revision": "", "ok": False, "driver": "envoy"}


async def furnish(world, **config) -> str:
    """Make a service that agents carry; return an agent's token."""
    await world.service(
        driver="agents",
        driver_config={"drivers": ["envoy"], **config},
        upstreams={"v1": ["10.0.0.1:80"], "v2": ["10.0.0.2:80"]},
    )
    await world.tick()
    return await world.token_of("agent")


async def reports(world, token: str, name: str = "edge-1", **more):
    """Send a report that follows what is wanted, as an agent would; return the answer."""
    world.seq = getattr(world, "seq", 0) + 1
    async with world.client(token) as c:
        wanted = (await c.get("/services/checkout/split")).json()
        order = wanted["order"]
        followed = {
            "revision": wanted["revision"],
            "ok": True,
            "carried_bp": order["split"]["canary_bp"] if order else None,
        }
        body = {**REPORT, **followed, "seq": world.seq, **more}
        answer = await c.put(f"/services/checkout/instances/{name}", json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()


@pytest.mark.parametrize("role", ["sdk", "agent", "viewer", "approver", "admin"])
async def test_each_role_reaches_its_own_part(world, role):
    """Agents order nothing and read nothing else; people do not acknowledge; sdk does neither."""
    await furnish(world)
    carries, reads, forgets = role in ("agent", "admin"), role not in ("sdk", "agent"), False
    forgets = role in ("approver", "admin")
    async with world.client(await world.token_of(role)) as c:
        for path in ("/services/checkout/split", "/services/checkout/split/stream"):
            if role not in ("agent", "admin") or not path.endswith("stream"):  # a stream would not end
                assert ((await c.get(path)).status_code == 200) == carries, path
        put = await c.put("/services/checkout/instances/edge-1", json=REPORT)
        assert (put.status_code, put.status_code == 200) == (200 if carries else 403, carries)
        assert ((await c.get("/services/checkout/instances")).status_code == 200) == reads
        assert ((await c.get("/services/checkout")).status_code == 200) == reads
        assert ((await c.get("/deployments")).status_code == 200) == reads
        gone = await c.delete("/services/checkout/instances/edge-1")
        assert gone.status_code == (403 if not forgets else 204 if carries else 404)
        if role == "agent":
            assert (await c.get("/sdk/snapshot")).status_code == 403
            assert (await c.post("/sdk/telemetry", json={})).status_code == 403


async def test_another_tenant_sees_and_changes_nothing(world):
    """Whatever the role there."""
    token = await furnish(world)
    await reports(world, token)
    other = await world.second_tenant()
    async with world.client(other) as c:
        for method, path in (
            ("GET", "split"),
            ("GET", "split/stream"),
            ("GET", "instances"),
            ("PUT", "instances/edge-1"),
            ("DELETE", "instances/edge-1"),
        ):
            answer = await c.request(method, f"/services/checkout/{path}", json=REPORT)
            assert answer.status_code == 404, (method, path)
    async with world.client() as c:
        (one,) = (await c.get("/services/checkout/instances")).json()["instances"]
        assert one["ok"]


@pytest.mark.parametrize(
    ("report", "field"),
    [
        ([], "report"),
        ({**REPORT, "seq": 0}, "report.seq"),
        ({**REPORT, "run": ""}, "report.seq"),
        ({**REPORT, "surprise": 1}, "report.surprise"),
        ({**REPORT, "driver": "haproxy"}, "report.driver"),
        ({**REPORT, "counters": [{"version": "v1", "requests": -1, "errors": 0}]}, "report.counters[0]"),
        ({**REPORT, "counters": [{"version": "a|b", "requests": 1, "errors": 0}]}, "report.counters[0]"),
        (
            {**REPORT, "counters": [{"version": "v", "requests": 1, "errors": 0, "buckets": {"x": 1}}]},
            "report.counters[0]",
        ),
        ({**REPORT, "counters": [{"version": "v", "requests": 1, "errors": 0}] * 201}, "report.counters"),
    ],
)
async def test_a_report_that_cannot_be_is_refused_whole(world, report, field):
    """With its place, and nobody is registered by it."""
    token = await furnish(world)
    async with world.client(token) as c:
        answer = await c.put("/services/checkout/instances/edge-1", json=report)
        assert (answer.status_code, answer.json()["field"]) == (400, field)
        assert (await c.put("/services/checkout/instances/edge-1", content=b"{nan")).status_code == 400
        assert (await c.put("/services/checkout/instances/a%7Cb", json=REPORT)).status_code == 400
    async with world.client() as c:
        listed = (await c.get("/services/checkout/instances")).json()["instances"]
        assert [i["state"] for i in listed] == ["missing"]


async def test_agents_are_only_for_services_with_that_driver(world):
    """The refusal says what to change."""
    await world.service("other")
    async with world.client() as c:
        answer = await c.get("/services/other/split")
        assert answer.status_code == 409
        assert answer.json()["detail"] == "other is carried by in-process, not by agents."
        refused = await c.post("/services", json={"name": "x", "stable_version": "v1", "driver": "agents"})
        assert (refused.status_code, refused.json()["field"]) == (400, "driver_config.drivers")


async def test_the_split_is_asked_with_its_etag(world):
    """304 while it is what the agent has."""
    token = await furnish(world)
    async with world.client(token) as c:
        first = await c.get("/services/checkout/split")
        assert first.json()["order"]["split"]["stable"] == {"version": "v1", "addresses": ["10.0.0.1:80"]}
        etag = {"If-None-Match": first.headers["etag"]}
        assert (await c.get("/services/checkout/split", headers=etag)).status_code == 304
        await reports(world, token)
        await world.canary(pct=5)
        await world.tick()
        changed = await c.get("/services/checkout/split", headers=etag)
        assert changed.json()["order"]["split"]["canary_bp"] == 500


async def test_a_rollout_waits_then_names_then_goes_on(world):
    """On its way is no alarm; late is one, with the name; following ends it, and the timeline says so."""
    token = await furnish(world)
    for name in ("edge-1", "edge-2"):
        await reports(world, token, name)
    identity = await world.canary(pct=5)
    await world.tick()
    async with world.client() as c:
        view = (await c.get(f"/deployments/{identity}")).json()
        assert view["sentence"] == "Holding at 5 %: the split is on its way."
        await reports(world, token, "edge-1")
        await world.tick(11)
        await reports(world, token, "edge-1")
        await world.tick()
        view = (await c.get(f"/deployments/{identity}")).json()
        assert "the split is not carried: edge-2: silent since 12:00:02 UTC" in view["sentence"]
        told = (await c.get(f"/deployments/{identity}/events")).json()["events"]
        assert [e["kind"] for e in told].count("holding") == 2
        await reports(world, token, "edge-2")
        await world.tick()
        view = (await c.get(f"/deployments/{identity}")).json()
        assert not view["sentence"].startswith("Holding at 5 %: the split")
        told = [e["message"] for e in (await c.get(f"/deployments/{identity}/events")).json()["events"]]
        assert "edge-2 follows again after 15 s: it carries 5 %." in told


async def test_a_rollback_does_not_wait_for_a_silent_instance(world):
    """It is ordered at once; the silent one is named until it is back and obeys."""
    token = await furnish(world)
    for name in ("edge-1", "edge-2"):
        await reports(world, token, name)
    identity = await world.canary(pct=50)
    await world.tick()
    for name in ("edge-1", "edge-2"):
        await reports(world, token, name)
    await world.tick(11)
    async with world.client() as c:
        done = await c.post(f"/deployments/{identity}/rollback", json={"reason": "worse"})
        assert done.status_code == 200
        await world.tick(0)
        await reports(world, token, "edge-1")
        await world.tick()
        proxy = (await c.get(f"/deployments/{identity}/page")).json()["deployment"]["proxy"]
        one, two = proxy["instances"]
        assert (one["ok"], one["carried_bp"]) == (True, 0)
        assert two["problem"].startswith("silent since 12:00:04 UTC, when it carried 50 %")
        assert two["since"] == "2026-01-31T12:00:04.000Z"
        await reports(world, token, "edge-2")
        await world.tick()
        assert (await c.get("/services/checkout")).json()["proxy"]["acknowledged"]


async def test_joining_and_forgetting_are_audited(world):
    """Who let an instance go is known; one that still runs comes back by itself."""
    token = await furnish(world)
    await reports(world, token)
    async with world.client() as c:
        assert (await c.delete("/services/checkout/instances/edge-1")).status_code == 204
        assert (await c.delete("/services/checkout/instances/edge-1")).status_code == 404
        await reports(world, token)
        entries = (await c.get("/audit")).json()["audit"]
        done = [(e["action"], e["actor"], e["outcome"]) for e in entries if e["action"].startswith("fleet")]
    assert done == [
        ("fleet.join", "a agent", "ok"),
        ("fleet.forget", "first admin", "not-found"),
        ("fleet.forget", "first admin", "ok"),
        ("fleet.join", "a agent", "ok"),
    ]


async def test_counters_of_every_instance_become_evidence(world):
    """The first report sets the mark; what a lost one counted meanwhile comes with its next."""
    token = await furnish(world)

    def counters(requests: int) -> list[dict]:
        return [{"version": v, "requests": requests, "errors": 0} for v in ("v1", "v2")]

    for name in ("edge-1", "edge-2"):
        await reports(world, token, name, counters=counters(0))
    identity = await world.canary(pct=50)
    await world.tick()
    for name, requests in (("edge-1", 0), ("edge-2", 0), ("edge-1", 30)):
        await reports(world, token, name, counters=counters(requests))
        await world.tick()
    await world.tick(20)
    await reports(world, token, "edge-2", counters=counters(12))
    await world.tick()
    async with world.client() as c:
        metrics = (await c.get(f"/deployments/{identity}/metrics")).json()
    assert [metrics[side]["total_requests"] for side in ("v1_metrics", "v2_metrics")] == [42, 42]


async def test_doctor_looks_at_each_instance(world):
    """By name, with what is wrong."""
    token = await furnish(world, expect=["edge-1", "edge-2"])
    await reports(world, token)
    plane = world.running.plane
    async with plane.context.store.begin(write=False) as tx:
        tenant = (await tx.tenants.all())[0].id
        service = await tx.services.get(tenant, "checkout")
    found = await plane.fleet.check(service)
    assert [(f.name, f.ok) for f in found] == [
        ("agent edge-1 of checkout", True),
        ("agent edge-2 of checkout", False),
    ]
    assert "has never reported" in found[1].detail


async def test_the_stream_gives_the_order_and_every_change(world):
    """The first event at once; the next when another split is wanted."""
    from serinus.api.streams import events

    token = await furnish(world)
    await reports(world, token)
    plane = world.running.plane
    async with world.client() as c:
        service = (await c.get("/services/checkout")).json()["service_id"]

    async def look():
        return await plane.fleet.ordered(service)

    caller = await plane.access.caller(token)
    stream = events(plane, caller, plane.fleet.bell(service), "split", look, 0.0)
    first = json.loads((await anext(stream)).partition("data: ")[2])
    await world.canary(pct=5)
    await world.tick()
    second = json.loads((await anext(stream)).partition("data: ")[2])
    assert (first["order"]["split"]["canary_bp"], second["order"]["split"]["canary_bp"]) == (0, 500)
    await stream.aclose()
