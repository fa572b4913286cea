"""The limit: a sequential probability ratio test that knows both rates of the moment.

Wald (1945): among all tests with these error rates, none needs fewer requests on average. It sees what
a judge sees (lost windows are lost, late errors are late), but knows which error rate and which
latency each window has with and without the fault, under waves and bursts too. It looks at the ends of
windows, counts clusters as single events, and leaves out latency while the warm-up lasts.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import log

import numpy as np

from serinus.sim.grid import Floats, Ints
from serinus.sim.traffic import Flow, Traffic
from serinus.sim.weather import CANARY, WIDTH
from serinus.sim.world import World

__all__ = ["THRESHOLD", "WARM_UP", "Found", "error_ratio", "latency_ratio", "limit"]

#: One wrong alarm in a hundred.
THRESHOLD = log(100)
#: Seconds at the start of the rollout whose latency is not held against the canary (a plan's default).
WARM_UP = 120.0
#: Chances are kept this far from 0 and 1, so that one request that cannot be does not decide alone.
LEAST = 1e-9


@dataclass(frozen=True, slots=True)
class Found:
    """When a fault is found, counted from its onset."""

    requests: int
    seconds: float


def limit(world: World, seed: int, run: int) -> Found | None:
    """Run the oracle over one rollout that walks the world's steps; ``None``: not found by their end."""
    count = int(world.duration // WIDTH)
    traffic = Traffic(world, seed, run, count)
    share = np.concatenate([np.full(int(s // WIDTH), p / 100) for p, s in world.steps])[:count]
    share = np.pad(share, (0, count - len(share)), mode="edge")
    gained, requests = np.zeros(count), np.zeros(count, dtype=np.int64)
    late = round(world.holes.errors_late_seconds / WIDTH)
    at = 0
    while at < count:
        block = traffic.block(at, float(share[at]))
        same = np.flatnonzero(share[at : block.last] != share[at])
        last = at + int(same[0]) if len(same) else block.last
        rows = slice(at - block.first, last - block.first)
        for flow in block.flows[CANARY]:
            requests[at:last] += flow.requests[rows]
            _arrive(traffic, gained, at, error_ratio(flow, world)[rows], late)
            if last * WIDTH > WARM_UP:
                slow = latency_ratio(flow)[rows]
                slow[: max(0, int(WARM_UP // WIDTH) - at)] = 0.0
                slow[traffic.weather.blind[CANARY, at:last]] = 0.0
                _arrive(traffic, gained, at, slow, 0)
        at = last
    return _first(gained, requests, world)


def error_ratio(flow: Flow, world: World) -> Floats:
    """Return what each window's errors add to ln(likelihood ratio) of the fault."""
    p1 = np.clip(flow.chance, LEAST, 1 - LEAST)
    p0 = np.clip(flow.chance_without, LEAST, 1 - LEAST)
    ratio: Floats
    if world.clusters and world.clusters.size > 1 and flow.events is not flow.errors:
        ratio = flow.events * np.log(p1 / p0) - flow.requests * (p1 - p0) / world.clusters.size
        return ratio
    ratio = flow.errors * np.log(p1 / p0) + (flow.requests - flow.errors) * np.log((1 - p1) / (1 - p0))
    return ratio


def latency_ratio(flow: Flow) -> Floats:
    """Return what each window's latencies add to ln(likelihood ratio) of the fault."""
    if flow.buckets is flow.buckets_without:
        return np.zeros(len(flow.requests))
    weight = np.log(np.maximum(flow.buckets, LEAST) / np.maximum(flow.buckets_without, LEAST))
    ratio: Floats = (flow.latency * weight).sum(axis=1)
    return ratio


def _arrive(traffic: Traffic, gained: Floats, first: int, ratio: Floats, late: int) -> None:
    """Add evidence at the windows at whose ends it is known."""
    for row in np.flatnonzero(ratio).tolist():
        reported = first + row + late
        known = int(traffic.weather.arrives[CANARY, reported]) if reported < traffic.count else -1
        if 0 <= known < traffic.count:
            gained[known] += ratio[row]


def _first(gained: Floats, requests: Ints, world: World) -> Found | None:
    sure = np.flatnonzero(np.cumsum(gained) >= THRESHOLD)
    if not len(sure):
        return None
    onset, end = int(world.onset // WIDTH), int(sure[0]) + 1
    return Found(int(requests[onset:end].sum()), end * WIDTH - world.onset)
