"""Gathering what was measured for one deployment, and turning proxies' counters into windows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from math import inf
from typing import Any

from serinus.control.assignments.sightings import lately
from serinus.core.analysis.evidence import Evidence, Side, TrafficState, Window
from serinus.core.bucketing import BUCKETS
from serinus.core.histogram import Histogram
from serinus.core.model import Deployment, Status
from serinus.ports.store import Transaction
from serinus.ports.traffic import Counters

__all__ = ["breaker_key", "delta_windows", "every_total", "every_window", "gather", "remember"]

#: How much of stable's history before it lost all traffic is its baseline, in check horizons.
BASELINE_HORIZONS = 1.0
#: How far back the judge catches up after an outage of our own.
CATCH_UP_SECONDS = 3600.0


async def gather(
    tx: Transaction,
    d: Deployment,
    now: datetime,
    *,
    traffic: TrafficState | None = None,
    fresh: tuple[int, int] = (0, 0),
    open_breakers: tuple[str, ...] = (),
    notes: tuple[str, ...] = (),
    problems: Mapping[str, str] | None = None,
) -> Evidence:
    """Read everything that a decision about ``d`` needs. ``fresh`` is (errors, successes) since last."""
    moment = now.timestamp()
    horizon = d.policy.horizon_seconds
    since = moment - horizon
    if d.policy.judge:
        # Windows that closed while nobody looked are fed late rather than never.
        since = min(since, max(d.judged_until, moment - CATCH_UP_SECONDS))
    windows, samples = await tx.evidence.read(d.tenant_id, d.id, since, moment + 60, d.arm)
    baseline: tuple[Window, ...] = ()
    compares = bool(d.policy.checks or d.policy.gate)  # the judge keeps stable's history itself
    if compares and d.status is Status.CANARY and d.traffic_bp >= BUCKETS and d.step_started_at:
        lost = d.step_started_at.timestamp()
        since = lost - horizon * BASELINE_HORIZONS
        before, _ = await tx.evidence.read(d.tenant_id, d.id, since, lost, d.arm)
        baseline = tuple(w for w in before if w.side is Side.STABLE)
    return Evidence(
        windows=windows,
        samples=samples,
        baseline=baseline,
        traffic=traffic or TrafficState(),
        open_breakers=open_breakers,
        fresh_errors=fresh[0],
        fresh_successes=fresh[1],
        notes=notes,
        problems=problems or {},
        sightings=await lately(tx, d, moment),
    )


async def every_window(tx: Transaction, d: Deployment, since: float, until: float) -> tuple[Window, ...]:
    """Read what overlaps a span, of stable and of every candidate."""
    windows, _ = await tx.evidence.read(d.tenant_id, d.id, since, until)
    for arm in range(1, len(d.candidates)):
        more, _ = await tx.evidence.read(d.tenant_id, d.id, since, until, arm)
        windows += tuple(w for w in more if w.side is Side.CANARY)
    return windows


async def every_total(tx: Transaction, d: Deployment) -> tuple[Window, ...]:
    """Read the all-time totals of stable and of every candidate."""
    windows = await tx.evidence.totals(d.tenant_id, d.id)
    for arm in range(1, len(d.candidates)):
        more = await tx.evidence.totals(d.tenant_id, d.id, arm)
        windows += tuple(w for w in more if w.side is Side.CANARY)
    return windows


def breaker_key(deployment_id: str, arm: int) -> str:
    """Return under which key the breakers are remembered that SDK processes have opened."""
    return f"breaker:{deployment_id}:{arm}" if arm else f"breaker:{deployment_id}"


def delta_windows(
    d: Deployment, counters: Iterable[Counters], last: Mapping[str, Any], now: float, width: int
) -> list[Window]:
    """Return what was counted since ``last`` as windows of the present moment.

    An instance seen for the first time only sets its mark: what it counted before this deployment
    is not this deployment's. A counter that went down was restarted and counts from zero.
    """
    start = int(now // width) * width
    windows = []
    for c in counters:
        side = _side(d, c.version)
        if side is None or c.instance not in {k.split("|")[0] for k in last}:
            continue
        window = _delta(c, last.get(_key(c), {}), side, start, width)
        if window:
            windows.append(window)
    return windows


def remember(counters: Iterable[Counters], last: Mapping[str, Any]) -> dict[str, Any]:
    """Return the marks to store after this reading; instances that did not answer keep theirs."""
    marks = dict(last)
    for c in counters:
        marks[_key(c)] = {
            "requests": c.requests,
            "errors": c.errors,
            "total_ms": c.latency_total_ms,
            "buckets": {("inf" if edge == inf else repr(edge)): n for edge, n in c.buckets.items()},
        }
    return marks


def _key(c: Counters) -> str:
    return f"{c.instance}|{c.version}"


def _side(d: Deployment, version: str) -> Side | None:
    if version == d.version:
        return Side.CANARY
    return Side.STABLE if version == d.stable_version else None


def _delta(c: Counters, mark: Mapping[str, Any], side: Side, start: int, width: int) -> Window | None:
    restarted = c.requests < mark.get("requests", 0) or c.errors < mark.get("errors", 0)
    mark = {} if restarted else mark
    requests = c.requests - mark.get("requests", 0)
    errors = c.errors - mark.get("errors", 0)
    if requests <= 0 and errors <= 0:
        return None
    before = {float(edge): n for edge, n in mark.get("buckets", {}).items()}
    buckets = {edge: max(0, n - before.get(edge, 0)) for edge, n in c.buckets.items()}
    total = max(0.0, c.latency_total_ms - mark.get("total_ms", 0.0))
    return Window(
        side=side,
        start=start,
        seconds=width,
        requests=max(requests, errors),
        errors=errors,
        latency=Histogram.from_cumulative(buckets, total),
    )
