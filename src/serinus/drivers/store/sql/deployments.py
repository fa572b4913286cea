"""Services with their leases; deployments with their timeline."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import delete, func, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from serinus.core.codec import from_json, to_json
from serinus.core.errors import Conflict, StaleRevision
from serinus.core.model import Deployment, Service, Status
from serinus.drivers.store.sql import tables as t
from serinus.drivers.store.sql.base import Group
from serinus.ports.store import Event, Page

__all__ = ["SqlDeployments", "SqlLeases", "SqlServices", "SqlTimeline"]


class SqlServices(Group):
    """Services."""

    async def add(self, service: Service) -> None:
        """Store a new service."""
        values = {"id": service.id, "tenant_id": service.tenant_id, "name": service.name}
        if not await self._added(t.services, **values, body=to_json(service)):
            raise Conflict(
                f"There is a service {service.name!r} already.", next_step="Use it, or choose another name."
            )

    async def get(self, tenant_id: str, id_or_name: str) -> Service | None:
        """Return a service by id or name; in a writing transaction nobody else changes it until the end."""
        c = t.services.c
        named = or_(c.id == id_or_name, c.name == id_or_name)
        one = select(c.body).where(c.tenant_id == tenant_id, named)
        if self._writes:
            one = one.with_for_update(key_share=True)
        row = await self._one(one)
        return from_json(Service, row.body) if row else None

    async def all(self, tenant_id: str) -> Sequence[Service]:
        """Return a tenant's services, by name."""
        c = t.services.c
        rows = await self._all(select(c.body).where(c.tenant_id == tenant_id).order_by(c.name))
        return [from_json(Service, row.body) for row in rows]

    async def save(self, service: Service) -> None:
        """Store changes of a service."""
        c = t.services.c
        mine = update(t.services).where(c.id == service.id, c.tenant_id == service.tenant_id)
        await self._run(mine.values(body=to_json(service)))


class SqlLeases(Group):
    """Who reconciles which service."""

    async def claim(
        self, owner: str, now: datetime, lease_seconds: float, limit: int
    ) -> Sequence[tuple[str, str]]:
        """Lease due services that nobody holds, the longest due first."""
        c = t.services.c
        free = or_(c.lease_until.is_(None), c.lease_until <= now)
        due = (
            select(c.id, c.tenant_id)
            .where(c.next_due_at <= now, free)
            .order_by(c.next_due_at)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
        rows = await self._all(due)
        if rows:
            taken = update(t.services).where(c.id.in_([row.id for row in rows]))
            until = now + timedelta(seconds=lease_seconds)
            await self._run(taken.values(lease_owner=owner, lease_until=until, woken=False))
        return [(row.tenant_id, row.id) for row in rows]

    async def release(self, service_id: str, owner: str, next_due_at: datetime) -> None:
        """Give a lease back; whoever woke the service meanwhile is heard."""
        c = t.services.c
        mine = update(t.services).where(c.id == service_id, c.lease_owner == owner)
        free = {"lease_owner": None, "lease_until": None}
        await self._run(mine.where(~c.woken).values(**free, next_due_at=next_due_at))
        await self._run(mine.where(c.woken).values(**free, woken=False))

    async def wake(self, service_id: str, now: datetime) -> None:
        """Make a service due at once."""
        await self._run(
            update(t.services).where(t.services.c.id == service_id).values(next_due_at=now, woken=True)
        )

    async def forget(self, owner: str) -> None:
        """Give back everything that ``owner`` holds."""
        mine = update(t.services).where(t.services.c.lease_owner == owner)
        await self._run(mine.values(lease_owner=None, lease_until=None))
        # Its name stays on messages: whoever takes one over has to ask whether it was sent.
        for table in (t.outbox, t.compensations):
            await self._run(update(table).where(table.c.lease_owner == owner).values(lease_until=None))


class SqlDeployments(Group):
    """Deployments: key columns for queries, the whole as a document."""

    async def add(self, deployment: Deployment) -> None:
        """Store a new deployment."""
        d = deployment
        values = {
            "id": d.id,
            "tenant_id": d.tenant_id,
            "service_id": d.service_id,
            "created_at": d.created_at,
        }
        await self._run(insert(t.deployments).values(**values, **_columns(d)))

    async def get(self, tenant_id: str, deployment_id: str) -> Deployment | None:
        """Return a deployment."""
        c = t.deployments.c
        row = await self._one(select(c.body).where(c.tenant_id == tenant_id, c.id == deployment_id))
        return from_json(Deployment, row.body) if row else None

    async def page(
        self,
        tenant_id: str,
        page: Page,
        *,
        service_id: str | None = None,
        status: Status | None = None,
        among: Collection[str] | None = None,
    ) -> tuple[Sequence[Deployment], int]:
        """Return a page, newest first, and the total; ``among``: only of services with these ids."""
        c = t.deployments.c
        wanted = [c.tenant_id == tenant_id]
        if service_id:
            wanted.append(c.service_id == service_id)
        if status:
            wanted.append(c.status == status.value)
        if among is not None:
            wanted.append(c.service_id.in_(among))
        newest = select(c.body).where(*wanted).order_by(c.created_at.desc(), c.id.desc())
        rows = await self._all(newest.limit(page.size).offset(page.offset))
        total = await self._value(select(func.count()).select_from(t.deployments).where(*wanted))
        return [from_json(Deployment, row.body) for row in rows], int(total)

    async def current(self, tenant_id: str, service_id: str) -> Sequence[Deployment]:
        """Return the service's deployments in ``canary`` or ``active``, newest first."""
        c = t.deployments.c
        live = c.status.in_([Status.CANARY.value, Status.ACTIVE.value])
        mine = select(c.body).where(c.tenant_id == tenant_id, c.service_id == service_id, live)
        rows = await self._all(mine.order_by(c.created_at.desc(), c.id.desc()))
        return [from_json(Deployment, row.body) for row in rows]

    async def save(self, deployment: Deployment, *, bump: bool = True) -> Deployment:
        """Store changes if nobody changed it since its revision."""
        c = t.deployments.c
        saved = replace(deployment, revision=deployment.revision + int(bump))
        mine = (c.id == saved.id) & (c.tenant_id == saved.tenant_id) & (c.revision == deployment.revision)
        try:
            async with self._connection.begin_nested():
                done = await self._run(update(t.deployments).where(mine).values(**_columns(saved)))
        except IntegrityError as error:
            raise await self._in_the_way(saved) from error
        if not done:
            raise await self._stale(deployment)
        return saved

    async def _in_the_way(self, d: Deployment) -> Conflict:
        running = [o for o in await self.current(d.tenant_id, d.service_id) if o.status is Status.CANARY]
        other = running[0] if running else d
        return Conflict(
            f"{d.service} already has an active canary: {other.version} ({other.id}).",
            next_step=f"Promote or roll back {other.id} first.",
            extra={"in_the_way": other.id},
        )

    async def _stale(self, d: Deployment) -> StaleRevision:
        now = await self.get(d.tenant_id, d.id)
        if now is None:
            return StaleRevision("It was deleted meanwhile.", next_step="Make a new deployment.")
        e = t.events.c
        last = await self._one(
            select(e.message, e.actor, e.at).where(e.deployment_id == d.id).order_by(e.id.desc()).limit(1)
        )
        what = f"{last.actor} at {last.at:%H:%M:%S} UTC: {last.message}" if last else now.sentence
        return StaleRevision(
            f"Somebody else changed it first. {what}",
            next_step="Read the deployment again, then decide.",
            extra={
                "revision": now.revision,
                "current_status": now.status.value,
                "traffic_percentage": now.traffic_bp / 100,
            },
        )

    async def delete(self, tenant_id: str, deployment_id: str) -> bool:
        """Delete a deployment and what hangs on it."""
        c = t.deployments.c
        return bool(
            await self._run(delete(t.deployments).where(c.tenant_id == tenant_id, c.id == deployment_id))
        )


def _columns(d: Deployment) -> dict[str, Any]:
    return {"version": d.version, "status": d.status.value, "revision": d.revision, "body": to_json(d)}


class SqlTimeline(Group):
    """What happened to deployments."""

    async def append(self, event: Event) -> Event:
        """Store an event; return it with its id."""
        values = {name: getattr(event, name) for name in Event.__dataclass_fields__ if name != "id"}
        fresh = insert(t.events).values(**{**values, "data": dict(event.data)})
        return replace(event, id=int(await self._value(fresh.returning(t.events.c.id))))

    async def read(
        self, tenant_id: str, deployment_id: str, *, after: int = 0, limit: int = 200
    ) -> Sequence[Event]:
        """Return events with an id above ``after``, oldest first."""
        c = t.events.c
        mine = select(t.events).where(c.tenant_id == tenant_id, c.deployment_id == deployment_id)
        rows = await self._all(mine.where(c.id > after).order_by(c.id).limit(limit))
        return [Event(**row._mapping) for row in rows]

    async def latest(self, tenant_id: str, deployment_id: str, limit: int = 50) -> Sequence[Event]:
        """Return the newest events, newest first."""
        c = t.events.c
        mine = select(t.events).where(c.tenant_id == tenant_id, c.deployment_id == deployment_id)
        rows = await self._all(mine.order_by(c.id.desc()).limit(limit))
        return [Event(**row._mapping) for row in rows]
