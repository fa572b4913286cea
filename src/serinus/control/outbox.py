"""The outbox relay: delivers what was written with the events, with retries, after commit."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta

from serinus.control import messages
from serinus.control.context import Context
from serinus.control.journal import Journal, NoJournal
from serinus.ports.notify import DeliveryFailed, Notifier
from serinus.ports.store import Event, OutboxItem, OutboxState

__all__ = ["Relay", "backoff_seconds"]

log = logging.getLogger("serinus.outbox")

#: Tries before a message is given up: with the backoff below about a day.
MAX_ATTEMPTS = 30
#: A delivery that takes longer counts as failed.
SEND_SECONDS = 30.0
LEASE_SECONDS = 60.0
BATCH = 32


def backoff_seconds(attempts: int) -> float:
    """Return the wait after ``attempts`` failures: 1 s, doubling, at most an hour.

    >>> [backoff_seconds(n) for n in (1, 2, 3, 20)]
    [1.0, 2.0, 4.0, 3600.0]
    """
    return float(min(3600, 2 ** min(attempts - 1, 12)))


class Relay:
    """Delivers pending items. Several replicas share the work by leases."""

    def __init__(
        self, context: Context, notifiers: Mapping[str, Notifier], journal: Journal | None = None
    ) -> None:
        """Keep the configured channels by name, and what the process before this one has delivered."""
        self._context = context
        self._notifiers = dict(notifiers)
        self._journal = journal or NoJournal()
        self._before = self._journal.recall()

    async def tick(self) -> None:
        """Deliver everything that is due."""
        while True:
            now = self._context.clock.now()
            async with self._context.store.begin() as tx:
                items = await tx.outbox.claim(self._context.replica, now, LEASE_SECONDS, BATCH)
            await asyncio.gather(*(self._deliver(item) for item in items))
            if len(items) < BATCH:
                # Nothing is under way: every delivery so far is committed.
                self._before.clear()
                self._journal.clear()
                return

    async def _deliver(self, item: OutboxItem) -> None:
        settled = await self._attempt(item)
        async with self._context.store.begin() as tx:
            await tx.outbox.settle(settled)
            if settled.state is not OutboxState.PENDING:
                await tx.timeline.append(_told(settled))
        self._context.bell.ring(item.tenant_id)

    async def _attempt(self, item: OutboxItem) -> OutboxItem:
        now = self._context.clock.now()
        if item.id in self._before:
            return replace(item, state=OutboxState.SENT, attempts=item.attempts + 1, error="", done_at=now)
        notifier = self._notifiers.get(item.channel)
        if notifier is None:
            error = f"{item.channel} is not configured any more"
            return replace(item, state=OutboxState.OFF, error=error, done_at=now)
        try:
            async with asyncio.timeout(SEND_SECONDS):
                await notifier.send(messages.from_json(item.payload))
                self._journal.delivered(item.id)
        except TimeoutError:
            return self._failed(item, f"{item.channel} did not answer in {SEND_SECONDS:.0f} s", retry=True)
        except DeliveryFailed as error:
            return self._failed(item, str(error), retry=error.retryable)
        except Exception as problem:  # a broken channel must not stop the others
            log.exception("channel broke", extra={"action": "notify.broke", "item": item.id})
            return self._failed(item, f"{item.channel} broke: {type(problem).__name__}", retry=True)
        done = self._context.clock.now()
        return replace(item, state=OutboxState.SENT, attempts=item.attempts + 1, error="", done_at=done)

    def _failed(self, item: OutboxItem, error: str, *, retry: bool) -> OutboxItem:
        attempts, now = item.attempts + 1, self._context.clock.now()
        tried = replace(item, attempts=attempts, error=error)
        if retry and attempts < MAX_ATTEMPTS:
            return replace(tried, next_attempt_at=now + timedelta(seconds=backoff_seconds(attempts)))
        return replace(tried, state=OutboxState.FAILED, done_at=now)


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
