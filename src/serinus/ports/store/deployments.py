"""Services, who looks after them, their deployments, and what happened to these."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from serinus.core.model import Deployment, Service, Status
from serinus.ports.store.paging import Page

__all__ = ["Deployments", "Event", "Leases", "Services", "Timeline"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """One line of a deployment's timeline. ``id`` is given by the store, ascending."""

    tenant_id: str
    deployment_id: str
    at: datetime
    kind: str
    message: str
    #: Who or what caused it: a token's name, or ``monitor``.
    actor: str
    data: Mapping[str, Any] = field(default_factory=dict)
    id: int = 0


class Services(Protocol):
    """Services."""

    async def add(self, service: Service) -> None:
        """Store a new service. Raises ``Conflict`` when the tenant has one of that name."""
        ...

    async def get(self, tenant_id: str, id_or_name: str) -> Service | None:
        """Return a service by id or name."""
        ...

    async def all(self, tenant_id: str) -> Sequence[Service]:
        """Return a tenant's services, by name."""
        ...

    async def save(self, service: Service) -> None:
        """Store changes of a service."""
        ...


class Leases(Protocol):
    """Who reconciles which service. Any number of replicas claim; a dead one's lease runs out."""

    async def claim(
        self, owner: str, now: datetime, lease_seconds: float, limit: int
    ) -> Sequence[tuple[str, str]]:
        """Lease due services that nobody holds: ``(tenant_id, service_id)``, the longest due first."""
        ...

    async def release(self, service_id: str, owner: str, next_due_at: datetime) -> None:
        """Give a lease back and say when the service is due again; an earlier wake-up call stays."""
        ...

    async def wake(self, service_id: str, now: datetime) -> None:
        """Make a service due at once."""
        ...

    async def forget(self, owner: str) -> None:
        """Give back everything that ``owner`` holds, outbox items included: it has just started anew."""
        ...


class Deployments(Protocol):
    """Deployments."""

    async def add(self, deployment: Deployment) -> None:
        """Store a new deployment."""
        ...

    async def get(self, tenant_id: str, deployment_id: str) -> Deployment | None:
        """Return a deployment."""
        ...

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
        ...

    async def current(self, tenant_id: str, service_id: str) -> Sequence[Deployment]:
        """Return the service's deployments in ``canary`` or ``active``, newest first."""
        ...

    async def save(self, deployment: Deployment, *, bump: bool = True) -> Deployment:
        """Store changes if nobody changed it since ``deployment.revision``; return it as stored.

        ``bump`` raises the revision; the monitor's bookkeeping does not.

        Raises:
            StaleRevision: Somebody else changed it first.
            Conflict: It starts while another deployment of the service is in ``canary``.
        """
        ...

    async def delete(self, tenant_id: str, deployment_id: str) -> bool:
        """Delete a deployment and what hangs on it; ``False`` when there is none."""
        ...


class Timeline(Protocol):
    """What happened to deployments."""

    async def append(self, event: Event) -> Event:
        """Store an event; return it with its id."""
        ...

    async def read(
        self, tenant_id: str, deployment_id: str, *, after: int = 0, limit: int = 200
    ) -> Sequence[Event]:
        """Return events with an id above ``after``, oldest first."""
        ...

    async def latest(self, tenant_id: str, deployment_id: str, limit: int = 50) -> Sequence[Event]:
        """Return the newest events, newest first."""
        ...
