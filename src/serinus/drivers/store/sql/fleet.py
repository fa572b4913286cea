"""Orders to agents, and what they reported."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import delete, select

from serinus.core.codec import from_json, to_json
from serinus.drivers.store.sql import tables as t
from serinus.drivers.store.sql.base import Group
from serinus.ports.fleet import Instance, Order, Report

__all__ = ["SqlFleet"]


class SqlFleet(Group):
    """One order per service, one row per instance."""

    async def order(self, order: Order, at: datetime) -> str | None:
        """Store what a service's instances should carry; its tenant's id, or ``None`` if it was so."""
        service_id = order.split.service_id
        c = t.fleet_orders.c
        known = await self._value(select(c.revision).where(c.service_id == service_id))
        if known == order.revision:
            return None
        tenant = await self._value(select(t.services.c.tenant_id).where(t.services.c.id == service_id))
        if tenant is None:
            return None  # deleted meanwhile: there is nobody to tell
        values = {"revision": order.revision, "body": order.to_json(), "at": at}
        fresh = self._insert(t.fleet_orders).values(service_id=service_id, tenant_id=tenant, **values)
        await self._run(fresh.on_conflict_do_update(index_elements=[c.service_id], set_=values))
        return str(tenant)

    async def ordered(self, service_id: str) -> tuple[Order, datetime] | None:
        """Return the present order of a service, and since when it is."""
        c = t.fleet_orders.c
        row = await self._one(select(c.body, c.at).where(c.service_id == service_id))
        return (Order.from_json(row.body), row.at) if row else None

    async def instances(self, service_id: str) -> Sequence[Instance]:
        """Return every instance of a service, by name."""
        c = t.fleet_instances.c
        rows = await self._all(select(t.fleet_instances).where(c.service_id == service_id).order_by(c.name))
        return [_instance(row) for row in rows]

    async def instance(self, service_id: str, name: str) -> Instance | None:
        """Return one, and keep others from changing it until the transaction ends."""
        c = t.fleet_instances.c
        mine = select(t.fleet_instances).where((c.service_id == service_id) & (c.name == name))
        row = await self._one(mine.with_for_update())
        return _instance(row) if row else None

    async def save(self, tenant_id: str, service_id: str, instance: Instance) -> None:
        """Store an instance, new or known."""
        values = {
            "report": to_json(instance.report),
            "first_seen_at": instance.first_seen_at,
            "seen_at": instance.seen_at,
            "changed_at": instance.changed_at,
        }
        c = t.fleet_instances.c
        fresh = self._insert(t.fleet_instances).values(
            tenant_id=tenant_id, service_id=service_id, name=instance.name, **values
        )
        await self._run(fresh.on_conflict_do_update(index_elements=[c.service_id, c.name], set_=values))

    async def forget(self, tenant_id: str, service_id: str, name: str) -> bool:
        """Delete an instance; ``False`` when there is none."""
        c = t.fleet_instances.c
        mine = (c.tenant_id == tenant_id) & (c.service_id == service_id) & (c.name == name)
        return await self._run(delete(t.fleet_instances).where(mine)) > 0


def _instance(row: Any) -> Instance:
    return Instance(
        name=row.name,
        report=from_json(Report, row.report),
        first_seen_at=row.first_seen_at,
        seen_at=row.seen_at,
        changed_at=row.changed_at,
    )
