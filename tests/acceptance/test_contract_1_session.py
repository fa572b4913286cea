"""The session that an approver runs, call by call, with contract 1's fields."""

from __future__ import annotations


async def test_the_session_from_create_to_promote(world):
    """Create, start at 10 %, compare, shift to 50 %, check, promote."""
    service = await world.service("pricing", kind="ruleset")
    async with world.client(await world.token_of("approver")) as c:
        body = {
            "ruleset_id": service["ruleset_id"],
            "version": "v2.0.0",
            "changelog": "…",
            "canary_config": {"initial_traffic_percentage": 10, "increment": 10, "duration_minutes": 60},
        }
        made = (await c.post("/deployments", json=body)).json()
        identity = made["deployment_id"]
        assert (made["status"], made["canary_config"]["error_threshold"]) == ("draft", 0.05)
        begun = (await c.post(f"/deployments/{identity}/start-canary", json={"canary_pct": 10})).json()
        assert (begun["status"], begun["traffic_percentage"]) == ("canary", 10)

        await world.serve(identity, "stable", 1000, errors=30, ms=150)
        metrics = (await c.get(f"/deployments/{identity}/metrics")).json()
        assert metrics["v2_metrics"] is None
        v1 = metrics["v1_metrics"]
        assert {k: v1[k] for k in ("total_requests", "success_count", "error_count")} == {
            "total_requests": 1000,
            "success_count": 970,
            "error_count": 30,
        }
        assert (v1["success_rate"], v1["error_rate"], v1["avg_latency_ms"]) == (0.97, 0.03, 150)
        assert set(v1) >= {"p95_latency_ms", "p99_latency_ms"}

        # some minutes in which the monitor looks: the judge needs more than one window
        await world.compare(identity, 20, canary=(50, 0, 100.0), stable=(450, 13, 150.0))
        compared = (await c.get(f"/deployments/{identity}/comparison")).json()
        assert compared["comparison"]["is_better"] is True
        assert compared["comparison"]["recommendation"] == "wait"
        assert compared["analysis"] == {
            "v1_is_more_reliable": False,
            "v2_is_faster": True,
            "significant_difference": True,
        }
        shifted = (await c.put(f"/deployments/{identity}/traffic", json={"traffic_percentage": 50})).json()
        assert shifted["traffic_percentage"] == 50

        refused = await c.post(f"/deployments/{identity}/promote")
        assert (refused.status_code, "time at 50 %" in refused.json()["gate"]) == (409, True)
        for look in range(130):  # an hour at 50 %, looked at every 30 s
            if look >= 120:
                await world.serve(identity, "stable", 50, errors=1, ms=150)
                await world.serve(identity, "canary", 50, ms=100)
            await world.tick(30)
        health = (await c.get(f"/deployments/{identity}/health")).json()
        assert (health["circuit_breaker_state"], health["current_error_rate"]) == ("CLOSED", 0)
        assert (await c.get(f"/deployments/{identity}/comparison")).json()["comparison"][
            "recommendation"
        ] == "promote"
        done = (await c.post(f"/deployments/{identity}/promote")).json()
        assert (done["status"], done["traffic_percentage"]) == ("active", 100)
        assert (await c.get("/services/pricing")).json()["stable_version"] == "v2.0.0"


async def test_a_run_that_goes_wrong_ends_on_the_timeline(world):
    """Errors above the limit: automatic rollback within seconds, with its evidence."""
    await world.service()
    identity = await world.canary(analysis={"preset": "rulesets"})
    await world.tick()
    await world.serve(identity, "stable", 900)
    await world.serve(identity, "canary", 100, errors=8)
    await world.tick()
    async with world.client() as c:
        events = (await c.get(f"/deployments/{identity}/events")).json()["events"]
        health = (await c.get(f"/deployments/{identity}/health")).json()
        snapshot = (await c.get("/sdk/snapshot")).json()
    assert [e["kind"] for e in events] == ["created", "started", "rolled_back", "notification"]
    assert events[2]["actor"] == "monitor"
    assert "error rate: canary 8 %, stable 0 % (at most 5 %)" in events[2]["message"]
    assert events[2]["data"]["verdicts"][0]["outcome"] == "fail"
    assert "no notification channel is configured" in events[3]["message"]
    assert health["health_status"] == "unhealthy"
    assert snapshot["services"]["checkout"]["deployment"] is None


async def test_named_users_first_then_everybody(world):
    """A start with a filter reaches exactly those; a later percentage adds the rest by hash."""
    await world.service()
    async with world.client() as c:
        made = (await c.post("/deployments", json={"service_id": "checkout", "version": "v2"})).json()
        identity = made["deployment_id"]
        body = {"canary_pct": 10, "canary_target_filter": {"user_ids": ["ada"], "workflow_ids": []}}
        await c.post(f"/deployments/{identity}/start-canary", json=body)
        world.clock.pass_(1)
        entry = (await c.get("/sdk/snapshot")).json()["services"]["checkout"]["deployment"]
        assert (entry["weight_bp"], entry["user_ids"]) == (0, ["ada"])
        await c.put(f"/deployments/{identity}/traffic", json={"traffic_percentage": 20})
        world.clock.pass_(1)
        entry = (await c.get("/sdk/snapshot")).json()["services"]["checkout"]["deployment"]
        assert (entry["weight_bp"], entry["user_ids"]) == (2000, ["ada"])
