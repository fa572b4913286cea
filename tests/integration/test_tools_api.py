"""What the operator's tools ask of the API: plans, notes, health, budgets; roles and the audit log."""

from __future__ import annotations

import pytest


async def test_a_plan_checks_everything_and_stores_nothing(world):
    """What a start would refuse, a plan refuses; it is in the audit log, and nowhere else."""
    await world.service()
    steps = [{"traffic_percentage": 5, "hold_seconds": 60}]
    body = {"service_id": "checkout", "version": "v2", "strategy": {"mode": "auto", "steps": steps}}
    async with world.client() as c:
        planned = await c.post("/deployments/plan", json=body)
        assert (planned.status_code, planned.json()["deployment_id"]) == (200, "")
        assert planned.json()["strategy"]["steps"][0]["traffic_percentage"] == 5
        assert (await c.get("/deployments")).json()["total"] == 0
        assert (await c.post("/deployments/plan", json={**body, "version": "v1"})).status_code == 400
        await world.canary("v9")
        refused = await c.post("/deployments/plan", json=body)
        assert "already has an active canary" in refused.json()["detail"]
        audit = (await c.get("/audit")).json()["audit"]
    plans = [(e["action"], e["outcome"]) for e in audit if e["action"] == "deployment.plan"]
    assert plans == [("deployment.plan", "invalid-input")] * 2 + [("deployment.plan", "ok")]


async def test_a_plan_knows_the_addresses_that_come_with_it(world, tmp_path):
    """A proxy's service needs them; the plan does not keep them."""
    instance = {"name": "e", "admin": "http://127.0.0.1:1", "config_dir": str(tmp_path)}
    config = {"instances": [instance]}
    await world.service(driver="envoy", driver_config=config, upstreams={"v1": ["127.0.0.1:9"]})
    body = {"service_id": "checkout", "version": "v2"}
    async with world.client() as c:
        assert "No address is known" in (await c.post("/deployments/plan", json=body)).json()["detail"]
        body["addresses"] = ["127.0.0.1:8"]
        assert (await c.post("/deployments/plan", json=body)).status_code == 200
        assert list((await c.get("/services/checkout")).json()["upstreams"]) == ["v1"]


async def test_a_note_is_on_the_timeline_and_in_the_audit_log(world):
    """By whom, with its data; kinds that the monitor writes cannot be forged."""
    await world.service()
    identity = await world.canary()
    note = {"kind": "smoke", "message": "Smoke tests: 3 passed.", "data": {"passed": 3}}
    async with world.client(await world.token_of("approver")) as c:
        assert (await c.post(f"/deployments/{identity}/notes", json=note)).status_code == 201
        forged = {"kind": "rolled_back", "message": "x"}
        assert (await c.post(f"/deployments/{identity}/notes", json=forged)).status_code == 400
        assert (await c.post("/deployments/dep_none/notes", json=note)).status_code == 404
        last = (await c.get(f"/deployments/{identity}/events")).json()["events"][-1]
    assert (last["kind"], last["message"], last["actor"]) == ("smoke", note["message"], "a approver")
    assert last["data"] == {"passed": 3}


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/deployments/plan"), ("POST", "/deployments/dep_1/notes")],
)
async def test_viewers_may_look_and_no_more(world, method, path):
    """Plans and notes are for approvers; health and budgets for everybody."""
    await world.service()
    bodies = {"plan": {"service_id": "checkout", "version": "v2"}, "notes": {"message": "x"}}
    async with world.client(await world.token_of("viewer")) as c:
        refused = await c.request(method, path, json=bodies[path.rpartition("/")[2]])
        assert refused.status_code == 403
        assert (await c.get("/services/checkout/health")).status_code == 200
        assert (await c.get("/services/checkout/slos")).status_code == 200
    async with world.client(await world.second_tenant()) as c:
        assert (await c.get("/services/checkout/health")).status_code == 404


async def test_health_says_what_is_in_the_way(world):
    """A monitor that does not run, a service without a stable version, a rollout that is on."""
    await world.service()
    await world.service("fresh", stable_version="")
    async with world.client() as c:
        before = (await c.get("/services/fresh/health")).json()
        assert before["health_status"] == "degraded"
        assert before["warnings"][0] == "fresh has no stable version."
        assert "The monitor is not running" in before["warnings"][1]
        calm = (await c.get("/services/checkout/health")).json()
        assert (calm["rollout"], calm["stable_metrics"], calm["proxy"]) == (None, None, None)
        await world.canary()
        assert (await c.get("/services/checkout/health")).json()["rollout"]["version"] == "v2"


async def test_a_policy_says_what_people_are_told(world):
    """Without channels a rollback says on the timeline that nobody was told, unless nobody should be."""
    await world.service()
    for version, told in (("v2", True), ("v3", False)):
        analysis = {} if told else {"analysis": {"notifications": {"on": []}}}
        identity = await world.canary(version, **analysis)
        async with world.client() as c:
            await c.post(f"/deployments/{identity}/rollback", json={"reason": "x"})
            events = (await c.get(f"/deployments/{identity}/events")).json()["events"]
        assert any(e["kind"] == "notification" for e in events) is told


async def test_a_plan_is_asked_about_its_start_too(world):
    """The share and the named units are checked with the rest: what a start would refuse leaves no draft."""
    await world.service()
    body = {"service_id": "checkout", "version": "v2"}
    async with world.client() as c:
        wide = await c.post("/deployments/plan", json={**body, "canary_pct": 101})
        assert (wide.status_code, wide.json()["field"]) == (400, "canary_pct")
        named = {**body, "canary_pct": 10, "canary_target_filter": {"user_ids": ["ada"]}}
        assert (await c.post("/deployments/plan", json=named)).status_code == 200


@pytest.mark.parametrize("address", ["nix", "127.0.0.1", "127.0.0.1:0", "127.0.0.1:80; return 200"])
async def test_an_address_that_no_proxy_could_be_told_is_refused_at_once(world, address):
    """With a service, with a change of it, with a draft and with a candidate; nothing is stored."""
    await world.service()
    draft = {"service_id": "checkout", "version": "v2"}
    candidates = [{"version": v, "addresses": [address]} for v in ("v2", "v3")]
    calls = [
        ("POST", "/services", {"name": "x", "stable_version": "v1", "upstreams": {"v1": [address]}}),
        ("PATCH", "/services/checkout", {"upstreams": {"v2": [address]}}),
        ("POST", "/deployments", {**draft, "addresses": [address]}),
        ("POST", "/deployments/plan", {**draft, "addresses": [address]}),
        ("POST", "/deployments", {**draft, "strategy": {"type": "ab", "candidates": candidates}}),
    ]
    async with world.client() as c:
        for method, path, body in calls:
            said = (await c.request(method, path, json=body)).json()
            assert said["detail"] == f"{address!r} is no address."
            assert said["next_step"] == "Write it as host:port."
        assert (await c.get("/deployments")).json()["total"] == 0
        assert (await c.get("/services/checkout")).json()["upstreams"] == {}


async def test_addresses_that_are_in_use_are_not_taken_away(world, tmp_path):
    """``upstreams`` takes the place of what was there: a side that serves is not forgotten by it."""
    instance = {"name": "e", "admin": "http://127.0.0.1:1", "config_dir": str(tmp_path)}
    known = {v: [f"10.0.0.{v[1]}:80"] for v in ("v1", "v2", "v3")}
    await world.service(driver="envoy", driver_config={"instances": [instance]}, upstreams=known)
    await world.canary("v2")
    async with world.client() as c:
        for left, gone in (({"v3": known["v3"]}, "v1 and v2"), ({**known, "v2": []}, "v2")):
            refused = await c.patch("/services/checkout", json={"upstreams": left})
            assert (refused.status_code, refused.json()["field"]) == (400, "upstreams"), refused.text
            assert refused.json()["detail"] == f"checkout {gone} would have no address any more."
        assert (await c.get("/services/checkout")).json()["upstreams"] == known
        less = {v: known[v] for v in ("v1", "v2")}
        assert (await c.patch("/services/checkout", json={"upstreams": less})).status_code == 200


async def test_a_proxys_service_cannot_be_put_on_a_version_without_an_address(world, tmp_path):
    """A slip in the version's name would leave the proxies without a split to carry."""
    instance = {"name": "e", "admin": "http://127.0.0.1:1", "config_dir": str(tmp_path)}
    config = {"instances": [instance]}
    await world.service(driver="envoy", driver_config=config, upstreams={"v1": ["127.0.0.1:9"]})
    async with world.client() as c:
        refused = await c.patch("/services/checkout", json={"stable_version": "v77"})
        assert (refused.status_code, refused.json()["detail"]) == (
            400,
            "No address is known for checkout v77.",
        )
        assert (await c.get("/services/checkout")).json()["stable_version"] == "v1"
        both = {"stable_version": "v2", "upstreams": {"v2": ["127.0.0.1:8"]}}
        assert (await c.patch("/services/checkout", json=both)).status_code == 200


async def test_a_draft_of_what_became_stable_meanwhile_says_so(world):
    """Two drafts of one version: the second is not needed any more once the first is promoted."""
    await world.service()
    first = await world.canary()
    async with world.client() as c:
        late = (await c.post("/deployments", json={"service_id": "checkout", "version": "v2"})).json()
        assert (await c.post(f"/deployments/{first}/promote", json={"force": True})).status_code == 200
        refused = await c.post(f"/deployments/{late['deployment_id']}/start-canary")
    assert refused.status_code == 400
    assert refused.json()["detail"] == "v2 is checkout's stable version by now: everyone is on it."
