"""Where watched units were served."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import case, delete, select

from serinus.core.analysis.flips import Sighting
from serinus.drivers.store.sql import tables as t
from serinus.drivers.store.sql.base import Group

__all__ = ["SqlSightings"]


class SqlSightings(Group):
    """One row for each unit, version and share."""

    async def add(
        self, tenant_id: str, deployment_id: str, sightings: Sequence[Sighting], seen_at: int
    ) -> None:
        """Store facts, in the order of their keys, so that two replicas never wait for each other."""
        if not sightings:
            return
        c = t.sightings.c
        fresh = self._insert(t.sightings)
        newer = case((fresh.excluded.seen_at > c.seen_at, fresh.excluded.seen_at), else_=c.seen_at)
        mine = {"tenant_id": tenant_id, "deployment_id": deployment_id, "seen_at": seen_at}
        facts = sorted({(s.unit, s.version, s.share_bp) for s in sightings})
        await self._run(
            fresh.on_conflict_do_update(
                index_elements=list(t.sightings.primary_key), set_={"seen_at": newer}
            ),
            [{**mine, "unit": unit, "version": version, "share_bp": bp} for unit, version, bp in facts],
        )

    async def of(self, tenant_id: str, deployment_id: str, since: float, units: int) -> Sequence[Sighting]:
        """Return what was seen lately of those units that every process watches first."""
        c = t.sightings.c
        recent = (c.tenant_id == tenant_id, c.deployment_id == deployment_id, c.seen_at > int(since))
        those = select(c.unit).where(*recent).distinct().order_by(c.unit).limit(units)
        rows = await self._all(select(c.unit, c.version, c.share_bp).where(*recent, c.unit.in_(those)))
        return [Sighting(unit=row.unit, version=row.version, share_bp=row.share_bp) for row in rows]

    async def prune(self, before: float) -> int:
        """Delete what nobody has seen lately."""
        return await self._run(delete(t.sightings).where(t.sightings.c.seen_at < int(before)))
