"""Contract 1's session on business rules that Serinus executes: from create to rollback."""

from __future__ import annotations

from rulebook import BROKEN, CASES, GENEROUS, PRICING

OVERSIZED = {"input": {"amount": 200}, "expected_output": {"discount": 0.2}}


async def made(world, client, **more) -> str:
    """Make the ruleset R on v1.0.0 and store v2.0.0; return R."""
    first = {"name": "pricing", "version": "v1.0.0", "engine": "starlark", "content": PRICING}
    answer = await client.post("/rulesets", json={**first, "test_cases": CASES, **more})
    assert answer.status_code == 201, answer.text
    return answer.json()["ruleset_id"]


async def executed(client, ruleset, users=range(200), amount=200, **more) -> list[dict]:
    """Execute once per user."""
    answers = []
    for n in users:
        body = {"input": {"amount": amount, **more}, "user_id": f"user-{n}"}
        answer = await client.post(f"/rulesets/{ruleset}/execute", json=body)
        assert answer.status_code == 200, answer.text
        answers.append(answer.json())
    return answers


async def handed_in(world) -> None:
    """Do what the loop does once a second, then let the monitor look."""
    await world.running.plane.executor.settle()
    await world.running.plane.executor.flush()
    await world.tick()


async def test_the_session_from_create_to_rollback(world):
    """Each call as the contract spells it; the executions are real."""
    async with world.client(await world.token_of("approver")) as c:
        ruleset = await made(world, c)
        stored = await c.post(
            f"/rulesets/{ruleset}/versions",
            json={"version": "v2.0.0", "engine": "starlark", "content": GENEROUS, "test_cases": [OVERSIZED]},
        )
        assert stored.status_code == 201

        # 6. before all that
        body = {"input": {"amount": 200}, "expected_output": {"discount": 0.1}}
        tested = (await c.post(f"/rulesets/{ruleset}/test", json=body)).json()
        assert (tested["output"], tested["match"], tested["version"]) == ({"discount": 0.2}, False, "v2.0.0")
        assert [d["line"] for d in tested["diff"]] == ["$.discount: expected 0.1, got 0.2"]
        assert tested["latency_ms"] > 0
        old = (await c.post(f"/rulesets/{ruleset}/test", json={**body, "version": "v1.0.0"})).json()
        assert (old["match"], old["diff"]) == (True, [])

        # 1. create
        body = {
            "ruleset_id": ruleset,
            "version": "v2.0.0",
            "changelog": "…",
            "canary_config": {"initial_traffic_percentage": 10, "increment": 10, "duration_minutes": 60},
        }
        draft = (await c.post("/deployments", json=body)).json()
        d = draft["deployment_id"]
        assert draft["status"] == "draft"

        # 2. start
        begun = await c.post(f"/deployments/{d}/start-canary", json={"canary_pct": 10})
        assert (begun.status_code, begun.json()["status"]) == (200, "canary")
        world.clock.pass_(1)
        answers = await executed(c, ruleset)
        on_canary = [a for a in answers if a["is_canary"]]
        assert 8 <= len(on_canary) <= 35
        assert {a["output"]["discount"] for a in on_canary} == {0.2}
        assert {a["version"] for a in answers if not a["is_canary"]} == {"v1.0.0"}
        await handed_in(world)

        # 3. compare
        compared = (await c.get(f"/deployments/{d}/comparison")).json()
        assert compared["comparison"]["recommendation"] == "wait"
        metrics = (await c.get(f"/deployments/{d}/metrics")).json()
        assert metrics["v2_metrics"]["total_requests"] == len(on_canary)
        assert metrics["v1_metrics"]["total_requests"] == 200 - len(on_canary)
        assigned = (await c.get(f"/deployments/{d}/assignments")).json()
        assert assigned["total"] == len(on_canary)
        assert assigned["assignments"][0]["priority"] == "user_id"

        # 4. shift: nobody who was on the canary leaves it
        shifted = await c.put(f"/deployments/{d}/traffic", json={"traffic_percentage": 50})
        assert shifted.json()["traffic_percentage"] == 50
        world.clock.pass_(1)
        again = await executed(c, ruleset)
        assert all(now["is_canary"] for was, now in zip(answers, again, strict=True) if was["is_canary"])
        assert 70 <= sum(a["is_canary"] for a in again) <= 130
        await handed_in(world)
        health = (await c.get(f"/deployments/{d}/health")).json()
        assert (health["circuit_breaker_state"], health["current_error_rate"]) == ("CLOSED", 0), health[
            "warnings"
        ]

        # 5. roll back
        body = {"reason": "error rate 8 %, limit 5 %", "apply_compensation": True}
        back = (await c.post(f"/deployments/{d}/rollback", json=body)).json()
        assert back["status"] == "rolled_back"
        world.clock.pass_(1)
        after = await executed(c, ruleset, range(20))
        assert {(a["version"], a["is_canary"]) for a in after} == {("v1.0.0", False)}
        assert (await c.get(f"/deployments/{d}/assignments")).json()["total"] == 0
        kinds = [e["kind"] for e in (await c.get(f"/deployments/{d}/events")).json()["events"]]
        assert kinds[:3] == ["created", "guard", "started"]
        assert "rolled_back" in kinds


async def test_rules_that_fail_open_the_breaker_and_are_rolled_back(world):
    """Five failures in a row; everyone is served all the time; the failures can be read, without secrets."""
    async with world.client() as c:
        ruleset = await made(world, c, redact=["email"])
        bad = {"version": "v2.0.0", "engine": "starlark", "content": BROKEN, "test_cases": []}
        await c.post(f"/rulesets/{ruleset}/versions", json=bad)
        d = await world.canary("v2.0.0", "pricing", 50)
        world.clock.pass_(1)
        answers = await executed(c, ruleset, range(60), email="ada@example.com")
        assert {a["output"]["discount"] for a in answers} == {0.1}
        fell = [a for a in answers if a["fell_back"]]
        assert len(fell) == 5
        assert fell[0]["canary_error"]["version"] == "v2.0.0"
        assert not any(a["is_canary"] for a in answers)
        await handed_in(world)

        events = (await c.get(f"/deployments/{d}/events")).json()["events"]
        assert [e["kind"] for e in events] == ["created", "started", "breaker", "rolled_back", "notification"]
        assert (await c.get(f"/deployments/{d}")).json()["status"] == "rolled_back"
        query = {"failed": "true", "deployment_id": d}
        logged = (await c.get(f"/rulesets/{ruleset}/executions", params=query)).json()
        assert logged["total"] == 5
        assert {e["execution_id"] for e in logged["executions"]} == {a["execution_id"] for a in fell}
        one = logged["executions"][0]
        assert one["input"] == {"amount": 200, "email": "[redacted]"}
        assert one["error"] == "fail: no price for [redacted] (line 2)"
        assert "ada@example.com" not in (await c.get(f"/rulesets/{ruleset}/executions")).text


async def test_a_promoted_version_serves_everyone(world):
    """Stable is the new version, for everyone."""
    async with world.client() as c:
        ruleset = await made(world, c)
        new = {"version": "v2.0.0", "engine": "starlark", "content": GENEROUS, "test_cases": [OVERSIZED]}
        await c.post(f"/rulesets/{ruleset}/versions", json=new)
        d = await world.canary("v2.0.0", "pricing", 10)
        assert (await c.post(f"/deployments/{d}/promote", json={"force": True})).json()["status"] == "active"
        world.clock.pass_(1)
        assert {a["version"] for a in await executed(c, ruleset, range(20))} == {"v2.0.0"}
        assert (await c.get(f"/rulesets/{ruleset}")).json()["stable_version"] == "v2.0.0"
