"""Where watched units were served: facts without an order, of which only the newest time is kept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from serinus.core.analysis.flips import Sighting

__all__ = ["Sightings"]


class Sightings(Protocol):
    """What processes have told of watched units; no keys, only hashes."""

    async def add(
        self, tenant_id: str, deployment_id: str, sightings: Sequence[Sighting], seen_at: int
    ) -> None:
        """Store facts; of a known one, the later time. ``seen_at`` is Unix seconds."""
        ...

    async def of(self, tenant_id: str, deployment_id: str, since: float, units: int) -> Sequence[Sighting]:
        """Return what was seen after ``since`` of at most so many units, those with the smallest hashes."""
        ...

    async def prune(self, before: float) -> int:
        """Delete what was last seen before then; return how many rows went."""
        ...
