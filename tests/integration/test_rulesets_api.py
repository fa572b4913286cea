"""Rulesets over the API: immutability, the guard, shadows, the log, refusals, the SDK."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from rulebook import BROKEN, CASES, GENEROUS, PRICING, table
from serinus.core.errors import Unavailable
from serinus.drivers.traffic.inprocess import InProcessDriver
from serinus.sdk import Client

V1 = {"name": "pricing", "version": "v1", "engine": "starlark", "content": PRICING, "test_cases": CASES}
LOUD = 'def decide(input):\n    fail("not " + input["who"])\n'
V2 = {"version": "v2", "engine": "starlark", "content": GENEROUS, "test_cases": []}


@pytest.fixture
async def c(world):
    """Return a client of a control plane that has the ruleset ``pricing`` on v1, and v2 stored."""
    async with world.client() as client:
        for path, body in (("/rulesets", V1), ("/rulesets/pricing/versions", V2)):
            answer = await client.post(path, json=body)
            assert answer.status_code == 201, answer.text
        yield client


async def test_versions_never_change(c):
    """The same again is the same; another content under a known name is refused."""
    again = await c.post("/rulesets/pricing/versions", json=V2)
    assert (again.status_code, again.json()["version"]) == (200, "v2")
    changed = await c.post("/rulesets/pricing/versions", json={**V2, "content": PRICING})
    assert (changed.status_code, changed.json()["field"]) == (409, "version")
    listed = (await c.get("/rulesets/pricing/versions")).json()
    assert [(v["version"], v["is_stable"], v["author"]) for v in listed["versions"]] == [
        ("v2", False, "first admin"),
        ("v1", True, "first admin"),
    ]
    whole = (await c.get("/rulesets/pricing/versions/v2")).json()
    assert (whole["content"], whole["test_cases"]) == (GENEROUS, [])


async def test_a_version_that_is_sent_again_is_known_whatever_came_after_it(c):
    """A pipeline runs again: what it leaves out was inherited then, not now."""
    inherits = {"version": "v3", "engine": "starlark", "content": PRICING}
    first = await c.post("/rulesets/pricing/versions", json=inherits)
    assert (first.status_code, first.json()["test_cases"]) == (201, [])
    await c.post("/rulesets/pricing/versions", json={**inherits, "version": "v4", "test_cases": CASES})
    again = await c.post("/rulesets/pricing/versions", json=inherits)
    assert (again.status_code, again.json()) == (200, first.json())


async def test_a_version_named_like_a_branch_is_read_like_any(c):
    """A slash in its name is part of it, encoded or not."""
    made = await c.post("/rulesets/pricing/versions", json={**V2, "version": "release/2.0"})
    for path in ("release/2.0", "release%2F2.0"):
        read = await c.get(f"/rulesets/pricing/versions/{path}")
        assert (read.status_code, read.json()) == (200, made.json())


async def test_the_same_rules_have_the_same_address(c):
    """A model's spacing and key order are not its content."""
    first = await c.post("/rulesets", json={"name": "a", "version": "v1", "content": table()})
    text = json.dumps(table(), indent=4, sort_keys=True)
    second = await c.post("/rulesets", json={"name": "b", "version": "v9", "content": text})
    assert first.json()["digest"] == second.json()["digest"]
    assert first.json()["digest"].startswith("sha256:")


async def test_cases_are_inherited_and_guard_the_start(world, c):
    """A version that breaks a case of the one before does not start; one with its own cases does."""
    await c.post("/rulesets/pricing/versions", json={**V2, "version": "v3", "test_cases": CASES})
    inherits = {k: v for k, v in V2.items() if k != "test_cases"}
    made = (await c.post("/rulesets/pricing/versions", json={**inherits, "version": "v4"})).json()
    assert made["test_cases"] == CASES
    for version in ("v3", "v4"):
        d = (await c.post("/deployments", json={"ruleset_id": "pricing", "version": version})).json()
        refused = await c.post(f"/deployments/{d['deployment_id']}/start-canary", json={})
        problem = refused.json()
        assert (refused.status_code, problem["type"].rsplit("/", 1)[1]) == (409, "test-cases-failed")
        assert "a big order: $.discount: expected 0.1, got 0.2" in problem["detail"]
        assert (await c.get(f"/deployments/{d['deployment_id']}")).json()["status"] == "draft"
    audit = (await c.get("/audit")).json()["audit"]
    assert [e["outcome"] for e in audit if e["action"] == "deployment.start"] == ["conflict", "conflict"]
    own = [{"input": {"amount": 200}, "expected_output": {"discount": 0.2}}]
    await c.post("/rulesets/pricing/versions", json={**V2, "version": "v5", "test_cases": own})
    d = await world.canary("v5", "pricing")
    events = (await c.get(f"/deployments/{d}/events")).json()["events"]
    assert events[1]["message"] == "1 of 1 test cases of v5 passed."


async def test_a_version_that_is_not_stored_does_not_start(c):
    """It says where to put it."""
    d = (await c.post("/deployments", json={"ruleset_id": "pricing", "version": "v7"})).json()
    refused = (await c.post(f"/deployments/{d['deployment_id']}/start-canary", json={})).json()
    assert (refused["status"], refused["field"]) == (400, "version")
    assert "/versions" in refused["next_step"]


async def test_a_start_at_a_later_time_is_guarded_as_well(world, c):
    """No time of day lets rules through that fail their cases, or that are not stored."""
    await c.post("/rulesets/pricing/versions", json={**V2, "version": "v3", "test_cases": CASES})
    at = (world.clock.now() + timedelta(minutes=5)).isoformat()
    for version, status in (("v3", 409), ("v99", 400)):
        made = (await c.post("/deployments", json={"ruleset_id": "pricing", "version": version})).json()
        path = f"/deployments/{made['deployment_id']}"
        assert (await c.post(f"{path}/schedule", json={"start_at": at})).status_code == status
        assert (await c.get(path)).json()["status"] == "draft"


async def test_a_ruleset_is_put_on_stored_rules_only(c):
    """A slip in the version's name would leave everybody without an answer."""
    refused = await c.patch("/services/pricing", json={"stable_version": "v99"})
    assert (refused.status_code, refused.json()["field"]) == (400, "stable_version")
    assert refused.json()["detail"] == "pricing has no version v99."
    changed = await c.patch("/services/pricing", json={"stable_version": "v2"})
    assert (changed.status_code, changed.json()["stable_version"]) == (200, "v2")


async def test_stored_cases_run_without_an_input(c):
    """One result a case."""
    done = (await c.post("/rulesets/pricing/test", json={"version": "v1"})).json()
    assert (done["passed"], done["failed"], done["match"]) == (1, 0, True)
    assert done["cases"][0]["name"] == "a big order"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ('{"input": NaN}', "input"),
        ('{"input": {"amount": Infinity}}', "input"),
        ("{}", "input"),
        ('{"input": 1, "user": "ada"}', "user"),
        ('{"input": 1, "user_id": 5}', "user_id"),
        ('{"input": "' + "x" * 300_000 + '"}', "input"),
    ],
)
async def test_what_cannot_be_executed_is_refused(c, body, field):
    """As a problem with its field, on the short way as on the long one."""
    headers = {"content-type": "application/json"}
    answer = await c.post("/rulesets/pricing/execute", content=body, headers=headers)
    assert (answer.status_code, answer.json()["field"]) == (400, field)


async def test_the_short_way_and_the_long_way_give_the_same_answer(world, c):
    """A body without a length, or a session instead of a token, takes the long way."""
    body = {"input": {"amount": 200}, "user_id": "ada"}

    async def in_pieces():
        yield json.dumps(body).encode()

    headers = {"content-type": "application/json"}
    short = await c.post("/rulesets/pricing/execute", json=body)
    long = await c.post("/rulesets/pricing/execute", content=in_pieces(), headers=headers)
    assert (short.status_code, long.status_code) == (200, 200)
    told = [
        {k: v for k, v in a.json().items() if k not in ("execution_id", "latency_ms")} for a in (short, long)
    ]
    assert told[0] == told[1]
    assert "x-request-id" in short.headers
    for token, status in (("", 401), ("garbage", 401)):
        async with world.client(token) as stranger:
            answer = await stranger.post("/rulesets/pricing/execute", json=body)
            assert (answer.status_code, answer.headers["content-type"]) == (
                status,
                "application/problem+json",
            )
    wrong = await c.post("/rulesets/nothing/execute", json=body)
    assert (wrong.status_code, wrong.json()["field"]) == (404, "ruleset_id")


async def test_inputs_that_stable_cannot_answer_are_told_and_logged(c, world):
    """422 with the error and where to read it; it is stable's failure."""
    answer = await c.post("/rulesets/pricing/execute", json={"input": {}})
    problem = answer.json()
    assert (answer.status_code, problem["version"], problem["is_canary"]) == (422, "v1", False)
    assert 'Key `"amount"` was not found (line 2)' in problem["detail"]
    await world.running.plane.executor.flush()
    logged = (await c.get("/rulesets/pricing/executions?failed=true")).json()["executions"]
    assert [e["execution_id"] for e in logged] == [problem["execution_id"]]


async def test_an_error_with_a_nul_does_not_keep_the_log_out_of_a_database(c, world):
    """PostgreSQL holds no NUL: the entry, and all that came with it, would never be stored."""
    rules = {"name": "loud", "version": "v1", "engine": "starlark", "content": LOUD}
    assert (await c.post("/rulesets", json=rules)).status_code == 201
    body = {"input": {"who": "a\0b"}, "user_id": "ad\0a"}
    assert (await c.post("/rulesets/loud/execute", json=body)).status_code == 422
    await world.running.plane.executor.flush()
    (entry,) = (await c.get("/rulesets/loud/executions")).json()["executions"]
    assert entry["error"].startswith("fail: not a\ufffdb")


async def test_who_may_execute_and_who_may_test(world, c):
    """Applications and approvers execute; everyone who reads may test."""
    execute, test = ("/rulesets/pricing/execute", {"input": {"amount": 1}}), ("/rulesets/pricing/test", {})
    for role, may in (("sdk", (200, 403)), ("viewer", (403, 200)), ("approver", (200, 200))):
        async with world.client(await world.token_of(role)) as client:
            got = [(await client.post(path, json=body)).status_code for path, body in (execute, test)]
        assert tuple(got) == may, role


async def test_a_revoked_token_executes_no_more(world, c):
    """At once, though tokens are remembered for a second."""
    token = await world.token_of("sdk")
    async with world.client(token) as client:
        call = ("/rulesets/pricing/execute", {"input": {"amount": 1}})
        assert (await client.post(call[0], json=call[1])).status_code == 200
        found = next(t for t in (await c.get("/tokens")).json()["tokens"] if t["role"] == "sdk")
        await c.delete(f"/tokens/{found['token_id']}")
        assert (await client.post(call[0], json=call[1])).status_code == 401


async def test_another_tenant_sees_nothing(world, c):
    """Neither rules nor executions, by name or by id."""
    identity = (await c.get("/rulesets/pricing")).json()["ruleset_id"]
    async with world.client(await world.second_tenant()) as other:
        assert (await other.get("/rulesets")).json()["total"] == 0
        for named in ("pricing", identity):
            answer = await other.post(f"/rulesets/{named}/execute", json={"input": {"amount": 1}})
            assert answer.status_code == 404
            assert (await other.get(f"/rulesets/{named}/versions/v1")).status_code == 404


async def test_the_log_is_a_sample_and_failures_are_not(world, c):
    """0 % logs no good execution, and every bad one."""
    await c.patch("/rulesets/pricing", json={"log_percent": 0})
    world.clock.pass_(1)
    for amount in ({"amount": 1}, {}, {"amount": 1}, {}):
        await c.post("/rulesets/pricing/execute", json={"input": amount})
    await world.running.plane.executor.flush()
    logged = (await c.get("/rulesets/pricing/executions")).json()
    assert [e["ok"] for e in logged["executions"]] == [False, False]
    await c.patch("/rulesets/pricing", json={"log_percent": 100})
    world.clock.pass_(1)
    await c.post("/rulesets/pricing/execute", json={"input": {"amount": 1}})
    await world.running.plane.executor.flush()
    assert (await c.get("/rulesets/pricing/executions")).json()["total"] == 3


async def test_one_tenants_trouble_keeps_neither_the_log_nor_another_tenant_waiting(world, c, monkeypatch):
    """Its units cannot be stored; what others measured, and what was logged, is."""
    await c.patch("/rulesets/pricing", json={"log_percent": 100})
    await world.canary("v2", "pricing", 100)
    async with world.client(await world.second_tenant()) as other:
        for path, body in (("/rulesets", V1), ("/rulesets/pricing/versions", V2)):
            await other.post(path, json=body)
        draft = {"ruleset_id": "pricing", "version": "v2"}
        d = (await other.post("/deployments", json=draft)).json()["deployment_id"]
        await other.post(f"/deployments/{d}/start-canary", json={"canary_pct": 0})
        world.clock.pass_(1)
        for client in (c, other):
            done = await client.post(
                "/rulesets/pricing/execute", json={"input": {"amount": 1}, "user_id": "a"}
            )
            assert done.status_code == 200

        def away(tx):
            raise Unavailable("The Redis that keeps assignments does not do its work.")

        monkeypatch.setattr(world.running.plane.context, "assignments", away)
        for _ in range(2):  # what was measured goes on being counted, also of the tenant in trouble
            with pytest.raises(Unavailable, match="Redis"):
                await world.running.plane.executor.flush()
            await c.post("/rulesets/pricing/execute", json={"input": {"amount": 1}, "user_id": "a"})
        monkeypatch.undo()
        [mine] = (await c.get("/deployments")).json()["deployments"]
        seen = (await c.get(f"/deployments/{mine['deployment_id']}/metrics")).json()
        assert seen["v2_metrics"]["total_requests"] == 2
        assert (await other.get(f"/deployments/{d}/metrics")).json()["v1_metrics"]["total_requests"] == 1
        assert (await c.get("/rulesets/pricing/executions")).json()["total"] == 2


async def test_a_shadow_shows_what_would_differ_and_serves_stable(world, c):
    """At 0 % of traffic: nobody is on the canary, and every difference is known."""
    await c.patch("/rulesets/pricing", json={"shadow_percent": 100, "redact": ["email"]})
    d = await world.canary("v2", "pricing", 0)
    world.clock.pass_(1)
    for amount in (50, 200, 300, 80):
        body = {"input": {"amount": amount, "email": "ada@example.com"}, "user_id": "ada"}
        answer = (await c.post("/rulesets/pricing/execute", json=body)).json()
        assert (answer["version"], answer["output"]["discount"]) == ("v1", 0.1 if amount > 100 else 0)
    await world.running.plane.executor.settle()
    await world.running.plane.executor.flush()
    shadow = (await c.get("/rulesets/pricing/shadow")).json()
    counted = {k: shadow[k] for k in ("deployment_id", "compared", "differs", "failed", "differing_share")}
    assert counted == {
        "deployment_id": d,
        "compared": 4,
        "differs": 2,
        "failed": 0,
        "differing_share": 0.5,
    }
    assert [e["differences"] for e in shadow["examples"]] == [["$.discount: expected 0.1, got 0.2"]] * 2
    assert {e["input"]["email"] for e in shadow["examples"]} == {"[redacted]"}
    assert (await c.get(f"/deployments/{d}/metrics")).json()["v2_metrics"] is None


async def test_a_shadow_tells_that_hidden_outputs_differ_and_not_how(world, c):
    """Neither what one side says, nor the other, however short it is, nor half of it."""
    script = 'def decide(input):\n    return {"score": %d, "why": "%s" + input["email"]}\n'
    v1 = {"engine": "starlark", "content": script % (17, "x" * 110)}
    v2 = {"engine": "starlark", "content": script % (23, "y" * 110)}
    hidden = {"redact": ["score", "email"], "shadow_percent": 100}
    assert (await c.post("/rulesets", json={"name": "risk", "version": "v1", **v1, **hidden})).is_success
    assert (await c.post("/rulesets/risk/versions", json={"version": "v2", **v2})).is_success
    await world.canary("v2", "risk", 0)
    world.clock.pass_(1)
    body = {"input": {"email": "ada@example.com"}, "user_id": "ada"}
    assert (await c.post("/rulesets/risk/execute", json=body)).json()["output"]["score"] == 17
    await world.running.plane.executor.settle()
    await world.running.plane.executor.flush()
    shadow = (await c.get("/rulesets/risk/shadow")).json()
    assert shadow["differs"] == 1
    (example,) = shadow["examples"]
    assert [line.partition(":")[0] for line in example["differences"]] == [
        "$.why",
        "what is redacted differs",
    ]
    assert "ada@" not in json.dumps(example["differences"])


async def test_settings_that_are_changed_while_the_monitor_promotes_are_kept(world, c, monkeypatch):
    """It has read the ruleset, asks the data plane, and then writes who is stable: nothing else."""
    strategy = {"type": "blue_green", "warm_seconds": 0, "hold_seconds": 0, "auto_promote": True}
    body = {"ruleset_id": "pricing", "version": "v2", "strategy": strategy}
    d = (await c.post("/deployments", json=body)).json()["deployment_id"]
    assert (await c.post(f"/deployments/{d}/start-canary", json={})).status_code == 200
    changes = []

    async def meanwhile(self, desired):
        if changes:
            assert (await c.patch("/rulesets/pricing", json=changes.pop())).status_code == 200
        return ()

    monkeypatch.setattr(InProcessDriver, "statistics", meanwhile)
    for n in range(20):
        changes.append({"redact": [f"card{n}"]})
        await world.serve(d, "canary", 500, service="pricing")
        await world.serve(d, "stable", 500, service="pricing")
        await world.tick(10)
        pricing = (await c.get("/rulesets/pricing")).json()
        assert pricing["redact"] == [f"card{n}"]
    assert pricing["stable_version"] == "v2"


async def test_rules_arrive_with_the_snapshot_and_run_in_process(world, c):
    """The SDK puts every unit where the control plane puts it, and gives the same output."""
    await world.canary("v2", "pricing", 30)
    world.clock.pass_(1)
    pricing = Client(url="", snapshot=(await c.get("/sdk/snapshot")).json()).ruleset("pricing")
    for n in range(40):
        body = {"input": {"amount": 200}, "user_id": f"user-{n}"}
        there = (await c.post("/rulesets/pricing/execute", json=body)).json()
        here = pricing.execute({"amount": 200}, user_id=f"user-{n}")
        assert (here.output, here.version, here.is_canary) == (
            there["output"],
            there["version"],
            there["is_canary"],
        )


async def test_in_process_the_canary_fails_over_and_its_breaker_opens(world, c):
    """After five failures it is not even tried; nothing is ever raised."""
    await c.post("/rulesets/pricing/versions", json={**V2, "version": "v3", "content": BROKEN})
    await world.canary("v3", "pricing", 100)
    world.clock.pass_(1)
    pricing = Client(url="", snapshot=(await c.get("/sdk/snapshot")).json()).ruleset("pricing")
    answers = [pricing.execute({"amount": 200}, user_id=f"user-{n}") for n in range(20)]
    assert {a.output["discount"] for a in answers} == {0.1}
    assert [a.fell_back for a in answers] == [True] * 5 + [False] * 15
    unanswerable = pricing.execute({}, user_id="ada", default={"discount": 0})
    assert (unanswerable.output, unanswerable.version) == ({"discount": 0}, "v1")
    assert "amount" in unanswerable.error
    assert pricing.execute({"amount": {1}}, user_id="ada").error.startswith("the input is no JSON")
