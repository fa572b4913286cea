"""Small worlds for the judge: seeded traffic, window by window."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from serinus.core.analysis.sequential.judge import Counts, Judge, Moment, Pair
from serinus.core.analysis.sequential.latency import Buckets

WIDTH = 10
#: Edges of the histograms, ms: 8 a doubling.
EDGES = tuple(2.0 ** (k / 8) for k in range(8, 81))


def events(rnd: random.Random, mean: float) -> int:
    """Return a Poisson number."""
    found, at = 0, rnd.expovariate(1.0)
    while at < mean:
        found, at = found + 1, at + rnd.expovariate(1.0)
    return found


def latencies(rnd: random.Random, requests: int, factor: float = 1.0, ms: float = 20.0) -> Buckets:
    """Return log-normal latencies as counts."""
    counts = [0] * (len(EDGES) + 1)
    from bisect import bisect_left

    for _ in range(requests):
        counts[bisect_left(EDGES, rnd.lognormvariate(0.0, 0.5) * ms * factor)] += 1
    return Buckets((*EDGES, 1e6), tuple(counts))


@dataclass(frozen=True, kw_only=True)
class Side:
    """One side of one endpoint in one window."""

    requests: int
    rate: float = 0.003
    #: Errors come so many at a time.
    cluster: int = 1
    slower: float = 1.0
    #: ``None``: not measured.
    ms: float | None = None

    def draw(self, rnd: random.Random) -> Counts:
        """Let it happen."""
        mean = self.requests * self.rate
        failed = self.requests if self.rate >= 1 else events(rnd, mean / self.cluster) * self.cluster
        seen = None if self.ms is None else latencies(rnd, self.requests, self.slower, self.ms)
        return Counts(self.requests, min(failed, self.requests), seen)


#: What happens in window n: endpoint → (stable, canary).
World = Callable[[int], dict[str, tuple[Side, Side]]]


@dataclass
class Told:
    """What the judge said of a world, and when."""

    found: int | None = None
    answers: list = field(default_factory=list)

    @property
    def last(self):
        """The newest answer."""
        return self.answers[-1]


def plain(canary: Side, stable: Side | None = None, since: int = 0) -> World:
    """Return a world of one endpoint that is healthy until window ``since``."""
    stable = stable or Side(requests=1800, ms=canary.ms)
    well = replace(stable, requests=canary.requests)
    return lambda n: {"": (stable, canary if n >= since else well)}


def moments(world: World, windows: int, seed: int = 1, **options) -> Iterator[Moment]:
    """Return a world's windows."""
    rnd = random.Random(seed)
    for n in range(windows):
        strata = {name: Pair(s.draw(rnd), c.draw(rnd)) for name, (s, c) in world(n).items()}
        yield Moment(start=n * WIDTH, seconds=WIDTH, strata=strata, **options)


def tell(judge: Judge, told: Iterator[Moment]) -> Told:
    """Feed a world until harm is found or it is over."""
    story = Told()
    for n, moment in enumerate(told):
        story.answers.append(judge.feed(moment))
        if story.last.finding == "harm":
            story.found = n
            break
    return story
