"""Release sets and the tenant's freezes as they are stored. Everything is tenant-scoped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from serinus.core.release_sets import ReleaseSet, SetState
from serinus.core.strategy import TenantFreeze

__all__ = ["Freezes", "ReleaseSets", "SetEvent", "SetTimeline"]


@dataclass(frozen=True, kw_only=True, slots=True)
class SetEvent:
    """One line of a set's timeline. ``id`` is given by the store, ascending."""

    tenant_id: str
    set_id: str
    at: datetime
    kind: str
    message: str
    #: Who or what caused it: a token's name, or ``release set``.
    actor: str
    data: Mapping[str, Any] = field(default_factory=dict)
    id: int = 0


class ReleaseSets(Protocol):
    """Release sets, and who coordinates which one: a dead replica's lease runs out."""

    async def add(self, release_set: ReleaseSet) -> None:
        """Store a new set."""
        ...

    async def get(self, tenant_id: str, set_id: str) -> ReleaseSet | None:
        """Return a set."""
        ...

    async def list(
        self, tenant_id: str, *, limit: int, offset: int = 0, state: SetState | None = None
    ) -> tuple[Sequence[ReleaseSet], int]:
        """Return some sets, newest first, and the total."""
        ...

    async def save(self, release_set: ReleaseSet, *, bump: bool = True) -> ReleaseSet:
        """Store changes if nobody changed it since its revision; return it as stored.

        Raises:
            StaleRevision: Somebody else changed it first.
        """
        ...

    async def any_live(self) -> bool:
        """Tell whether any set of any tenant is live."""
        ...

    async def claim(
        self, owner: str, now: datetime, lease_seconds: float, limit: int
    ) -> Sequence[tuple[str, str]]:
        """Lease live sets that nobody holds: ``(tenant_id, set_id)``, the one longest not looked at first."""
        ...

    async def release(self, set_id: str, owner: str, now: datetime) -> None:
        """Give a lease back."""
        ...


class SetTimeline(Protocol):
    """What happened to release sets."""

    async def append(self, event: SetEvent) -> None:
        """Store an event."""
        ...

    async def read(
        self, tenant_id: str, set_id: str, *, after: int = 0, limit: int = 200
    ) -> Sequence[SetEvent]:
        """Return events with an id above ``after``, oldest first."""
        ...


class Freezes(Protocol):
    """A tenant's freezes, by name."""

    async def put(self, tenant_id: str, freeze: TenantFreeze) -> bool:
        """Store a freeze in place of one of that name; ``False`` when there was none."""
        ...

    async def remove(self, tenant_id: str, name: str) -> bool:
        """Delete a freeze; ``False`` when there is none."""
        ...

    async def all(self, tenant_id: str) -> Sequence[TenantFreeze]:
        """Return every freeze, by name."""
        ...
