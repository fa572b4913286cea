"""Strategies through the API: who may do what, what is refused when, and what is written down."""

from __future__ import annotations

from datetime import timedelta

from serinus.sdk.routing import Router

STEPS = [{"traffic_percentage": s, "hold_seconds": 0} for s in (5, 100)]
ADMINS_ONLY = {"mode": "auto", "steps": [{**STEPS[0], "gate": {"role": "admin"}}, STEPS[1]]}
#: The tests begin on a Saturday at noon.
FROZEN = {"windows": [{"name": "weekend", "from": "sat 00:00", "until": "mon 08:00"}]}


async def events(c, path: str) -> list[str]:
    """Return the timeline's sentences."""
    return [e["message"] for e in (await c.get(f"{path}/events")).json()["events"]]


async def made(c, strategy: dict | None = None, version: str = "v2", **more) -> str:
    """Make a draft; return its path."""
    body = {"service_id": "checkout", "version": version, "analysis": {"checks": [], "only": True}, **more}
    answer = await c.post("/deployments", json={**body, "strategy": strategy})
    assert answer.status_code == 201, answer.text
    return f"/deployments/{answer.json()['deployment_id']}"


async def test_what_a_driver_lacks_is_refused_when_the_deployment_is_made(world):
    """Before anything exists; and when a draft is changed to it."""
    await world.service()
    async with world.client() as c:
        draft = await made(c)
        for strategy, words, field in (
            (
                {"preview": {"header": {"name": "x", "value": "1"}}},
                "pin requests by a header or a cookie",
                "matches",
            ),
            ({"mirror": {"percent": 5, "seconds": 5}, "steps": STEPS}, "mirror requests", "mirror"),
        ):
            body = {"service_id": "checkout", "version": "v2", "strategy": strategy}
            for answer in (
                await c.post("/deployments", json=body),
                await c.patch(draft, json={"strategy": strategy}),
            ):
                assert answer.status_code == 400
                assert answer.json()["detail"] == f"in-process cannot {words}."
                assert answer.json()["field"] == field
                assert "envoy" in answer.json()["next_step"]
        assert (await c.get("/deployments")).json()["total"] == 1


async def test_an_unknown_key_is_named_with_its_nearest(world):
    """Strict, as everywhere."""
    await world.service()
    async with world.client() as c:
        body = {"service_id": "checkout", "version": "v2", "strategy": {"keep_warm": 5}}
        answer = await c.post("/deployments", json=body)
    assert answer.json()["errors"] == [
        {"field": "strategy.keep_warm", "message": "unknown key; did you mean 'keep_warm_seconds'?"}
    ]


async def test_a_gate_for_admins_is_written_down_with_who_and_why(world):
    """403 for an approver by any way round; then timeline and audit log have the admin's reason."""
    await world.service()
    approver = await world.token_of("approver")
    async with world.client() as c, world.client(approver) as a:
        path = await made(c, ADMINS_ONLY)
        await c.post(f"{path}/start-canary")
        await world.tick()
        view = (await c.get(path)).json()
        assert (view["waiting"], view["gate_role"]) == ("approval", "admin")
        assert view["strategy"]["steps"][0]["gate"] == {"role": "admin"}
        for answer in (
            await a.post(f"{path}/approve", json={"reason": "mine"}),
            await a.put(f"{path}/traffic", json={"traffic_percentage": 100}),
            await a.post(f"{path}/promote", json={"force": True}),
        ):
            assert (answer.status_code, answer.json()["next_step"]) == (
                403,
                "Ask somebody with the role admin.",
            )
        done = await c.post(f"{path}/approve", json={"reason": "the dashboards look well"})
        assert done.json()["sentence"] == "Approved at 5 % by first admin: the dashboards look well"
        await world.tick()
        assert (await c.get(path)).json()["traffic_percentage"] == 100
        assert "Approved at 5 % by first admin: the dashboards look well" in await events(c, path)
        audit = (await c.get("/audit")).json()["audit"]
    entry = next(e for e in audit if e["action"] == "deployment.approve" and e["outcome"] == "ok")
    assert (entry["actor"], entry["data"]["reason"]) == ("first admin", "the dashboards look well")


async def test_a_scheduled_start_begins_by_itself(world):
    """Its time comes, and the monitor starts it; until then nothing is routed."""
    await world.service()
    at = (world.clock.now() + timedelta(minutes=5)).isoformat()
    async with world.client() as c:
        path = await made(c)
        answer = await c.post(f"{path}/schedule", json={"start_at": at, "canary_pct": 25})
        assert (answer.json()["status"], answer.json()["sentence"]) == (
            "scheduled",
            "v2 starts at 2026-01-31 12:05:00 UTC.",
        )
        assert (await c.get("/sdk/snapshot")).json()["services"]["checkout"]["deployment"] is None
        await world.tick(299)
        assert (await c.get(path)).json()["status"] == "scheduled"
        await world.tick(1)
        view = (await c.get(path)).json()
        assert (view["status"], view["traffic_percentage"], view["scheduled_for"]) == ("canary", 25, None)
        assert (await c.get("/deployments", params={"status": "scheduled"})).json()["total"] == 0


async def test_another_time_keeps_the_share_that_was_asked_for(world):
    """Scheduled again with a time only, it is put off: who it starts with stays."""
    await world.service()
    early, late = ((world.clock.now() + timedelta(minutes=n)).isoformat() for n in (5, 9))
    async with world.client() as c:
        path = await made(c)
        await c.post(f"{path}/schedule", json={"start_at": early, "canary_pct": 25})
        await c.post(f"{path}/schedule", json={"start_at": late})
        await world.tick(541)
        view = (await c.get(path)).json()
        assert (view["status"], view["traffic_percentage"]) == ("canary", 25)


async def test_a_scheduled_start_waits_for_another_rollout_and_says_so_once(world):
    """It is put off, and begins when the way is free."""
    await world.service()
    other = await world.canary("v3")
    at = (world.clock.now() + timedelta(minutes=1)).isoformat()
    async with world.client() as c:
        path = await made(c, {"start_at": at})
        refused = await c.post(f"{path}/start-canary")
        assert refused.json()["in_the_way"] == other
        await c.post(f"{path}/schedule", json={"start_at": at})
        await world.tick(61)
        await world.tick(2)
        view = (await c.get(path)).json()
        assert (
            view["sentence"] == f"v2 is due and waits: checkout already has an active canary: v3 ({other})."
        )
        assert (await events(c, path)).count(view["sentence"]) == 1
        await c.post(f"/deployments/{other}/rollback", json={"reason": "make way"})
        await world.tick(2)
        assert (await c.get(path)).json()["status"] == "canary"


async def test_a_strategy_may_carry_the_time_and_the_start_be_cancelled_or_hurried(world):
    """``start_at`` in the strategy; cancelled it is a draft; asked again it starts now."""
    await world.service()
    at = (world.clock.now() + timedelta(hours=1)).isoformat()
    async with world.client() as c:
        path = await made(c, {"start_at": at})
        assert (await c.post(f"{path}/start-canary")).json()["status"] == "scheduled"
        assert (await c.patch(path, json={"changelog": "x"})).status_code == 409
        assert (await c.post(f"{path}/cancel")).json()["status"] == "draft"
        assert (await c.post(f"{path}/cancel")).status_code == 409
        await c.post(f"{path}/start-canary", json={"canary_pct": 30})
        view = (await c.post(f"{path}/start-canary")).json()
        assert (view["status"], view["traffic_percentage"]) == ("canary", 30)


async def test_a_minimum_time_is_forced_by_name_only(world):
    """409 with the seconds that are left."""
    await world.service()
    async with world.client() as c:
        path = await made(c, {"mode": "auto", "steps": [{**STEPS[0], "min_seconds": 600}, STEPS[1]]})
        await c.post(f"{path}/start-canary")
        early = await c.put(f"{path}/traffic", json={"traffic_percentage": 50})
        assert (early.status_code, early.json()["detail"]) == (
            409,
            "This step lasts at least 600 s; 600 s are left.",
        )
        forced = await c.put(f"{path}/traffic", json={"traffic_percentage": 50, "force": True})
        assert forced.json()["sentence"].startswith("Traffic 5 % → 50 % by hand, forced.")


async def test_a_freeze_schedules_a_start_refuses_hands_and_is_overridden_by_admins_only(world):
    """With a reason that is on the timeline and in the audit log; a rollback asks nobody."""
    await world.service()
    approver = await world.token_of("approver")
    async with world.client() as c, world.client(approver) as a:
        path = await made(c, {"freeze": FROZEN})
        view = (await a.post(f"{path}/start-canary")).json()
        assert (view["status"], view["scheduled_for"][:16]) == ("scheduled", "2026-02-02T08:00")
        assert view["sentence"].endswith("weekend: frozen until 2026-02-02 08:00 UTC.")
        assert (await a.post(f"{path}/override-freeze", json={"reason": "a fix"})).status_code == 403
        assert (await c.post(f"{path}/override-freeze", json={"reason": ""})).status_code == 400
        assert (await c.post(f"{path}/override-freeze", json={"reason": "a fix"})).status_code == 200
        assert (await a.post(f"{path}/start-canary")).json()["status"] == "canary"
        assert "Freezes are overridden for v2: a fix" in await events(c, path)
        audit = (await c.get("/audit")).json()["audit"]
        done = next(e for e in audit if e["action"] == "deployment.override-freeze" and e["outcome"] == "ok")
        assert (done["actor"], done["data"]) == ("first admin", {"reason": "a fix"})
        assert (await a.post(f"{path}/rollback", json={"reason": "no"})).json()["status"] == "rolled_back"


async def test_a_freeze_refuses_more_traffic_by_hand_and_never_a_rollback(world):
    """A rollout that the weekend has overtaken."""
    await world.service()
    async with world.client() as c:
        friday = {"windows": [{"name": "weekend", "from": "sat 12:01", "until": "mon 08:00"}]}
        path = await made(c, {"freeze": friday})
        await c.post(f"{path}/start-canary", json={"canary_pct": 10})
        world.clock.pass_(120)
        for answer in (
            await c.put(f"{path}/traffic", json={"traffic_percentage": 50}),
            await c.post(f"{path}/promote", json={"force": True}),
        ):
            assert (answer.status_code, answer.json()["frozen_until"]) == (409, "2026-02-02T08:00:00+00:00")
        assert (await c.put(f"{path}/traffic", json={"traffic_percentage": 5})).status_code == 200
        assert (await c.post(f"{path}/rollback", json={"reason": "no"})).json()["status"] == "rolled_back"


async def test_an_sdk_follows_a_gradual_rollback_down(world):
    """Units that would stay on a canary whose share shrinks do not stay on one that goes back."""
    await world.service()
    users = [f"user-{n}" for n in range(2000)]
    router = Router("checkout")

    async def on_canary(c) -> int:
        router.adopt((await c.get("/sdk/snapshot")).json()["services"]["checkout"])
        return sum(router.expose(user).is_canary for user in users)

    async with world.client() as c:
        path = await made(c, {"rollback": {"steps": [50, 10], "seconds": 30}})
        await c.post(f"{path}/start-canary", json={"canary_pct": 100})
        assert await on_canary(c) == 2000
        view = (await c.post(f"{path}/rollback", json={"reason": "invoices are wrong"})).json()
        assert (view["status"], view["sentence"]) == (
            "canary",
            "Going back at 50 %, then 10 %, 0 %: invoices are wrong",
        )
        assert view["going_back"] == {"reason": "invoices are wrong", "held": False, "automatic": False}
        seen = [await on_canary(c)]
        for _ in range(2):
            await world.tick(31)
            seen.append(await on_canary(c))
        assert 900 < seen[0] < 1100
        assert 150 < seen[1] < 250
        assert seen[2] == 0
        view = (await c.get(path)).json()
        assert (view["status"], view["end_reason"]) == ("rolled_back", "invoices are wrong")
        assert "Rolled back from 10 % to v1: invoices are wrong" in await events(c, path)
