"""Orders to agents, and what they reported."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from serinus.ports.fleet import Instance, Order

__all__ = ["Fleet"]


class Fleet(Protocol):
    """Orders to agents, and what they reported."""

    async def order(self, order: Order, at: datetime) -> str | None:
        """Store what a service's instances should carry; its tenant's id, or ``None`` if it was so."""
        ...

    async def ordered(self, service_id: str) -> tuple[Order, datetime] | None:
        """Return the present order of a service, and since when it is."""
        ...

    async def instances(self, service_id: str) -> Sequence[Instance]:
        """Return every instance of a service, by name."""
        ...

    async def instance(self, service_id: str, name: str) -> Instance | None:
        """Return one, and keep others from changing it until the transaction ends."""
        ...

    async def save(self, tenant_id: str, service_id: str, instance: Instance) -> None:
        """Store an instance, new or known, of a service that belongs to this tenant."""
        ...

    async def forget(self, tenant_id: str, service_id: str, name: str) -> bool:
        """Delete an instance; ``False`` when there is none."""
        ...
