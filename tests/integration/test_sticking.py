"""Units that do not stick, with real SDK processes' batches into a real control plane."""

from __future__ import annotations

import re

import pytest

from browsing import browser_for
from rulebook import GENEROUS, PRICING
from serinus.cli.render import status_lines
from serinus.sdk import Client

USERS = [f"user-{n}" for n in range(200)]


class Process:
    """An SDK in a process of its own, whose batches go where its transport would send them."""

    def __init__(self, world, name: str, token: str = "") -> None:
        self.world, self.name, self.seq = world, name, 0
        self.token = token or None
        self.client = Client("")

    async def follow(self, **changes) -> Process:
        """Follow the control plane's snapshot as it is now, but for what this process has wrong."""
        async with self.world.client(self.token) as c:
            snapshot = (await c.get("/sdk/snapshot")).json()
        for entry in snapshot["services"].values():
            entry["deployment"] |= changes
        self.client.follow(snapshot)
        return self

    def serve(self, users=USERS) -> Process:
        """Answer a request of each."""
        for user in users:
            self.client.service("checkout").expose(user)
        return self

    async def flush(self) -> Process:
        """Send what was seen."""
        batch = self.client.take_batch(last=True)
        self.seq += 1
        async with self.world.client(self.token) as c:
            answer = await c.post(
                "/sdk/telemetry", json={"source": self.name, "seq": self.seq, **(batch or {})}
            )
        assert answer.status_code == 202, answer.text
        return self


async def asked(world, path: str) -> dict:
    """Read as a viewer."""
    async with world.client(await world.token_of("viewer")) as c:
        answer = await c.get(path)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def mixed(world, **rollout) -> str:
    """Run a rollout in two processes of which one has another salt, and let the monitor look."""
    await world.service()
    identity = await world.canary(pct=25, **rollout)
    await world.tick()
    await (await Process(world, "one").follow()).serve().flush()
    await (await Process(world, "two").follow(salt="another")).serve().flush()
    await world.tick(61)
    return identity


@pytest.mark.parametrize("analysis", [{}, {"preset": "rulesets"}])
async def test_two_processes_with_two_salts_are_told_of_everywhere(world, analysis):
    """With the judge and with fixed thresholds: API, health, terminal, page, timeline, notification."""
    identity = await mixed(world, analysis=analysis)
    view = await asked(world, f"/deployments/{identity}")
    found = view["stickiness"]
    assert found["watched"] == 200
    assert 50 <= found["flipped"] <= found["fewer_side"]
    said = f"units do not stick: {found['flipped']} of 200 watched were served by more than one version"
    assert found["sentence"].startswith(said)
    compared = await asked(world, f"/deployments/{identity}/comparison")
    assert compared["stickiness"] == found
    assert bool(view["judge"]) is not bool(analysis)
    if view["judge"]:
        assert view["judge"]["warnings"] == [found["sentence"]]
    health = await asked(world, f"/deployments/{identity}/health")
    assert health["warnings"].count(found["sentence"]) == 1
    assert health["health_status"] == "degraded"
    events = (await asked(world, f"/deployments/{identity}/events"))["events"]
    assert [e["message"] for e in events if e["kind"] == "warning"] == [found["sentence"]]
    assert view["status"] == "canary"


async def test_the_same_units_at_a_share_that_only_grows_are_not(world):
    """One process is a step behind for a while, restarts, and serves whom the other served."""
    await world.service()
    identity = await world.canary(pct=5)
    one, two = Process(world, "one"), Process(world, "two")
    await (await one.follow()).serve().flush()
    await (await two.follow()).serve().flush()
    for share in (25, 60):
        async with world.client() as c:
            answer = await c.put(f"/deployments/{identity}/traffic", json={"traffic_percentage": share})
            assert answer.status_code == 200, answer.text
        await (await one.follow()).serve().flush()
        await two.serve().flush()
        two = Process(world, "two again")
        await (await two.follow()).serve().flush()
        await world.tick(30)
    await world.tick(61)
    found = (await asked(world, f"/deployments/{identity}"))["stickiness"]
    assert (found["watched"], found["flipped"], found["sentence"]) == (200, 0, "")
    assert "units" not in str((await asked(world, f"/deployments/{identity}/health"))["warnings"])


async def test_a_process_that_stays_behind_is_told_of_and_forgotten_when_it_has_caught_up(world):
    """A minute is enough for a share to reach every process; a quarter of an hour later all is forgotten."""
    await world.service()
    identity = await world.canary(pct=5)
    one, behind = Process(world, "one"), Process(world, "behind")
    await one.follow()
    await behind.follow()
    async with world.client() as c:
        await c.put(f"/deployments/{identity}/traffic", json={"traffic_percentage": 60})
    await (await one.follow()).serve().flush()
    await behind.serve(USERS[:100]).flush()
    await world.tick(61)
    assert (await asked(world, f"/deployments/{identity}"))["stickiness"]["flipped"] == 0
    await behind.serve(USERS[100:]).flush()
    await world.tick(61)
    found = (await asked(world, f"/deployments/{identity}"))["stickiness"]
    assert found["flipped"] >= 40
    assert found["sentence"]
    await world.tick(840)
    await (await behind.follow()).serve().flush()
    await world.tick(61)
    found = (await asked(world, f"/deployments/{identity}"))["stickiness"]
    assert (found["flipped"], found["sentence"]) == (0, "")


async def test_executions_of_rulesets_are_watched_like_any_request(world):
    """The control plane is its own SDK there, so a process beside it that differs is found."""
    async with world.client() as c:
        first = {"name": "pricing", "version": "v1", "engine": "starlark", "content": PRICING}
        await c.post("/rulesets", json=first)
        second = {"version": "v2", "engine": "starlark", "content": GENEROUS}
        await c.post("/rulesets/pricing/versions", json=second)
        identity = await world.canary(service="pricing", pct=50)
        for user in USERS[:12]:
            body = {"input": {"amount": 200}, "user_id": user}
            assert (await c.post("/rulesets/pricing/execute", json=body)).status_code == 200
    await world.running.plane.executor.flush()
    await world.tick(61)
    found = (await asked(world, f"/deployments/{identity}"))["stickiness"]
    assert (found["watched"], found["flipped"]) == (12, 0)


def sightings(identity: str, **changes) -> dict:
    """Return a batch of another sender's with one group of sightings."""
    one = {
        "service": "checkout",
        "deployment": identity,
        "version": "v2",
        "share_bp": 1000,
        "units": ["0" * 16],
    }
    return {"source": "other", "seq": 1, "sightings": [{**one, **changes}]}


async def test_what_cannot_have_been_seen_is_refused_and_others_rollouts_are_not_touched(world):
    """Bad shares and hashes are named; other tenants, and versions that are not tested, add nothing."""
    await world.service()
    identity = await world.canary(pct=10)
    async with world.client(await world.token_of("sdk")) as c:
        for changes, field in (
            ({"share_bp": 0}, "batch.sightings[0].share_bp"),
            ({"share_bp": 10_000}, "batch.sightings[0].share_bp"),
            ({"units": ["ada@example.org"]}, "batch.sightings[0].units"),
            ({"units": [7]}, "batch.sightings[0].units[0]"),
        ):
            answer = await c.post("/sdk/telemetry", json=sightings(identity, **changes))
            assert (answer.status_code, answer.json()["field"]) == (400, field), answer.text
        assert (await c.post("/sdk/telemetry", json=sightings(identity, version="v9"))).status_code == 202
    async with world.client(await world.second_tenant()) as c:
        assert (await c.post("/sdk/telemetry", json=sightings(identity))).status_code == 202
    async with world.client(await world.token_of("viewer")) as c:
        assert (await c.post("/sdk/telemetry", json=sightings(identity))).status_code == 403
    await world.tick(61)
    assert (await asked(world, f"/deployments/{identity}"))["stickiness"]["watched"] == 0


@pytest.mark.parametrize("analysis", [{}, {"preset": "rulesets"}])
async def test_the_terminal_and_the_page_say_it_once(world, analysis):
    """As an operator reads it, with the judge and with fixed thresholds."""
    identity = await mixed(world, analysis=analysis)
    page = await asked(world, f"/deployments/{identity}/page")
    sentence = page["deployment"]["stickiness"]["sentence"]
    assert sum(f"! {sentence}" in line for line in status_lines(page)) == 1
    html = (await (await browser_for(world)).get(f"/deployments/{identity}")).text
    assert (
        len(re.findall(rf'class="problem"[^<]*(<[^p/].*>|</[^p].*>)*[^<]*{re.escape(sentence)}', html)) == 1
    )
