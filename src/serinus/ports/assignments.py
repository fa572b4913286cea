"""Who has been on the canary, and who was put on a side by hand.

The hash decides; what is kept here is what it cannot know. Two ports, because they differ in everything:
*assignments* are many, come from applications and may live outside the database; *placements* are few, come
from people and belong to the transaction that audits them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from serinus.core.bucketing import BUCKETS
from serinus.core.lifecycle.placing import PlacedOn

__all__ = [
    "BUCKETS_PER_SLICE",
    "Assignment",
    "Assignments",
    "Placement",
    "Placements",
    "Slice",
    "slice_of",
]

#: Assignments are counted, and sent to SDKs, by slices of one percent of all units.
BUCKETS_PER_SLICE = BUCKETS // 100


def slice_of(unit_hash: str) -> int:
    """Return the slice, 0 to 99, of a unit's hash in hex.

    >>> slice_of(f"{1234:016x}")
    12
    """
    return int(unit_hash, 16) % BUCKETS // BUCKETS_PER_SLICE


@dataclass(frozen=True, kw_only=True, slots=True)
class Assignment:
    """The record that a unit has been on the canary, and stays there while its share shrinks."""

    tenant_id: str
    #: A deployment's, since units were reset for everybody (``Deployment.book``).
    book: str
    #: 16 hex digits of the unit's salted hash.
    unit_hash: str
    priority: str
    key: str
    assigned_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Slice:
    """How many units a slice has, and a number that grows with every change of them."""

    units: int
    version: int


class Assignments(Protocol):
    """Units that have been on the canary. Every call is scoped to a tenant's book.

    A deployment begins a new book when everybody is reset; what an old or ended one has is swept.
    """

    async def add(self, items: Sequence[Assignment]) -> int:
        """Store new ones, leave known ones; return how many were new.

        Raises:
            Unavailable: They were not stored; the same call may be made again.
        """
        ...

    async def slices(self, tenant_id: str, book: str) -> Mapping[int, Slice]:
        """Return the slices that have or had units: at most 100, however many units there are."""
        ...

    async def units(self, tenant_id: str, book: str, index: int) -> tuple[int, Sequence[str]]:
        """Return a slice's version and hashes. What came after the version may be among them."""
        ...

    async def page(
        self, tenant_id: str, book: str, *, limit: int, offset: int = 0, unit_hash: str = ""
    ) -> Sequence[Assignment]:
        """Return some, oldest first; or the one with this hash."""
        ...

    async def forget(self, tenant_id: str, book: str, unit_hash: str = "", *, most: int = 0) -> int:
        """Forget one, or at most ``most``, or all; return how many."""
        ...

    async def held(self) -> Sequence[tuple[str, str]]:
        """Return ``(tenant, book)`` of everything that is kept, ended books among them."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Placement:
    """A unit that a person has put on a side, or has taken from there."""

    tenant_id: str
    deployment_id: str
    unit_hash: str
    side: PlacedOn
    priority: str
    key: str
    #: The deployment's reset count; what a process saw of this unit before it is out of date.
    epoch: int
    actor: str
    reason: str
    at: datetime


class Placements(Protocol):
    """Units on a side by hand; always in the database, with the audit log and the timeline."""

    async def put(self, placement: Placement) -> None:
        """Store one in place of what there was of this unit."""
        ...

    async def of(self, tenant_id: str, deployment_id: str, *, resets_since: datetime) -> Sequence[Placement]:
        """Return those on a side, oldest first, and resets since then."""
        ...

    async def clear(self, tenant_id: str, deployment_id: str) -> int:
        """Forget all of a deployment; return how many."""
        ...
