"""Traffic of a world, window by window, with the split that the rollout asks for at the moment.

Counts are drawn for many windows at once and thrown away when the split changes before they are used.
The order of draws hangs only on the seed and on the splits, so the same policy sees the same traffic.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from zlib import crc32

import numpy as np

from serinus.core.analysis.evidence import Side, Window
from serinus.core.histogram import Histogram
from serinus.sim.grid import Floats, Grid, Ints, chances, grid_of
from serinus.sim.weather import CANARY, SIDES, STABLE, WIDTH, Weather, spread_factor, weather_of
from serinus.sim.world import Clusters, Endpoint, Law, World

__all__ = ["EPOCH", "Block", "Flow", "Traffic"]

#: When simulated time begins: any moment at a window's edge does.
EPOCH = 1_800_000_000
#: Windows that are drawn at once.
AHEAD = 30
#: Above this rate failures are not clustered: nearly everything fails anyway.
UNCLUSTERED = 0.3

_SIDES = (Side.STABLE, Side.CANARY)


@dataclass(slots=True)
class Flow:
    """One endpoint of one side over a block of windows: what was drawn, and from which chances."""

    requests: Ints
    errors: Ints
    #: Independent failures: clusters count as one.
    events: Ints
    latency: Ints
    #: Chance of an error with and without the fault.
    chance: Floats
    chance_without: Floats
    #: Bucket probabilities with and without the fault.
    buckets: Floats
    buckets_without: Floats


@dataclass(slots=True)
class Block:
    """Windows ``first`` to ``last`` (excluded) with one split: ``flows[side][endpoint]``."""

    first: int
    last: int
    share: float
    flows: list[list[Flow]]


class _Served:
    """A flow as plain numbers, a row per window: taken from arrays all at once, as one by one is slow."""

    __slots__ = ("buckets", "counts", "errors", "requests", "totals")

    def __init__(self, flow: Flow, grid: Grid) -> None:
        self.requests: list[int] = flow.requests.tolist()
        self.errors: list[int] = flow.errors.tolist()
        self.counts: list[int] = flow.latency.sum(axis=1).tolist()
        rows, places = flow.latency.nonzero()
        found, middle = flow.latency[rows, places], grid.middle[places]
        index, many = grid.index[places].tolist(), found.tolist()
        ends = np.searchsorted(rows, np.arange(len(self.requests) + 1)).tolist()
        self.buckets = [dict(zip(index[a:b], many[a:b], strict=True)) for a, b in pairwise(ends)]
        self.totals = [float(middle[a:b] @ found[a:b]) for a, b in pairwise(ends)]

    def latency(self, row: int, scale: int) -> Histogram:
        """Return a window's latencies."""
        histogram = Histogram(scale)
        histogram.buckets, histogram.count = self.buckets[row], self.counts[row]
        histogram.total = self.totals[row]
        return histogram


class Traffic:
    """The traffic of one rollout. ``count`` is how many windows it may last."""

    def __init__(self, world: World, seed: int, run: int, count: int) -> None:
        """Draw the weather; traffic is drawn as it is asked for."""
        seeds = np.random.SeedSequence([seed, crc32(world.name.encode()), run]).spawn(2)
        self.world, self.count = world, count
        self.grid: Grid = grid_of(world)
        self.weather: Weather = weather_of(world, np.random.default_rng(seeds[0]), count)
        self._rng = np.random.default_rng(seeds[1])
        self.endpoints = world.endpoints or (Endpoint(name="", share=1.0),)
        self._block: Block | None = None
        self._served: tuple[Block, list[list[_Served]]] | None = None
        self._arrives: list[list[int]] = self.weather.arrives.tolist()
        self._blind: list[list[bool]] = self.weather.blind.tolist()
        self._late = round(world.holes.errors_late_seconds / WIDTH)
        self._errors = [[[0] * count for _ in self.endpoints] for _ in range(SIDES)]
        self._waiting: dict[int, list[tuple[int, int, list[Window], Ints]]] = {}

    def block(self, at: int, share: float) -> Block:
        """Return the block that holds window ``at`` under ``share`` (0 to 1) of canary traffic."""
        block = self._block
        if block is None or not block.first <= at < block.last or block.share != share:
            last = min(self.count, (at // AHEAD + 1) * AHEAD)
            flows = [self._side(side, at, last, share) for side in range(SIDES)]
            self._block = block = Block(at, last, share, flows)
        return block

    def serve(self, at: int, share: float) -> tuple[int, list[tuple[int, int, list[Window], Ints]]]:
        """Let window ``at`` pass. Return the canary's requests, and what is known at its end.

        That is, per side: its window's number, the windows per endpoint, and their latency counts added up.
        """
        block = self.block(at, share)
        row = at - block.first
        served = self._plain(block)
        for side, flows in enumerate(served):
            for e, flow in enumerate(flows):
                self._errors[side][e][at] = flow.errors[row]
            arrives = self._arrives[side][at]
            if arrives >= 0:
                known = side, at, self._windows(side, at, flows, row), self._counted(side, at, row, block)
                self._waiting.setdefault(arrives, []).append(known)
        canary = sum(flow.requests[row] for flow in served[CANARY])
        return canary, self._waiting.pop(at, [])

    def _plain(self, block: Block) -> list[list[_Served]]:
        """Return a block's flows as plain numbers."""
        if self._served is None or self._served[0] is not block:
            flows = [[_Served(flow, self.grid) for flow in flows] for flows in block.flows]
            self._served = block, flows
        return self._served[1]

    def _counted(self, side: int, at: int, row: int, block: Block) -> Ints:
        """Return the latency counts of all endpoints together."""
        first, *others = block.flows[side]
        if self._blind[side][at]:
            return np.zeros_like(first.latency[row])
        counted: Ints = sum((flow.latency[row] for flow in others), start=first.latency[row])
        return counted

    def _windows(self, side: int, at: int, flows: list[_Served], row: int) -> list[Window]:
        windows = []
        blind, reported = self._blind[side][at], at - self._late
        for e, (endpoint, flow) in enumerate(zip(self.endpoints, flows, strict=True)):
            requests = flow.requests[row]
            if not requests:
                continue
            errors = self._errors[side][e][reported] if reported >= 0 else 0
            latency = Histogram(self.grid.scale) if blind else flow.latency(row, self.grid.scale)
            windows.append(
                Window(
                    side=_SIDES[side],
                    start=EPOCH + at * WIDTH,
                    seconds=WIDTH,
                    requests=requests,
                    errors=min(errors, requests),
                    latency=latency,
                    endpoint=endpoint.name,
                )
            )
        return windows

    def _side(self, side: int, first: int, last: int, share: float) -> list[Flow]:
        portion = share if side == CANARY else 1.0 - share
        return [self._flow(side, endpoint, slice(first, last), portion) for endpoint in self.endpoints]

    def _flow(self, side: int, endpoint: Endpoint, span: slice, portion: float) -> Flow:
        world, weather, rng = self.world, self.weather, self._rng
        mix = endpoint.share if side == STABLE or endpoint.canary_share is None else endpoint.canary_share
        arriving = world.rate * WIDTH * portion * mix * weather.load[span]
        errors, slow = weather.errors[side, span], weather.latency[side, span]
        if world.users:
            users = (
                world.rate * portion * world.users.seconds / world.users.requests_each * weather.load[span]
            )
            normal = weather.users[side, span]
            errors = errors * spread_factor(world.users.error_spread, users, normal)
            slow = slow * spread_factor(world.users.latency_spread, users, -normal)
        without = np.minimum(world.error_rate * endpoint.error_factor * errors, 0.99)
        there = weather.fault[span] if side == CANARY else np.zeros(span.stop - span.start)
        chance, slower, tail = self._faulty(endpoint, without, there)
        if world.reaction:
            arriving = arriving * (1 + world.reaction.retries * chance)
            arriving = arriving * (slow * slower) ** -world.reaction.patience
        requests = rng.poisson(arriving)
        failed, events = draw_errors(rng, requests, chance, world.clusters)
        factor = slow * endpoint.latency_factor
        healthy = chances(self.grid, world.latency, factor)
        buckets = healthy
        if there.any() and (tail is not None or (slower != 1).any()):
            rate = world.fault.tail_factor if world.fault else 1.0
            buckets = chances(self.grid, world.latency, factor * slower, tail, rate)
        latency = rng.multinomial(requests, buckets)
        return Flow(requests, failed, events, latency, chance, without, buckets, healthy)

    def _faulty(
        self, endpoint: Endpoint, without: Floats, there: Floats
    ) -> tuple[Floats, Floats, Floats | None]:
        """Return the chance of an error, how much slower it is, and the share of the slow tail."""
        fault = self.world.fault
        if fault is None or (fault.endpoint and fault.endpoint != endpoint.name) or not there.any():
            return without, np.ones(len(without)), None
        chance = without * (1 + (fault.error_ratio - 1) * there) + fault.error_points / 100 * there
        if fault.outage:
            chance = np.maximum(chance, there)
        tail = fault.tail_share * there if fault.tail_share else None
        return np.minimum(chance, 1.0), 1 + (fault.latency_ratio - 1) * there, tail


def draw_errors(
    rng: np.random.Generator, requests: Ints, chance: Floats, clusters: Clusters | None
) -> tuple[Ints, Ints]:
    """Draw how many requests fail, and how many independent failures that is."""
    if clusters is None or clusters.size <= 1 or float(chance.max(initial=0.0)) > UNCLUSTERED:
        failed = rng.binomial(requests, chance)
        return failed, failed
    events = rng.poisson(requests * chance / clusters.size)
    if clusters.law is Law.FIXED:
        return np.minimum(requests, events * clusters.size), events
    dragged = rng.negative_binomial(np.maximum(events, 1), 1 / clusters.size)
    return np.minimum(requests, (events + dragged) * (events > 0)), events


def fill(histogram: Histogram, grid: Grid, counts: Ints) -> None:
    """Put drawn counts into an empty histogram of the grid's scale."""
    seen = counts.nonzero()[0]
    found = counts[seen]
    histogram.buckets = dict(zip(grid.index[seen].tolist(), found.tolist(), strict=True))
    histogram.count = int(found.sum())
    histogram.total = float(grid.middle[seen] @ found)
