"""The oracle against what is known of it in closed form, and exact intervals."""

from __future__ import annotations

from math import log
from statistics import mean, median

import numpy as np
import pytest

from serinus.sim.intervals import geometric_mean, quantile
from serinus.sim.library import Set, shipped
from serinus.sim.oracle import error_ratio, latency_ratio, limit
from serinus.sim.proportion import clopper_pearson
from serinus.sim.traffic import Traffic
from serinus.sim.weather import CANARY
from serinus.sim.world import Fault, Kind, World

WORLDS = {world.name: world for world in shipped(Set.ALL)}


def test_the_mean_number_of_requests_is_wald_s():
    """E[N] = (threshold + overshoot) / (information per request), for errors ×3 at one step."""
    p0, p1 = 0.003, 0.009
    world = World(
        name="x3", title="×3.", kind=Kind.FAULTY, steps=((25, 2700),), rate=20, fault=Fault(error_ratio=3)
    )
    found = [limit(world, 1, run) for run in range(300)]
    gain = p1 * log(p1 / p0) + (1 - p1) * log((1 - p1) / (1 - p0))
    # The last error takes it beyond the threshold by less than its own weight, about half of it.
    expected = (log(100) + log(3) / 2) / gain
    assert mean(f.requests for f in found if f) == pytest.approx(expected, rel=0.1)


@pytest.mark.parametrize(("name", "requests"), [("errors-x3", 1179), ("errors-5-points", 45)])
def test_it_needs_what_was_measured_before(name, requests):
    """The decisions' figures, from another implementation."""
    found = [limit(WORLDS[name], 1, run) for run in range(100)]
    assert median(f.requests for f in found if f) == pytest.approx(requests, rel=0.25)


def test_without_a_fault_a_likelihood_ratio_gains_nothing_on_average():
    """E[ratio] = 1 while both sides are alike, for errors and latency: the very definition of an e-value."""
    world = WORLDS["latency-20"]
    flow = Traffic(world, 1, 0, 60).block(0, 0.01).flows[CANARY][0]
    rng = np.random.default_rng(5)
    counts = rng.multinomial(5, flow.buckets_without[0], size=20_000)
    flow.latency, flow.requests = counts, counts.sum(axis=1)
    flow.buckets, flow.buckets_without = flow.buckets[:1], flow.buckets_without[:1]
    assert np.exp(latency_ratio(flow)).mean() == pytest.approx(1, rel=0.05)
    flow.requests = np.full(20_000, 100)
    flow.errors = flow.events = rng.binomial(100, 0.01, size=20_000)
    flow.chance_without, flow.chance = np.full(20_000, 0.01), np.full(20_000, 0.02)
    assert np.exp(error_ratio(flow, world)).mean() == pytest.approx(1, rel=0.05)


def test_a_late_fault_is_counted_from_its_onset_and_a_warm_up_is_waited_out():
    """Nothing is found before it is there."""
    late = [limit(WORLDS["late-errors-x3"], 1, run) for run in range(30)]
    assert all(f and 0 < f.seconds <= 1200 for f in late)
    slow = [limit(WORLDS["latency-x2"], 1, run) for run in range(30)]
    assert all(f and f.seconds >= 130 for f in slow)


def test_what_is_reported_late_is_known_late():
    """The same fault takes a minute longer."""
    late = [limit(WORLDS["errors-x3-late-reports"], 1, run) for run in range(60)]
    assert min(f.seconds for f in late if f) > 60


def test_intervals_quantiles_and_means():
    """Known values; `None` is larger than any number."""
    assert clopper_pearson(10, 1000) == pytest.approx((0.0048055, 0.0183132), abs=1e-6)
    assert clopper_pearson(2000, 2000) == pytest.approx((0.998157, 1.0), abs=2e-6)
    assert clopper_pearson(0, 0) == (0.0, 1.0)
    assert quantile([3.0, None, 1.0], 0.5) == 3.0
    assert quantile([3.0, None, None], 0.5) is None
    assert quantile([], 0.5) is None
    assert geometric_mean([1, 4]) == pytest.approx(2)
    assert geometric_mean([]) is None
