"""Evidence windows, samples, all-time totals; and how far each source is taken over."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, Table, and_, delete, func, select, update

from serinus.core.analysis.evidence import Sample, SampleKind, Side, Window
from serinus.core.histogram import Histogram
from serinus.drivers.store.sql import tables as t
from serinus.drivers.store.sql.base import Group

__all__ = ["SqlEvidence", "SqlSources"]

#: Rows rolled up in one transaction, so that it never holds the writer for long.
ROLL_UP_ROWS = 5000


class SqlEvidence(Group):
    """Windows and samples."""

    async def merge(
        self,
        tenant_id: str,
        deployment_id: str,
        windows: Sequence[Window],
        samples: Sequence[Sample],
        arm: int = 0,
    ) -> None:
        """Add to what is stored. Keys go in order, so that two replicas never wait for each other."""
        for window in sorted(windows, key=_order):
            key = {"deployment_id": deployment_id, **_identity(window, arm)}
            await self._add(
                t.windows, tenant_id, {**key, "start": window.start, "seconds": window.seconds}, window
            )
            await self._add(t.totals, tenant_id, key, window)
        for sample in sorted(samples, key=lambda s: (s.side, s.name, s.label, s.start)):
            await self._add_sample(tenant_id, deployment_id, sample, arm)

    async def _add(self, table: Table, tenant_id: str, key: Mapping[str, Any], window: Window) -> None:
        counts = {
            "requests": window.requests,
            "errors": window.errors,
            "latency": window.latency.to_json(),
        }
        if await self._added(table, tenant_id=tenant_id, **key, **counts):
            return
        same = _same(table, key)
        row = await self._one(select(table).where(same).with_for_update())
        assert row is not None
        latency = Histogram.from_json(row.latency)
        latency.merge(window.latency)
        added = {
            "requests": row.requests + window.requests,
            "errors": row.errors + window.errors,
            "latency": latency.to_json(),
        }
        await self._run(update(table).where(same).values(**added))

    async def _add_sample(self, tenant_id: str, deployment_id: str, sample: Sample, arm: int) -> None:
        key = {
            "deployment_id": deployment_id,
            "side": _stored(sample.side, arm),
            "name": sample.name,
            "label": sample.label,
            "start": sample.start,
        }
        fresh = self._insert(t.samples).values(
            tenant_id=tenant_id, **key, kind=sample.kind.value, value=sample.value
        )
        grown = fresh.excluded.value
        if sample.kind is SampleKind.COUNTER:
            grown = t.samples.c.value + fresh.excluded.value
        index = [t.samples.c[name] for name in key]
        await self._run(fresh.on_conflict_do_update(index_elements=index, set_={"value": grown}))

    async def read(
        self, tenant_id: str, deployment_id: str, since: float, until: float, arm: int = 0
    ) -> tuple[tuple[Window, ...], tuple[Sample, ...]]:
        """Return what overlaps ``since`` to ``until``, oldest first."""
        w, s, sides = t.windows.c, t.samples.c, [_stored(side, arm) for side in Side]
        mine = select(t.windows).where(w.tenant_id == tenant_id, w.deployment_id == deployment_id)
        mine = mine.where(w.side.in_(sides))
        within = mine.where(w.start + w.seconds > int(since), w.start < until).order_by(
            w.start, w.side, w.endpoint
        )
        windows = tuple(_window(row, row.start, row.seconds) for row in await self._all(within))
        theirs = select(t.samples).where(s.tenant_id == tenant_id, s.deployment_id == deployment_id)
        theirs = theirs.where(s.side.in_(sides))
        recent = theirs.where(s.start >= int(since), s.start < until).order_by(s.start)
        return windows, tuple(_sample(row) for row in await self._all(recent))

    async def totals(self, tenant_id: str, deployment_id: str, arm: int = 0) -> tuple[Window, ...]:
        """Return one all-time window per side, endpoint and label."""
        c, sides = t.totals.c, [_stored(side, arm) for side in Side]
        mine = select(t.totals).where(c.tenant_id == tenant_id, c.deployment_id == deployment_id)
        mine = mine.where(c.side.in_(sides))
        rows = await self._all(mine.order_by(c.side, c.endpoint, c.label))
        return tuple(_window(row, 0, 0) for row in rows)

    async def counted(self, tenant_id: str, deployment_id: str, names: Sequence[str]) -> Mapping[str, float]:
        """Return what counters of these names add up to; those that never counted are left out."""
        c = t.samples.c
        mine = select(c.name, func.sum(c.value).label("total")).where(
            c.tenant_id == tenant_id,
            c.deployment_id == deployment_id,
            c.name.in_(names),
            c.kind == SampleKind.COUNTER.value,
        )
        return {row.name: row.total for row in await self._all(mine.group_by(c.name))}

    async def roll_up(self, *, older_than: float, into_seconds: int, delete_before: float) -> int:
        """Merge old windows into wider ones and delete the oldest; return how many rows went."""
        w = t.windows.c
        gone = await self._run(delete(t.windows).where(w.start < int(delete_before)))
        gone += await self._run(delete(t.samples).where(t.samples.c.start < int(delete_before)))
        old = select(t.windows).where(w.start + w.seconds <= int(older_than), w.seconds < into_seconds)
        rows = await self._all(old.order_by(w.deployment_id, w.start).limit(ROLL_UP_ROWS).with_for_update())
        wide: dict[tuple[Any, ...], Window] = {}
        for row in rows:
            _widen(wide, row, into_seconds)
            key = {
                n: getattr(row, n) for n in ("deployment_id", "side", "endpoint", "label", "start", "seconds")
            }
            gone += await self._run(delete(t.windows).where(_same(t.windows, key)))
        for (tenant_id, deployment_id, side, *_), window in wide.items():
            key = {"deployment_id": deployment_id, **_identity(window), "side": side}
            place = {**key, "start": window.start, "seconds": into_seconds}
            await self._add(t.windows, tenant_id, place, window)
        return gone


class SqlSources(Group):
    """Who sends measurements, and how far each one is taken over."""

    async def advance(self, tenant_id: str, source: str, seq: int, now: datetime, revision: str) -> bool:
        """Take a batch number; ``False`` when this or a later one was taken before."""
        c = t.sources.c
        key = f"{tenant_id}/{source}"[:100]
        values = {
            "tenant_id": tenant_id,
            "source": key,
            "seq": seq,
            "revision": revision[:64],
            "seen_at": now,
        }
        if await self._added(t.sources, **values):
            return True
        later = update(t.sources).where(c.source == key, c.seq < seq)
        return bool(await self._run(later.values(seq=seq, revision=revision[:64], seen_at=now)))

    async def cursor(self, key: str) -> Mapping[str, Any] | None:
        """Return what was remembered under ``key``."""
        row = await self._one(select(t.cursors.c.value).where(t.cursors.c.key == key))
        return row.value if row else None

    async def set_cursor(self, key: str, value: Mapping[str, Any]) -> None:
        """Remember ``value`` under ``key``."""
        fresh = self._insert(t.cursors).values(key=key, value=dict(value))
        await self._run(
            fresh.on_conflict_do_update(
                index_elements=[t.cursors.c.key], set_={"value": fresh.excluded.value}
            )
        )

    async def seen_since(self, tenant_id: str, since: datetime) -> Sequence[tuple[str, str, datetime]]:
        """Return SDK processes seen since then, newest first."""
        c = t.sources.c
        mine = select(c.source, c.revision, c.seen_at).where(c.tenant_id == tenant_id, c.seen_at >= since)
        rows = await self._all(mine.order_by(c.seen_at.desc()))
        return [(row.source.removeprefix(f"{tenant_id}/"), row.revision, row.seen_at) for row in rows]


def _stored(side: Side, arm: int) -> str:
    """Return a side as it is stored: each further candidate of an A/B/n test has one of its own."""
    return f"{side.value}.{arm}" if arm and side is Side.CANARY else side.value


def _side(stored: str) -> Side:
    return Side(stored.partition(".")[0])


def _identity(w: Window, arm: int = 0) -> dict[str, Any]:
    return {"side": _stored(w.side, arm), "endpoint": w.endpoint, "label": w.label}


def _order(w: Window) -> tuple[Any, ...]:
    return (w.side.value, w.endpoint, w.label, w.start)


def _same(table: Table, key: Mapping[str, Any]) -> ColumnElement[bool]:
    return and_(*(table.c[name] == value for name, value in key.items()))


def _window(row: Row[Any], start: int, seconds: int) -> Window:
    return Window(
        side=_side(row.side),
        start=start,
        seconds=seconds,
        requests=row.requests,
        errors=row.errors,
        latency=Histogram.from_json(row.latency),
        endpoint=row.endpoint,
        label=row.label,
    )


def _sample(row: Row[Any]) -> Sample:
    return Sample(
        side=_side(row.side),
        name=row.name,
        start=row.start,
        value=row.value,
        kind=SampleKind(row.kind),
        label=row.label,
    )


def _widen(wide: dict[tuple[Any, ...], Window], row: Row[Any], into_seconds: int) -> None:
    start = row.start // into_seconds * into_seconds
    window = _window(row, start, into_seconds)
    key = (row.tenant_id, row.deployment_id, row.side, window.endpoint, window.label, start)
    known = wide.get(key)
    if known:
        window.latency.merge(known.latency)
        window = Window(
            side=window.side,
            start=start,
            seconds=into_seconds,
            requests=known.requests + window.requests,
            errors=known.errors + window.errors,
            latency=window.latency,
            endpoint=window.endpoint,
            label=window.label,
        )
    wide[key] = window
