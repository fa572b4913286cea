"""Taking measurements in: batches from SDK processes, committed in groups, each counted once.

A batch is acknowledged after its commit, so what was accepted survives ``kill -9``; a batch that is
sent again under the same number is not counted again.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from serinus.control.assignments.arrivals import Arrival, Arrivals
from serinus.control.assignments.sightings import SightingsInput, Watching
from serinus.control.context import Caller, Context
from serinus.control.evidence import breaker_key
from serinus.control.snapshot import Snapshot, Snapshots
from serinus.core.analysis.evidence import Sample, SampleKind, Side, Window
from serinus.core.bucketing import PRIORITIES, is_unit_hash
from serinus.core.codec import from_json, refuse
from serinus.core.errors import InvalidInput, SerinusError
from serinus.core.histogram import Histogram
from serinus.core.values import storable
from serinus.ports.store import Transaction

__all__ = ["EXECUTOR", "Batch", "Ingest"]

#: How the sources of batches begin that a control plane sends itself, of the rules that it executes.
EXECUTOR = "rules"

#: Batches wait at most this long for others to share their commit.
FLUSH_SECONDS = 0.2
#: Windows further in the future are put at the present (a sender's clock runs ahead).
AHEAD_SECONDS = 30
#: Windows older than this are refused as stale.
STALE_SECONDS = 3600
#: Different endpoints per deployment; the rest is counted under ``other``.
MAX_ENDPOINTS = 200
#: Characters of an endpoint, a label or a metric's name.
MAX_NAME = 200
#: No number in a batch is larger: sums of such numbers still fit into 64 bits.
MOST = 2**53


@dataclass(frozen=True, kw_only=True, slots=True)
class _BreakerNews:
    service: str
    deployment: str
    state: str
    failures: int = 0
    #: Whose breaker it is, where there are several candidates.
    version: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class _WindowInput:
    service: str
    deployment: str
    side: Side
    start: int
    requests: int
    errors: int
    latency: dict[str, Any] = field(default_factory=dict)
    seconds: int = 10
    version: str = ""
    endpoint: str = ""
    label: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class _SampleInput:
    service: str
    deployment: str
    side: Side
    name: str
    start: int
    value: float
    kind: SampleKind = SampleKind.COUNTER
    label: str = ""
    version: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Batch:
    """What one SDK process sends about once a second."""

    source: str
    seq: int
    sdk: str = ""
    snapshot_revision: str = ""
    windows: tuple[_WindowInput, ...] = ()
    samples: tuple[_SampleInput, ...] = ()
    units: tuple[Arrival, ...] = ()
    breakers: tuple[_BreakerNews, ...] = ()
    sightings: tuple[SightingsInput, ...] = ()

    @property
    def only_units(self) -> bool:
        """Tell whether nothing was measured. Such batches are numbered, but come in no order with others."""
        return bool(self.units) and not (self.windows or self.samples or self.breakers or self.sightings)


class Ingest:
    """Collects batches and commits them together."""

    def __init__(self, context: Context, snapshots: Snapshots) -> None:
        """Start with nothing waiting."""
        self._context = context
        self._snapshots = snapshots
        self._waiting: list[tuple[str, Batch, asyncio.Future[None]]] = []
        self._flusher: asyncio.Task[None] | None = None
        self._arrivals = Arrivals(context, snapshots)
        self._watching = Watching()
        self._endpoints: dict[str, set[str]] = defaultdict(set)

    async def submit_for(self, caller: Caller, data: Any) -> None:
        """Take a caller's batch; it must be of services that the caller's token is for.

        Raises:
            Forbidden: It measures others as well; nothing of it was taken.
        """
        if caller.services:
            data = await self._within(caller, data)
        await self.submit(caller.tenant_id, data)

    async def _within(self, caller: Caller, data: Any) -> Any:
        """Return the batch without what measures nothing that runs: by the commit it might run elsewhere."""
        batch = from_json(Batch, data, "batch")
        running = (await self._snapshots.get(caller.tenant_id)).running
        kept = {}
        for name in ("windows", "samples", "units", "breakers", "sightings"):
            named = [running.get(one.deployment) for one in getattr(batch, name)]
            for service in named:
                if service:
                    caller.must_see(service)
            kept[name] = [one for one, service in zip(data.get(name, ()), named, strict=True) if service]
        return {**data, **kept}

    async def submit(self, tenant_id: str, data: Any) -> None:
        """Take a batch; return after it was committed.

        Raises:
            InvalidInput: The batch is malformed; nothing of it was taken.
            Unavailable: The store does not answer; send the batch again.
        """
        batch = _checked(from_json(Batch, data, "batch"))
        if not batch.only_units:
            await self._measured(tenant_id, batch)
        # What was measured is counted by now; should this fail, the batch comes again for its units.
        await self._arrivals.take(tenant_id, batch.source, batch.seq, batch.units)

    async def _measured(self, tenant_id: str, batch: Batch) -> None:
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((tenant_id, batch, done))
        if self._flusher is None or self._flusher.done():
            self._flusher = asyncio.create_task(self._flush_soon(urgent=bool(batch.breakers)))
        await done

    async def _flush_soon(self, *, urgent: bool) -> None:
        if not urgent:
            await asyncio.sleep(FLUSH_SECONDS)
        while self._waiting:
            group, self._waiting = self._waiting, []
            await self._flush(group)

    async def _flush(self, group: list[tuple[str, Batch, asyncio.Future[None]]]) -> None:
        by_tenant: dict[str, list[Batch]] = defaultdict(list)
        for tenant_id, batch, _ in group:
            by_tenant[tenant_id].append(batch)
        try:
            woken = await self._commit(by_tenant)
        except SerinusError as error:
            for *_, done in group:
                if not done.done():
                    done.set_exception(error)
            return
        except Exception as error:
            for *_, done in group:
                if not done.done():
                    done.set_exception(error)
            raise
        for *_, done in group:
            if not done.done():
                done.set_result(None)
        if woken:
            self._context.poke.set()

    async def _commit(self, by_tenant: Mapping[str, list[Batch]]) -> bool:
        """Store all batches in one transaction; tell whether a breaker opened."""
        snapshots = {t: await self._snapshots.get(t) for t in by_tenant}
        try:
            return await self._stored(by_tenant, snapshots)
        except BaseException:
            self._watching.forget(
                one.deployment for bs in by_tenant.values() for b in bs for one in b.sightings
            )
            raise

    async def _stored(self, by_tenant: Mapping[str, list[Batch]], snapshots: Mapping[str, Snapshot]) -> bool:
        woken = False
        async with self._context.store.begin() as tx:
            for tenant_id, batches in by_tenant.items():
                new = [b for b in batches if await self._is_new(tx, tenant_id, b)]
                await self._merge(tx, tenant_id, new, snapshots[tenant_id])
                await self._sightings(tx, tenant_id, new, snapshots[tenant_id])
                woken |= await self._breakers(tx, tenant_id, new, snapshots[tenant_id])
        return woken

    async def _is_new(self, tx: Transaction, tenant_id: str, batch: Batch) -> bool:
        now = self._context.clock.now()
        source, revision = storable(batch.source, 100), storable(batch.snapshot_revision, 64)
        return await tx.sources.advance(tenant_id, source, batch.seq, now, revision)

    async def _merge(self, tx: Transaction, tenant_id: str, batches: list[Batch], snapshot: Snapshot) -> None:
        """Add everything up per deployment first, so that the store merges each window once."""
        running = snapshot.running
        counted = running.keys() - snapshot.elsewhere
        now = self._context.clock.now().timestamp()
        # By deployment, and by which candidate of it.
        windows: dict[tuple[str, int], dict[tuple[Any, ...], Window]] = defaultdict(dict)
        samples: dict[tuple[str, int], list[Sample]] = defaultdict(list)
        for batch in batches:
            for given in batch.windows:
                if given.deployment in counted and given.start > now - STALE_SECONDS:
                    _collect(windows[snapshot.arm(given)], self._window(given, now))
            for s in batch.samples:
                if s.deployment in running:
                    samples[snapshot.arm(s)].append(_sample(s, int(now) + AHEAD_SECONDS))
        for deployment, arm in {*windows, *samples}:
            taken = list(windows[deployment, arm].values())
            await tx.evidence.merge(tenant_id, deployment, taken, samples[deployment, arm], arm)

    async def _sightings(
        self, tx: Transaction, tenant_id: str, batches: list[Batch], snapshot: Snapshot
    ) -> None:
        clock = self._context.clock
        given = [one for batch in batches for one in batch.sightings]
        for deployment, fresh in self._watching.news(given, snapshot, clock.monotonic()).items():
            await tx.sightings.add(tenant_id, deployment, fresh, int(clock.now().timestamp()))

    def _window(self, given: _WindowInput, now: float) -> Window:
        width = self._context.window_seconds
        start = min(given.start, int(now) + AHEAD_SECONDS)
        return Window(
            side=given.side,
            start=start // width * width,
            seconds=width,
            requests=given.requests,
            errors=given.errors,
            latency=Histogram.from_json(given.latency) if given.latency else Histogram(),
            endpoint=self._bounded(given.deployment, given.endpoint),
            label=storable(given.label, MAX_NAME),
        )

    def _bounded(self, deployment: str, endpoint: str) -> str:
        endpoint = storable(endpoint, MAX_NAME)
        known = self._endpoints[deployment]
        if endpoint not in known:
            if len(known) >= MAX_ENDPOINTS:
                return "other"
            known.add(endpoint)
        return endpoint

    async def _breakers(
        self, tx: Transaction, tenant_id: str, batches: list[Batch], snapshot: Snapshot
    ) -> bool:
        """Remember which processes' breakers are open, and have their services looked at at once."""
        opened, running = False, snapshot.running
        for batch in batches:
            for news in batch.breakers:
                if news.deployment not in running:
                    continue
                # Reading the service locks it: other replicas write their news after ours.
                service = await tx.services.get(tenant_id, running[news.deployment])
                key = breaker_key(*snapshot.arm(news))
                states = {**(await tx.sources.cursor(key) or {}), self._who(batch): news.state}
                await tx.sources.set_cursor(key, states)
                if service and news.state == "open":
                    await tx.leases.wake(service.id, self._context.clock.now())
                    opened = True
        return opened

    def _who(self, batch: Batch) -> str:
        """Return what people are told of the process that sent a batch."""
        if not batch.source.startswith(f"{EXECUTOR}_"):
            return f"process {batch.source[:8]}"
        replica = self._context.replica
        return "rules executed by the control plane" + ("" if replica == "embedded" else f", {replica}")


def _checked(batch: Batch) -> Batch:
    """Refuse numbers that cannot be: what no database holds would be sent again and again."""
    problems = {
        f"batch.{name}": "too large a number, or below zero"
        for name, number in _numbers(batch)
        if not 0 <= number <= MOST
    }
    refuse(problems)
    for at, w in enumerate(batch.windows):
        where = f"batch.windows[{at}]"
        if w.requests < 0 or w.errors < 0 or w.errors > w.requests:
            raise InvalidInput(f"{where}: errors must be between 0 and requests.", field=where)
        try:
            if w.latency and Histogram.from_json(w.latency).total > MOST:
                raise ValueError("its total is too large a number")
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InvalidInput(f"{where}.latency: {error}", field=f"{where}.latency") from error
    for at, one in enumerate(batch.sightings):
        one.check(f"batch.sightings[{at}]")
    for at, u in enumerate(batch.units):
        if u.priority not in PRIORITIES or not is_unit_hash(u.hash):
            raise InvalidInput(
                "A unit needs a priority and a hash of 16 hex digits.", field=f"batch.units[{at}]"
            )
    return batch


def _numbers(batch: Batch) -> Iterator[tuple[str, float]]:
    """Yield every number that is stored, or added up, with its place."""
    yield "seq", batch.seq
    for at, w in enumerate(batch.windows):
        yield f"windows[{at}].requests", w.requests
        yield f"windows[{at}].start", w.start
    for at, s in enumerate(batch.samples):
        yield f"samples[{at}].start", s.start
        yield f"samples[{at}].value", abs(s.value)


def _sample(s: _SampleInput, latest: int) -> Sample:
    return Sample(
        side=s.side,
        name=storable(s.name, MAX_NAME),
        start=min(s.start, latest),
        value=s.value,
        kind=s.kind,
        label=storable(s.label, MAX_NAME),
    )


def _collect(into: dict[tuple[Any, ...], Window], window: Window) -> None:
    key = (window.side, window.endpoint, window.label, window.start)
    known = into.get(key)
    if known is None:
        into[key] = window
        return
    known.latency.merge(window.latency)
    into[key] = replace(known, requests=known.requests + window.requests, errors=known.errors + window.errors)
