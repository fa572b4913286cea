"""A tenant's freezes: set by admins, they hold every deployment like a strategy's own."""

from __future__ import annotations

#: The tests begin on a Saturday at noon.
WEEKEND = {"from": "sat 00:00", "until": "mon 08:00", "reason": "nobody is in the office"}
STEPS = [{"traffic_percentage": s, "hold_seconds": 0} for s in (5, 100)]
FREE = {"checks": [], "only": True}


async def made(c, service: str = "checkout", strategy: dict | None = None) -> str:
    """Make a draft; return its path."""
    body = {"service_id": service, "version": "v2", "analysis": FREE, "strategy": strategy}
    answer = await c.post("/deployments", json=body)
    assert answer.status_code == 201, answer.text
    return f"/deployments/{answer.json()['deployment_id']}"


async def test_a_freeze_holds_starts_steps_and_hands_but_no_rollback(world):
    """What runs waits where it is; a start waits for the end; an admin overrides; going back is free."""
    await world.service()
    await world.service("ledger")
    async with world.client() as c:
        running = await made(c, strategy={"mode": "auto", "steps": STEPS})
        await c.post(f"{running}/start-canary")
        assert (await c.put("/freezes/weekend", json=WEEKEND)).status_code == 201
        await world.tick()
        view = (await c.get(running)).json()
        assert (view["traffic_percentage"], view["tenant_freezes"]) == (5, ["weekend"])
        assert view["sentence"] == "Holding at 5 %: weekend: frozen until 2026-02-02 08:00 UTC."
        for answer in (
            await c.put(f"{running}/traffic", json={"traffic_percentage": 50}),
            await c.post(f"{running}/promote", json={"force": True}),
        ):
            assert answer.status_code == 409
            assert "weekend: frozen until" in answer.json()["detail"]
        later = await made(c, "ledger")
        started = (await c.post(f"{later}/start-canary")).json()
        assert (started["status"], started["scheduled_for"]) == ("scheduled", "2026-02-02T08:00:00.000Z")
        done = await c.post(f"{running}/override-freeze", json={"reason": "a security fix"})
        assert done.json()["freeze_override"] == "a security fix"
        await world.tick()
        assert (await c.get(running)).json()["traffic_percentage"] == 100
        back = await c.post(f"{running}/rollback", json={"reason": "it is worse"})
        assert back.json()["status"] == "rolled_back"
        await world.tick(2 * 86400)
        assert (await c.get(later)).json()["status"] == "canary"


async def test_a_freeze_is_meant_for_the_services_that_it_names(world):
    """By name, and by a pattern for all regions of one."""
    for name in ("checkout@eu", "ledger"):
        await world.service(name)
    async with world.client() as c:
        await c.put("/freezes/weekend", json={**WEEKEND, "services": ["checkout@*"]})
        held, free = await made(c, "checkout@eu"), await made(c, "ledger")
        assert (await c.post(f"{held}/start-canary")).json()["status"] == "scheduled"
        assert (await c.post(f"{free}/start-canary")).json()["status"] == "canary"


async def test_what_is_removed_holds_nothing_any_more(world):
    """At the monitor's next look."""
    await world.service()
    async with world.client() as c:
        path = await made(c, strategy={"mode": "auto", "steps": STEPS})
        await c.post(f"{path}/start-canary")
        await c.put("/freezes/weekend", json=WEEKEND)
        await world.tick()
        assert (await c.delete("/freezes/weekend")).status_code == 204
        assert (await c.delete("/freezes/weekend")).status_code == 404
        await world.tick()
        assert (await c.get(path)).json()["traffic_percentage"] == 100


async def test_only_admins_set_and_remove_and_it_is_written_down(world):
    """Viewers read; the audit log has who, what and why; another tenant has freezes of its own."""
    await world.service()
    approver, other = await world.token_of("approver"), await world.second_tenant()
    async with world.client() as c, world.client(approver) as a, world.client(other) as o:
        assert (await a.put("/freezes/weekend", json=WEEKEND)).status_code == 403
        assert (await c.put("/freezes/weekend", json=WEEKEND)).status_code == 201
        again = await c.put("/freezes/weekend", json={**WEEKEND, "zone": "Asia/Seoul"})
        assert (again.status_code, again.json()["words"]) == (200, "sat 00:00 until mon 08:00 (Asia/Seoul)")
        assert (await a.delete("/freezes/weekend")).status_code == 403
        assert (await o.delete("/freezes/weekend")).status_code == 404
        assert (await o.get("/freezes")).json()["total"] == 0
        found = (await a.get("/freezes")).json()["freezes"]
        assert [(f["name"], f["on"], f["created_by"]) for f in found] == [("weekend", True, "first admin")]
        await c.delete("/freezes/weekend")
        audit = [e for e in (await c.get("/audit")).json()["audit"] if e["target"] == "weekend"]
    assert [(e["action"], e["outcome"]) for e in reversed(audit)] == [
        ("freeze.set", "forbidden"),
        ("freeze.set", "ok"),
        ("freeze.set", "ok"),
        ("freeze.remove", "forbidden"),
        ("freeze.remove", "ok"),
    ]
    assert audit[3]["data"]["reason"] == "nobody is in the office"


async def test_a_wrong_freeze_is_told_by_its_place(world):
    """And nothing is stored."""
    async with world.client() as c:
        for change, field in (
            ({"from": "saturday"}, "from"),
            ({"until": "08:00"}, "from"),
            ({"zone": "Mars/Olympus"}, "zone"),
            ({"from": "2026-01-02 00:00", "until": "2026-01-01 00:00"}, "until"),
            ({"services": ["a b\n"]}, "services[0]"),
            ({"reason": " "}, "reason"),
        ):
            answer = await c.put("/freezes/weekend", json={**WEEKEND, **change})
            assert (answer.status_code, answer.json()["field"]) == (400, field), answer.text
        assert (await c.get("/freezes")).json()["total"] == 0
