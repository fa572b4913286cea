"""Worlds: what traffic is like, and what is wrong with the canary, if anything.

Whatever has no share of its own in a fault is the same on both sides: a wave, a burst or noise moves
stable and canary alike. Only ``cold_start``, ``pod_noise``, ``harmless``, ``users`` and the fault itself
tell the sides apart.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

__all__ = [
    "Bursts",
    "Clusters",
    "ColdStart",
    "Difference",
    "Endpoint",
    "Fault",
    "Holes",
    "Kind",
    "Latency",
    "Law",
    "Noise",
    "PodNoise",
    "Reaction",
    "Users",
    "Wave",
    "World",
    "problems_of",
]


class Kind(StrEnum):
    """Whether rolling back is wrong or right."""

    HEALTHY = "healthy"  #: the canary is no worse than anybody would mind
    FAULTY = "faulty"  #: it is


class Law(StrEnum):
    """How the sizes of retry clusters are spread."""

    FIXED = "fixed"  #: every cluster has the same size
    GEOMETRIC = "geometric"  #: many small ones, few large ones


@dataclass(frozen=True, kw_only=True, slots=True)
class Latency:
    """Log-normal response times, part of them from a slower and wider second law."""

    median_ms: float = 100.0
    #: Standard deviation of the logarithm.
    sigma: float = 0.6
    #: Share of requests from the heavy tail, how many times slower and wider it is.
    heavy_share: float = 0.0
    heavy_factor: float = 4.0
    heavy_spread: float = 2.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Endpoint:
    """A part of the traffic with its own errors and latency."""

    name: str
    share: float
    #: Its share on the canary; the same unless given.
    canary_share: float | None = None
    error_factor: float = 1.0
    latency_factor: float = 1.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Wave:
    """A slow up and down of everything, on both sides: ``exp(size × sin)``."""

    size: float
    period_seconds: float = 1800.0
    #: Powers of the wave that errors, latency and the number of requests follow.
    errors: float = 1.0
    latency: float = 0.3
    load: float = 0.5


@dataclass(frozen=True, kw_only=True, slots=True)
class Bursts:
    """Short bad times that hit both sides: a database hiccup, a bad neighbour."""

    every_seconds: float
    seconds: float = 40.0
    errors: float = 8.0
    latency: float = 1.5


@dataclass(frozen=True, kw_only=True, slots=True)
class Noise:
    """Errors and latency wander on both sides and remember where they were."""

    size: float
    #: How much of it is left after ten seconds.
    memory: float = 0.9
    latency: float = 0.3


@dataclass(frozen=True, kw_only=True, slots=True)
class PodNoise:
    """The canary's few pods wander a little by themselves, around no difference: harmless."""

    latency: float = 0.02
    errors: float = 0.1
    memory: float = 0.95


@dataclass(frozen=True, kw_only=True, slots=True)
class Clusters:
    """Errors come in groups: one failure and its retries."""

    size: int
    law: Law = Law.FIXED


@dataclass(frozen=True, kw_only=True, slots=True)
class ColdStart:
    """The canary is slow at first (caches, compilers, pools), then equal."""

    seconds: float
    factor: float = 2.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Holes:
    """What is measured but does not arrive, or arrives late."""

    #: Share of windows lost, drawn for each side by itself.
    missing: float = 0.0
    #: Share of windows without a latency (a NaN quantile).
    no_latency: float = 0.0
    #: Nothing at all arrives from this second, for so long.
    gap_start: float = 0.0
    gap_seconds: float = 0.0
    #: Share of windows that arrive late as a whole, and how late.
    late_share: float = 0.0
    late_seconds: float = 0.0
    #: Errors are reported this much later than their requests.
    errors_late_seconds: float = 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Users:
    """Users stay on their side for a while and differ from each other, so their requests are correlated."""

    requests_each: float = 20.0
    seconds: float = 300.0
    #: Standard deviation between users, relative to the mean.
    error_spread: float = 0.0
    latency_spread: float = 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Reaction:
    """Load that reacts: clients wait for slow answers and retry failed ones."""

    #: Requests follow (slowdown) to the minus this power.
    patience: float = 0.0
    #: Requests added per failed one.
    retries: float = 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """A true difference of the canary that is too small for anybody to mind."""

    errors: float = 1.0
    latency: float = 1.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Fault:
    """What is wrong with the canary, from when on."""

    error_ratio: float = 1.0
    #: Percentage points of requests that fail in addition.
    error_points: float = 0.0
    latency_ratio: float = 1.0
    #: This share of requests takes ``tail_factor`` times as long.
    tail_share: float = 0.0
    tail_factor: float = 5.0
    #: Every request fails.
    outage: bool = False
    onset_seconds: float = 0.0
    #: It grows from nothing to the whole over this time.
    ramp_seconds: float = 0.0
    #: It is there for a while, and away for a while; 0: it stays.
    on_seconds: float = 0.0
    off_seconds: float = 0.0
    #: Only this endpoint has it.
    endpoint: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class World:
    """One kind of traffic, and what is wrong with the canary, if anything."""

    name: str
    #: One sentence: what this is like in reality.
    title: str
    kind: Kind = Kind.HEALTHY
    #: What it is grouped under in reports.
    family: str = "plain"
    #: Requests per second of both sides together.
    rate: float = 200.0
    error_rate: float = 0.003
    latency: Latency = Latency()
    #: The rollout's steps as ``[percent, seconds]``; 100 % follows the last one.
    steps: tuple[tuple[float, ...], ...] = ((1, 900), (5, 900), (25, 900))
    endpoints: tuple[Endpoint, ...] = ()
    wave: Wave | None = None
    bursts: Bursts | None = None
    noise: Noise | None = None
    pod_noise: PodNoise | None = None
    clusters: Clusters | None = None
    cold_start: ColdStart | None = None
    holes: Holes = Holes()
    users: Users | None = None
    reaction: Reaction | None = None
    harmless: Difference = Difference()
    fault: Fault | None = None
    #: Upper edges in milliseconds of Prometheus buckets; none: exact exponential histograms.
    buckets_ms: tuple[float, ...] = ()
    #: Distinct users per request, for counting whom a fault reached.
    users_per_request: float = 0.05

    @property
    def duration(self) -> float:
        """Seconds until 100 % when nothing holds it up."""
        return sum(step[1] for step in self.steps)

    @property
    def onset(self) -> float:
        """When the fault begins, in seconds; 0 without one."""
        return self.fault.onset_seconds if self.fault else 0.0


def problems_of(world: World) -> Iterator[str]:
    """Name what makes no sense in a world, beyond what its types say."""
    percents = [step[0] for step in world.steps if len(step) == 2]
    if len(percents) != len(world.steps) or not percents:
        yield "each of steps must be [percent, seconds], and there must be one"
    elif percents != sorted(set(percents)) or not 0 < percents[0] <= percents[-1] < 100:
        yield "the percentages of steps must rise and lie between 0 and 100"
    elif any(step[1] < 10 for step in world.steps):
        yield "a step must last at least 10 seconds"
    if world.rate <= 0 or not 0 <= world.error_rate < 1:
        yield "rate must be above 0 and error_rate from 0 to below 1"
    if world.latency.median_ms <= 0 or world.latency.sigma <= 0:
        yield "latency.median_ms and latency.sigma must be above 0"
    if list(world.buckets_ms) != sorted(set(world.buckets_ms)) or min(world.buckets_ms, default=1) <= 0:
        yield "buckets_ms must rise and be above 0"
    names = [endpoint.name for endpoint in world.endpoints]
    if len(set(names)) != len(names):
        yield "endpoints must have different names"
    if world.fault and world.fault.endpoint and world.fault.endpoint not in names:
        yield f"fault.endpoint is {world.fault.endpoint!r}, but endpoints has {', '.join(names) or 'none'}"
    if (world.kind is Kind.FAULTY) != (world.fault is not None):
        yield "a faulty world needs a fault, and a healthy one must not have one"
