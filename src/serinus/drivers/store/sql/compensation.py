"""What rollbacks have to undo."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, exists, or_, select, update

from serinus.drivers.store.sql import tables as t
from serinus.drivers.store.sql.base import Group
from serinus.ports.compensation import Compensation, CompensationState

__all__ = ["SqlCompensations"]

_DONE = CompensationState.DONE.value


class SqlCompensations(Group):
    """What rollbacks have to undo."""

    async def add(self, item: Compensation) -> None:
        """Store one; a known id is left as it is."""
        values = {name: getattr(item, name) for name in Compensation.__dataclass_fields__}
        values |= {
            "payload": dict(item.payload),
            "by_hand": item.by_hand,
            "state": item.state.value,
            "next_attempt_at": item.next_attempt_at or item.created_at,
        }
        await self._run(self._insert(t.compensations).values(**values).on_conflict_do_nothing())

    async def claim(
        self, owner: str, now: datetime, lease_seconds: float, limit: int
    ) -> Sequence[Compensation]:
        """Lease pending hooks that are due and have nothing open ahead of them, oldest first."""
        c, ahead = t.compensations.c, t.compensations.alias("ahead")
        first = ~exists().where(
            ahead.c.deployment_id == c.deployment_id,
            ahead.c.position < c.position,
            ahead.c.state != _DONE,
            ~ahead.c.by_hand,
        )
        due = select(t.compensations).where(
            ~c.by_hand,
            c.state == CompensationState.PENDING.value,
            c.next_attempt_at <= now,
            or_(c.lease_until.is_(None), c.lease_until <= now),
            first,
        )
        oldest = due.order_by(c.created_at, c.id).limit(limit)
        rows = await self._all(oldest.with_for_update(skip_locked=True, of=t.compensations))
        if rows:
            until = now + timedelta(seconds=lease_seconds)
            taken = update(t.compensations).where(c.id.in_([row.id for row in rows]))
            await self._run(taken.values(lease_owner=owner, lease_until=until))
        return [_item(row) for row in rows]

    async def settle(self, item: Compensation, now: datetime, *, owner: str = "") -> bool:
        """Store what became of it, unless somebody else holds it or it is done."""
        c = t.compensations.c
        free = or_(c.lease_until.is_(None), c.lease_until <= now)
        mine = c.lease_owner == owner if owner else free
        changed = update(t.compensations).where(c.id == item.id, c.state != _DONE, mine)
        return bool(
            await self._run(
                changed.values(
                    state=item.state.value,
                    attempts=item.attempts,
                    next_attempt_at=item.next_attempt_at or item.created_at,
                    error=item.error,
                    done_at=item.done_at,
                    done_by=item.done_by,
                    note=item.note,
                    lease_owner=None,
                    lease_until=None,
                )
            )
        )

    async def of(self, tenant_id: str, deployment_id: str) -> Sequence[Compensation]:
        """Return a deployment's, in their order."""
        c = t.compensations.c
        mine = select(t.compensations).where(c.tenant_id == tenant_id, c.deployment_id == deployment_id)
        return [_item(row) for row in await self._all(mine.order_by(c.position))]

    async def unfinished(self, tenant_id: str) -> Sequence[Compensation]:
        """Return a tenant's that are not done, the oldest first."""
        c = t.compensations.c
        mine = select(t.compensations).where(c.tenant_id == tenant_id, c.state != _DONE)
        return [
            _item(row) for row in await self._all(mine.order_by(c.created_at, c.deployment_id, c.position))
        ]


def _item(row: Row[Any]) -> Compensation:
    values = {name: getattr(row, name) for name in Compensation.__dataclass_fields__}
    return Compensation(**{**values, "state": CompensationState(row.state)})
