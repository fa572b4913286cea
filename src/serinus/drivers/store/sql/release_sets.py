"""Release sets with their leases and their timeline; the tenant's freezes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from sqlalchemy import delete, func, insert, or_, select, update

from serinus.core.codec import from_json, to_json
from serinus.core.errors import StaleRevision
from serinus.core.release_sets import LIVE, ReleaseSet, SetState
from serinus.core.strategy import TenantFreeze
from serinus.drivers.store.sql import tables as t
from serinus.drivers.store.sql.base import Group
from serinus.ports.release_sets import SetEvent

__all__ = ["SqlFreezes", "SqlReleaseSets", "SqlSetTimeline"]


class SqlReleaseSets(Group):
    """Key columns for queries, the whole as a document."""

    async def add(self, release_set: ReleaseSet) -> None:
        """Store a new set."""
        s = release_set
        values = {"id": s.id, "tenant_id": s.tenant_id, "created_at": s.created_at, "revision": s.revision}
        await self._run(insert(t.release_sets).values(**values, state=s.state.value, body=to_json(s)))

    async def get(self, tenant_id: str, set_id: str) -> ReleaseSet | None:
        """Return a set."""
        c = t.release_sets.c
        row = await self._one(select(c.body).where(c.tenant_id == tenant_id, c.id == set_id))
        return from_json(ReleaseSet, row.body) if row else None

    async def list(
        self, tenant_id: str, *, limit: int, offset: int = 0, state: SetState | None = None
    ) -> tuple[Sequence[ReleaseSet], int]:
        """Return some sets, newest first, and the total."""
        c = t.release_sets.c
        wanted = [c.tenant_id == tenant_id] + ([c.state == state.value] if state else [])
        newest = select(c.body).where(*wanted).order_by(c.created_at.desc(), c.id.desc())
        rows = await self._all(newest.limit(limit).offset(offset))
        total = await self._value(select(func.count()).select_from(t.release_sets).where(*wanted))
        return [from_json(ReleaseSet, row.body) for row in rows], int(total)

    async def save(self, release_set: ReleaseSet, *, bump: bool = True) -> ReleaseSet:
        """Store changes if nobody changed it since its revision."""
        c, before = t.release_sets.c, release_set.revision
        saved = replace(release_set, revision=before + int(bump))
        mine = (c.id == saved.id) & (c.tenant_id == saved.tenant_id) & (c.revision == before)
        values = {"state": saved.state.value, "revision": saved.revision, "body": to_json(saved)}
        if not await self._run(update(t.release_sets).where(mine).values(**values)):
            now = await self.get(saved.tenant_id, saved.id)
            raise StaleRevision(
                f"Somebody else changed it first. {now.sentence if now else ''}".strip(),
                next_step="Read the release set again, then decide.",
                extra={"revision": now.revision} if now else {},
            )
        return saved

    async def any_live(self) -> bool:
        """Tell whether any set of any tenant is live."""
        c = t.release_sets.c
        return await self._one(select(c.id).where(c.state.in_([s.value for s in LIVE])).limit(1)) is not None

    async def claim(
        self, owner: str, now: datetime, lease_seconds: float, limit: int
    ) -> Sequence[tuple[str, str]]:
        """Lease live sets that nobody holds."""
        c = t.release_sets.c
        free = or_(c.lease_until.is_(None), c.lease_until <= now, c.lease_owner == owner)
        due = (
            select(c.id, c.tenant_id)
            .where(c.state.in_([state.value for state in LIVE]), free)
            .order_by(c.looked_at.is_not(None), c.looked_at, c.id)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
        rows = await self._all(due)
        if rows:
            taken = update(t.release_sets).where(c.id.in_([row.id for row in rows]))
            until = now + timedelta(seconds=lease_seconds)
            await self._run(taken.values(lease_owner=owner, lease_until=until))
        return [(row.tenant_id, row.id) for row in rows]

    async def release(self, set_id: str, owner: str, now: datetime) -> None:
        """Give a lease back."""
        c = t.release_sets.c
        mine = update(t.release_sets).where(c.id == set_id, c.lease_owner == owner)
        await self._run(mine.values(lease_owner=None, lease_until=None, looked_at=now))


class SqlSetTimeline(Group):
    """What happened to release sets."""

    async def append(self, event: SetEvent) -> None:
        """Store an event."""
        values = {name: getattr(event, name) for name in SetEvent.__dataclass_fields__ if name != "id"}
        await self._run(insert(t.set_events).values(**{**values, "data": dict(event.data)}))

    async def read(
        self, tenant_id: str, set_id: str, *, after: int = 0, limit: int = 200
    ) -> Sequence[SetEvent]:
        """Return events with an id above ``after``, oldest first."""
        c = t.set_events.c
        mine = select(t.set_events).where(c.tenant_id == tenant_id, c.set_id == set_id, c.id > after)
        rows = await self._all(mine.order_by(c.id).limit(limit))
        return [SetEvent(**row._mapping) for row in rows]


class SqlFreezes(Group):
    """A tenant's freezes, by name."""

    async def put(self, tenant_id: str, freeze: TenantFreeze) -> bool:
        """Store a freeze in place of one of that name."""
        known = await self.remove(tenant_id, freeze.name)
        await self._run(insert(t.freezes).values(tenant_id=tenant_id, name=freeze.name, body=to_json(freeze)))
        return known

    async def remove(self, tenant_id: str, name: str) -> bool:
        """Delete a freeze."""
        c = t.freezes.c
        return await self._run(delete(t.freezes).where(c.tenant_id == tenant_id, c.name == name)) > 0

    async def all(self, tenant_id: str) -> Sequence[TenantFreeze]:
        """Return every freeze, by name."""
        c = t.freezes.c
        rows = await self._all(select(c.body).where(c.tenant_id == tenant_id).order_by(c.name))
        return [from_json(TenantFreeze, row.body) for row in rows]
