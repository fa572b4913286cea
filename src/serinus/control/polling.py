"""Asking metric sources on behalf of running deployments, beside the looks and not within them.

A source that hangs must not hold a rollback up: it is asked in a task of its own, and a look takes what
the last finished poll has found. What could not be measured comes as a problem in words; it is never a
number, so a check without an answer holds.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from math import inf
from typing import Any

from serinus.core.analysis.evidence import REQUESTS, Sample, SampleKind, Side, Window
from serinus.core.analysis.queries import MetricQuery, Query, RequestsFrom, Source
from serinus.core.errors import InvalidInput
from serinus.core.histogram import Histogram
from serinus.core.model import Deployment
from serinus.ports.metrics import Increases, MetricSource, Reading, SelectSource, single

__all__ = ["Polled", "Poller", "SourcePool"]

log = logging.getLogger("serinus.polling")

#: Seconds between two polls of one deployment.
EVERY = 10.0
#: Width of windows made of somebody else's counters: two scrapes of 15 s.
WIDTH = 30
#: How far back the first poll looks, and how long one side of a window is waited for.
REACH, PATIENCE = 300.0, 90.0
_SIDES = (Side.CANARY, Side.STABLE)


@dataclass(frozen=True, kw_only=True, slots=True)
class Polled:
    """What one poll has found."""

    windows: tuple[Window, ...] = ()
    samples: tuple[Sample, ...] = ()
    #: Metric → why it could not be measured.
    problems: Mapping[str, str] = field(default_factory=dict)
    #: What is odd: a counter that was reset.
    notes: tuple[str, ...] = ()
    #: When it was asked, on the monotonic clock, and in Unix seconds.
    asked: float = 0.0
    at: float = 0.0


class SourcePool:
    """One source object per definition, made on first use."""

    def __init__(self, make: Callable[[Source], MetricSource]) -> None:
        """``make`` raises ``InvalidInput`` for a source that cannot be used here."""
        self._make = make
        self._made: dict[str, MetricSource] = {}

    def of(self, source: Source) -> MetricSource:
        """Return the source.

        Raises:
            InvalidInput: Its settings are wrong, or a variable that it names is not set.
        """
        key = repr(source)
        if key not in self._made:
            self._made[key] = self._make(source)
        return self._made[key]

    async def close(self) -> None:
        """Close every source."""
        for source in self._made.values():
            await source.close()
        self._made.clear()


class Poller:
    """Polls on behalf of deployments, one task each at most."""

    def __init__(self, pool: SourcePool, *, every: float = EVERY) -> None:
        """``every``: seconds between two polls of one deployment."""
        self._pool = pool
        self._every = every
        self._tasks: dict[str, asyncio.Task[Polled]] = {}
        self._newest: dict[str, Polled] = {}

    def take(self, d: Deployment, now: float, monotonic: float, since: float) -> Polled | None:
        """Return what the last poll found, and begin the next when it is due; ``None``: nothing yet.

        ``now`` and ``since`` are Unix seconds; windows up to ``since`` are known already.
        """
        if not d.policy.sources:
            return None
        task = self._tasks.get(d.id)
        if task is not None and task.done():
            del self._tasks[d.id]
            self._newest[d.id] = _finished(task, now, monotonic)
        newest = self._newest.get(d.id)
        if d.id not in self._tasks and (newest is None or monotonic - newest.asked >= self._every):
            self._tasks[d.id] = asyncio.create_task(self._poll(d, now, monotonic, since))
        return newest

    def drop(self, deployment_id: str) -> None:
        """Forget a deployment that is over."""
        self._newest.pop(deployment_id, None)
        task = self._tasks.pop(deployment_id, None)
        if task:
            task.cancel()

    async def close(self) -> None:
        """Stop asking, and release the sources."""
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        await self._pool.close()

    async def _poll(self, d: Deployment, now: float, monotonic: float, since: float) -> Polled:
        counted = asyncio.ensure_future(self._requests(d, now, since))
        answers = await asyncio.gather(*(self._metric(d, query, now) for query in d.policy.queries()))
        windows, problem, notes = await counted
        problems: dict[str, str] = {}
        samples: list[Sample] = []
        for query, (found, why) in zip(d.policy.queries(), answers, strict=True):
            samples += found
            if why:
                problems[query.name] = f"{query.query.source}: {why}"
        if problem and d.policy.requests:
            problems[REQUESTS] = f"{d.policy.requests.source}: {problem}"
        return Polled(
            windows=tuple(windows),
            samples=tuple(samples),
            problems=problems,
            notes=tuple(notes),
            asked=monotonic,
            at=now,
        )

    async def _metric(self, d: Deployment, asked: MetricQuery, now: float) -> tuple[list[Sample], str]:
        """Ask for one metric's present value on both sides."""
        query = asked.query
        try:
            source = self._pool.of(d.policy.source(query.source))
        except InvalidInput as error:
            return [], error.detail
        if isinstance(source, SelectSource):
            readings = await _selected(d, source, query, now)
        elif query.by:
            readings = _split(await source.instant(query.canary, now), query.by, _names(d, query))
        else:
            pairs = [(Side.CANARY, query.canary)] + ([(Side.STABLE, query.stable)] if query.stable else [])
            got = await asyncio.gather(*(source.instant(text, now) for _, text in pairs))
            readings = {side: single(answer) for (side, _), answer in zip(pairs, got, strict=True)}
        start = int(now // 10) * 10
        samples = [
            Sample(side=side, name=asked.name, start=start, value=r.value, kind=SampleKind.GAUGE)
            for side, r in readings.items()
            if r.value is not None
        ]
        problem = "; ".join(f"{side.value}: {r.problem}" for side, r in readings.items() if r.problem)
        return samples, problem

    async def _requests(self, d: Deployment, now: float, since: float) -> tuple[list[Window], str, list[str]]:
        """Ask for the growth of the request counters since the last window."""
        wanted = d.policy.requests
        if wanted is None:
            return [], "", []
        try:
            source = self._pool.of(d.policy.source(wanted.source))
        except InvalidInput as error:
            return [], error.detail, []
        found = await _counters(source, wanted, max(since, now - REACH) // WIDTH * WIDTH, now)
        total = found["total"]
        if total.problem:
            return [], total.problem, []
        resets = sum(f.resets for f in found.values())
        notes = [f"{wanted.source}: {resets} counters were reset and counted on"] if resets else []
        errors = found.get("errors")
        if errors and errors.problem:
            notes.append(f"{wanted.source}: no failures counted ({errors.problem})")
        return _windows(found, _names(d, wanted), now), "", notes


async def _counters(
    source: MetricSource, wanted: RequestsFrom, begin: float, now: float
) -> dict[str, Increases]:
    """Ask for all counters at once."""
    labels = (wanted.by, *((wanted.endpoint,) if wanted.endpoint else ()))
    asked = {"total": (wanted.total, labels)}
    if wanted.errors:
        asked["errors"] = (wanted.errors, labels)
    if wanted.latency:
        asked["latency"] = (wanted.latency, (*labels, "le"))
    got = await asyncio.gather(
        *(source.increases(text, begin, now, WIDTH, by) for text, by in asked.values())
    )
    return dict(zip(asked, got, strict=True))


def _finished(task: asyncio.Task[Polled], now: float, monotonic: float) -> Polled:
    """Return a poll's answer; a source that breaks its promise not to raise is told like one that is down."""
    error = None if task.cancelled() else task.exception()
    if error is None and not task.cancelled():
        return task.result()
    log.error("poll failed", exc_info=error, extra={"action": "poll.failed"})
    return Polled(problems={REQUESTS: f"asking failed ({type(error).__name__})"}, asked=monotonic, at=now)


async def _selected(d: Deployment, source: SelectSource, query: Query, now: float) -> dict[Side, Reading]:
    """Run a SELECT for each side; it is told whom it is about."""
    since = now - d.policy.source(query.source).window_seconds
    versions = {Side.CANARY: d.version, Side.STABLE: d.stable_version}
    texts = {Side.CANARY: query.canary, Side.STABLE: query.stable or query.canary}
    got = await asyncio.gather(
        *(
            source.select(texts[side], since=since, until=now, version=versions[side], side=side.value)
            for side in _SIDES
        )
    )
    return dict(zip(_SIDES, got, strict=True))


def _names(d: Deployment, given: Any) -> dict[str, Side]:
    """Return which label value means which side."""
    return {given.canary_is or d.version: Side.CANARY, given.stable_is or d.stable_version: Side.STABLE}


def _split(readings: Iterable[Reading], by: str, names: Mapping[str, Side]) -> dict[Side, Reading]:
    """Tell one answer's series apart by a label."""
    found: dict[Side, list[Reading]] = defaultdict(list)
    readings = list(readings)
    for reading in readings:
        side = names.get(reading.labels.get(by, ""))
        if side:
            found[side].append(reading)
    whole = next((r.problem for r in readings if r.problem and by not in r.labels), "")
    if whole:
        return {side: Reading(value=None, problem=whole) for side in _SIDES}
    return {side: single(found.get(side, ())) for side in _SIDES}


def _windows(found: Mapping[str, Increases], names: Mapping[str, Side], now: float) -> list[Window]:
    """Make windows of growth; one whose other side is still missing waits, but not for ever."""
    errors = found.get("errors")
    failing = {group for group, _ in errors.windows} if errors else set()
    latencies = _latencies(found.get("latency"))
    sides: dict[int, set[Side]] = defaultdict(set)
    made = []
    for (group, start), growth in found["total"].windows.items():
        side = names.get(group[0])
        if side is None:
            continue
        sides[start].add(side)
        failed = errors.windows.get((group, start)) if errors and group in failing else 0.0
        if failed is None:
            continue  # failures are counted for this group, but not known for this window
        made.append(
            Window(
                side=side,
                start=start,
                seconds=WIDTH,
                requests=max(round(growth), round(failed)),
                errors=round(failed),
                latency=latencies.get((group, start)) or Histogram(),
                endpoint=group[1] if len(group) > 1 else "",
            )
        )
    waiting = [s for s, seen in sides.items() if len(seen) < len(_SIDES) and now - s < PATIENCE]
    first = min(waiting, default=inf)
    return sorted((w for w in made if w.start < first), key=lambda w: w.start)


def _latencies(found: Increases | None) -> dict[tuple[tuple[str, ...], int], Histogram]:
    """Put the buckets of one group and window together."""
    buckets: dict[tuple[tuple[str, ...], int], dict[float, int]] = defaultdict(dict)
    for (group, start), growth in (found.windows if found else {}).items():
        buckets[group[:-1], start][_milliseconds(group[-1])] = round(growth)
    return {key: Histogram.from_cumulative(counts, 0.0) for key, counts in buckets.items()}


def _milliseconds(le: str) -> float:
    return inf if le in ("+Inf", "inf") else float(le) * 1000.0
