"""Traffic of a world, window by window, with the split that the rollout asks for at the moment.

Counts are drawn for many windows at once and thrown away when the split changes before they are used.
The order of draws hangs only on the seed and on the splits, so the same policy sees the same traffic.
"""

from __future__ import annotations

from dataclasses import dataclass
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
        self._late = round(world.holes.errors_late_seconds / WIDTH)
        shape = (SIDES, len(self.endpoints), count)
        self._errors = np.zeros(shape, dtype=np.int64)
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
        for side, flows in enumerate(block.flows):
            for e, flow in enumerate(flows):
                self._errors[side, e, at] = flow.errors[row]
            arrives = int(self.weather.arrives[side, at])
            if arrives >= 0:
                self._waiting.setdefault(arrives, []).append((side, at, *self._windows(side, at, flows, row)))
        canary = sum(int(flow.requests[row]) for flow in block.flows[CANARY])
        return canary, self._waiting.pop(at, [])

    def _windows(self, side: int, at: int, flows: list[Flow], row: int) -> tuple[list[Window], Ints]:
        windows = []
        blind = bool(self.weather.blind[side, at])
        counted = np.zeros(len(self.grid.index), dtype=np.int64)
        for e, (endpoint, flow) in enumerate(zip(self.endpoints, flows, strict=True)):
            requests = int(flow.requests[row])
            if not requests:
                continue
            reported = at - self._late
            errors = int(self._errors[side, e, reported]) if reported >= 0 else 0
            latency = Histogram(self.grid.scale)
            if not blind:
                counted += flow.latency[row]
                fill(latency, self.grid, flow.latency[row])
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
        return windows, counted

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
