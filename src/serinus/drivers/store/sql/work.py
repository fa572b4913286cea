"""The outbox and the jobs' heartbeats."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, FromClause, Row, and_, exists, func, or_, select, text, update

from serinus.drivers.store.sql import tables as t
from serinus.drivers.store.sql.base import Group
from serinus.ports.store import Job, OutboxItem, OutboxState

__all__ = ["SqlJobs", "SqlOutbox"]

#: PostgreSQL advisory lock that replicas take turns by when they claim.
CLAIM_LOCK = 5_382_911


class SqlOutbox(Group):
    """Effects that wait for their delivery."""

    async def add(self, item: OutboxItem) -> None:
        """Store an effect; a known id is left as it is."""
        values = {name: getattr(item, name) for name in OutboxItem.__dataclass_fields__}
        values |= {
            "payload": dict(item.payload),
            "state": item.state.value,
            "next_attempt_at": item.next_attempt_at or item.created_at,
        }
        await self._run(self._insert(t.outbox).values(**values).on_conflict_do_nothing())

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
        """Lease pending items of a kind, oldest first; of a deployment and channel only the oldest."""
        await self._take_turns()
        c = t.outbox.c
        wanted = [c.kind == kind, _due(t.outbox, now), or_(c.lease_until.is_(None), c.lease_until <= now)]
        if channel:
            wanted.append(c.channel == channel)
        if without:
            wanted.append(c.channel.not_in(list(without)))
        e = t.outbox.alias("earlier")
        earlier = or_(e.c.created_at < c.created_at, and_(e.c.created_at == c.created_at, e.c.id < c.id))
        same = and_(e.c.deployment_id == c.deployment_id, e.c.channel == c.channel, e.c.kind == c.kind)
        wanted.append(~exists().where(same, _due(e, now), earlier))
        oldest = select(t.outbox).where(*wanted).order_by(c.created_at, c.id).limit(limit)
        rows = await self._all(oldest.with_for_update(skip_locked=True, of=t.outbox))
        if rows:
            taken = update(t.outbox).where(c.id.in_([row.id for row in rows]))
            await self._run(
                taken.values(lease_owner=owner, lease_until=now + timedelta(seconds=lease_seconds))
            )
        return [_item(row) for row in rows]

    async def _take_turns(self) -> None:
        """Let replicas claim one after the other: else two could take neighbours at the same moment."""
        if self._connection.dialect.name == "postgresql":
            await self._run(text(f"SELECT pg_advisory_xact_lock({CLAIM_LOCK})"))

    async def settle(self, item: OutboxItem) -> None:
        """Store an item's new state; end its lease."""
        await self._run(
            update(t.outbox)
            .where(t.outbox.c.id == item.id)
            .values(
                state=item.state.value,
                payload=dict(item.payload),
                attempts=item.attempts,
                next_attempt_at=item.next_attempt_at or item.created_at,
                error=item.error,
                done_at=item.done_at,
                lease_owner=None,
                lease_until=None,
            )
        )

    async def amend(self, item: OutboxItem, *, leased: bool = False) -> bool:
        """Store the payload and next attempt of a pending item that nobody else has taken."""
        c = t.outbox.c
        free = [c.id == item.id, c.state == OutboxState.PENDING.value]
        free += [] if leased else [c.lease_owner.is_(None)]
        changed = {
            "payload": dict(item.payload),
            "next_attempt_at": item.next_attempt_at or item.created_at,
        }
        return bool(await self._run(update(t.outbox).where(*free).values(**changed)))

    async def get(self, tenant_id: str, item_id: str) -> OutboxItem | None:
        """Return one item."""
        c = t.outbox.c
        row = await self._one(select(t.outbox).where(c.tenant_id == tenant_id, c.id == item_id))
        return _item(row) if row else None

    async def of(self, tenant_id: str, deployment_id: str) -> Sequence[OutboxItem]:
        """Return a deployment's items, oldest first."""
        c = t.outbox.c
        mine = select(t.outbox).where(c.tenant_id == tenant_id, c.deployment_id == deployment_id)
        return [_item(row) for row in await self._all(mine.order_by(c.created_at, c.id))]

    async def backlog(self) -> int:
        """Return how many items are pending."""
        pending = t.outbox.c.state == OutboxState.PENDING.value
        return int(await self._value(select(func.count()).select_from(t.outbox).where(pending)))


class SqlJobs(Group):
    """Heartbeats of the background jobs."""

    async def beat(self, job: Job) -> None:
        """Store a job's state under its name and replica."""
        values = {name: getattr(job, name) for name in Job.__dataclass_fields__}
        fresh = self._insert(t.jobs).values(**values)
        changed = {name: fresh.excluded[name] for name in values if name not in ("name", "replica")}
        await self._run(
            fresh.on_conflict_do_update(index_elements=[t.jobs.c.name, t.jobs.c.replica], set_=changed)
        )

    async def all(self) -> Sequence[Job]:
        """Return every job, by name and replica."""
        rows = await self._all(select(t.jobs).order_by(t.jobs.c.name, t.jobs.c.replica))
        return [Job(**row._mapping) for row in rows]


def _due(table: FromClause, now: datetime) -> ColumnElement[bool]:
    return and_(table.c.state == OutboxState.PENDING.value, table.c.next_attempt_at <= now)


def _item(row: Row[Any]) -> OutboxItem:
    values = {name: getattr(row, name) for name in OutboxItem.__dataclass_fields__}
    return OutboxItem(**{**values, "state": OutboxState(row.state)})
