"""The outbox, and the heartbeats of the jobs that empty it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol

__all__ = ["Job", "Jobs", "Outbox", "OutboxItem", "OutboxState"]


class OutboxState(StrEnum):
    """Where a message stands."""

    PENDING = "pending"
    SENT = "sent"
    FAILED = "failed"  #: given up; the error says why
    OFF = "off"  #: the channel is not configured
    REFUSED = "refused"  #: a hook said no
    HELD = "held"  #: held back by the limit; a summary tells it
    GROUPED = "grouped"  #: told together with another message


@dataclass(frozen=True, kw_only=True, slots=True)
class OutboxItem:
    """One effect to be carried out after commit, once. ``id`` is also its idempotency key."""

    id: str
    tenant_id: str
    deployment_id: str
    #: ``notify``, or ``hook`` for a call that a rollout may wait for.
    kind: str
    #: Which notifier or hook.
    channel: str
    payload: Mapping[str, Any]
    created_at: datetime
    state: OutboxState = OutboxState.PENDING
    attempts: int = 0
    next_attempt_at: datetime | None = None
    error: str = ""
    done_at: datetime | None = None
    #: Of a claimed item: the replica that held it before and has not said what became of it.
    lease_owner: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """A background job as one replica runs it."""

    name: str
    replica: str
    state: str
    interval_seconds: float
    last_run_at: datetime | None = None
    next_run_at: datetime | None = None
    error: str = ""


class Outbox(Protocol):
    """Effects that wait for their delivery."""

    async def add(self, item: OutboxItem) -> None:
        """Store an effect; a known id is left as it is."""
        ...

    async def claim(
        self,
        owner: str,
        now: datetime,
        lease_seconds: float,
        limit: int,
        *,
        kind: str = "notify",
        channel: str = "",
        without: Sequence[str] = (),
    ) -> Sequence[OutboxItem]:
        """Lease pending items of a kind that are due, oldest first: of one channel, or none of ``without``.

        Of a deployment's items on a channel only the oldest: what comes later waits until it is settled
        or put off, so that nothing overtakes.
        """
        ...

    async def settle(self, item: OutboxItem) -> None:
        """Store an item's new state, payload, attempts, error and next attempt; end its lease."""
        ...

    async def amend(self, item: OutboxItem, *, leased: bool = False) -> bool:
        """Store the payload and next attempt of a pending item; ``False`` when somebody is sending it.

        ``leased``: the caller holds its lease, and keeps it.
        """
        ...

    async def get(self, tenant_id: str, item_id: str) -> OutboxItem | None:
        """Return one item."""
        ...

    async def of(self, tenant_id: str, deployment_id: str) -> Sequence[OutboxItem]:
        """Return a deployment's items, oldest first."""
        ...

    async def backlog(self) -> int:
        """Return how many items are pending."""
        ...


class Jobs(Protocol):
    """Heartbeats of the background jobs."""

    async def beat(self, job: Job) -> None:
        """Store a job's state under its name and replica."""
        ...

    async def all(self) -> Sequence[Job]:
        """Return every job, by name and replica."""
        ...
