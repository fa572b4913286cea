"""Two replicas on PostgreSQL deliver through failing, slow and dead channels while they are killed."""

from __future__ import annotations

import asyncio
import os
import random
import re
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import pytest

import relay_process
from fixtures_alarms import ACCOUNT, ROUTING_KEY, WEBHOOK_SECRET, PagerDuty, Twilio, Webhook
from fixtures_notify import Slack
from serinus.bootstrap.channels import desk_from, notifiers_from
from serinus.bootstrap.clock import SystemClock
from serinus.control.context import Context
from serinus.control.telling import messages
from serinus.control.telling.writing import tell
from serinus.core.model import Deployment, Service
from serinus.drivers.store.sql import SqlStore
from serinus.ports.notify import Level
from serinus.ports.store import OutboxItem, OutboxState, Tenant

WARNINGS = 8
PLAN = """
limit: {count: 3, seconds: 6}
group_seconds: 1
routes:
  - channels: [slack, webhook, pagerduty, twilio]
    critical: [rollback]
"""
"""Of eight warnings per deployment and channel some are grouped and some are held back."""


class FailingSlack(Slack):
    """Says 503 to every fifth request."""

    def __init__(self) -> None:
        super().__init__()
        self.seen = 0

    def take(self, content_type, body):
        """Fail, or take."""
        self.seen += 1
        return (503, "") if self.seen % 5 == 0 else super().take(content_type, body)


@dataclass
class Field:
    """The receivers, the database, and the replicas between them."""

    database: str
    folder: Path
    slack: FailingSlack = field(default_factory=FailingSlack)
    webhook: Webhook = field(default_factory=Webhook)
    pagerduty: PagerDuty = field(default_factory=PagerDuty)
    twilio: Twilio = field(default_factory=Twilio)
    replicas: list = field(default_factory=list)
    kills: int = 0

    def __post_init__(self) -> None:
        self.webhook.delay = 0.05
        self.pagerduty.down = (503, "")  # until the test lifts it
        (self.folder / "notify.yaml").write_text(PLAN)
        self.environment = {
            "SERINUS_NOTIFY_FILE": str(self.folder / "notify.yaml"),
            "SLACK_WEBHOOK_URL": self.slack.url,
            "WEBHOOK_URL": self.webhook.url,
            "WEBHOOK_SECRET": WEBHOOK_SECRET,
            "PAGERDUTY_ROUTING_KEY": ROUTING_KEY,
            "PAGERDUTY_URL": f"{self.pagerduty.url}/v2/enqueue",
            "TWILIO_ACCOUNT_SID": ACCOUNT,
            "TWILIO_AUTH_TOKEN": "not the right one",  # refused for good
            "TWILIO_FROM": "+15551234567",
            "ALERT_SMS_TO": "+4930123456",
            "TWILIO_URL": self.twilio.url,
        }
        channels, _ = notifiers_from(self.environment)
        self.store = SqlStore(self.database)
        self.context = Context(
            store=self.store,
            clock=SystemClock(),
            channels=tuple(channels),
            desk=desk_from(self.environment, channels),
        )

    def start(self) -> None:
        """Start a replica."""
        command = [sys.executable, relay_process.__file__, self.database, str(self.folder)]
        with (self.folder / "replicas.log").open("ab") as log:
            self.replicas.append(
                subprocess.Popen(command, env={**os.environ, **self.environment}, stdout=log, stderr=log)
            )

    def kill(self, at: int) -> None:
        """Kill a replica without any chance to tidy up."""
        process = self.replicas.pop(at)
        process.kill()
        process.wait()
        self.kills += 1

    def stop(self) -> None:
        """End everything."""
        while self.replicas:
            self.kill(0)
        for receiver in (self.slack, self.webhook, self.pagerduty, self.twilio):
            receiver.stop()

    async def make(self, number: int) -> Deployment:
        """Make a deployment to be told about."""
        now = self.context.clock.now()
        async with self.store.begin() as tx:
            if number == 0:
                await tx.tenants.add(Tenant(id="ten_1", name="acme", created_at=now))
            service = Service(id=f"svc_{number}", tenant_id="ten_1", name=f"s{number}", stable_version="v1")
            await tx.services.add(service)
            d = Deployment(
                id=f"dep_{number}",
                tenant_id="ten_1",
                service_id=service.id,
                service=service.name,
                version="v2",
                stable_version="v1",
                created_at=now,
            )
            await tx.deployments.add(d)
        return d

    async def tell(self, d: Deployment, number: int) -> None:
        """Write one warning, or the rollback after all of them, as a decision does."""

        def make(about):
            if number == WARNINGS:
                return messages.rollback_alert(**about, reason="worse", rollback_version="v1")
            return messages.warning_alert(**about, warnings=[f"w{number} of {d.id}"])

        topic, level = ("rollback", Level.ERROR) if number == WARNINGS else ("warning", Level.WARNING)
        async with self.store.begin() as tx:
            await tell(tx, self.context, d, topic, level, f"{d.id}.{number}", make)

    async def items(self, count: int) -> list[OutboxItem]:
        """Return everything that was to be told."""
        async with self.store.begin(write=False) as tx:
            return [i for n in range(count) for i in await tx.outbox.of("ten_1", f"dep_{n}")]


@pytest.fixture
async def arena(postgres, tmp_path):
    """Return a field whose schema is there."""
    made = Field(postgres.fresh(), tmp_path)
    await made.store.migrate()
    yield made
    made.stop()
    await made.store.close()


async def run(arena: Field, deployments: int, *, kill_every: float, seconds: float) -> list[OutboxItem]:
    """Tell about so many deployments while replicas are killed; return what became of every message."""
    chance = random.Random(4)
    made = [await arena.make(n) for n in range(deployments)]
    for _ in range(2):
        arena.start()
    begun = last = time.monotonic()
    todo = [(d, n) for d in made for n in range(WARNINGS + 1)]
    while True:
        for d, n in todo[:40]:
            await arena.tell(d, n)
        del todo[:40]
        if not todo:
            arena.pagerduty.down = None
            async with arena.store.begin(write=False) as tx:
                if not await tx.outbox.backlog():
                    return await arena.items(deployments)
            await asyncio.sleep(0.1)
        if time.monotonic() - last > kill_every * chance.uniform(0.5, 1.5):
            await asyncio.to_thread(arena.kill, chance.randrange(2))
            arena.start()
            last = time.monotonic()
        assert time.monotonic() - begun < seconds, Counter(
            (i.channel, i.state) for i in await arena.items(deployments)
        )


async def counted(arena: Field, deployments: int) -> Counter:
    """Return how many messages are in which state, by channel."""
    return Counter((i.channel, i.state.value) for i in await arena.items(deployments))


def holds(arena: Field, items: list[OutboxItem], deployments: int) -> None:
    """Assert that everything was delivered once, or is shown as held back, told together, or failed."""
    by_id = {i.id: i for i in items}
    assert {i.state for i in items} <= set(OutboxState) - {OutboxState.PENDING, OutboxState.OFF}
    assert {OutboxState.HELD, OutboxState.GROUPED, OutboxState.FAILED} < {i.state for i in items}
    for item in items:
        if item.state is OutboxState.GROUPED:
            assert item.error.removeprefix("told together with ") in by_id
        if item.state is OutboxState.HELD:
            assert by_id[item.payload["summary"]].payload["kind"] == "summary"
        if item.state is OutboxState.FAILED:
            assert item.error
    sent = {i.id for i in items if i.state is OutboxState.SENT and i.channel == "webhook"}
    arrived = Counter(e["id"] for e in arena.webhook.messages)
    assert {i.replace(".", "-") for i in sent} == set(arrived)
    assert set(arrived.values()) == {1}
    assert arena.pagerduty.incidents == {f"serinus/dep_{n}": True for n in range(deployments)}
    texted = [i for i in items if i.channel == "twilio"]
    assert {(i.state, i.error[:19]) for i in texted} == {(OutboxState.FAILED, "Twilio answered 401")}
    assert len(texted) == deployments
    _slack_holds(arena, items)
    assert arena.slack.wrong + arena.webhook.wrong + arena.pagerduty.wrong + arena.twilio.wrong == []


def _slack_holds(arena: Field, items: list[OutboxItem]) -> None:
    """Slack drops nothing: each warning is in one message, unless that is shown as perhaps arrived."""
    arrived = Counter()
    for message in arena.slack.messages:
        if "may be a second copy" not in message["text"]:
            arrived.update(set(re.findall(r"w\d of dep_\d+", message["attachments"][0]["text"])))
    told: dict[str, OutboxItem] = {}
    by_id = {i.id: i for i in items}
    for item in (i for i in items if i.channel == "slack" and i.payload["kind"] == "warning"):
        number = item.id.split(".")[1]
        teller = item
        if item.state is OutboxState.GROUPED:
            teller = by_id[item.error.removeprefix("told together with ")]
        if item.state is OutboxState.HELD:
            teller = by_id[item.payload["summary"]]
        told[f"w{number} of {item.deployment_id}"] = teller
    for line, teller in told.items():
        if teller.state is OutboxState.SENT:
            assert arrived[line] == 1, (line, teller)
        else:
            assert "may have arrived" in teller.error, (line, teller)
            assert arrived[line] <= 1, (line, teller)
    rollbacks = Counter(
        m["attachments"][0]["fields"][0]["value"]
        for m in arena.slack.messages
        if "auto-rollback" in m["text"]
    )
    marked = {
        m["attachments"][0]["fields"][0]["value"] for m in arena.slack.messages if "second copy" in m["text"]
    }
    assert set(rollbacks) == {i.payload["service"] for i in items}
    assert {name for name, count in rollbacks.items() if count > 1} <= marked


@pytest.mark.real
@pytest.mark.timeout(120)
async def test_a_few_hundred_notifications_while_replicas_are_killed(arena):
    """The bounded version of the soak below."""
    items = await run(arena, 12, kill_every=1.5, seconds=60)
    assert len(items) > 300
    assert arena.kills >= 3
    holds(arena, items, 12)


@pytest.mark.soak
@pytest.mark.real
@pytest.mark.timeout(1200)
async def test_ten_thousand_notifications_while_replicas_are_killed(arena):
    """Issue 5: each delivered once, or shown as held back or failed."""
    items = await run(arena, 360, kill_every=5, seconds=1000)
    assert len(items) >= 10_000
    assert arena.kills >= 10
    holds(arena, items, 360)
    print(Counter((i.channel, i.state.value) for i in items), f"{arena.kills} kills")
