"""The monitor against a store: drift, clocks, leases, outbox retries."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import timedelta

import pytest

from edges import TRY_SECONDS
from fixtures_store import FakeClock
from serinus.bootstrap.build import build
from serinus.control import outbox
from serinus.control.context import Context
from serinus.control.monitor import Loop
from serinus.core.errors import Unavailable
from serinus.ports.notify import DeliveryFailed
from serinus.settings import Settings


class Channel:
    """A channel that fails as often as told, then takes everything."""

    name = "slack"

    def __init__(self, failures: int, *, retryable: bool = True) -> None:
        self.failures, self.retryable = failures, retryable
        self.took: list = []

    async def send(self, notification) -> None:
        """Fail or take."""
        if self.failures:
            self.failures -= 1
            raise DeliveryFailed("Slack answered 500", retryable=self.retryable)
        self.took.append(notification)


@pytest.fixture
async def told(tmp_path, clock, monkeypatch):
    """Return a function that makes a world with one channel."""
    # A busy machine is no slow channel: a tick ends when the channel has been told.
    monkeypatch.setattr(outbox, "PATIENCE_SECONDS", 60.0)
    from fixtures_plane import World
    from serinus.bootstrap.build import create_app

    made = []

    async def make(channel):
        settings = Settings(data_dir=tmp_path, public_url="http://serinus.example")
        running = build(settings, clock=clock, notifiers={"slack": channel})
        loops, running.loops = running.loops, ()
        await running.start()
        running.loops = loops
        made.append(running)
        return World(running, create_app(settings, running), clock, running.first_token)

    yield make
    for running in made:
        running.loops = ()
        await running.stop()


async def test_a_rollback_is_told_after_the_channel_is_back(told):
    """Three failures, growing pauses, one delivery; the timeline and the API say so."""
    channel = Channel(3)
    world = await told(channel)
    await world.service()
    identity = await world.canary()
    async with world.client() as c:
        await c.post(f"/deployments/{identity}/rollback", json={"reason": "seen enough"})
        for _ in range(3):
            await world.tick(0)
            state = (await c.get(f"/deployments/{identity}/notifications")).json()["notifications"][0]
            if channel.failures:
                assert (state["state"], state["error"]) == ("pending", "Slack answered 500")
            world.clock.pass_(4)
        await world.tick(4)
        state = (await c.get(f"/deployments/{identity}/notifications")).json()["notifications"][0]
        events = (await c.get(f"/deployments/{identity}/events")).json()["events"]
    assert (state["state"], state["attempts"], len(channel.took)) == ("sent", 4, 1)
    assert events[-1]["message"] == "Told by slack: [Serinus] Canary auto-rollback: checkout"
    assert channel.took[0].link == f"http://serinus.example/deployments/{identity}"


async def test_a_refusal_that_stays_is_given_up_and_shown(told):
    """No endless tries; the reason is on the timeline."""
    world = await told(Channel(99, retryable=False))
    await world.service()
    identity = await world.canary()
    async with world.client() as c:
        await c.post(f"/deployments/{identity}/rollback", json={"reason": "x"})
        await world.tick()
        state = (await c.get(f"/deployments/{identity}/notifications")).json()["notifications"][0]
        events = (await c.get(f"/deployments/{identity}/events")).json()["events"]
    assert (state["state"], state["attempts"]) == ("failed", 1)
    assert events[-1]["message"].startswith("Not told by slack (Slack answered 500)")


async def test_a_slow_channel_does_not_stop_a_rollback(told):
    """The rollback is committed and carried before anybody is told."""

    class Slow(Channel):
        async def send(self, notification) -> None:
            """Take for ever."""
            await asyncio.sleep(3600)

    world = await told(Slow(0))
    await world.service()
    identity = await world.canary()
    async with world.client() as c:
        answer = await c.post(f"/deployments/{identity}/rollback", json={"reason": "x"})
        world.clock.pass_(1)
        assert answer.json()["status"] == "rolled_back"
        assert (await c.get("/sdk/snapshot")).json()["services"]["checkout"]["deployment"] is None


async def test_a_proxy_that_is_down_holds_the_rollout_and_is_shown(world, tmp_path):
    """Time does not count; health says which instance, and a rollback is still decided."""
    from needs import free_port

    config = {
        "instances": [
            {
                "name": "edge-1",
                "admin": f"http://127.0.0.1:{free_port()}",
                "config_dir": str(tmp_path / "edge"),
            }
        ]
    }
    upstreams = {"v1": ["127.0.0.1:1"], "v2": ["127.0.0.1:2"]}
    await world.service(driver="envoy", driver_config=config, upstreams=upstreams)
    strategy = {"mode": "auto", "steps": [{"traffic_percentage": 10, "hold_seconds": 1}]}
    identity = await world.canary(strategy=strategy, analysis={"preset": "orchestrator", "only": True})
    for _ in range(3):
        await world.tick()
    async with world.client() as c:
        view = (await c.get(f"/deployments/{identity}")).json()
        health = (await c.get(f"/deployments/{identity}/health")).json()
        assert view["phase"] == "holding:not-carried"
        assert view["step"]["observed_seconds"] == 0
        assert any("edge-1: does not answer" in w for w in health["warnings"])
        assert (await c.post(f"/deployments/{identity}/rollback", json={"reason": "x"})).status_code == 200


async def test_settings_that_a_proxy_refuses_are_refused_at_once(world):
    """When the service is made, not when a rollout needs them."""
    async with world.client() as c:
        answer = await c.post(
            "/services", json={"name": "x", "driver": "envoy", "driver_config": {"instances": []}}
        )
        unknown = await c.post("/services", json={"name": "x", "driver": "caddy"})
    assert (answer.status_code, answer.json()["field"]) == (400, "driver_config.instances")
    assert [n for n in ("envoy", "in-process") if n not in unknown.json()["next_step"]] == []


async def test_a_split_changed_by_hand_is_on_the_timeline_and_put_right(edge, world):
    """Within one look."""
    config = {
        "listen": f"127.0.0.1:{edge.port}",
        "instances": [
            {"name": "edge-1", "admin": f"http://127.0.0.1:{edge.admin}", "config_dir": str(edge.folder)}
        ],
        "try_seconds": TRY_SECONDS,
    }
    upstreams = {"v1": [f"127.0.0.1:{edge.stable.port}"], "v2": [f"127.0.0.1:{edge.canary.port}"]}
    await world.service(driver="envoy", driver_config=config, upstreams=upstreams)
    identity = await world.canary(pct=5)
    await world.tick()
    path = edge.folder / "rds.json"
    fresh = edge.folder / "by-hand"
    fresh.write_text(
        path.read_text()
        .replace('"weight": 500', '"weight": 9000')
        .replace('"weight": 9500', '"weight": 1000')
        .replace('"version_info": "', '"version_info": "by-hand-')
    )
    fresh.replace(path)
    await asyncio.sleep(0.3)
    await world.tick()
    async with world.client() as c:
        events = (await c.get(f"/deployments/{identity}/events")).json()["events"]
        view = (await c.get(f"/deployments/{identity}")).json()
    assert "The split was changed behind our back (edge-1 carried 90 %); it is put right." in [
        e["message"] for e in events
    ]
    assert (view["proxy"]["acknowledged"], view["proxy"]["carried_bp"]) == (True, 500)


async def test_a_clock_that_steps_is_a_visible_warning(world):
    """In the job's line; the job itself goes on."""
    loop = world.running.loops[0]
    assert loop._stepped() == ""
    world.clock.at += timedelta(hours=1)
    assert "stepped by +3600 s" in loop._stepped()
    assert loop._stepped() == ""


async def test_a_loop_outlives_any_error(world):
    """It says what went wrong, and tries again."""
    calls = []

    async def work() -> None:
        calls.append(1)
        raise Unavailable("The database is locked.") if len(calls) < 3 else ZeroDivisionError

    class Quick(FakeClock):
        async def sleep(self, seconds: float) -> None:
            """Yield only."""
            await asyncio.sleep(0)

    context = Context(store=world.running.plane.context.store, clock=Quick())
    task = asyncio.create_task(Loop(context=context, name="t", interval=1, work=work).run())
    while len(calls) < 4:
        await asyncio.sleep(0.01)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    async with context.store.begin(write=False) as tx:
        (job,) = [j for j in await tx.jobs.all() if j.name == "t"]
    assert (job.state, job.error) == ("failing", "ZeroDivisionError")
