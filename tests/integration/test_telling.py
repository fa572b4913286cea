"""From a decision to the people: limits, groups, ends, read-backs, quiet hours, threads and doubt."""

from __future__ import annotations

import pytest

from browsing import browser_for
from fakes.notify import MemoryNotifier
from fixtures_plane import World
from serinus.bootstrap.build import build, create_app
from serinus.control import outbox
from serinus.control.desk import Desk, read_plan
from serinus.control.outbox import Relay
from serinus.control.telling import messages
from serinus.control.telling.journal import FileJournal
from serinus.control.telling.writing import tell
from serinus.drivers.traffic.inprocess import InProcessDriver
from serinus.ports.notify import DeliveryFailed, Level, Traits, traits_of
from serinus.ports.store import OutboxState
from serinus.ports.traffic import Capability, Carried, InstanceState
from serinus.settings import Settings


class Edge:
    """One proxy in memory, which can be slow to follow."""

    capabilities = frozenset(Capability)

    def __init__(self, clock) -> None:
        self.clock = clock
        #: Seconds that it takes to follow; ``None`` while it does not.
        self.takes: float | None = 0.0
        self.split = None

    async def apply(self, desired):
        """Follow, or not."""
        if self.takes is not None:
            self.clock.pass_(self.takes)
            self.split = desired
        return await self.read(desired)

    async def read(self, desired):
        """Say what is carried."""
        ok = self.split == desired
        return Carried(instances=(InstanceState(name="edge-1", ok=ok, problem="" if ok else "is down"),))

    async def statistics(self, desired):
        """Count nothing."""
        return ()

    async def check(self):
        """Find nothing."""
        return ()

    async def close(self) -> None:
        """Hold nothing."""


class Told(World):
    """A world in which somebody listens."""

    edge: Edge
    channels: dict[str, MemoryNotifier]

    async def messages(self, identity: str) -> list[dict]:
        """Return what the API says of a deployment's notifications."""
        async with self.client() as c:
            return (await c.get(f"/deployments/{identity}/notifications")).json()["notifications"]

    async def warn(self, identity: str, what: str) -> None:
        """Decide on a warning, as a failing check does."""
        context = self.running.plane.context
        async with context.store.begin() as tx:
            tenant = (await tx.tenants.all())[0].id
            d = await tx.deployments.get(tenant, identity)
            self.count = getattr(self, "count", 0) + 1

            def make(about):
                return messages.warning_alert(**about, warnings=[what])

            await tell(tx, context, d, "warning", Level.WARNING, f"{d.id}.w{self.count}", make)

    async def roll_back(self, identity: str) -> None:
        """Roll back by hand."""
        async with self.client() as c:
            answer = await c.post(f"/deployments/{identity}/rollback", json={"reason": "seen enough"})
            assert answer.status_code == 200, answer.text

    async def promote(self, identity: str) -> None:
        """Promote by hand."""
        async with self.client() as c:
            answer = await c.post(f"/deployments/{identity}/promote", json={"force": True})
            assert answer.status_code == 200, answer.text

    def plan(self, **plan) -> None:
        """Put the operator's file on the desk."""
        context = self.running.plane.context
        traits = {name: traits_of(one) for name, one in self.channels.items()}
        context.desk = Desk(plan=read_plan(plan, ("slack", "pagerduty", "twilio")), traits=traits)


@pytest.fixture
async def world(tmp_path, clock, monkeypatch):
    """Return a world with a proxy, and with channels that are told as Slack, PagerDuty and Twilio are."""
    # A busy machine is no slow channel: a tick ends when every channel has been told.
    monkeypatch.setattr(outbox, "PATIENCE_SECONDS", 60.0)
    channels = {name: MemoryNotifier(name) for name in ("slack", "pagerduty", "twilio")}
    channels["pagerduty"].traits = Traits(least=Level.WARNING, resolves=True, idempotent=True)
    channels["twilio"].traits = Traits(least=Level.CRITICAL)
    edge = Edge(clock)
    running = build(
        Settings(data_dir=tmp_path, public_url="http://serinus.example"),
        clock=clock,
        notifiers=channels,
        traffic={"edge": lambda _: edge, "in-process": InProcessDriver.from_config},
    )
    loops, running.loops = running.loops, ()
    await running.start()
    running.loops = loops
    made = Told(running, create_app(running.settings, running), clock, running.first_token)
    made.edge, made.channels = edge, channels
    await made.service(driver="edge", upstreams={"v1": ["127.0.0.1:1"], "v2": ["127.0.0.1:2"]})
    yield made
    running.loops = ()
    await running.stop()


# What it says


async def test_a_rollback_says_what_was_done_and_the_seconds_until_every_proxy_was_read_back(world):
    """The message waits for the read-back, which is put on the timeline as before."""
    identity = await world.canary()
    await world.tick()
    world.edge.takes = 0.25
    await world.roll_back(identity)
    await world.tick(0)
    (told,) = world.channels["slack"].messages
    fields = dict(told.fields)
    assert fields["Done"] == "Traffic to v2 set to 0 %; everyone goes to v1"
    assert fields["Took"] == "0.25 s from the decision until every proxy was read back"
    assert (told.service, told.tenant, told.deployment_id) == ("checkout", "default", identity)


async def test_a_rollback_that_proxies_follow_late_is_told_and_followed_up(world):
    """First that it is not read back yet, then critically that it is not carried, then how long it took."""
    identity = await world.canary()
    await world.tick()
    world.edge.takes = None
    await world.roll_back(identity)
    await world.tick(0)
    assert world.channels["slack"].messages == []
    await world.tick(4)
    (told,) = world.channels["slack"].messages
    assert dict(told.fields)["Took"] == "not read back yet; it is tried again until every proxy follows"
    for _ in range(3):
        await world.tick(6)
    (texted,) = world.channels["twilio"].messages
    assert texted.level is Level.CRITICAL
    assert dict(texted.fields)["Not carried by"] == "• edge-1: is down"
    world.edge.takes = 0.0
    await world.tick(8)
    assert [n.kind for n in world.channels["slack"].messages] == ["rollback", "not_carried", "carried"]
    assert "30 s after the decision" in world.channels["slack"].messages[-1].text


async def test_messages_are_korean_where_the_file_says_so(world):
    """Title, sentences and names of fields."""
    world.plan(language="ko")
    identity = await world.canary()
    await world.tick()
    await world.roll_back(identity)
    await world.tick(0)
    (told,) = world.channels["slack"].messages
    assert told.title == "[Serinus] 카나리 자동 롤백: checkout"
    names = [name for name, _ in told.fields]
    assert names[:4] == ["서비스", "사유", "조치", "걸린 시간"]


# Incidents


async def test_an_incident_is_over_ten_minutes_after_the_rollback_was_read_back(world):
    """And only where it was opened: Slack is not told."""
    identity = await world.canary()
    await world.tick()
    await world.roll_back(identity)
    await world.tick(0)
    await world.tick(599)
    assert [n.kind for n in world.channels["pagerduty"].messages] == ["rollback"]
    await world.tick(2)
    assert [n.kind for n in world.channels["pagerduty"].messages] == ["rollback", "resolved"]
    assert [n.kind for n in world.channels["slack"].messages] == ["rollback"]


async def test_an_end_does_not_overtake_its_beginning(world):
    """PagerDuty is down for a while: the trigger comes first, then the end."""
    identity = await world.canary()
    await world.warn(identity, "p95 is slow")
    channel = world.channels["pagerduty"]
    channel.failures = [DeliveryFailed("PagerDuty answered 503")] * 3
    await world.tick(0)
    await world.promote(identity)
    for _ in range(12):
        await world.tick(2)
    assert [n.kind for n in channel.messages] == ["warning", "resolved"]


async def test_what_was_never_opened_is_not_ended(world):
    """The trigger is refused for good."""
    identity = await world.canary()
    await world.warn(identity, "p95 is slow")
    world.channels["pagerduty"].failures = [DeliveryFailed("PagerDuty answered 400", retryable=False)]
    await world.tick(0)
    await world.promote(identity)
    await world.tick()
    states = {n["kind"]: n["state"] for n in await world.messages(identity) if n["channel"] == "pagerduty"}
    assert states == {"warning": "failed", "resolved": "off"}


# Not too many


async def test_warnings_that_follow_closely_are_told_together(world):
    """The first at once, the rest as one message."""
    identity = await world.canary()
    for number in range(4):
        await world.warn(identity, f"warning {number}")
        await world.tick(1)
    slack = world.channels["slack"].messages
    assert [n.text for n in slack] == ["1 warning in checkout v2:\n1. warning 0"]
    await world.tick(30)
    assert slack[1].title == "[Serinus] 3 warnings in checkout"
    assert slack[1].text.split("\n")[1:] == ["1. warning 1", "2. warning 2", "3. warning 3"]
    states = [n["state"] for n in await world.messages(identity) if n["channel"] == "slack"]
    assert states == ["sent", "sent", "grouped", "grouped"]


async def test_five_an_hour_are_told_and_the_rest_is_summed_up(world):
    """What was held back is shown, counted, and told when the hour is over."""
    identity = await world.canary()
    for number in range(8):
        await world.warn(identity, f"warning {number}")
        await world.tick(60)
    slack = world.channels["slack"].messages
    assert len(slack) == 5
    held = [n for n in await world.messages(identity) if n["state"] == "held" and n["channel"] == "slack"]
    assert len(held) == 3
    assert "over the limit of 5 in 3600 s" in held[0]["error"]
    async with world.client() as c:
        shown = (await c.get(f"/deployments/{identity}/notifications/{held[0]['id']}")).json()
    assert shown["text"].endswith("1. warning 5")
    await world.tick(3600)
    assert (slack[5].kind, slack[5].title) == ("summary", "[Serinus] 3 messages were held back: checkout")
    assert [f"warning {n}" in slack[5].text for n in (4, 5, 6, 7)] == [False, True, True, True]
    await world.warn(identity, "another")
    await world.tick(1)
    assert len(slack) == 7


async def test_the_page_shows_what_failed_first_and_what_was_held_aside(world):
    """Whoever looks at three in the morning finds the message that nobody got at the top."""
    identity = await world.canary()
    world.channels["slack"].failures = [DeliveryFailed("HTTP 404 no_team", retryable=False)]
    for number in range(8):
        await world.warn(identity, f"warning {number}")
        await world.tick(60)
    page = (await (await browser_for(world)).get(f"/deployments/{identity}")).text
    told, _, aside = page.partition('data-part="told"')[2].partition('<details id="quiet">')
    assert told.index("HTTP 404 no_team") < told.index("</span> sent</span>")
    assert "</span> held</span>" not in told
    assert "over the limit of 5 in 3600 s" in aside


async def test_in_quiet_hours_only_what_is_critical_is_told(world):
    """The rest waits, says so, and comes in the morning as one message."""
    world.plan(
        routes=[
            {"channels": ["slack", "twilio"], "quiet": {"from": "11:00", "until": "15:00", "zone": "UTC"}}
        ]
    )
    identity = await world.canary()
    for number in range(3):
        await world.warn(identity, f"warning {number}")
        await world.tick(1)
    assert world.channels["slack"].messages == []
    waiting = (await world.messages(identity))[0]
    assert (waiting["state"], waiting["attempts"]) == ("pending", 0)
    assert waiting["error"] == "quiet hours of slack until 2026-01-31 15:00 UTC"
    world.edge.takes = None
    await world.roll_back(identity)
    for _ in range(3):
        await world.tick(8)
    assert [n.kind for n in world.channels["slack"].messages] == ["not_carried"]
    await world.tick(3 * 3600)
    assert [n.kind for n in world.channels["slack"].messages] == ["not_carried", "warning", "rollback"]
    assert "3 warnings" in world.channels["slack"].messages[1].title


# Threads, failures, doubt


async def test_a_thread_is_kept_across_restarts(world):
    """The first message's handle is stored with its delivery, for every replica."""

    class Threaded(MemoryNotifier):
        traits = Traits(threads=True)

        async def send(self, notification):
            await super().send(notification)
            return f"handle-{len(self.messages)}"

    world.channels["slack"] = Threaded("slack")
    world.plan()
    context = world.running.plane.context
    identity = await world.canary()
    for number in range(3):
        await world.warn(identity, f"w{number}")
        await Relay(context, world.channels).tick()
        world.clock.pass_(100)
    assert [n.thread for n in world.channels["slack"].messages] == ["", "handle-1", "handle-1"]


async def test_a_channel_that_wants_to_be_left_alone_is(world):
    """Longer than our own pause would be."""
    identity = await world.canary()
    await world.warn(identity, "w")
    world.channels["slack"].failures = [DeliveryFailed("Slack answered 429", retry_after=90)]
    await world.tick(0)
    await world.tick(80)
    assert world.channels["slack"].messages == []
    await world.tick(11)
    assert len(world.channels["slack"].messages) == 1


@pytest.mark.parametrize(
    ("channel", "level", "state", "copies"),
    [
        ("pagerduty", Level.WARNING, "sent", 1),  # it drops a second copy itself
        ("slack", Level.WARNING, "failed", 0),
        ("slack", Level.ERROR, "sent", 1),
    ],
)
async def test_what_may_have_arrived_is_sent_again_only_where_that_is_right(
    world, channel, level, state, copies
):
    """Silence about a rollback would be worse than a second copy, which says that it may be one."""
    world.channels[channel].failures = [DeliveryFailed("no answer in 10 s", unsure=True)]
    identity = await world.canary()
    context = world.running.plane.context
    async with context.store.begin() as tx:
        tenant = (await tx.tenants.all())[0].id
        d = await tx.deployments.get(tenant, identity)

        def make(about):
            return messages.rollback_alert(**about, reason="r")

        await tell(tx, context, d, "rollback", level, f"{d.id}.1", make)
    await world.tick(0)
    await world.tick(5)
    (found,) = [n for n in await world.messages(identity) if n["channel"] == channel]
    assert (found["state"], len(world.channels[channel].messages)) == (state, copies)
    marked = [n.title.endswith("(may be a second copy)") for n in world.channels[channel].messages]
    assert marked == [channel == "slack"] * copies
    if state == "failed":
        assert found["error"].endswith("it may have arrived, so it is not sent again")


@pytest.mark.parametrize(
    ("written", "state", "sends"),
    [
        ("", "sent", 1),  # it was killed before it began
        ("~{id}\n", "failed", 0),  # while it was sending a warning to Slack
        ("~{id}\n{id}\n", "sent", 0),  # after Slack had it
    ],
)
async def test_a_killed_process_is_known_by_its_journal(world, tmp_path, written, state, sends):
    """The next one of its name, or a neighbour that shares the folder, reads what it had done."""
    context = world.running.plane.context
    identity = await world.canary()
    await world.warn(identity, "w")
    async with context.store.begin() as tx:
        (item,) = await tx.outbox.claim("killed", context.clock.now(), 60, 9, channel="slack")
    other = "~another\n"
    (tmp_path / "delivered-killed.log").write_text(other + written.format(id=item.id))
    world.clock.pass_(61)
    await Relay(context, world.channels, FileJournal(tmp_path, "next")).tick()
    found = next(n for n in await world.messages(identity) if n["channel"] == "slack")
    assert (found["state"], len(world.channels["slack"].messages)) == (state, sends)


async def test_a_process_that_was_held_up_until_its_lease_ran_out_sends_nothing(world):
    """Another replica may have begun: so it is left to whoever claims it next."""
    context = world.running.plane.context
    identity = await world.canary()
    await world.warn(identity, "w")

    class HeldUp(Relay):
        async def _claim(self, channel):
            claimed = await super()._claim(channel)
            world.clock.pass_(31)  # of the 60 s; a sending may take 30
            return claimed

    await HeldUp(context, world.channels).tick()
    assert world.channels["slack"].messages == []
    world.clock.pass_(61)
    await world.tick(0)
    assert len(world.channels["slack"].messages) == 1


async def test_what_was_delivered_but_could_not_be_settled_is_not_sent_again(world, tmp_path):
    """The database is away at just that moment; the journal knows, also within the same process."""
    from serinus.core.errors import Unavailable

    context = world.running.plane.context
    identity = await world.canary()
    await world.warn(identity, "w")
    relay = Relay(context, {"slack": world.channels["slack"]}, FileJournal(tmp_path, context.replica))
    begin, away = context.store.begin, []

    def failing(**options):
        if away and options.get("write", True):
            raise Unavailable("The database is away.")
        return begin(**options)

    async def send(notification):
        world.channels["slack"].messages.append(notification)
        away.append(True)

    world.channels["slack"].send = send
    context.store.begin = failing
    with pytest.raises(Unavailable):
        await relay.tick()
    away.clear()
    world.clock.pass_(61)
    await relay.tick()
    found = next(n for n in await world.messages(identity) if n["channel"] == "slack")
    assert (found["state"], len(world.channels["slack"].messages)) == ("sent", 1)


async def test_a_slow_channel_delays_no_other(world, monkeypatch):
    """Its messages wait for it alone."""
    monkeypatch.setattr(outbox, "PATIENCE_SECONDS", 1.0)
    import asyncio

    release = asyncio.Event()

    class Slow(MemoryNotifier):
        async def send(self, notification):
            await release.wait()
            await super().send(notification)

    slow = Slow("pagerduty")
    slow.traits = world.channels["pagerduty"].traits
    relay = Relay(world.running.plane.context, {**world.channels, "pagerduty": slow})
    identity = await world.canary()
    for number in range(3):
        await world.warn(identity, f"w{number}")
        await relay.tick()
        world.clock.pass_(40)
    assert (len(world.channels["slack"].messages), len(slow.messages)) == (3, 0)
    release.set()
    await relay.tick()
    assert len(slow.messages) >= 1
    await relay.close()


async def test_what_is_told_is_decided_with_the_deployment_and_shown(world):
    """A route for another service: nobody is told, and the timeline says why."""
    world.plan(routes=[{"channels": ["slack"], "services": ["pay"]}])
    identity = await world.canary()
    await world.roll_back(identity)
    async with world.client() as c:
        events = (await c.get(f"/deployments/{identity}/events")).json()["events"]
        missing = await c.get(f"/deployments/{identity}/notifications/nothing")
    assert "no notification channel is meant for it by policy and routes" in events[-1]["message"]
    assert missing.status_code == 404
    assert await world.messages(identity) == []


def test_states_are_the_ones_that_the_page_has_signs_for():
    """A new one cannot be forgotten there."""
    from pathlib import Path

    import serinus.web

    page = (Path(serinus.web.__file__).parent / "templates" / "_notifications.html").read_text()
    assert [s for s in OutboxState if f'"{s.value}": "' not in page] == []


# Compensation


UNDO = {"url": "https://undo.example", "secret_env": "SERINUS_HOOK_SECRET"}


async def undoing(world, gate) -> str:
    """Return a rolled-back deployment whose compensation fails."""
    gate.answers = [(500, "no database")]
    plan = {"mode": "manual", "compensate": {**UNDO, "url": gate.url}}
    identity = await world.canary(compensation_strategy="notify_and_rollback", strategy=plan)
    await world.tick()
    return identity


async def test_nothing_is_undone_while_a_proxy_may_still_send_requests_to_the_canary(gate, world):
    """It waits until the rollback has been read back from every proxy; waiting is no try."""
    identity = await undoing(world, gate)
    world.edge.takes = None
    await world.roll_back(identity)
    for _ in range(3):
        await world.tick(5)
        await world.running.sagas.tick()
        await world.running.sagas.settled()
    assert gate.calls == []
    async with world.client() as c:
        (item,) = (await c.get(f"/deployments/{identity}/compensation")).json()["items"]
    assert (item["state"], item["attempts"]) == ("pending", 0)
    assert item["error"] == "waits until every proxy sends everyone to stable"
    world.edge.takes = 0.0
    await world.tick(5)
    await world.running.sagas.tick()
    await world.running.sagas.settled()
    assert len(gate.calls) == 1


async def test_the_rollback_is_told_at_once_and_its_incident_is_not_over_before_everything_is_undone(
    gate, world
):
    """Ten minutes after the read-back it would be; what is left undone keeps it open."""
    identity = await undoing(world, gate)
    world.edge.takes = None
    await world.roll_back(identity)
    await world.tick(0)
    assert [n.kind for n in world.channels["slack"].messages] == ["rollback"]
    world.edge.takes = 0.0
    for _ in range(4):
        await world.tick(610)
    assert "resolved" not in [n.kind for n in world.channels["pagerduty"].messages]
    gate.answers = [(200, "undone")]
    await world.running.sagas.tick()
    await world.running.sagas.settled()
    for _ in range(2):
        await world.tick(610)
    assert [n.kind for n in world.channels["pagerduty"].messages][-1] == "resolved"
