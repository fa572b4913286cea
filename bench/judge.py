"""What the sequential judge costs: a deployment's tick with 20 endpoints × (errors, latency, 3 metrics).

Processor time, as the machine may have other work.
"""

from __future__ import annotations

import gc
import random
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from statistics import median
from time import process_time

from serinus.core.analysis.evidence import Evidence, Sample, SampleKind, Side, Window
from serinus.core.analysis.sequential.judge import Counts, Judge, Moment, Pair
from serinus.core.analysis.sequential.latency import buckets_of
from serinus.core.analysis.sequential.plan import MetricHarm, Plan
from serinus.core.decide import decide
from serinus.core.histogram import Histogram
from serinus.core.lifecycle import moves
from serinus.core.model import Deployment, Mode, Step, Strategy
from serinus.core.policy.presets import SEQUENTIAL

__all__ = ["feeds", "ticks"]

START = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)
WIDTH = 10
METRICS = ("queue", "conversion", "cost")


def latencies(rnd: random.Random, requests: int, scale_ms: float) -> Histogram:
    """Return log-normal latencies as the SDK sends them."""
    found = Histogram()
    for _ in range(requests):
        found.record(rnd.lognormvariate(0.0, 0.5) * scale_ms)
    return found


def windows_at(rnd: random.Random, start: int, endpoints: int) -> list[Window]:
    """Return one moment's windows: 300 requests of stable and 100 of the canary per endpoint."""
    return [
        Window(
            side=side,
            start=start,
            seconds=WIDTH,
            requests=requests,
            errors=sum(rnd.random() < 0.003 for _ in range(requests)),
            latency=latencies(rnd, requests, 20.0 + 5.0 * n),
            endpoint=f"GET /endpoint/{n}",
        )
        for n in range(endpoints)
        for side, requests in ((Side.STABLE, 300), (Side.CANARY, 100))
    ]


def samples_at(rnd: random.Random, start: int) -> list[Sample]:
    """Return one reading of each metric of both sides."""
    return [
        Sample(side=side, name=name, start=start, value=rnd.gauss(10, 1), kind=SampleKind.GAUGE)
        for name in METRICS
        for side in Side
    ]


def deployment() -> Deployment:
    """Return a deployment at 25 % under the sequential policy with three metrics."""
    plan = Plan(metrics=tuple(MetricHarm(name=name) for name in METRICS), warm_up=60.0)
    draft = Deployment(
        id="d",
        tenant_id="t",
        service_id="s",
        service="checkout",
        version="v2",
        stable_version="v1",
        strategy=Strategy(mode=Mode.AUTO, steps=(Step(traffic_bp=2500, hold_seconds=3600),)),
        policy=replace(SEQUENTIAL, judge=plan),
    )
    return moves.start(draft, START).next_state


def ticks(closing: int = 40, endpoints: int = 20, seed: int = 1) -> dict[str, float]:
    """Return median ms of ``decide`` for a tick in which a window closed, and for one in which none did."""
    rnd, d = random.Random(seed), deployment()
    windows: list[Window] = []
    samples: list[Sample] = []
    closed, calm = [], []
    for n in range(closing + 10):
        start = int(START.timestamp()) + n * WIDTH
        windows = [w for w in windows if w.start > start - 300] + windows_at(rnd, start, endpoints)
        samples = [s for s in samples if s.start > start - 300] + samples_at(rnd, start)
        evidence = Evidence(windows=tuple(windows), samples=tuple(samples))
        for after, found in ((16, closed), (18, calm)):
            now = START + timedelta(seconds=n * WIDTH + after)
            gc.disable()
            began = process_time()
            d = decide(d, evidence, now).next_state
            took = (process_time() - began) * 1e3
            gc.enable()
            if n >= 10:  # warm caches, and past the warm-up
                found.append(took)
    return {"tick, a window closed": median(closed), "tick, nothing closed": median(calm)}


def feeds(windows: int = 200, seed: int = 1) -> dict[str, float]:
    """Return median ms of ``feed`` for one stratum, with and without latencies."""
    return {
        "feed, one stratum": _feed(windows, seed, buckets_of),
        "feed, one stratum, errors only": _feed(windows, seed, lambda h: None),
    }


def _feed(windows: int, seed: int, buckets: Callable[[Histogram], object]) -> float:
    rnd, judge, took = random.Random(seed), Judge(Plan(warm_up=60.0)), []
    for n in range(windows):
        sides = [
            Counts(
                requests,
                sum(rnd.random() < 0.003 for _ in range(requests)),
                buckets(latencies(rnd, requests, 20.0)),
            )
            for requests in (300, 100)
        ]
        moment = Moment(start=n * WIDTH, seconds=WIDTH, strata={"": Pair(*sides)}, share=0.25)
        began = process_time()
        judge.feed(moment)
        took.append((process_time() - began) * 1e3)
    return median(took[10:])


if __name__ == "__main__":
    for name, ms in {**ticks(), **feeds()}.items():
        print(f"{name}: {ms:.3f} ms")
