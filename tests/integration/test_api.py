"""The API: refusals, roles, tenants, idempotency, two operators at once."""

from __future__ import annotations

import asyncio
import json

import pytest

#: The smallest ruleset.
RULES = "def decide(input):\n    return input\n"


async def code(client, method, path, **options):
    """Return status and body of a call."""
    answer = await client.request(method, path, **options)
    return answer.status_code, answer.json() if answer.content else None


@pytest.mark.parametrize("bad", ["-1", "101", '"ten"', "NaN", "true", "null", "33.333", "[5]", "1e999"])
async def test_what_is_no_percentage_changes_nothing(world, bad):
    """A problem with the field and the way out; the share stays."""
    await world.service()
    identity = await world.canary()
    async with world.client() as c:
        body = f'{{"traffic_percentage": {bad}}}'
        headers = {"content-type": "application/json"}
        status, problem = await code(
            c, "PUT", f"/deployments/{identity}/traffic", content=body, headers=headers
        )
        assert (status, problem["field"], problem["status"]) == (400, "traffic_percentage", 400)
        assert problem["next_step"]
        assert (await c.get(f"/deployments/{identity}")).json()["traffic_percentage"] == 10


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b'"x"', b"\xff\xfe", b"null", b"[" * 50_000, b'{"ruleset_id": 1}', b'{"a": "b"}'],
)
async def test_malformed_bodies_are_problems(world, body):
    """Never a 500, never a traceback."""
    async with world.client() as c:
        answer = await c.post("/deployments", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"
    assert "Traceback" not in answer.text


async def test_a_huge_body_is_refused_while_it_comes(world):
    """With a length and without one."""

    async def endless():
        for _ in range(40):
            yield b"x" * 65536

    async with world.client() as c:
        for content in (b"x" * 2_000_000, endless()):
            answer = await c.post("/deployments", content=content)
            assert (answer.status_code, answer.json()["type"]) == (
                413,
                "https://serinus.dev/problems/too-large",
            )


async def test_unknown_things_are_404_and_wrong_methods_405(world):
    """As problems, like everything else."""
    async with world.client() as c:
        for method, path, expected in (
            ("GET", "/deployments/dep_none", 404),
            ("GET", "/nope", 404),
            ("PUT", "/deployments", 405),
        ):
            answer = await c.request(method, path)
            assert answer.status_code == expected
            assert answer.json()["detail"]


async def test_tokens_that_are_not_live_are_refused(world):
    """None is told apart; of garbage, expired and revoked nobody learns which it is."""
    expired = await world.token_of("viewer", expires_in_days=1)
    revoked = await world.token_of("viewer")
    async with world.client() as c:
        listed = (await c.get("/tokens")).json()["tokens"]
        assert (await c.delete(f"/tokens/{listed[0]['token_id']}")).status_code == 204
    world.clock.pass_(90_000)
    said = []
    for token in ("", "garbage", expired, revoked):
        async with world.client(token) as c:
            answer = await c.get("/deployments")
            assert (answer.status_code, answer.headers["www-authenticate"]) == (401, 'Bearer realm="serinus"')
            said.append(answer.json()["detail"])
    assert len(set(said)) == 2
    assert set(said[1:]) == {"This token is not known here, or no longer live."}


async def test_a_token_is_shown_once_and_never_again(world):
    """Not in the list, not in the audit log, not on a replay."""
    async with world.client() as c:
        body, key = {"name": "ci", "role": "approver"}, {"Idempotency-Key": "k1"}
        made = (await c.post("/tokens", json=body, headers=key)).json()
        again = await c.post("/tokens", json=body, headers=key)
        assert made["token"].startswith("srn_")
        assert "token" not in again.json()
        for path in ("/tokens", "/audit"):
            assert made["token"] not in (await c.get(path)).text


async def operations(world):
    """Return every operation of the OpenAPI as (method, path)."""
    async with world.client() as c:
        schema = (await c.get("/openapi.json")).json()
    # What is not below the API's prefix is asked for by its whole address.
    paths = {
        p: p.removeprefix("/api/v1") if p.startswith("/api/v1") else f"http://serinus{p}"
        for p in schema["paths"]
    }
    return [(m.upper(), paths[p]) for p, ops in schema["paths"].items() for m in ops]


async def test_every_call_refuses_strangers_and_other_tenants(world):
    """Each operation, tried without a token and with another tenant's, on real ids; nothing changes."""
    await world.service()
    identity = await world.canary()
    other = await world.second_tenant()
    async with world.client() as c:
        rules = {"name": "pricing", "version": "v1", "engine": "starlark", "content": RULES}
        assert (await c.post("/rulesets", json=rules)).status_code == 201
        token_id = (await c.get("/tokens")).json()["tokens"][0]["token_id"]
        ada = {"name": "Ada", "role": "viewer", "email": "ada@example.com"}
        member_id = (await c.post("/members", json=ada)).json()["member_id"]
        before = (await c.get(f"/deployments/{identity}")).json(), (await c.get("/services/checkout")).json()
    tried = 0
    for method, path in await operations(world):
        real = (
            path.replace("{deployment_id}", identity)
            .replace("{service_id}", "checkout")
            .replace("{token_id}", token_id)
            .replace("{member_id}", member_id)
            .replace("{ruleset_id}", "pricing")
            .replace("{version}", "v1")
        )
        if real.endswith("stream") and "{" not in path:
            continue  # a stream of one's own tenant: it has no id to reach for
        body = (
            {"json": {"traffic_percentage": 1, "reason": "x"}} if method in ("PUT", "POST", "PATCH") else {}
        )
        async with world.client("") as stranger:
            assert (await stranger.request(method, real, **body)).status_code == 401, (method, path)
        async with world.client(other) as neighbour:
            answer = await neighbour.request(method, real, **body)
            assert answer.status_code < 500
            if "{" in path:
                assert answer.status_code in (400, 404), (method, path, answer.status_code)
            if path != "/audit":  # it names what the neighbour asked for, which is its own deed
                assert identity not in answer.text or answer.status_code in (400, 404)
        tried += 1
    assert tried > 25
    async with world.client() as c:
        after = (await c.get(f"/deployments/{identity}")).json(), (await c.get("/services/checkout")).json()
    assert after == before


@pytest.mark.parametrize(
    ("role", "reads", "acts", "administers", "measures"),
    [("viewer", 1, 0, 0, 0), ("approver", 1, 1, 0, 0), ("admin", 1, 1, 1, 1), ("sdk", 0, 0, 0, 1)],
)
async def test_roles_reach_as_far_as_the_contract_says(world, role, reads, acts, administers, measures):
    """Viewer reads, approver moves, admin deletes and manages tokens, sdk only measures."""
    await world.service()
    identity = await world.canary()
    async with world.client(await world.token_of(role)) as c:
        assert ((await c.get("/deployments")).status_code != 403) == bool(reads)
        assert ((await c.post(f"/deployments/{identity}/pause")).status_code != 403) == bool(acts)
        assert ((await c.get("/tokens")).status_code != 403) == bool(administers)
        assert ((await c.get("/audit")).status_code != 403) == bool(administers)
        assert ((await c.delete(f"/deployments/{identity}")).status_code != 403) == bool(administers)
        assert ((await c.get("/sdk/snapshot")).status_code != 403) == bool(measures)


async def test_two_operators_at_once_one_wins_and_the_other_learns_why(world):
    """Both looked at the same revision; the loser's 409 says what happened."""
    await world.service()
    identity = await world.canary()
    async with world.client() as c:
        etag = (await c.get(f"/deployments/{identity}")).headers["etag"]

        async def shift(percentage):
            path = f"/deployments/{identity}/traffic"
            return await c.put(path, json={"traffic_percentage": percentage}, headers={"If-Match": etag})

        answers = sorted(await asyncio.gather(shift(20), shift(30)), key=lambda a: a.status_code)
    assert [a.status_code for a in answers] == [200, 409]
    assert "by hand" in answers[1].json()["detail"]
    assert answers[1].json()["next_step"]


async def test_a_draft_that_changed_meanwhile_is_neither_changed_nor_deleted(world):
    """``If-Match`` holds for a draft as for a canary: the second of two editors overwrites nothing."""
    await world.service()
    async with world.client() as c:
        made = await c.post("/deployments", json={"service_id": "checkout", "version": "v2"})
        path, seen = f"/deployments/{made.json()['deployment_id']}", {"If-Match": made.headers["etag"]}
        first = await c.patch(path, json={"changelog": "mine"}, headers=seen)
        second = await c.patch(path, json={"changelog": "yours"}, headers=seen)
        gone = await c.delete(path, headers=seen)
        kept = (await c.get(path)).json()
    assert [a.status_code for a in (first, second, gone)] == [200, 409, 409]
    assert (kept["changelog"], kept["revision"]) == ("mine", second.json()["revision"])


async def test_the_same_key_gives_the_same_answer(world):
    """Sequentially and at once; another body under it is refused."""
    await world.service()
    body, key = {"service_id": "checkout", "version": "v2"}, {"Idempotency-Key": "abc"}
    async with world.client() as c:
        answers = await asyncio.gather(*(c.post("/deployments", json=body, headers=key) for _ in range(5)))
        assert {a.status_code for a in answers} == {201}
        assert len({a.json()["deployment_id"] for a in answers}) == 1
        again = await c.post("/deployments", json=body, headers=key)
        assert again.headers["idempotency-replayed"] == "true"
        other = await c.post("/deployments", json={**body, "version": "v3"}, headers=key)
        assert (other.status_code, other.json()["field"]) == (400, "Idempotency-Key")
        assert (await c.get("/deployments")).json()["total"] == 1


async def test_a_canary_goes_back_to_what_is_stable_now(world):
    """v2 was taken back while v3 was rolling out: nothing brings v2 back, v3's own rollback neither."""
    await world.service()
    older = await world.canary("v2")
    async with world.client() as c:
        await c.post(f"/deployments/{older}/promote", json={"force": True})
        newer = await world.canary("v3")
        await c.post(f"/deployments/{older}/rollback", json={"reason": "v2 loses orders"})
        running = (await c.get(f"/deployments/{newer}")).json()
        assert (running["status"], running["stable_version"]) == ("canary", "v1")
        told = (await c.get(f"/deployments/{newer}/events")).json()["events"][-1]
        assert told["message"] == "v1 is stable now: v2 was taken back."
        await c.post(f"/deployments/{newer}/promote", json={"force": True})
        ended = (await c.post(f"/deployments/{newer}/rollback", json={"reason": "v3 too"})).json()
        assert ended["sentence"] == "Rolled back from 100 % to v1: v3 too"
        assert (await c.get("/services/checkout")).json()["stable_version"] == "v1"


async def test_a_stable_version_set_by_hand_retires_what_was_promoted(world):
    """Everybody is on v9 then: nothing takes them to v1 by a rollback of v2, on which nobody is any more."""
    await world.service()
    promoted = await world.canary("v2")
    async with world.client() as c:
        await c.post(f"/deployments/{promoted}/promote", json={"force": True})
        await c.patch("/services/checkout", json={"stable_version": "v2"})
        assert (await c.get(f"/deployments/{promoted}")).json()["status"] == "active"
        await c.patch("/services/checkout", json={"stable_version": "v9"})
        late = await c.post(f"/deployments/{promoted}/rollback", json={"reason": "v2 was slow"})
        assert (late.status_code, late.json()["current_status"]) == (409, "deprecated")
        assert (await c.get("/services/checkout")).json()["stable_version"] == "v9"


async def test_a_second_canary_is_refused_with_the_one_in_the_way(world):
    """400 as contract 1 has it, naming what to end."""
    await world.service()
    first = await world.canary()
    async with world.client() as c:
        made = (await c.post("/deployments", json={"service_id": "checkout", "version": "v3"})).json()
        answer = await c.post(f"/deployments/{made['deployment_id']}/start-canary")
    assert answer.status_code == 400
    assert "already has an active canary" in answer.json()["detail"]
    assert answer.json()["in_the_way"] == first


async def test_a_move_that_the_status_forbids_is_409_with_what_is_allowed(world):
    """For every status that can be reached."""
    await world.service()
    identity = await world.canary()
    async with world.client() as c:
        started = await c.post(f"/deployments/{identity}/start-canary")
        assert started.json()["allowed"] == ["traffic", "pause", "resume", "approve", "promote", "rollback"]
        assert started.json()["in_the_way"] if started.status_code == 400 else started.status_code == 409
        await c.post(f"/deployments/{identity}/rollback", json={"reason": "enough"})
        again = await c.post(f"/deployments/{identity}/rollback", json={"reason": "again"})
    assert (again.status_code, again.json()["allowed"]) == (409, [])


async def test_everything_that_changes_something_is_in_the_audit_log(world):
    """Refused calls too, with who and why."""
    await world.service()
    identity = await world.canary()
    viewer = await world.token_of("viewer")
    async with world.client(viewer) as c:
        assert (await c.post(f"/deployments/{identity}/rollback", json={"reason": "x"})).status_code == 403
    async with world.client() as c:
        log = (await c.get("/audit")).json()
    assert log["total"] == len(log["audit"])
    assert (log["audit"][0]["action"], log["audit"][0]["actor"], log["audit"][0]["outcome"]) == (
        "deployment.rollback",
        "a viewer",
        "forbidden",
    )
    assert {e["action"] for e in log["audit"]} >= {
        "service.create",
        "deployment.create",
        "deployment.start",
        "token.create",
    }


async def test_a_batch_is_counted_once_and_stale_or_wrong_ones_not_at_all(world):
    """Sent again under its number it is known; nonsense is refused whole."""
    await world.service()
    identity = await world.canary()
    await world.serve(identity, "canary", 50)
    world.seq -= 1
    await world.serve(identity, "canary", 50)
    async with world.client() as c:
        assert (await c.get(f"/deployments/{identity}/metrics")).json()["v2_metrics"]["total_requests"] == 50
        window = {
            "service": "checkout",
            "deployment": identity,
            "side": "canary",
            "start": 1,
            "requests": 1,
            "errors": 5,
        }
        for bad in (
            [],
            {"source": "x"},
            {"source": "x", "seq": 1, "windows": [window]},
            {
                "source": "x",
                "seq": 1,
                "units": [
                    {"service": "s", "deployment": "d", "hash": "zz", "priority": "user_id", "key": "k"}
                ],
            },
        ):
            assert (await c.post("/sdk/telemetry", json=bad)).status_code == 400
        nan = await c.post("/sdk/telemetry", content=b'{"source":"x","seq":NaN}')
        assert nan.status_code == 400


async def test_what_no_database_holds_keeps_nothing_else_out(world):
    """A NUL, half a character, a name that never ends, a number of thirty digits: replaced, cut, refused."""
    await world.service()
    d = await world.canary()
    place = {"service": "checkout", "deployment": d, "side": "canary", "start": 1}
    unit = {"service": "checkout", "deployment": d, "hash": f"{7:016x}", "priority": "user_id"}
    now = int(world.clock.now().timestamp())
    good = {
        "windows": [{**place, "start": now, "requests": 3, "errors": 0, "endpoint": "/a\0" + "b" * 300}],
        "samples": [{**place, "start": 2**50, "name": "n" * 300, "label": "l" * 300, "value": -1.0}],
        "units": [{**unit, "key": "ad\0a\ud800"}],
    }
    wrong = (
        {"seq": 2**70},
        {"windows": [{**place, "requests": 10**30, "errors": 0}]},
        {"windows": [{**place, "requests": 1, "errors": 0, "latency": {"scale": 6, "total": 1e308}}]},
        {"samples": [{**place, "start": 10**30, "name": "n", "value": 1}]},
        {"samples": [{**place, "name": "n", "value": 1e308}]},
    )
    async with world.client() as c:
        for bad in wrong:
            refused = await c.post("/sdk/telemetry", json={"source": "p", "seq": 1, **bad})
            assert (refused.status_code, refused.json()["field"][:6]) == (400, "batch.")
        taken = await c.post("/sdk/telemetry", content=json.dumps({"source": "p\0", "seq": 1, **good}))
        assert taken.status_code == 202
        metrics = (await c.get(f"/deployments/{d}/metrics")).json()
        assert list(metrics["endpoints"]) == ["/a\ufffd" + "b" * 197]
        units = (await c.get(f"/deployments/{d}/assignments")).json()["assignments"]
        assert [u["user_id"] for u in units] == ["ad\ufffda?"]


async def test_a_snapshot_is_sent_again_only_when_it_changed(world):
    """ETag and 304; a canary's start is a change."""
    await world.service()
    async with world.client() as c:
        first = await c.get("/sdk/snapshot")
        same = await c.get("/sdk/snapshot", headers={"If-None-Match": first.headers["etag"]})
        await world.canary()
        world.clock.pass_(1)
        changed = await c.get("/sdk/snapshot", headers={"If-None-Match": first.headers["etag"]})
    assert (same.status_code, changed.status_code) == (304, 200)
    assert changed.json()["services"]["checkout"]["deployment"]["weight_bp"] == 1000


async def test_units_stay_when_a_persistent_share_shrinks(world):
    """Who was on the canary is in a slice that the snapshot names, and in the assignments with priority."""
    from serinus.core.bucketing import unit_hash

    await world.service()
    identity = await world.canary(pct=50)
    unit = next(f"u{n}" for n in range(99) if 2000 < unit_hash(identity, f"u{n}") % 10_000 < 5000)
    digest = f"{unit_hash(identity, unit):016x}"
    entry = {
        "service": "checkout",
        "deployment": identity,
        "hash": digest,
        "priority": "user_id",
        "key": unit,
    }
    async with world.client() as c:
        await c.post("/sdk/telemetry", json={"source": "p", "seq": 1, "units": [entry]})
        await c.put(f"/deployments/{identity}/traffic", json={"traffic_percentage": 10})
        world.clock.pass_(1)
        running = (await c.get("/sdk/snapshot")).json()["services"]["checkout"]["deployment"]
        found = (await c.get(f"/deployments/{identity}/assignments", params={"user_id": unit})).json()
        index = unit_hash(identity, unit) % 10_000 // 100
        assert (running["weight_bp"], running["kept"]) == (1000, {str(index): 1})
        slice_ = (await c.get(f"/sdk/assignments/{identity}/{index}")).content
        assert slice_ == (1).to_bytes(8) + bytes.fromhex(digest)
        assert (found["total"], found["assignments"][0]["priority"], found["assignments"][0]["user_id"]) == (
            1,
            "user_id",
            unit,
        )
        await c.post(f"/deployments/{identity}/rollback", json={"reason": "done"})
        assert (await c.get(f"/deployments/{identity}/assignments")).json()["total"] == 0


async def test_a_breaker_that_opens_in_one_process_rolls_back_at_the_next_look(world):
    """And the timeline says which process."""
    await world.service()
    identity = await world.canary()
    await world.tick()
    news = {"service": "checkout", "deployment": identity, "state": "open", "failures": 5}
    async with world.client() as c:
        await c.post("/sdk/telemetry", json={"source": "abcdef0123", "seq": 1, "breakers": [news]})
        await world.tick(0.1)
        view = (await c.get(f"/deployments/{identity}")).json()
    assert view["status"] == "rolled_back"
    assert "process abcdef01" in view["end_reason"]


async def test_prometheus_can_scrape_the_contracts_names(world):
    """Counters, gauges and histograms that ``histogram_quantile`` understands."""
    await world.service()
    identity = await world.canary()
    await world.serve(identity, "canary", 40, errors=2, ms=120)
    await world.serve(identity, "stable", 400, ms=80)
    async with world.client() as c:
        text = (await c.get("/metrics")).text
    label = f'deployment_id="{identity}"'
    for line in (
        f'canary_deployment_status{{{label},status="canary"}} 1',
        f"canary_traffic_percentage{{{label}}} 10",
        f"canary_v1_requests_total{{{label}}} 400",
        f"canary_v2_requests_total{{{label}}} 40",
        f"canary_v2_errors_total{{{label}}} 2",
        f'canary_v2_latency_seconds_bucket{{{label},le="0.1"}} 0',
        f'canary_v2_latency_seconds_bucket{{{label},le="0.15"}} 40',
        f'canary_v2_latency_seconds_bucket{{{label},le="+Inf"}} 40',
        f"canary_v2_latency_seconds_count{{{label}}} 40",
    ):
        assert line in text


async def test_the_monitor_that_does_not_run_is_visible_everywhere(world):
    """In the jobs, in health, and in readiness."""
    await world.service()
    identity = await world.canary()
    async with world.client() as c:
        jobs = (await c.get("/scheduler/jobs")).json()["jobs"]
        assert (jobs[0]["name"], jobs[0]["state"]) == ("canary_monitor_task", "not running")
        warnings = (await c.get(f"/deployments/{identity}/health")).json()["warnings"]
        assert "The monitor is not running: nothing is rolled back automatically." in warnings
        assert (await c.get("http://serinus/readyz")).status_code == 503
        assert (await c.get("http://serinus/healthz")).status_code == 200


async def test_a_database_that_is_full_or_locked_is_503_not_500(world, monkeypatch):
    """With when to try again, and nothing changed."""
    from serinus.core.errors import Unavailable

    def away(*, write=True):
        raise Unavailable("The database's disk is full.", next_step="Free some space.")

    monkeypatch.setattr(world.running.plane.context.store, "begin", away)
    async with world.client() as c:
        answer = await c.get("/deployments")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
    assert answer.json()["detail"] == "The database's disk is full."


@pytest.mark.parametrize("body", [b"{bad", b"[" * 100_000])
async def test_a_body_that_is_no_json_says_so_in_words(world, body):
    """Not the parser's position as if it were a field; and what to send instead."""
    async with world.client() as c:
        answer = await c.post("/deployments", content=body, headers={"content-type": "application/json"})
        form = {"content-type": "application/x-www-form-urlencoded"}  # what curl -d sends by itself
        as_form = await c.post("/deployments", content=b'{"version": "v2"}', headers=form)
    assert as_form.json()["next_step"] == "Send the header `Content-Type: application/json`."
    said = answer.json()
    assert (answer.status_code, said["type"].rpartition("/")[2]) == (400, "invalid-input")
    assert "JSON" in said["detail"]
    assert said["next_step"]
    assert said.get("field", "body") == "body"


async def test_a_service_has_a_name_that_a_path_can_carry(world):
    """With a slash no call on it would find it, and neither would a command."""
    async with world.client() as c:
        for path, more in (("/services", {}), ("/rulesets", {"version": "v1", "content": {}})):
            refused = await c.post(path, json={"name": "shop/checkout", **more})
            assert (refused.status_code, refused.json()["field"]) == (400, "name")
        assert (await c.get("/services")).json()["total"] == 0


async def test_one_sentence_about_one_field(world):
    """Nothing of the validator's own vocabulary."""
    async with world.client() as c:
        neither = (await c.post("/deployments", json={"version": "v2"})).json()
        nobody = (await c.post("/members", json={"name": "ada", "role": "viewer", "email": "ada"})).json()
    assert neither["detail"] == "body: give service_id or ruleset_id; both only if they are the same"
    assert [e["field"] for e in nobody["errors"]] == ["email"]


async def test_a_change_of_a_draft_keeps_what_it_does_not_name(world):
    """``PATCH`` with a strategy leaves config and analysis as they were written, and the other way round."""
    await world.service()
    async with world.client() as c:
        asked = {
            "service_id": "checkout",
            "version": "v2",
            "canary_config": {"duration_minutes": 7},
            "analysis": {"preset": "rulesets"},
        }
        made = (await c.post("/deployments", json=asked)).json()
        path = f"/deployments/{made['deployment_id']}"
        steps = [{"traffic_percentage": 3, "hold_seconds": 60}, {"traffic_percentage": 100}]
        changed = (await c.patch(path, json={"strategy": {"steps": steps}})).json()
        assert changed["canary_config"]["duration_minutes"] == 7
        assert changed["analysis"] == made["analysis"]
        again = (await c.patch(path, json={"canary_config": {"error_threshold": 0.02}})).json()
        assert again["canary_config"] == {**made["canary_config"], "error_threshold": 0.02}
        assert again["strategy"] == changed["strategy"]
        limits = {check["name"]: check["limit"] for check in again["analysis"]["checks"]}
        assert (limits["error rate"], limits["success rate"]) == (0.02, 0.95)


async def test_defaults_that_nobody_wrote_are_no_limits(world):
    """A service that has always failed more than 5 % is not rolled back by a threshold that nobody typed."""
    await world.service()
    async with world.client() as c:
        for version, config, limits in (
            ("v2", {"increment": 20}, []),
            ("v3", {"increment": 20, "error_threshold": 0.1}, ["error rate"]),
        ):
            body = {"service_id": "checkout", "version": version, "canary_config": config}
            made = (await c.post("/deployments", json=body)).json()
            assert [check["name"] for check in made["analysis"]["checks"]] == limits


async def test_an_unknown_key_names_the_nearest_one_wherever_it_is(world):
    """In the body and inside of its parts."""
    await world.service()
    async with world.client() as c:
        body = {"service_id": "checkout", "version": "v2", "canary_config": {"incremnt": 20}, "analisis": {}}
        refused = (await c.post("/deployments", json=body)).json()
    assert refused["errors"] == [
        {"field": "canary_config.incremnt", "message": "unknown key; did you mean 'increment'?"},
        {"field": "analisis", "message": "unknown key; did you mean 'analysis'?"},
    ]


async def test_who_is_not_there_is_named_as_the_caller_named_it(world):
    """A ruleset as a ruleset."""
    async with world.client() as c:
        refused = (await c.post("/deployments", json={"ruleset_id": "nix", "version": "v2"})).json()
    assert (refused["field"], refused["detail"]) == ("ruleset_id", "There is no ruleset 'nix'.")
    assert "POST /api/v1/rulesets" in refused["next_step"]
