"""Who has been on the canary, counted by slices; and who was put on a side by hand."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, and_, delete, or_, select, tuple_

from serinus.core.bucketing import BUCKETS
from serinus.core.lifecycle.placing import PlacedOn
from serinus.drivers.store.sql import tables as t
from serinus.drivers.store.sql.base import Group
from serinus.ports.assignments import BUCKETS_PER_SLICE, Assignment, Placement, Slice

__all__ = ["SqlAssignments", "SqlPlacements"]

_FIELDS = tuple(Assignment.__dataclass_fields__)


def _is(unit_hash: str) -> ColumnElement[bool]:
    c = t.assignments.c
    return and_(c.bucket == int(unit_hash, 16) % BUCKETS, c.unit_hash == unit_hash)


class SqlAssignments(Group):
    """Assignments in the database, in the caller's transaction."""

    async def add(self, items: Sequence[Assignment]) -> int:
        """Store new ones, leave known ones; return how many were new."""
        # In one order for everybody, so that two replicas that store the same units do not wait in a ring.
        ordered = sorted(items, key=lambda i: (i.book, i.unit_hash))
        by_book: dict[tuple[str, str], list[Assignment]] = defaultdict(list)
        for item in ordered:
            by_book[item.tenant_id, item.book].append(item)
        return sum([await self._add(*key, mine) for key, mine in by_book.items()])

    async def _add(self, tenant_id: str, book: str, items: Sequence[Assignment]) -> int:
        rows = [
            {**{name: getattr(i, name) for name in _FIELDS}, "bucket": int(i.unit_hash, 16) % BUCKETS}
            for i in {i.unit_hash: i for i in reversed(items)}.values()
        ]
        rows.reverse()
        fresh = self._insert(t.assignments).on_conflict_do_nothing().returning(t.assignments.c.bucket)
        new = (await self._connection.execute(fresh, rows)).scalars().all()
        counts = Counter(bucket // BUCKETS_PER_SLICE for bucket in new)
        await self._count(tenant_id, book, counts)
        return len(new)

    async def _count(self, tenant_id: str, book: str, changes: Mapping[int, int]) -> None:
        """Add to what slices have; each gets its next version."""
        if not changes:
            return
        c = t.assignment_slices.c
        fresh = self._insert(t.assignment_slices)
        summed = fresh.on_conflict_do_update(
            index_elements=[c.book, c.slice],
            set_={"units": c.units + fresh.excluded.units, "version": c.version + 1},
        )
        own = {"tenant_id": tenant_id, "book": book, "version": 1}
        await self._run(summed, [{**own, "slice": n, "units": changes[n]} for n in sorted(changes)])

    async def slices(self, tenant_id: str, book: str) -> Mapping[int, Slice]:
        """Return the slices that have or had units."""
        c = t.assignment_slices.c
        mine = select(c.slice, c.units, c.version).where(c.tenant_id == tenant_id, c.book == book)
        rows = await self._all(mine.order_by(c.slice))
        return {row.slice: Slice(units=row.units, version=row.version) for row in rows}

    async def units(self, tenant_id: str, book: str, index: int) -> tuple[int, Sequence[str]]:
        """Return a slice's version and hashes; the version is read first."""
        known = (await self.slices(tenant_id, book)).get(index, Slice(units=0, version=0))
        c, first = t.assignments.c, index * BUCKETS_PER_SLICE
        mine = select(c.unit_hash).where(
            c.tenant_id == tenant_id,
            c.book == book,
            c.bucket.between(first, first + BUCKETS_PER_SLICE - 1),
        )
        return known.version, [row.unit_hash for row in await self._all(mine)]

    async def page(
        self, tenant_id: str, book: str, *, limit: int, offset: int = 0, unit_hash: str = ""
    ) -> Sequence[Assignment]:
        """Return some, oldest first; or the one with this hash."""
        c = t.assignments.c
        wanted = [c.tenant_id == tenant_id, c.book == book]
        if unit_hash:
            wanted.append(_is(unit_hash))
        oldest = (
            select(*(c[name] for name in _FIELDS))
            .where(*wanted)
            .order_by(c.assigned_at, c.bucket, c.unit_hash)
        )
        rows = await self._all(oldest.limit(limit).offset(offset))
        return [Assignment(**row._mapping) for row in rows]

    async def forget(self, tenant_id: str, book: str, unit_hash: str = "", *, most: int = 0) -> int:
        """Forget one, or at most ``most``, or all; return how many."""
        c = t.assignments.c
        mine = [c.tenant_id == tenant_id, c.book == book]
        if unit_hash:
            mine.append(_is(unit_hash))
        elif most:
            some = select(c.bucket, c.unit_hash).where(*mine).order_by(c.bucket, c.unit_hash).limit(most)
            mine.append(tuple_(c.bucket, c.unit_hash).in_(some))
        gone = delete(t.assignments).where(*mine).returning(c.bucket)
        buckets = (await self._connection.execute(gone)).scalars().all()
        counts = Counter(bucket // BUCKETS_PER_SLICE for bucket in buckets)
        await self._count(tenant_id, book, {n: -units for n, units in counts.items()})
        return len(buckets)

    async def held(self) -> Sequence[tuple[str, str]]:
        """Return ``(tenant, book)`` of everything that is kept."""
        c = t.assignment_slices.c
        rows = await self._all(select(c.tenant_id, c.book).where(c.units > 0).distinct())
        return [(row.tenant_id, row.book) for row in rows]


class SqlPlacements(Group):
    """Units on a side by hand."""

    async def put(self, placement: Placement) -> None:
        """Store one in place of what there was of this unit."""
        values = {name: getattr(placement, name) for name in Placement.__dataclass_fields__}
        values["side"] = placement.side.value
        c = t.placements.c
        fresh = self._insert(t.placements).values(**values)
        changed = {n: fresh.excluded[n] for n in values if n not in ("deployment_id", "unit_hash")}
        await self._run(
            fresh.on_conflict_do_update(index_elements=[c.deployment_id, c.unit_hash], set_=changed)
        )

    async def of(self, tenant_id: str, deployment_id: str, *, resets_since: datetime) -> Sequence[Placement]:
        """Return those on a side, oldest first, and resets since then."""
        c = t.placements.c
        mine = select(t.placements).where(
            c.tenant_id == tenant_id,
            c.deployment_id == deployment_id,
            or_(c.side != PlacedOn.HASH.value, c.at >= resets_since),
        )
        rows = await self._all(mine.order_by(c.at, c.unit_hash))
        return [Placement(**{**row._mapping, "side": PlacedOn(row.side)}) for row in rows]

    async def clear(self, tenant_id: str, deployment_id: str) -> int:
        """Forget all of a deployment; return how many."""
        c = t.placements.c
        return await self._run(
            delete(t.placements).where(c.tenant_id == tenant_id, c.deployment_id == deployment_id)
        )
