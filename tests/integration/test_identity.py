"""Who may call, for which services, until when, and under which name it is remembered."""

from __future__ import annotations

import asyncio
import json
import logging
from dataclasses import replace

import pytest

from browsing import browser_for
from rulebook import PRICING
from serinus.api.streams import events
from serinus.control.access.tokens import digest
from serinus.core.errors import Unauthenticated
from serinus.core.model import Role

ADA = {"name": "Ada Lovelace", "role": "approver", "email": "ada@example.com"}
DAY = 86_400


async def member(world, **changes) -> dict:
    """Add a member."""
    async with world.client() as c:
        made = await c.post("/members", json={**ADA, **changes})
        assert made.status_code == 201, made.text
        return made.json()


async def token(world, role: str = "approver", **more) -> dict:
    """Make a token; return it with its secret."""
    async with world.client() as c:
        made = await c.post("/tokens", json={"name": "laptop", "role": role, **more})
        assert made.status_code == 201, made.text
        return made.json()


async def test_what_a_member_does_is_remembered_under_their_name(world):
    """On the timeline and in the audit log, whatever their token is called."""
    await world.service()
    await member(world)
    made = await token(world, member="Ada Lovelace")
    assert (made["member"], made["services"], made["state"]) == ("Ada Lovelace", [], "live")
    async with world.client(made["token"]) as c:
        who = (await c.get("/whoami")).json()
        assert (who["name"], who["role"], who["member_id"]) == ("Ada Lovelace", "approver", made["member_id"])
        draft = (await c.post("/deployments", json={"service_id": "checkout", "version": "v2"})).json()
        timeline = (await c.get(f"/deployments/{draft['deployment_id']}/events")).json()["events"]
    assert [e["actor"] for e in timeline] == ["Ada Lovelace"]
    async with world.client() as c:
        newest = (await c.get("/audit")).json()["audit"][0]
    assert (newest["action"], newest["actor"]) == ("deployment.create", "Ada Lovelace")
    assert newest["token_id"] == made["token_id"]


async def test_no_token_can_do_more_than_its_owner(world):
    """Neither when it is made nor after its owner's role was lowered; raised again, it is as before."""
    identity = (await member(world))["member_id"]
    async with world.client() as c:
        refused = await c.post("/tokens", json={"name": "x", "role": "admin", "member": identity})
        assert (refused.status_code, refused.json()["field"]) == (400, "role")
        assert refused.json()["detail"] == "Ada Lovelace is approver: no token of theirs can be admin."
        secret = (await token(world, member=identity))["token"]

        async def role() -> tuple[int, str]:
            async with world.client(secret) as theirs:
                answer = await theirs.get("/whoami")
                return answer.status_code, answer.json().get("role", "")

        said = [await role()]
        for lower in ("viewer", "sdk", "admin"):
            changed = await c.patch(f"/members/{identity}", json={"role": lower})
            assert changed.json()["role"] == lower
            said.append(await role())
    assert said == [(200, "approver"), (200, "viewer"), (401, ""), (200, "approver")]


@pytest.mark.parametrize("role", list(Role))
@pytest.mark.parametrize("owner", list(Role))
def test_what_is_left_of_a_role_never_reaches_further_than_its_owner(role, owner):
    """Over every pair: nothing that the owner could not do, and nothing that the token could not."""
    left = role.within(owner)
    for needed in Role:
        if left and left.reaches(needed):
            assert owner.reaches(needed)
            assert role.reaches(needed)


async def test_a_removed_member_is_out_at_once(world):
    """Tokens, dashboard sessions and open streams end; the name stays where it was written."""
    identity = (await member(world))["member_id"]
    secret = (await token(world, member=identity))["token"]
    plane = world.running.plane
    browser = await browser_for(world, secret)
    assert (await browser.get("/")).status_code == 200
    caller = await plane.access.known_caller(secret)

    async def look() -> tuple[str, str]:
        return "1", "{}"

    stream = events(plane, caller, caller.tenant_id, "list", look, 0.0)
    assert (await anext(stream)).startswith("event: list")
    async with world.client() as c:
        gone = await c.delete(f"/members/{identity}")
        assert (gone.status_code, gone.json()["revoked_tokens"]) == (200, 1)
        assert (await c.get("/members")).json()["members"] == []
        (mine,) = [t for t in (await c.get("/tokens")).json()["tokens"] if t["member_id"]]
        assert (mine["state"], mine["member"]) == ("revoked", "Ada Lovelace")
    with pytest.raises(StopAsyncIteration):
        await anext(stream)
    with pytest.raises(Unauthenticated):
        await plane.access.known_caller(secret)
    async with world.client(secret) as theirs:
        assert (await theirs.get("/whoami")).status_code == 401
    assert (await browser.get("/")).headers["location"].startswith("/login")
    await browser.aclose()


async def test_a_token_made_in_the_instant_of_its_owners_removal_is_dead(world):
    """Another replica read the member just before."""
    identity = (await member(world))["member_id"]
    made = await token(world, member=identity)
    async with world.client() as c:
        await c.delete(f"/members/{identity}")
    plane = world.running.plane
    async with plane.context.store.begin() as tx:
        before, _ = await tx.tokens.get((await tx.tenants.all())[0].id, made["token_id"])
        late = replace(before, id="tok_late", digest=digest("srn_late"), revoked_at=None)
        await tx.tokens.add(late)
    with pytest.raises(Unauthenticated):
        await plane.access.caller("srn_late")


async def test_an_admin_cannot_lock_everybody_out(world):
    """Nobody removes themselves or changes their own role."""
    identity = (await member(world, role="admin"))["member_id"]
    secret = (await token(world, "admin", member=identity))["token"]
    async with world.client(secret) as c:
        assert (await c.delete(f"/members/{identity}")).status_code == 409
        assert (await c.patch(f"/members/{identity}", json={"role": "viewer"})).status_code == 409
        assert (await c.get("/members")).json()["members"][0]["role"] == "admin"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({**ADA, "email": ""}, "email"),
        ({**ADA, "kind": "service_account"}, "email"),
        ({**ADA, "email": "nobody"}, "email"),
        ({**ADA, "role": "root"}, "role"),
        ({**ADA, "name": " "}, "name"),
    ],
)
async def test_a_member_that_makes_no_sense_is_refused(world, body, field):
    """And nothing is stored."""
    async with world.client() as c:
        refused = await c.post("/members", json=body)
        assert (refused.status_code, refused.json()["field"].partition(".")[0]) == (400, field)
        assert (await c.get("/members")).json()["total"] == 0


async def test_a_token_for_some_services_has_to_name_some(world):
    """One that is not there, and an admin's, are refused."""
    await world.service()
    async with world.client() as c:
        for services, role in ((["chekcout"], "viewer"), (["checkout"], "admin")):
            refused = await c.post("/tokens", json={"name": "x", "role": role, "services": services})
            assert (refused.status_code, refused.json()["field"]) == (400, "services")
        unknown = await c.post("/tokens", json={"name": "x", "role": "viewer", "member": "nobody"})
        assert (unknown.status_code, unknown.json()["field"]) == (404, "member")


async def test_a_token_for_one_service_reaches_no_other_by_any_call(world):
    """Each operation on real ids of the other service; it is not told whether they are there."""
    await world.service()
    await world.service("search")
    identity = await world.canary(service="search")
    async with world.client() as c:
        rules = {"name": "pricing", "version": "v1", "engine": "starlark", "content": PRICING}
        assert (await c.post("/rulesets", json=rules)).status_code == 201
        schema = (await c.get("/openapi.json")).json()
        token_id = (await c.get("/tokens")).json()["tokens"][0]["token_id"]
        before = (await c.get(f"/deployments/{identity}")).json(), (await c.get("/services/search")).json()
    tried = 0
    for role in ("approver", "sdk", "agent"):
        mine = (await token(world, role, services=["checkout"]))["token"]
        for path, operations in schema["paths"].items():
            for method in operations:
                await _out_of_reach(world, mine, method.upper(), path, identity, token_id)
                tried += 1
    assert tried > 120
    async with world.client() as c:
        after = (await c.get(f"/deployments/{identity}")).json(), (await c.get("/services/search")).json()
    assert after == before


#: Bodies of which each call that takes one finds one to be its own.
BODIES = (
    {},
    {"traffic_percentage": 1},
    {"reason": "x"},
    {"role": "viewer"},
    {"note": "done"},
    {"run": "r", "seq": 1, "driver": "nginx", "revision": "x"},
    {"message": "x"},
    {"stable_version": "v9"},
    {"log_percent": 1},
    {"start_at": "2030-01-01T00:00:00Z"},
    {"name": "third", "stable_version": "v1"},
    {"service_id": "search", "version": "v3"},
    {"name": "third", "version": "v1", "engine": "starlark", "content": PRICING},
    {"version": "v9", "engine": "starlark", "content": PRICING},
    {"user_id": "ada", "to": "canary"},
    {"user_id": "ada"},
    {"from": "fri 16:00", "until": "mon 08:00", "reason": "x"},
    {"node": {"cluster": "search", "id": "edge-1"}},
    {"name": "both", "members": [{"service": "search", "version": "v3"}]},
    {"input": {"amount": 1}},
    {"input": {"amount": 1}, "expected_output": {}},
)


async def _out_of_reach(world, secret, method, path, identity, token_id) -> None:
    path = path.removeprefix("/api/v1") if path.startswith("/api/v1") else f"http://serinus{path}"
    if path.endswith("stream") and "{" not in path:
        return  # endless; what it looks at is what the list answers
    real = path.replace("{deployment_id}", identity).replace("{service_id}", "search")
    real = real.replace("{ruleset_id}", "pricing").replace("{version}", "v1").replace("{name}", "edge-1")
    real = real.replace("{token_id}", token_id).replace("{member_id}", "mem_1")
    real = real.replace("{book}", identity).replace("{slice_index}", "0").replace("{kind}", "routes")
    takes = method in ("POST", "PUT", "PATCH")
    said = set()
    async with world.client(secret) as c:
        for body in BODIES if takes else (None,):
            answer = await c.request(method, real, **({"json": body} if takes else {}))
            said.add(answer.status_code)
            for other in (identity, '"search"', "pricing"):
                assert answer.status_code == 400 or other not in answer.text, (method, path, answer.text)
    if "{" in path or (method == "POST" and path in ("/services", "/deployments", "/rulesets")):
        assert 403 in said, (method, path, said)
        assert said <= {400, 403}, (method, path, said)


async def test_what_is_not_there_and_what_is_not_for_a_token_are_answered_alike(world):
    """So that nobody finds out what else there is."""
    await world.service()
    await world.service("search")
    identity = await world.canary(service="search")
    mine = (await token(world, services=["checkout"]))["token"]
    async with world.client(mine) as c:
        answers = [
            await c.get(path)
            for path in (f"/deployments/{identity}", "/deployments/dep_0", "/services/search", "/services/no")
        ]
        said = {(a.status_code, a.json()["detail"]) for a in answers}
        assert said == {(403, "Your token is for checkout only, and this is not of checkout.")}
        assert [s["name"] for s in (await c.get("/services")).json()["services"]] == ["checkout"]
        assert (await c.get("/deployments")).json()["total"] == 0
        assert (await c.get("/services/checkout")).status_code == 200


async def test_a_token_for_one_service_gets_no_answer_that_was_anothers(world):
    """Not even with the other's Idempotency-Key and the same body."""
    await world.service()
    await world.service("search")
    body, key = {"service_id": "search", "version": "v2"}, {"Idempotency-Key": "k-1"}
    mine = (await token(world, services=["checkout"]))["token"]
    async with world.client() as c, world.client(mine) as scoped:
        made = await c.post("/deployments", json=body, headers=key)
        assert (await c.post("/deployments", json=body, headers=key)).json() == made.json()
        assert (await scoped.post("/deployments", json=body, headers=key)).status_code == 403


async def test_an_applications_token_for_one_service_sees_and_measures_that_one(world):
    """The snapshot has only its service; a batch that measures another is refused whole."""
    await world.service()
    await world.service("search")
    theirs, mine_id = await world.canary(service="search"), await world.canary()
    secret = (await token(world, "sdk", services=["checkout"]))["token"]

    def batch(seq: int, *deployments: str) -> dict:
        windows = [
            {"service": "checkout", "deployment": d, "side": "canary", "start": 0, "requests": 1, "errors": 0}
            for d in deployments
        ]
        for window in windows:
            window["start"] = int(world.clock.now().timestamp())
        return {"source": "proc-9", "seq": seq, "windows": windows}

    async with world.client(secret) as c:
        snapshot = (await c.get("/sdk/snapshot")).json()
        assert list(snapshot["services"]) == ["checkout"]
        etag = f'"{snapshot["revision"]}"'
        assert (await c.get("/sdk/snapshot", headers={"If-None-Match": etag})).status_code == 304
        assert (await c.post("/sdk/telemetry", json=batch(1, mine_id, theirs))).status_code == 403
        assert (await c.post("/sdk/telemetry", json=batch(2, mine_id, "dep_0"))).status_code == 202
    async with world.client() as c:
        requests = [
            (await c.get(f"/deployments/{d}/metrics")).json()["v2_metrics"] for d in (mine_id, theirs)
        ]
    assert (requests[0]["total_requests"], requests[1]) == (1, None)


async def test_a_token_that_ends_soon_says_so_on_every_answer(world, caplog):
    """A week before, as a header, in the list, on the pages and in the server's log, once a day."""
    made = await token(world, "viewer", expires_in_days=8)
    async with world.client(made["token"]) as c:
        assert "serinus-token-expires" not in (await c.get("/whoami")).headers
        world.clock.pass_(DAY + 1)
        answer = await c.get("/whoami")
        assert answer.headers["serinus-token-expires"] == answer.json()["expires_at"] == made["expires_at"]
    browser = await browser_for(world, made["token"])
    assert f'Your token ends on <time datetime="{made["expires_at"]}">' in (await browser.get("/")).text
    assert "토큰 만료일" in (await browser.get("/?lang=ko")).text
    await browser.aclose()
    async with world.client() as c:
        listed = (await c.get("/tokens")).json()["tokens"]
        assert {t["name"]: t["state"] for t in listed} == {"laptop": "expiring", "first admin": "live"}
    with caplog.at_level(logging.WARNING, "serinus.access"):
        for _ in range(3):
            await world.running.plane.access.tidy()
    (said,) = [r for r in caplog.records if r.action == "token.expiring"]
    assert (said.token, said.expires_at) == (made["token_id"], made["expires_at"])
    world.clock.pass_(8 * DAY)
    async with world.client() as c:
        listed = (await c.get("/tokens")).json()["tokens"]
    assert {t["name"]: t["state"] for t in listed}["laptop"] == "expired"


async def test_when_a_token_was_last_used_outlives_the_process(world):
    """Known at once here, and written down by the tidy-up."""
    made = await token(world, "viewer")
    world.clock.pass_(60)
    async with world.client(made["token"]) as c:
        await c.get("/whoami")

    async def last_used() -> str | None:
        async with world.client() as c:
            listed = (await c.get("/tokens")).json()["tokens"]
        return {t["token_id"]: t["last_used_at"] for t in listed}[made["token_id"]]

    assert made["last_used_at"] is None
    assert await last_used() == "2026-01-31T12:01:00.000Z"
    await world.running.plane.access.tidy()
    assert world.running.plane.access._used == {}
    assert await last_used() == "2026-01-31T12:01:00.000Z"


async def test_the_head_of_the_audit_log_is_for_admins_and_goes_to_the_log(world, caplog):
    """It is the newest entry's number and hash; the server's log has it once an hour, if it has moved."""
    await world.service()
    async with world.client() as c:
        head = (await c.get("/audit/head")).json()
        newest = (await c.get("/audit")).json()["audit"][0]
    assert (head["tenant"], head["seq"], head["hash"]) == ("default", newest["seq"], newest["hash"])
    async with world.client(await world.token_of("approver")) as c:
        assert (await c.get("/audit/head")).status_code == 403
    with caplog.at_level(logging.INFO, "serinus.audit"):
        for seconds in (0, 60, 3600):
            world.clock.pass_(seconds)
            await world.running.plane.audit.anchor()
        await world.service("search")
        world.clock.pass_(3600)
        await world.running.plane.audit.anchor()
    told = [(r.seq, r.hash) for r in caplog.records if r.action == "audit.head"]
    assert [seq for seq, _ in told] == [head["seq"] + 1, head["seq"] + 2]


async def test_the_stream_of_a_live_token_goes_on(world):
    """Looking the token up again does not end it."""
    plane = world.running.plane
    caller = await plane.access.caller(world.token)
    count = iter(range(10))

    async def look() -> tuple[str, str]:
        return str(next(count)), json.dumps({})

    stream = events(plane, caller, caller.tenant_id, "list", look, 0.0)
    for _ in range(3):
        world.clock.pass_(2)
        plane.context.bell.ring(caller.tenant_id)
        async with asyncio.timeout(5):
            assert "event: list" in await anext(stream)
