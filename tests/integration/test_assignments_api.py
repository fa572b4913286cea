"""Units by API: where one is and why, putting one on a side, resets; and what processes make of it."""

from __future__ import annotations

import asyncio

import pytest

from following import Process
from serinus.control.assignments import arrivals
from serinus.core.bucketing import bucket_of
from serinus.core.errors import Unavailable
from serinus.drivers.assignments.redis import RedisAssignments
from serinus.drivers.traffic.inprocess import InProcessDriver
from serinus.ports.traffic import Capability


@pytest.fixture(params=["database", "redis"])
async def plane(request, world):
    """Return a control plane whose assignments are in its database, or in Redis."""
    if request.param == "database":
        yield world
        return
    driver = RedisAssignments(request.getfixturevalue("redis_url"))
    world.running.plane.context.assignments = lambda _: driver
    yield world
    await driver.close()


def users(salt: str, low: int, high: int, count: int) -> list[str]:
    """Return users whose place is between two shares, in basis points."""
    found = (f"u{n}" for n in range(100_000))
    return [u for u in found if low <= bucket_of(salt, u) < high][:count]


async def shared(world, identity: str, percentage: float) -> None:
    """Set the share."""
    async with world.client() as c:
        answer = await c.put(f"/deployments/{identity}/traffic", json={"traffic_percentage": percentage})
        assert answer.status_code == 200, answer.text


async def test_who_was_on_the_canary_stays_and_the_answer_says_why(plane):
    """10 → 50 → 20: old units stay everywhere, new ones see the new share; one reset lets one go."""
    await plane.service()
    identity = await plane.canary(pct=50)
    one, two = Process(plane, "one"), Process(plane, "two")
    await one.follow()
    old, new = (users(identity, 2000, 5000, 40)[at : at + 20] for at in (0, 20))
    assert all(one.on(*old))
    await one.report()
    await shared(plane, identity, 20)
    await two.follow()
    assert (all(two.on(*old)), any(two.on(*new))) == (True, False)

    async with plane.client() as c:
        path = f"/deployments/{identity}/assignments"
        found = (await c.get(path, params={"user_id": old[0]})).json()
        place = bucket_of(identity, old[0]) / 100
        assert found["unit"] == {"side": "canary", "why": "kept", "place_percentage": place}
        assert [a["user_id"] for a in found["assignments"]] == [old[0]]
        assert (await c.get(path, params={"session_id": old[0]})).json()["total"] == 0
        other = (await c.get(path, params={"user_id": new[0]})).json()
        assert (other["total"], other["unit"]["side"], other["unit"]["why"]) == (0, "stable", "hash")
        listed = (await c.get(path, params={"page": 2, "page_size": 15})).json()
        assert (listed["total"], len(listed["assignments"])) == (20, 5)

        done = (await c.post(f"{path}/reset", json={"user_id": old[0], "reason": "wants out"})).json()
        assert (done["reset"], done["unit"]["side"]) == (1, "stable")
        assert (await c.get(path)).json()["total"] == 19
    for process in (one, two):
        await process.follow()
        assert process.on(old[0], old[1]) == [False, True]


async def test_a_process_that_reports_late_loses_nobody(plane):
    """The share shrank before it told of its units: it keeps them meanwhile, all others from then on."""
    await plane.service()
    identity = await plane.canary(pct=50)
    one, two = Process(plane, "one"), Process(plane, "two")
    for process in (one, two):
        await process.follow()
    mine, theirs = (users(identity, 2000, 5000, 20)[at : at + 10] for at in (0, 10))
    assert all(one.on(*mine))
    assert all(two.on(*theirs))
    await shared(plane, identity, 20)
    await one.follow()
    assert all(one.on(*mine))
    await two.report()
    await one.report()
    for process in (one, two):
        await process.follow()
        assert all(process.on(*mine, *theirs))


async def test_what_a_process_says_after_a_reset_of_before_it_is_not_believed(plane):
    """One unit, then everybody; what it sees afterwards counts again."""
    await plane.service()
    identity = await plane.canary(pct=50)
    process = Process(plane, "one")
    await process.follow()
    ada, bob, eve = users(identity, 2000, 5000, 3)
    assert all(process.on(ada, bob))
    path = f"/deployments/{identity}/assignments"
    async with plane.client() as c:
        await c.post(f"{path}/reset", json={"user_id": ada})
        await process.report()
        assert [a["user_id"] for a in (await c.get(path)).json()["assignments"]] == [bob]
        await process.follow()
        process.on(ada)
        await process.report()
        assert (await c.get(path)).json()["total"] == 2
        process.on(eve)
        done = (
            await c.post(f"{path}/reset", json={"everyone": True, "reason": "again from the start"})
        ).json()
        assert done["reset"] == 2
        await process.report()
        assert (await c.get(path)).json()["total"] == 0
        events = (await c.get(f"/deployments/{identity}/events")).json()["events"]
        assert events[-1]["message"].startswith("All units reset: ")
        await shared(plane, identity, 10)
        assert (await c.get(f"/sdk/assignments/{identity}/20")).status_code == 404
        assert (await c.get(f"/sdk/assignments/{identity}.2/20")).content == bytes(8)
        await process.follow()
        assert process.on(ada, bob, eve) == [False, False, False]
    await plane.running.plane.assigning.sweep()
    async with plane.running.plane.context.store.begin() as tx:
        assert await plane.running.plane.context.assignments(tx).held() == []


async def test_a_unit_by_hand_is_there_in_the_next_snapshot_and_until_the_rollback(plane):
    """On its side, listed first with who and why, audited, on the timeline; reports change nothing."""
    await plane.service()
    identity = await plane.canary(pct=50)
    process = Process(plane, "one")
    await process.follow()
    (low,), (high,) = users(identity, 0, 5000, 1), users(identity, 9000, 10_000, 1)
    assert process.on(low, high) == [True, False]
    path = f"/deployments/{identity}/assignments"
    async with plane.client() as c:
        put = await c.post(path, json={"user_id": high, "to": "canary", "reason": "a pilot"})
        assert (put.status_code, put.json()["side"], put.json()["why"]) == (200, "canary", "by_hand")
        out = await c.post(path, json={"user_id": low, "to": "stable"})
        assert (out.json()["side"], out.json()["canary_version_id"]) == ("stable", None)
        await process.report()
        await process.follow()
        assert process.on(low, high) == [False, True]
        await process.report()
        listed = (await c.get(path)).json()
        assert listed["total"] == 2
        assert {a["user_id"]: (a["side"], a["reason"]) for a in listed["assignments"]} == {
            high: ("canary", "a pilot"),
            low: ("stable", ""),
        }
        assert (await c.get(path, params={"page_size": 1, "page": 2})).json()["assignments"] == [
            listed["assignments"][1]
        ]
        told = (await c.get(f"/deployments/{identity}/events")).json()["events"]
        assert any(e["message"].startswith(f"user {high} put on the canary side (v2): a pilot") for e in told)
        audit = (await c.get("/audit")).json()
        assert [e["action"] for e in audit["audit"][:2]] == ["deployment.assign"] * 2
        done = (await c.post(f"{path}/reset", json={"user_id": low})).json()
        assert (done["reset"], done["unit"]["side"]) == (1, "canary")
        await c.post(f"/deployments/{identity}/rollback", json={"reason": "over"})
        await process.follow()
        assert process.on(low, high) == [False, False]
        assert (await c.get(path)).json()["total"] == 0


async def test_rulesets_follow_units_by_hand_and_those_that_stay(plane):
    """The control plane's own executions have the same units as every process."""
    content = "def decide(input):\n    return {'v': 1}\n"
    async with plane.client() as c:
        rules = {"name": "pricing", "version": "v1", "engine": "starlark", "content": content}
        made = await c.post("/rulesets", json=rules)
        assert made.status_code == 201, made.text
        ruleset = made.json()["ruleset_id"]
        body = {"version": "v2", "engine": "starlark", "content": content}
        await c.post(f"/rulesets/{ruleset}/versions", json=body)
        identity = await plane.canary(service="pricing", pct=50)
        plane.clock.pass_(1)
        old, new = users(identity, 2000, 5000, 2)

        async def side(user: str) -> bool:
            answer = await c.post(f"/rulesets/{ruleset}/execute", json={"input": {}, "user_id": user})
            assert answer.status_code == 200, answer.text
            return answer.json()["is_canary"]

        assert await side(old)
        await plane.running.plane.executor.flush()
        plane.running.plane.executor._tenants.clear()  # another replica, which has seen nobody
        await shared(plane, identity, 20)
        plane.clock.pass_(1)
        assert (await side(old), await side(new)) == (True, False)
        await c.post(f"/deployments/{identity}/assignments", json={"user_id": new, "to": "canary"})
        plane.clock.pass_(1)
        assert await side(new)


@pytest.mark.parametrize(
    ("path", "body", "says"),
    [
        ("", {"to": "canary"}, "takes one"),
        ("", {"to": "canary", "user_id": "a", "session_id": "b"}, "takes one"),
        ("", {"to": "elsewhere", "user_id": "a"}, "canary"),
        ("", {"to": "canary", "user_id": "a" * 257}, "256"),
        ("/reset", {}, "takes one"),
        ("/reset", {"everyone": True, "user_id": "a"}, "not both"),
    ],
)
async def test_what_cannot_be_meant_is_refused_and_changes_nothing(world, path, body, says):
    """With what is wrong."""
    await world.service()
    identity = await world.canary()
    async with world.client() as c:
        before = (await c.get(f"/deployments/{identity}")).json()
        answer = await c.post(f"/deployments/{identity}/assignments{path}", json=body)
        assert answer.status_code == 400
        assert says in answer.text
        assert (await c.get(f"/deployments/{identity}")).json() == before


@pytest.mark.parametrize(("role", "status"), [("viewer", 403), ("sdk", 403), ("approver", 200)])
async def test_only_approvers_put_units_on_sides(world, role, status):
    """Viewers read; SDK tokens read slices and nothing else."""
    await world.service()
    identity = await world.canary()
    path = f"/deployments/{identity}/assignments"
    async with world.client(await world.token_of(role)) as c:
        assert (await c.post(path, json={"user_id": "ada", "to": "canary"})).status_code == status
        assert (await c.post(f"{path}/reset", json={"everyone": True})).status_code == status
        assert (await c.get(path)).status_code == (403 if role == "sdk" else 200)
        assert (await c.get(f"/sdk/assignments/{identity}/3")).status_code == (200 if role == "sdk" else 403)


async def test_another_tenant_reaches_no_unit(world):
    """Every call about units, from next door."""
    await world.service()
    identity = await world.canary()
    async with world.client(await world.second_tenant()) as c:
        path = f"/deployments/{identity}/assignments"
        assert (await c.get(path)).status_code == 404
        assert (await c.post(path, json={"user_id": "ada", "to": "canary"})).status_code == 404
        assert (await c.post(f"{path}/reset", json={"everyone": True})).status_code == 404
        assert (await c.get(f"/sdk/assignments/{identity}/3")).status_code == 404


class Plain(InProcessDriver):
    """A data plane that decides by the hash alone."""

    capabilities = frozenset({Capability.STICKY, Capability.NO_RELOAD})


async def test_a_proxy_that_cannot_look_units_up_refuses(world, monkeypatch):
    """With the ways out; nothing is written."""
    monkeypatch.setitem(world.running.plane.traffic._factories, "in-process", lambda _: Plain())
    await world.service()
    identity = await world.canary()
    async with world.client() as c:
        answer = await c.post(f"/deployments/{identity}/assignments", json={"user_id": "ada", "to": "canary"})
        assert answer.status_code == 409
        assert "cannot look a unit up" in answer.json()["detail"]
        assert "canary_target_filter" in answer.json()["next_step"]
        assert (await c.get(f"/deployments/{identity}/assignments")).json()["total"] == 0


class Away:
    """A Redis that does not answer."""

    def __getattr__(self, name):
        async def call(*_, **__):
            raise Unavailable("The Redis that keeps assignments does not do its work (ConnectionError).")

        return call


async def test_while_redis_is_away_measurements_count_and_a_rollback_goes_through(world):
    """Units come again with their batch; nothing is counted twice, and a rollback waits for no Redis."""
    await world.service()
    identity = await world.canary(pct=50)
    process = Process(world, "one")
    await process.follow()
    user = users(identity, 0, 5000, 1)[0]
    process.on(user)
    window = {
        "service": "checkout",
        "deployment": identity,
        "side": "canary",
        "start": int(world.clock.now().timestamp()),
        "requests": 7,
        "errors": 0,
    }
    batch = {"source": "one", "seq": 1, "units": process.client.take_units(), "windows": [window]}
    context = world.running.plane.context
    there, context.assignments = context.assignments, lambda _: Away()
    async with world.client() as c:
        assert (await c.post("/sdk/telemetry", json=batch)).status_code == 503
        await shared(world, identity, 20)
        assert (await c.get("/sdk/snapshot")).status_code == 200
        context.assignments = there
        assert (await c.post("/sdk/telemetry", json=batch)).status_code == 202
        assert (await c.get(f"/deployments/{identity}/assignments")).json()["total"] == 1
        metrics = (await c.get(f"/deployments/{identity}/metrics")).json()
        assert metrics["v2_metrics"]["total_requests"] == 7
        context.assignments = lambda _: Away()
        back = await c.post(f"/deployments/{identity}/rollback", json={"reason": "worse"})
        assert (back.status_code, back.json()["status"]) == (200, "rolled_back")


async def test_units_that_take_long_are_stored_once_however_often_they_come_again(world, monkeypatch):
    """A sender that was not answered in time repeats its batch; that adds no work, or it would never end."""
    await world.service()
    identity = await world.canary(pct=50)
    process = Process(world, "one")
    await process.follow()
    process.on(*users(identity, 0, 5000, 3))
    batch = {"source": "one", "seq": 1, "units": process.client.take_units(), "windows": []}
    store, free, stored = arrivals.Arrivals._store, asyncio.Event(), []

    async def slowly(self, group):
        await free.wait()
        stored.extend(unit for some in group for unit in some.units)
        await store(self, group)

    monkeypatch.setattr(arrivals.Arrivals, "_store", slowly)
    monkeypatch.setattr(arrivals, "PATIENCE_SECONDS", 0.05)
    async with world.client() as c:
        for _ in range(3):
            busy = await c.post("/sdk/telemetry", json=batch)
            assert (busy.status_code, busy.json()["detail"]) == (503, "The units are still being stored.")
        free.set()
        monkeypatch.setattr(arrivals, "PATIENCE_SECONDS", 60.0)
        for _ in range(2):
            assert (await c.post("/sdk/telemetry", json=batch)).status_code == 202
        assert (await c.get(f"/deployments/{identity}/assignments")).json()["total"] == 3
    assert len(stored) == 3
