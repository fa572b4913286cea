"""A recorded week of one service, made by seeded chance, as a real Prometheus would have scraped it.

Six instances, four endpoints, a daily wave, bursts that hit all, a bad deploy on Tuesday (errors), a
slow one on Thursday (latency), a good one on Friday, a scrape gap of two minutes, and one restart.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

#: Monday, 2 March 2026, midnight UTC: the server keeps any date, as it is told to keep ten years.
MONDAY = 1_772_409_600
SCRAPE = 30
HOUR, DAY = 3600, 86_400
#: One file for each block of Prometheus' own length: its tool reads a file once for every block.
BLOCK = 2 * HOUR
EDGES = (0.025, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6)
#: Share of traffic, error rate, median seconds.
ENDPOINTS = {
    "/": (0.55, 0.002, 0.045),
    "/search": (0.25, 0.003, 0.14),
    "/cart": (0.15, 0.004, 0.09),
    "/pay": (0.05, 0.008, 0.3),
}


@dataclass(frozen=True, kw_only=True)
class Deploy:
    """A version beside the one before: its shares in turn, and what is wrong with it."""

    version: str
    at: float
    shares: tuple[float, ...] = (0.05, 0.25, 0.5)
    hold: float = 1200.0
    errors_plus: float = 0.0
    slower: float = 1.0
    kept: bool = False

    @property
    def end(self) -> float:
        """When it has all traffic or none."""
        return self.at + self.hold * len(self.shares)

    def share(self, at: np.ndarray) -> np.ndarray:
        """Return its share of all traffic."""
        share = np.zeros(len(at))
        for i, level in enumerate(self.shares):
            share[(at >= self.at + i * self.hold) & (at < self.at + (i + 1) * self.hold)] = level
        share[at >= self.end] = 1.0 if self.kept else 0.0
        return share


@dataclass(frozen=True, kw_only=True)
class Story:
    """What happens, in seconds from the start."""

    seconds: float
    deploys: tuple[Deploy, ...]
    #: (from, to) in which a fifth of a percent more fails everywhere and traffic is half as much again.
    bursts: tuple[tuple[float, float], ...] = ()
    gap: tuple[float, float] = (0, 0)
    #: (when, which instance).
    restart: tuple[float, int] = (0, 0)
    rate: float = 60.0
    seed: int = 7
    start: int = MONDAY
    instances: tuple[str, ...] = field(default=tuple(f"10.0.0.{i}:8080" for i in range(1, 7)))


WEEK = Story(
    seconds=7 * DAY,
    deploys=(
        Deploy(version="v2", at=1 * DAY + 14 * HOUR, errors_plus=0.02),
        Deploy(version="v3", at=3 * DAY + 10 * HOUR, slower=1.6),
        Deploy(version="v4", at=4 * DAY + 11 * HOUR, kept=True),
    ),
    bursts=tuple(
        (d * DAY + h * HOUR, d * DAY + h * HOUR + 900) for d, h in ((0, 9), (2, 20), (5, 13), (6, 21))
    ),
    gap=(2 * DAY + 5 * HOUR, 2 * DAY + 5 * HOUR + 150),
    restart=(5 * DAY + 3 * HOUR, 3),
)
#: The same in one day, for the everyday test: nothing is sped up, there is only less of it.
DAY_STORY = Story(
    seconds=DAY,
    deploys=(
        Deploy(version="v2", at=6 * HOUR, errors_plus=0.02),
        Deploy(version="v3", at=11 * HOUR, slower=1.6),
        Deploy(version="v4", at=16 * HOUR, kept=True),
    ),
    bursts=((3 * HOUR, 3 * HOUR + 900), (21 * HOUR, 21 * HOUR + 900)),
    gap=(9 * HOUR, 9 * HOUR + 150),
    restart=(14 * HOUR, 3),
)


def write(story: Story, folder: Path, promtool: str) -> int:
    """Write the story as blocks into ``folder / data``; return how many samples."""
    made, samples = Counted(story), 0
    for first in range(0, int(story.seconds), BLOCK):
        text = folder / "part.txt"
        lines = list(made.lines(first, min(first + BLOCK, int(story.seconds))))
        text.write_text("".join(lines) + "# EOF\n")
        samples += sum(chunk.count("\n") for chunk in lines) - len(lines)
        command = [promtool, "tsdb", "create-blocks-from", "openmetrics", "--quiet", str(text)]
        subprocess.run([*command, str(folder / "data")], check=True, capture_output=True)
        text.unlink()
    return samples


class Counted:
    """Every counter of the story at every scrape."""

    def __init__(self, story: Story) -> None:
        self.story = story
        self.at = np.arange(0, story.seconds, SCRAPE)
        self.rng = np.random.default_rng(story.seed)
        #: metric → (labels, values, when it is scraped)
        self.series: dict[str, list[tuple[str, np.ndarray, np.ndarray]]] = {}
        wave = 1 + 0.6 * np.sin((self.at / DAY - 0.35) * 2 * np.pi)
        self.burst = np.zeros(len(self.at), dtype=bool)
        for a, b in story.bursts:
            self.burst |= (self.at >= a) & (self.at < b)
        self.rate = story.rate * wave * np.where(self.burst, 1.5, 1.0)
        self.scraped = ~((self.at >= story.gap[0]) & (self.at < story.gap[1]))
        shares, left = {}, np.ones(len(self.at))
        for deploy in story.deploys:
            shares[deploy.version] = (deploy, deploy.share(self.at) * 1.0)
            left = left - shares[deploy.version][1]
        base = Deploy(version="v1", at=0)
        self._version(base, left)
        for deploy, share in shares.values():
            self._version(deploy, share)
        for name in story.instances:
            self._add("up", f'instance="{name}",job="shop"', np.ones(len(self.at)), self.scraped)

    def _version(self, deploy: Deploy, share: np.ndarray) -> None:
        alive = share > 0
        if not alive.any():
            return
        # A process is scraped once before its first request and once after its last.
        seen = alive | np.roll(alive, -1) | np.roll(alive, 1)
        seen[0], seen[-1] = alive[0], alive[-1]
        for number, instance in enumerate(self.story.instances):
            for path, (part, errors, median) in ENDPOINTS.items():
                mean = self.rate * share * part * SCRAPE / len(self.story.instances)
                # Load balancers are not quite even, and neither are instances.
                requests = self.rng.poisson(mean * (1 + 0.02 * (number - 2.5) / 2.5))
                self._process(deploy, number, instance, path, requests, errors, median, seen & self.scraped)

    def _process(self, deploy, number, instance, path, requests, errors, median, seen) -> None:
        p = errors + deploy.errors_plus + np.where(self.burst, 0.002, 0.0)
        failed = self.rng.binomial(requests, p)
        labels = f'instance="{instance}",job="shop",path="{path}",version="{deploy.version}"'
        self._counter(f'{labels},status="200"', number, requests - failed, seen)
        self._counter(f'{labels},status="500"', number, failed, seen)
        slow = median * deploy.slower * (1 + 0.01 * (number - 2.5))
        below = [_normal(np.log(edge / slow) / 0.6) for edge in EDGES]
        shares = np.diff([0.0, *below, 1.0])
        buckets = self.rng.multinomial(requests, shares / shares.sum())
        for edge, counts in zip((*EDGES, "+Inf"), np.cumsum(buckets, axis=1).T, strict=True):
            name = "http_request_duration_seconds_bucket"
            self._add(name, f'{labels},le="{edge}"', self._restarted(number, counts), seen)

    def _counter(self, labels: str, number: int, counts: np.ndarray, seen: np.ndarray) -> None:
        self._add("http_requests_total", labels, self._restarted(number, counts), seen)

    def _restarted(self, number: int, counts: np.ndarray) -> np.ndarray:
        """Count up; from zero again after the restart."""
        total = np.cumsum(counts)
        when, which = self.story.restart
        if when and which == number:
            index = int(when // SCRAPE)
            total[index:] -= total[index]
        return total

    def _add(self, name: str, labels: str, values: np.ndarray, seen: np.ndarray) -> None:
        self.series.setdefault(name, []).append((labels, values.astype(np.int64), seen))

    def lines(self, first: int, last: int) -> Iterator[str]:
        """Return OpenMetrics text for the scrapes in this stretch, one metric at a time."""
        part = slice(first // SCRAPE, -(-last // SCRAPE))
        # Each read comes a little after its time, the same for all series of an instance.
        times = [f"{self.story.start + at + 0.25:.3f}" for at in self.at[part].tolist()]
        for name, rows in self.series.items():
            kind = "counter" if name.endswith("_total") else "gauge"
            chunk = [f"# TYPE {name.removesuffix('_total')} {kind}\n"]
            for labels, values, seen in rows:
                head = f"{name}{{{labels}}} "
                shown = zip(values[part].tolist(), times, seen[part].tolist(), strict=True)
                chunk += [f"{head}{value} {at}\n" for value, at, there in shown if there]
            yield "".join(chunk)


def _normal(z: float) -> float:
    from math import erf, sqrt

    return 0.5 * (1 + erf(z / sqrt(2)))
