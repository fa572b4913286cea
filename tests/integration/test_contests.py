"""A/B/n tests through the API and the store: what is refused, counted, shown, dropped and promoted."""

from __future__ import annotations

import json
from unittest.mock import Mock

import pytest

from serinus.core.bucketing import bucket_of
from serinus.sdk import Client

STRATEGY = {
    "type": "ab",
    "candidates": [{"version": "v2"}, {"version": "v3"}],
    "steps": [
        {"traffic_percentage": 20, "hold_seconds": 120},
        {"traffic_percentage": 50, "hold_seconds": 120},
    ],
}
PLAN = {"warm_up": 30, "min_requests": 50}


async def begin(world, **strategy) -> str:
    """Start a test of v2 and v3 beside v1; return its id."""
    await world.service()
    given = {"strategy": {**STRATEGY, **strategy}, "analysis": PLAN}
    return await world.canary("v2", **given)


async def view(world, path: str) -> dict:
    """Read something of a deployment."""
    async with world.client() as c:
        answer = await c.get(f"/deployments/{path}")
        assert answer.status_code == 200, answer.text
        return answer.json()


async def compared(world, d: str, looks: int, **candidates: tuple) -> None:
    """Let stable and the candidates answer (requests, errors, ms), look by look."""
    for _ in range(looks):
        await world.serve(d, "stable", 320, 2, 50.0, spread=0.4, version="v1")
        for version, (requests, errors, ms) in candidates.items():
            await world.serve(d, "canary", requests, errors, ms, spread=0.4, version=version)
        await world.tick(10)


async def snapshot(world) -> dict:
    """Return what SDKs are sent."""
    async with world.client() as c:
        return json.loads((await c.get("/sdk/snapshot")).text)


async def test_each_candidate_is_counted_and_judged_by_itself(world):
    """And every view says so: metrics, comparison, health, the page."""
    d = await begin(world)
    await compared(world, d, 8, v2=(40, 0, 50.0), v3=(41, 1, 50.0))
    shown = await view(world, d)
    assert shown["tested"] == "v2 and v3"
    assert [(c["version"], c["state"], c["share"], c["traffic_percentage"]) for c in shown["candidates"]] == [
        ("v2", "under test", 50, 10),
        ("v3", "under test", 50, 10),
    ]
    assert shown["analysis"]["judge"]["candidates"] == 2
    assert all(c["judge"]["needed"] == 200 for c in shown["candidates"])
    assert shown["strategy"]["candidates"] == [{"version": "v2", "share": 50}, {"version": "v3", "share": 50}]
    metrics = await view(world, f"{d}/metrics")
    assert metrics["v1_metrics"]["total_requests"] == 2560
    assert {v: m["total_requests"] for v, m in metrics["candidates"].items()} == {"v2": 320, "v3": 328}
    comparison = await view(world, f"{d}/comparison")
    assert set(comparison["candidates"]) == {"v2", "v3"}
    assert comparison["candidates"]["v3"]["comparison"]["error_rate_diff"] > 0
    assert comparison["comparison"]["recommendation"] == "wait"
    health = await view(world, f"{d}/health")
    assert [w for w in health["warnings"] if "traffic than configured" in w] == []
    assert health["current_error_rate"] == pytest.approx(8 / 648)
    assert (await view(world, d))["observed_traffic_percentage"] == pytest.approx(20.2, abs=0.1)
    page = await view(world, f"{d}/page")
    assert page["metrics"]["candidates"].keys() == {"v2", "v3"}


async def test_a_harmful_candidate_is_dropped_alone_and_its_users_go_to_stable(world):
    """The others stay where they are, to the bucket."""
    d = await begin(world)
    before = (await snapshot(world))["services"]["checkout"]["deployment"]
    await compared(world, d, 6, v2=(100, 30, 50.0), v3=(100, 0, 50.0))
    shown = await view(world, d)
    assert (shown["status"], shown["tested"]) == ("canary", "v3")
    out = shown["candidates"][0]
    assert (out["state"], out["traffic_percentage"]) == ("dropped", 0)
    assert out["drop_reason"].startswith("errors: 30 % at the canary against")
    after = (await snapshot(world))["services"]["checkout"]["deployment"]
    assert [(c["begin"], c["end"]) for c in before["candidates"]] == [(0, 1000), (5000, 6000)]
    assert [(c["begin"], c["end"]) for c in after["candidates"]] == [(0, 0), (5000, 6000)]
    events = (await view(world, f"{d}/events"))["events"]
    dropped = [e for e in events if e["kind"] == "candidate_dropped"]
    assert len(dropped) == 1
    assert dropped[0]["message"].endswith("Its users are on v1; v3 goes on.")
    assert dropped[0]["data"]["verdicts"]
    health = await view(world, f"{d}/health")
    assert health["health_status"] == "degraded"
    assert health["warnings"][0].startswith("v2 was dropped: errors: 30 %")
    await compared(world, d, 2, v3=(100, 40, 50.0))
    shown = await view(world, d)
    assert shown["status"] == "rolled_back"
    assert shown["end_reason"].startswith("v3: errors: ")


async def test_the_best_is_promoted_and_watched_by_its_own_evidence(world):
    """What the others answered is no part of it any more."""
    d = await begin(world, auto_promote=True)
    await compared(world, d, 26, v2=(120, 1, 50.0), v3=(120, 1, 30.0))
    shown = await view(world, d)
    assert (shown["status"], shown["version"], shown["winner"]) == ("active", "v3", "v3")
    assert [c["state"] for c in shown["candidates"]] == ["ended", "promoted"]
    events = [e["message"] for e in (await view(world, f"{d}/events"))["events"]]
    (why,) = [e for e in events if e.startswith("v3 is best: surely better than v2 (latency ")]
    assert "each compared with stable" in why
    entry = (await snapshot(world))["services"]["checkout"]
    assert entry["deployment"]["version"] == "v3"
    assert (entry["deployment"]["weight_bp"], "candidates" in entry["deployment"]) == (10_000, False)
    async with world.client() as c:
        assert (await c.get("/services/checkout")).json()["stable_version"] == "v3"
    await world.serve(d, "canary", 200, 0, 30.0, version="v3")
    metrics = await view(world, f"{d}/metrics")
    counted = metrics["candidates"]["v3"]["total_requests"]
    assert metrics["v2_metrics"]["total_requests"] == counted
    for _ in range(8):
        await world.serve(d, "canary", 200, 190, 30.0, version="v3")
        await world.tick(10)
    shown = await view(world, d)
    assert shown["status"] == "rolled_back"
    assert shown["end_reason"].startswith("after promotion: ")


async def test_a_tie_is_asked_about_and_answered_by_a_version(world):
    """Without a version nobody is promoted; one that is not under test cannot be."""
    d = await begin(world)
    await compared(world, d, 26, v2=(120, 1, 50.0), v3=(120, 1, 50.0))
    shown = await view(world, d)
    assert (shown["waiting"], shown["standing"]["best"]) == ("promotion", "")
    assert shown["standing"]["leading"] == ["v2", "v3"]
    assert shown["sentence"].endswith("Somebody has to choose: promote one by its version.")
    comparison = await view(world, f"{d}/comparison")
    assert comparison["comparison"]["recommendation"] == "wait"
    assert "cannot be told apart" in comparison["standing"]["sentence"]
    async with world.client() as c:
        for body, status, field in (({}, 400, "version"), ({"version": "v9"}, 400, "version")):
            refused = await c.post(f"/deployments/{d}/promote", json=body)
            assert (refused.status_code, refused.json()["field"]) == (status, field)
            assert refused.json()["next_step"]
        done = await c.post(f"/deployments/{d}/promote", json={"version": "v3"})
        assert (done.status_code, done.json()["version"]) == (200, "v3"), done.text


async def test_one_candidate_is_dropped_by_hand(world):
    """By an approver; it cannot be promoted then, and the last one's end is a rollback."""
    d = await begin(world)
    viewer = await world.token_of("viewer")
    body = {"reason": "legal says no", "version": "v3"}
    async with world.client(viewer) as c:
        assert (await c.post(f"/deployments/{d}/rollback", json=body)).status_code == 403
    async with world.client(await world.second_tenant()) as c:
        assert (await c.post(f"/deployments/{d}/rollback", json=body)).status_code == 404
    async with world.client() as c:
        done = (await c.post(f"/deployments/{d}/rollback", json=body)).json()
        assert done["sentence"] == "v3 dropped: legal says no. Its users are on v1; v2 goes on."
        refused = await c.post(f"/deployments/{d}/promote", json={"version": "v3", "force": True})
        assert (refused.status_code, refused.json()["detail"]) == (409, "v3 is out: legal says no.")
        ended = (await c.post(f"/deployments/{d}/rollback", json={**body, "version": "v2"})).json()
        assert (ended["status"], ended["end_reason"]) == ("rolled_back", "v2: legal says no")


async def test_the_last_ones_end_is_the_rollback_that_was_asked_for(world):
    """Without compensation, where it was asked for without."""
    await world.service()
    body = {"strategy": STRATEGY, "analysis": PLAN, "compensation_strategy": "manual"}
    d = await world.canary("v2", **body)
    async with world.client() as c:
        for version in ("v3", "v2"):
            asked = {"reason": "legal says no", "version": version, "apply_compensation": False}
            done = await c.post(f"/deployments/{d}/rollback", json=asked)
        assert done.json()["status"] == "rolled_back"
        events = (await c.get(f"/deployments/{d}/events")).json()["events"]
        assert "Nothing is compensated, as was asked for." in [e["message"] for e in events]
        assert (await c.get("/compensations")).json()["compensations"] == []


async def test_a_candidate_is_dropped_only_while_it_is_under_test(world):
    """After the promotion the others are history: the winner goes on, and is watched on."""
    d = await begin(world)
    async with world.client() as c:
        path = f"/deployments/{d}"
        promoted = (await c.post(f"{path}/promote", json={"version": "v3", "force": True})).json()
        refused = await c.post(f"{path}/rollback", json={"reason": "too late", "version": "v2"})
        assert (refused.status_code, refused.json()["detail"]) == (400, "'v2' is not under test here.")
        assert refused.json()["next_step"] == "Leave `version` out, or give v3."
        after = (await c.get(path)).json()
        assert (after["phase"], after["sentence"]) == ("watching", promoted["sentence"])


async def test_a_version_is_asked_for_only_where_there_are_several(world):
    """One canary's answers have none of this, and its promotion takes no other version."""
    await world.service()
    d = await world.canary()
    shown = await view(world, d)
    assert not {"candidates", "tested", "winner", "standing"} & set(shown)
    assert "candidates" not in await view(world, f"{d}/metrics")
    assert "candidates" not in await view(world, f"{d}/comparison")
    assert "candidates" not in (await snapshot(world))["services"]["checkout"]["deployment"]
    async with world.client() as c:
        refused = await c.post(f"/deployments/{d}/promote", json={"version": "v3"})
        assert (refused.status_code, refused.json()["field"]) == (400, "version")
        done = await c.post(f"/deployments/{d}/promote", json={"version": "v2", "force": True})
        assert done.status_code == 200


@pytest.mark.parametrize(
    ("version", "strategy", "field"),
    [
        ("v3", {}, "version"),
        ("v2", {"candidates": [{"version": "v2"}]}, "strategy.candidates"),
        ("v2", {"candidates": [{"version": "v2"}, {"version": "v2"}]}, "strategy.candidates"),
        ("v2", {"candidates": [{"version": "v2"}, {"version": "v1"}]}, "strategy.candidates"),
        ("v2", {"candidates": [{"version": f"v{n}"} for n in range(2, 12)]}, "strategy.candidates"),
        (
            "v2",
            {"candidates": [{"version": "v2", "share": 60}, {"version": "v3", "share": 30}]},
            "strategy.candidates",
        ),
        ("v2", {"candidates": [{"version": "v2", "share": 100}, {"version": "v3"}]}, "strategy.candidates"),
        ("v2", {"steps": [{"traffic_percentage": 100, "hold_seconds": 1}]}, "strategy.steps"),
        ("v2", {"steps": [{"traffic_percentage": 9, "irreversible": True}]}, "strategy.steps"),
        ("v2", {"preview": {"header": {"name": "x", "value": "y"}}}, "strategy.preview"),
        ("v2", {"mirror": {"percent": 5, "seconds": 60}}, "strategy.mirror"),
        ("v2", {"warm_seconds": 5}, "strategy.warm_seconds"),
        ("v2", {"type": "canary"}, "strategy.candidates"),
        ("v2", {"type": "canary", "candidates": [], "on_tie": "first"}, "strategy.on_tie"),
        ("v2", {"on_tie": "toss"}, "strategy.on_tie"),
    ],
)
async def test_what_makes_no_test_is_refused_by_its_place(world, version, strategy, field):
    """With what to do next, and nothing is made."""
    await world.service()
    body = {"service_id": "checkout", "version": version, "strategy": {**STRATEGY, **strategy}}
    async with world.client() as c:
        refused = await c.post("/deployments", json=body)
        assert (refused.status_code, refused.json()["field"]) == (400, field), refused.text
        assert refused.json()["next_step"]
        assert (await c.get("/deployments")).json()["total"] == 0


async def test_a_driver_that_carries_two_versions_is_refused_with_those_that_carry_more(world, tmp_path):
    """Before anything moves: no draft, and the service's addresses are what they were."""
    config = {"instances": [{"name": "edge", "admin": "http://127.0.0.1:1", "config_dir": str(tmp_path)}]}
    await world.service(driver="nginx-reload", driver_config=config)
    async with world.client() as c:
        body = {"service_id": "checkout", "version": "v2", "strategy": STRATEGY}
        refused = await c.post("/deployments", json=body)
        assert (refused.status_code, refused.json()["type"].rsplit("/", 1)[-1]) == (400, "cannot-carry"), (
            refused.text
        )
        assert refused.json()["detail"] == "nginx-reload cannot carry more than two versions."
        assert "haproxy" in refused.json()["next_step"]
        assert (await c.get("/deployments")).json()["total"] == 0


async def test_a_changed_draft_keeps_where_its_candidates_answer(world):
    """As a new one does: an address that a ``PATCH`` names is not lost."""
    await world.service()
    candidates = [{"version": v, "addresses": [f"10.0.0.{v[1]}:80"]} for v in ("v2", "v3")]
    async with world.client() as c:
        made = (await c.post("/deployments", json={"service_id": "checkout", "version": "v2"})).json()
        body = {"strategy": {"type": "ab", "candidates": candidates}}
        assert (await c.patch(f"/deployments/{made['deployment_id']}", json=body)).status_code == 200
        known = (await c.get("/services/checkout")).json()["upstreams"]
    assert known == {"v2": ["10.0.0.2:80"], "v3": ["10.0.0.3:80"]}


async def test_named_units_and_everybody_are_refused(world):
    """A test takes its units by their hash, and leaves stable some to compare with."""
    await world.service()
    async with world.client() as c:
        body = {
            "service_id": "checkout",
            "version": "v2",
            "strategy": {**STRATEGY, "mode": "manual", "steps": []},
        }
        d = (await c.post("/deployments", json=body)).json()["deployment_id"]
        path = f"/deployments/{d}"
        named = {"canary_target_filter": {"user_ids": ["ada"]}}
        for wrong, field in ((named, "canary_target_filter"), ({"canary_pct": 100}, "traffic_percentage")):
            refused = await c.post(f"{path}/start-canary", json=wrong)
            assert (refused.status_code, refused.json()["field"]) == (400, field)
        assert (await c.post(f"{path}/start-canary", json={"canary_pct": 10})).status_code == 200
        refused = await c.put(f"{path}/traffic", json={"traffic_percentage": 100})
        assert (refused.status_code, refused.json()["field"]) == (400, "traffic_percentage")
        assert (await c.put(f"{path}/traffic", json={"traffic_percentage": 60})).json()[
            "traffic_percentage"
        ] == 60


async def test_the_sdk_follows_it_from_the_first_request_to_a_drop(world):
    """Routes by the same hash as everywhere, and reports requests, metrics and units by version."""
    d = await begin(world)
    client = Client(snapshot=await snapshot(world))
    client._transport = Mock()  # attached: what is recorded is kept, and the test sends it itself
    router = client.service("checkout")
    salt = router.plan.prefix[:-1]
    seen: dict[str, int] = {}
    for n in range(3000):
        user = f"user-{n}"
        choice = router.expose(user)
        bucket = bucket_of(salt, user)
        expected = "v2" if bucket < 1000 else "v3" if 5000 <= bucket < 6000 else "v1"
        assert choice.version == expected
        assert choice.is_canary == (expected != "v1")
        client.record("checkout", choice, "/pay", 200, 40.0)
        client.metric("checkout", choice, "orders", 1)
        seen[expected] = seen.get(expected, 0) + 1
    batch = client.take_batch(last=True)
    now = int(world.clock.now().timestamp())
    for one in (*batch["windows"], *batch["samples"]):
        one["start"] = now
    async with world.client() as c:
        sent = await c.post("/sdk/telemetry", json={"source": "proc", "seq": 1, **batch})
        assert sent.status_code == 202, sent.text
    metrics = await view(world, f"{d}/metrics")
    assert metrics["v1_metrics"]["total_requests"] == seen["v1"]
    assert {v: m["total_requests"] for v, m in metrics["candidates"].items()} == {
        v: seen[v] for v in ("v2", "v3")
    }
    found = await view(world, f"{d}/assignments?page_size=100")
    assert found["total"] == seen["v2"] + seen["v3"]
    for one in found["assignments"]:
        expected = "v2" if bucket_of(salt, one["user_id"]) < 1000 else "v3"
        assert one["canary_version_id"] == expected

    on_v3 = next(u for n in range(3000) if router.decide(u := f"user-{n}").version == "v3")
    on_v2 = next(u for n in range(3000) if router.decide(u := f"user-{n}").version == "v2")
    for _ in range(5):
        client.record("checkout", router.decide(on_v3), "/pay", 500, 40.0)
    assert (router.decide(on_v3).version, router.decide(on_v2).version) == ("v1", "v2")
    news = client.take_batch(last=True)
    assert [(b["state"], b["version"]) for b in news["breakers"]] == [("open", "v3")]
    async with world.client() as c:
        await c.post("/sdk/telemetry", json={"source": "proc", "seq": 2, **news})
    await world.tick(1)
    shown = await view(world, d)
    assert [c["state"] for c in shown["candidates"]] == ["under test", "dropped"]
    assert shown["candidates"][1]["drop_reason"].startswith("the circuit breaker opened after")
    client.follow(await snapshot(world))
    assert (router.decide(on_v3).version, router.decide(on_v2).version) == ("v1", "v2")
