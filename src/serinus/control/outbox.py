"""The outbox relay: delivers what was written with the events, with retries, after commit.

Every channel is drained by itself, so that one that is slow or down delays no other.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from serinus.control.context import Context
from serinus.control.desk import Subject
from serinus.control.telling import followups, messages
from serinus.control.telling.journal import Fate, Journal, NoJournal
from serinus.control.telling.sorting import sorted_out
from serinus.ports.notify import DeliveryFailed, Level, Notification, Notifier
from serinus.ports.store import Event, OutboxItem, OutboxState

__all__ = ["Relay", "backoff_seconds"]

log = logging.getLogger("serinus.outbox")

#: Tries before a message is given up: with the backoff below about a day.
MAX_ATTEMPTS = 30
#: A delivery that takes longer counts as failed.
SEND_SECONDS = 30.0
#: Outlasts a delivery and what is written after it.
LEASE_SECONDS = 60.0
#: Messages that one channel is sent side by side.
BATCH = 16
#: A tick waits so long for slow channels; what is under way goes on behind it.
PATIENCE_SECONDS = 1.0
#: What is being sent at the end gets this long.
GRACE_SECONDS = 3.0
#: Stands for every channel that is not configured any more.
GONE = ""


def backoff_seconds(attempts: int) -> float:
    """Return the wait after ``attempts`` failures: 1 s, doubling, at most an hour.

    >>> [backoff_seconds(n) for n in (1, 2, 3, 20)]
    [1.0, 2.0, 4.0, 3600.0]
    """
    return float(min(3600, 2 ** min(attempts - 1, 12)))


class _TooLate(Exception):
    """The process was held up for so long that its lease may be over before the sending is."""


class Relay:
    """Delivers pending items. Several replicas share the work by leases."""

    def __init__(
        self,
        context: Context,
        notifiers: Mapping[str, Notifier],
        journal: Journal | None = None,
        *,
        send_seconds: float = SEND_SECONDS,
        lease_seconds: float = LEASE_SECONDS,
    ) -> None:
        """Keep the configured channels by name, and what the process before this one has delivered.

        A delivery that takes longer than ``send_seconds`` counts as failed; ``lease_seconds`` must outlast
        it and what is written after it.
        """
        self._context = context
        self._send_seconds, self._lease_seconds = send_seconds, lease_seconds
        self._notifiers = dict(notifiers)
        self._journal = journal or NoJournal()
        self._drains: dict[str, asyncio.Task[None]] = {}
        self._closing = False
        #: Begun here and not settled yet: until none is left, the journal is needed.
        self._open: set[str] = set()

    async def tick(self) -> None:
        """Deliver everything that is due; leave slow channels to go on by themselves.

        Raises:
            SerinusError: The database failed a channel's drain; the next tick starts it again.
        """
        for name in (*self._notifiers, GONE):
            if name not in self._drains:
                self._drains[name] = asyncio.create_task(self._drain(name), name=f"drain {name or 'gone'}")
        await asyncio.wait(self._drains.values(), timeout=PATIENCE_SECONDS)
        ended = [name for name, task in self._drains.items() if task.done()]
        results = [self._drains.pop(name) for name in ended]
        if not self._drains and not self._open:
            # Nothing is under way: every delivery so far is committed.
            self._journal.clear()
        failures = [task.exception() for task in results]
        for failure in failures:
            if failure is not None:
                raise failure

    async def close(self) -> None:
        """Claim nothing more; give what is being sent a moment to end."""
        self._closing = True
        tasks = list(self._drains.values())
        if tasks:
            await asyncio.wait(tasks, timeout=GRACE_SECONDS)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._drains.clear()

    async def _drain(self, channel: str) -> None:
        while not self._closing:
            claimed_at = self._context.clock.monotonic()
            items = await self._claim(channel)
            if not items:
                return
            # A sending that begins later could outlast the lease, and meet another replica's.
            latest = claimed_at + self._lease_seconds - self._send_seconds
            await asyncio.gather(*(self._deliver(item, latest) for item in items))

    async def _claim(self, channel: str) -> list[OutboxItem]:
        """Lease what is due, with what belongs together put into one message."""
        now = self._context.clock.now()
        without = () if channel else tuple(self._notifiers)
        async with self._context.store.begin() as tx:
            claimed = await tx.outbox.claim(
                self._context.replica, now, self._lease_seconds, BATCH, channel=channel, without=without
            )
            return [await sorted_out(tx, self._context, item) for item in claimed]

    async def _deliver(self, item: OutboxItem, latest: float) -> None:
        settled, thread = item, ""
        later = item.next_attempt_at is not None and item.next_attempt_at > self._context.clock.now()
        if item.state is OutboxState.PENDING and not later:
            try:
                settled, thread = await self._attempt(item, latest)
            except _TooLate:
                return  # whoever claims it when the lease is over finds that it was not begun
        async with self._context.store.begin() as tx:
            await tx.outbox.settle(settled)
            if thread:
                await tx.sources.set_cursor(_thread_key(item), {"thread": thread})
            if settled.state is not OutboxState.PENDING:
                await tx.timeline.append(_told(settled))
        self._open.discard(item.id)
        self._context.bell.ring(item.tenant_id)

    async def _attempt(self, item: OutboxItem, latest: float) -> tuple[OutboxItem, str]:
        """Send it unless something speaks against it; return it as it is now, and a new thread."""
        now = self._context.clock.now()
        notifier = self._notifiers.get(item.channel)
        if notifier is None:
            error = f"{item.channel} is not configured any more"
            return replace(item, state=OutboxState.OFF, error=error, done_at=now), ""
        told = messages.from_json(item.payload)
        if item.lease_owner is not None:
            fate = self._journal.fate(item.lease_owner, item.id)
            if fate is Fate.DELIVERED:
                return _sent(item, now), ""
            if fate is Fate.UNKNOWN:
                item = self._doubtful(item, told, "the process was killed while sending")
                if item.state is OutboxState.FAILED:
                    return item, ""
        quiet = self._quiet_until(item, told)
        if quiet is not None:
            error = f"quiet hours of {item.channel} until {quiet:%Y-%m-%d %H:%M} UTC"
            return replace(item, next_attempt_at=quiet, error=error), ""
        return await self._send(item, told, notifier, latest)

    async def _send(
        self, item: OutboxItem, told: Notification, notifier: Notifier, latest: float
    ) -> tuple[OutboxItem, str]:
        thread = await self._thread(item)
        if item.payload.get("again"):
            told = followups.second_copy(told)
        if self._context.clock.monotonic() > latest:
            raise _TooLate
        self._open.add(item.id)
        self._journal.begun(item.id)
        try:
            async with asyncio.timeout(self._send_seconds):
                handle = await notifier.send(replace(told, thread=thread))
                self._journal.delivered(item.id)
        except TimeoutError:
            why = DeliveryFailed(f"{item.channel} did not answer in {self._send_seconds:g} s", unsure=True)
            return self._failed(item, told, why), ""
        except DeliveryFailed as error:
            return self._failed(item, told, error), ""
        except Exception as problem:  # noqa: BLE001 - a broken channel must not stop the others
            # Without the error's text: an unknown error may quote a URL or a password.
            kind = type(problem).__name__
            log.error("broke: %s", kind, extra={"action": "notify.broke", "item": item.id})  # noqa: TRY400
            return self._failed(item, told, DeliveryFailed(f"{item.channel} broke: {kind}")), ""
        return _sent(item, self._context.clock.now()), "" if thread else handle or ""

    async def _thread(self, item: OutboxItem) -> str:
        if not self._context.desk.of(item.channel).threads:
            return ""
        async with self._context.store.begin(write=False) as tx:
            return str((await tx.sources.cursor(_thread_key(item)) or {}).get("thread", ""))

    def _quiet_until(self, item: OutboxItem, told: Notification) -> datetime | None:
        about = Subject(tenant=told.tenant, service=told.service, kind=told.kind, level=told.level)
        return self._context.desk.quiet_until(about, item.channel, self._context.clock.now())

    def _failed(self, item: OutboxItem, told: Notification, why: DeliveryFailed) -> OutboxItem:
        attempts, now = item.attempts + 1, self._context.clock.now()
        tried = replace(item, attempts=attempts, error=str(why))
        if why.unsure:
            tried = self._doubtful(tried, told, str(why))
        if tried.state is OutboxState.FAILED or not why.retryable or attempts >= MAX_ATTEMPTS:
            return replace(tried, state=OutboxState.FAILED, done_at=now)
        wait = max(backoff_seconds(attempts), why.retry_after)
        return replace(tried, next_attempt_at=now + timedelta(seconds=wait))

    def _doubtful(self, item: OutboxItem, told: Notification, why: str) -> OutboxItem:
        """Decide about a message that may have arrived.

        Where receivers drop a second copy it is sent again. Elsewhere what is bad is sent again and says
        that it may be a second copy: silence would be worse. The rest is not.
        """
        if self._context.desk.of(item.channel).idempotent:
            return item
        if told.level.rank >= Level.ERROR.rank:
            return replace(item, payload={**item.payload, "again": True})
        error = f"{why}: it may have arrived, so it is not sent again"
        return replace(item, state=OutboxState.FAILED, error=error, done_at=self._context.clock.now())


def _thread_key(item: OutboxItem) -> str:
    return f"thread:{item.channel}:{item.deployment_id}"


def _sent(item: OutboxItem, at: datetime) -> OutboxItem:
    again = "sent a second time, and marked so: nobody knows whether the first arrived"
    error = again if item.payload.get("again") else ""
    return replace(item, state=OutboxState.SENT, attempts=item.attempts + 1, error=error, done_at=at)


def _told(item: OutboxItem) -> Event:
    what = str(item.payload.get("title", item.kind))
    if item.state is OutboxState.SENT:
        message = f"Told by {item.channel}: {what}"
    else:
        message = f"Not told by {item.channel} ({item.error}): {what}"
    return Event(
        tenant_id=item.tenant_id,
        deployment_id=item.deployment_id,
        at=item.done_at or item.created_at,
        kind="notification",
        message=message,
        actor="serinus",
        data={"channel": item.channel, "state": item.state.value, "attempts": item.attempts, "id": item.id},
    )
