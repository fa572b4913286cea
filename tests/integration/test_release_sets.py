"""Release sets through the API: members are deployments, who may do what, and what is written down."""

from __future__ import annotations

import asyncio

import pytest

from fakes.notify import MemoryNotifier
from fixtures_plane import World
from serinus.bootstrap.build import build, create_app
from serinus.control.sets.coordinator import Coordinator
from serinus.settings import Settings

FREE = {"checks": [], "only": True}
QUICK = {"steps": [{"traffic_percentage": 100, "hold_seconds": 0}]}
SHOP = {
    "name": "shop 2026.4",
    "members": [
        {"service": "pricing", "version": "v2"},
        {"service": "ledger", "version": "v2"},
        {"service": "checkout", "version": "v2", "order": 2},
    ],
    "strategy": QUICK,
    "analysis": FREE,
    "canary_config": {"duration_minutes": 0},
}
REGIONS = {
    "name": "checkout v2",
    "service": "checkout",
    "version": "v2",
    "waves": [{"regions": ["eu"], "gate": {"role": "admin"}}, {"regions": ["us"]}],
    "strategy": QUICK,
    "analysis": FREE,
    "canary_config": {"duration_minutes": 0},
}
NAMES = ("pricing", "ledger", "checkout")


@pytest.fixture
async def shop(world):
    """Return a control plane with three services."""
    for name in NAMES:
        await world.service(name)
    return world


async def look(world, times: int = 1) -> None:
    """Let the monitor look, then the coordinator."""
    for _ in range(times):
        await world.tick()
        await world.running.plane.coordinator.tick()


async def made(c, data: dict = SHOP) -> str:
    """Start a set; return its path."""
    answer = await c.post("/release-sets", json=data)
    assert answer.status_code == 201, answer.text
    return f"/release-sets/{answer.json()['release_set_id']}"


async def statuses(c, path: str) -> dict[str, str]:
    """Return the members' statuses."""
    view = (await c.get(path)).json()
    return {m["service"]: m["status"] for stage in view["stages"] for m in stage["members"]}


async def lines(c, path: str) -> list[str]:
    """Return the timeline's sentences."""
    return [e["message"] for e in (await c.get(f"{path}/events")).json()["events"]]


def member(view: dict, service: str) -> dict:
    """Return a member of a set's view."""
    return next(m for stage in view["stages"] for m in stage["members"] if m["service"] == service)


async def test_a_set_is_promoted_stage_after_stage(shop):
    """From the call to the end; every member is an ordinary deployment that names its set."""
    async with shop.client() as c:
        path = await made(c)
        await look(shop, 2)
        assert await statuses(c, path) == {"pricing": "active", "ledger": "active", "checkout": ""}
        await look(shop, 6)
        view = (await c.get(path)).json()
        assert (view["state"], view["allowed"]) == ("done", ["rollback"])
        assert await statuses(c, path) == dict.fromkeys(NAMES, "active")
        deployment = (await c.get(f"/deployments/{member(view, 'pricing')['deployment_id']}")).json()
        assert deployment["release_set"] == view["release_set_id"]
        for name in NAMES:
            assert (await c.get(f"/services/{name}")).json()["stable_version"] == "v2"
        said = await lines(c, path)
    assert said[0] == "shop 2026.4 starts: pricing v2, ledger v2, checkout v2."
    assert said[-1] == "shop 2026.4 is done: nothing of it is watched any more."
    assert "Stage 2 of 2 begins: checkout v2." in said


async def test_harm_in_one_member_rolls_all_back(shop):
    """Also the two that are promoted; every service is on v1 again."""
    async with shop.client() as c:
        path = await made(
            c, {**SHOP, "members": [*SHOP["members"][:2], {**SHOP["members"][2], "strategy": {}}]}
        )
        await look(shop, 4)
        view = (await c.get(path)).json()
        checkout = member(view, "checkout")["deployment_id"]
        body = {"reason": "invoices are wrong"}
        assert (await c.post(f"/deployments/{checkout}/rollback", json=body)).status_code == 200
        await look(shop, 2)
        view = (await c.get(path)).json()
        assert view["state"] == "rolled_back"
        assert await statuses(c, path) == dict.fromkeys(NAMES, "rolled_back")
        for name in NAMES:
            assert (await c.get(f"/services/{name}")).json()["stable_version"] == "v1"
        moves = [e for e in (await c.get(f"{path}/events")).json()["events"] if e["kind"] == "rollback"]
    assert [e["data"]["service"] for e in moves] == ["ledger", "pricing"]


@pytest.mark.parametrize(("policy", "eu"), [("all", "rolled_back"), ("hold", "active")])
async def test_a_regions_own_guard_rolls_it_back_and_the_policy_says_what_follows(world, policy, eu):
    """eu is promoted; in us the breaker opens: us goes back by itself, and eu as the policy says."""
    for region in ("eu", "us"):
        await world.service(f"checkout@{region}")
    steps = [{"traffic_percentage": 50, "hold_seconds": 5}]
    free = {"regions": ["eu"]}
    data = {**REGIONS, "waves": [free, {"regions": ["us"]}], "on_harm": policy, "strategy": {"steps": steps}}
    async with world.client() as c:
        path = await made(c, data)
        await look(world, 8)
        assert await statuses(c, path) == {"checkout@eu": "active", "checkout@us": "canary"}
        us = member((await c.get(path)).json(), "checkout@us")["deployment_id"]
        news = {"service": "checkout@us", "deployment": us, "state": "open", "failures": 5}
        sent = await c.post("/sdk/telemetry", json={"source": "p", "seq": 1, "breakers": [news]})
        assert sent.status_code == 202, sent.text
        await look(world, 2)
        assert await statuses(c, path) == {"checkout@eu": eu, "checkout@us": "rolled_back"}
        view = (await c.get(path)).json()
        assert (view["state"], view["paused"]) == (
            ("rolled_back", False) if policy == "all" else ("running", True)
        )
        assert "the circuit breaker opened" in member(view, "checkout@us")["went_back"]


async def test_a_set_is_checked_whole_before_anything_exists(shop):
    """An unknown service, a strategy of one member, a promotion of its own: nothing is made."""
    cases = [
        ({"members": [{"service": "nobody", "version": "v2"}]}, "nobody", "There is no service"),
        ({"strategy": {"mode": "manual"}}, "pricing.strategy.mode", "walk their steps by themselves"),
        (
            {"strategy": {"mode": "auto", "auto_promote": True}},
            "pricing.strategy.auto_promote",
            "with the others",
        ),
        ({"strategy": {"keep_warm": 1}}, "pricing.strategy.keep_warm", "unknown key"),
        ({"members": [{"service": "pricing", "version": "v1"}]}, "pricing.version", "stable version already"),
        ({"members": []}, "members", "has members"),
    ]
    async with shop.client() as c:
        for change, field, words in cases:
            answer = await c.post("/release-sets", json={**SHOP, **change})
            body = answer.json()
            assert (answer.status_code, body["field"]) == (400, field), body
            assert words in body["detail"]
            assert body["next_step"]
        assert (await c.get("/release-sets")).json()["total"] == 0
        assert (await c.get("/deployments")).json()["total"] == 0


async def test_roles_and_tenants(shop):
    """Viewers read, approvers move, admins pass an admin's gate; other tenants find nothing."""
    for region in ("eu", "us"):
        await shop.service(f"checkout@{region}")
    approver, viewer = await shop.token_of("approver"), await shop.token_of("viewer")
    other = await shop.second_tenant()
    async with (
        shop.client() as c,
        shop.client(approver) as a,
        shop.client(viewer) as v,
        shop.client(other) as o,
    ):
        assert (await v.post("/release-sets", json=REGIONS)).status_code == 403
        path = await made(a, REGIONS)
        await look(shop, 4)
        view = (await v.get(path)).json()
        assert (view["waiting"], view["allowed"]) == ("approval", ["rollback", "pause", "approve"])
        for verb in ("approve", "promote", "pause", "resume", "rollback"):
            body = {"reason": "x"} if verb in ("approve", "promote", "rollback") else {}
            assert (await v.post(f"{path}/{verb}", json=body)).status_code == 403
            assert (await o.post(f"{path}/{verb}", json=body)).status_code == 404
        assert [(await o.get(p)).status_code for p in (path, f"{path}/events")] == [404, 404]
        assert (await o.get("/release-sets")).json()["total"] == 0
        assert (await o.post("/release-sets", json=REGIONS)).status_code == 400  # it has no such service
        refused = await a.post(f"{path}/approve", json={"reason": "mine"})
        assert (refused.status_code, refused.json()["next_step"]) == (
            403,
            "Ask somebody with the role admin.",
        )
        done = await c.post(f"{path}/approve", json={"reason": "support is quiet"})
        assert done.json()["sentence"].endswith("by first admin: support is quiet")
        audit = (await c.get("/audit", params={"page_size": 100})).json()["audit"]
        found = [(e["action"], e["outcome"], e["data"].get("reason")) for e in audit if e["target"] in path]
    assert ("release-set.approve", "ok", "support is quiet") in found
    assert ("release-set.approve", "forbidden", "mine") in found
    assert ("release-set.rollback", "forbidden", "x") in found


async def test_a_token_of_some_services_moves_no_others(shop):
    """A set moves every member: a token that is not for all of them neither starts nor sees it."""
    token = await shop.token_of("approver", services=["pricing"])
    async with shop.client() as c, shop.client(token) as scoped:
        path = await made(c)
        assert (await scoped.post("/release-sets", json=SHOP)).status_code == 403
        assert (await scoped.get(path)).status_code == 403
        assert (await scoped.post(f"{path}/rollback", json={"reason": "mine"})).status_code == 403
        assert (await scoped.get("/release-sets")).json()["total"] == 0
        alone = {**SHOP, "name": "pricing alone", "members": SHOP["members"][:1]}
        assert (await scoped.post("/release-sets", json=alone)).status_code == 201


async def test_hands_do_not_go_round_the_set(shop):
    """A member is not promoted by hand without force; a stale revision is refused."""
    slow = {"steps": [{"traffic_percentage": 100, "hold_seconds": 600}]}
    async with shop.client() as c:
        path = await made(c, {**SHOP, "strategy": slow})
        await look(shop)
        view = (await c.get(path)).json()
        pricing = f"/deployments/{member(view, 'pricing')['deployment_id']}"
        refused = await c.post(f"{pricing}/promote")
        assert refused.status_code == 409
        assert "is promoted with its release set" in refused.json()["detail"]
        assert (await c.post(f"{pricing}/promote", json={"force": True})).status_code == 200
        stale = await c.post(f"{path}/pause", headers={"If-Match": '"0"'})
        assert (stale.status_code, "You looked at revision 0" in stale.json()["detail"]) == (409, True)
        assert (await c.post(f"{path}/pause")).json()["paused"]
        assert (await c.post(f"{path}/pause")).status_code == 409
        assert (await c.post(f"{path}/resume")).status_code == 200


async def test_the_same_key_starts_one_set(shop):
    """A repeated call does not start it twice."""
    async with shop.client() as c:
        key = {"Idempotency-Key": "abc"}
        answers = await asyncio.gather(*(c.post("/release-sets", json=SHOP, headers=key) for _ in range(3)))
        assert {a.status_code for a in answers} == {201}
        assert (await c.get("/release-sets")).json()["total"] == 1


async def test_what_cannot_start_holds_and_goes_on_by_itself(shop):
    """Another rollout is in the way of one member: it is said once, and no refusal floods the audit log."""
    async with shop.client() as c:
        other = await shop.canary("v9", "ledger")
        path = await made(c)
        await look(shop, 4)
        view = (await c.get(path)).json()
        assert view["sentence"].startswith(
            "Holding: ledger v2 cannot be started: ledger already has an active"
        )
        assert len([line for line in await lines(c, path) if line.startswith("Holding")]) == 1
        before = (await c.get("/audit")).json()["total"]
        await look(shop, 3)
        assert (await c.get("/audit")).json()["total"] == before
        await c.post(f"/deployments/{other}/rollback", json={"reason": "away"})
        await look(shop, 2)
        assert (await statuses(c, path))["ledger"] == "active"


async def test_a_stage_that_cannot_be_made_says_why(shop):
    """Its version became stable meanwhile: the set holds, and can be rolled back."""
    async with shop.client() as c:
        path = await made(c)
        await c.patch("/services/checkout", json={"stable_version": "v2"})
        await look(shop, 6)
        view = (await c.get(path)).json()
        assert "v2 is checkout's stable version already" in view["sentence"]
        assert (await c.post(f"{path}/rollback", json={"reason": "it is out"})).status_code == 200
        await look(shop, 2)
        assert (await c.get(path)).json()["state"] == "rolled_back"


async def test_a_set_that_is_taken_back_before_its_start_leaves_no_drafts(shop):
    """A freeze holds them, and nobody could start them any more: their set is at its end."""
    freeze = {"from": "2026-01-01 00:00", "until": "2099-01-01 00:00", "reason": "the fair"}
    async with shop.client() as c:
        await c.put("/freezes/fair", json=freeze)
        path = await made(c)
        await look(shop, 2)
        assert (await c.get("/deployments", params={"status": "draft"})).json()["total"] == 2
        ended = (await c.post(f"{path}/rollback", json={"reason": "not this year"})).json()
        await look(shop)
        assert ended["state"] == "rolled_back"
        assert (await c.get("/deployments")).json()["total"] == 0


async def test_a_coordinator_that_dies_between_two_moves_is_gone_on_with(shop, monkeypatch):
    """Promotion, then rollback: cut off after the first move, the next look makes the second."""
    carry_out, calls = Coordinator._carry_out, []

    async def dies_after_one(self, s, order, knocked):
        if calls:
            raise asyncio.CancelledError  # as close to kill -9 as a test's process gets
        calls.append(order.kind)
        return await carry_out(self, s, order, knocked)

    async def cut_off():
        calls.clear()
        monkeypatch.setattr(Coordinator, "_carry_out", dies_after_one)
        with pytest.raises(asyncio.CancelledError):
            await look(shop)
        monkeypatch.setattr(Coordinator, "_carry_out", carry_out)

    async with shop.client() as c:
        path = await made(c, {**SHOP, "members": SHOP["members"][:2]})
        await cut_off()
        assert await statuses(c, path) == {"pricing": "canary", "ledger": "draft"}
        await look(shop)
        await cut_off()
        assert await statuses(c, path) == {"pricing": "active", "ledger": "canary"}
        await look(shop)
        assert await statuses(c, path) == {"pricing": "active", "ledger": "active"}
        await c.post(f"{path}/rollback", json={"reason": "invoices are wrong"})
        await cut_off()
        assert await statuses(c, path) == {"pricing": "active", "ledger": "rolled_back"}
        await look(shop, 2)
        assert await statuses(c, path) == {"pricing": "rolled_back", "ledger": "rolled_back"}
        said = await lines(c, path)
        total = (await c.get("/deployments")).json()["total"]
    assert total == 2
    for service in ("pricing", "ledger"):
        promoted = [s for s in said if s == f"{service} v2: v2 promoted: everyone is on it."]
        assert len(promoted) == 1, said


async def test_two_replicas_make_each_move_once(store, tmp_path, clock):
    """Both look at the same moment, again and again: one timeline, one deployment per member."""
    planes = []
    for n in (1, 2):
        settings = Settings(data_dir=tmp_path / str(n), replica=f"r{n}")
        running = build(settings, store=store, clock=clock, notifiers={})
        loops, running.loops = running.loops, ()
        await running.start()
        running.loops = loops
        planes.append(World(running, create_app(settings, running), clock, running.first_token))
    one, two = planes
    for name in NAMES:
        await one.service(name)
    async with one.client() as c:
        path = await made(c)
        for _ in range(8):
            clock.pass_(2)
            await one.running.loops[0].work()
            await asyncio.gather(*(p.running.plane.coordinator.tick() for p in planes))
        await asyncio.gather(*(p.running.plane.coordinator.tick() for p in planes))
        assert (await c.get(path)).json()["state"] == "done"
        said = await lines(c, path)
        assert len(said) == len(set(said)), said
        assert (await c.get("/deployments")).json()["total"] == 3
    for plane in (two, one):
        plane.running.loops = ()
        await plane.running.stop()


async def test_people_are_told_once_per_event_of_the_set(tmp_path, clock):
    """A gate and the end, each one message with the set's name and page; no member asks to be promoted."""
    told = MemoryNotifier()
    settings = Settings(data_dir=tmp_path, public_url="http://serinus.example")
    running = build(settings, clock=clock, notifiers={"slack": told})
    loops, running.loops = running.loops, ()
    await running.start()
    running.loops = loops
    world = World(running, create_app(settings, running), clock, running.first_token)
    for region in ("eu", "us"):
        await world.service(f"checkout@{region}")
    async with world.client() as c:
        path = await made(c, REGIONS)
        await look(world, 6)
        await c.post(f"{path}/approve", json={})
        await look(world, 8)
    titles = [n.title for n in told.messages]
    assert titles.count("[Serinus] Waiting for you: checkout v2") == 1
    assert titles.count("[Serinus] Promoted: checkout v2") == 1
    assert not [t for t in titles if t.startswith("[Serinus] Waiting") and "@" in t]
    gate = next(n for n in told.messages if n.kind == "waiting")
    assert gate.link == f"http://serinus.example{path}"
    running.loops = ()
    await running.stop()
