"""Alone at 100 %: held against what was recorded of stable."""

from __future__ import annotations

import random
from math import exp

import pytest

from serinus.core.analysis.sequential.latency import Reference, buckets_of
from serinus.core.analysis.sequential.watch import RATIOS, Recorded, Watch
from serinus.core.histogram import Histogram

#: What the watch's own capital must grow by for a rollback: 100 at a stake of 6 %.
CALLED = 1667.0
#: Stable's hour before: 0.3 % of 200,000 requests failed.
HOUR = Recorded(requests=200_000, errors=600)


def poisson(rnd: random.Random, mean: float) -> int:
    """Return a number of errors."""
    found, at = 0, rnd.expovariate(1.0)
    while at < mean:
        found, at = found + 1, at + rnd.expovariate(1.0)
    return found


def peak(rnd: random.Random, rate: float, recorded: Recorded = HOUR, windows: int = 180) -> float:
    """Return the watch's largest value over half an hour of 2,000 requests a window."""
    watch, top = Watch(), 1.0
    for _ in range(windows):
        watch.see_errors(2000, poisson(rnd, 2000 * rate), recorded, 2.0, 1.0, 0.8 / windows)
        top = max(top, watch.value())
    return top


def latencies(rnd: random.Random, many: int, factor: float = 1.0) -> Histogram:
    """Return latencies around 20 ms."""
    histogram = Histogram()
    for _ in range(many):
        histogram.record(rnd.lognormvariate(3.0, 0.5) * factor)
    return histogram


def test_before_the_first_window_it_is_worth_what_was_staked():
    """Nothing won, nothing lost."""
    assert Watch().value() == 1.0


def test_no_bet_gains_at_the_worst_rate_that_is_allowed():
    """Exactly: at twice the recorded rate the mean over all numbers of errors is at most 1."""
    allowed = 2.0 * HOUR.rate
    n = 200
    for k, _ in enumerate(RATIOS):
        mean, chance = 0.0, (1 - allowed) ** n
        for x in range(n + 1):
            watch = Watch()
            watch.see_errors(n, x, HOUR, 2.0, 1.0, 0.0)
            mean += chance * exp(watch.errors.early[k])
            chance *= (n - x) / (x + 1) * allowed / (1 - allowed)
        assert mean <= 1 + 1e-9


@pytest.mark.parametrize("drift", [1.0, 1.5, 2.0])
def test_drift_within_what_is_allowed_is_not_called(drift):
    """20 half hours each."""
    assert max(peak(random.Random(seed), 0.003 * drift) for seed in range(20)) < CALLED


def test_a_fault_beyond_drift_is_called():
    """Five times the recorded errors, within the half hour."""
    assert min(peak(random.Random(seed), 0.015) for seed in range(20)) > CALLED


def test_an_outage_is_called_in_one_window():
    """Everything fails."""
    watch = Watch()
    watch.see_errors(2000, 2000, HOUR, 2.0, 1.0, 0.0)
    assert watch.value() > CALLED
    assert watch.blames() == "errors"


def test_little_recorded_history_is_not_trusted():
    """Without an error among 50 requests, stable's rate may still be 8 %."""
    assert Recorded().rate == 1.0
    assert Recorded(requests=50).rate == pytest.approx(0.08)
    assert peak(random.Random(1), 0.05, Recorded(requests=50), windows=20) < CALLED


def test_latency_far_beyond_the_recorded_is_called():
    """Three times as slow is, a fifth slower and a bad mix of luck are not: drift allows the root of two."""
    found = {}
    for factor in (1.0, 1.2, 3.0):
        rnd = random.Random(6)
        seen = buckets_of(latencies(rnd, 4000))
        reference = Reference.of(seen)
        reference.learn(reference.place(seen))
        watch = Watch()
        for _ in range(12):
            counts = reference.place(buckets_of(latencies(rnd, 200, factor)))
            watch.see_errors(200, 1, HOUR, 2.0, 1.0, 0.01)
            watch.see_latency([(reference, counts)], 2.0**0.5, 5.6, 0.01)
        found[factor] = watch
    assert found[1.0].value() < 1.1
    assert found[1.2].value() < 1.5
    assert found[3.0].value() > CALLED
    assert found[3.0].blames() == "latency"
