"""Generated traffic has the rates, the shapes and the holes that its world asks for."""

from __future__ import annotations

from dataclasses import replace
from math import log

import numpy as np
import pytest

from serinus.core.analysis.evidence import Evidence, Side
from serinus.core.histogram import Histogram
from serinus.sim.grid import chances, grid_of
from serinus.sim.library import Set, shipped
from serinus.sim.totals import Totals
from serinus.sim.traffic import EPOCH, Traffic
from serinus.sim.weather import CANARY, STABLE
from serinus.sim.world import Clusters, Fault, Kind, Law, World

WORLDS = {world.name: world for world in shipped(Set.ALL)}
PLAIN = World(name="plain", title="Plain.")


def served(world, share=0.25, count=200, seed=1):
    """Serve every window at one share; return all windows that arrived."""
    traffic = Traffic(world, seed, 0, count)
    windows = []
    for at in range(count):
        for _, _, fresh, _ in traffic.serve(at, share)[1]:
            windows += fresh
    return windows


def arm(windows, side):
    """Add one side up."""
    return Evidence(windows=tuple(windows)).over(side, EPOCH - 1, EPOCH + 10**6)


def test_the_same_seed_gives_the_same_traffic_and_another_one_does_not():
    """Chance is an input."""
    world = replace(WORLDS["bursts"], clusters=Clusters(size=3))
    assert served(world, count=40) == served(world, count=40)
    assert served(world, count=40) != served(world, count=40, seed=2)


def test_rates_shares_errors_and_latency_are_those_asked_for():
    """Two hundred requests a second, a quarter at the canary, 0.3 % errors, 100 ms in the middle."""
    windows = served(PLAIN)
    canary, stable = arm(windows, Side.CANARY), arm(windows, Side.STABLE)
    assert canary.requests == pytest.approx(100_000, rel=0.02)
    assert stable.requests == pytest.approx(300_000, rel=0.02)
    assert stable.error_rate == pytest.approx(0.003, rel=0.1)
    assert stable.latency.quantile(0.5) == pytest.approx(100, rel=0.03)
    assert stable.latency.mean == pytest.approx(100 * np.exp(0.6**2 / 2), rel=0.01)
    assert stable.latency.count == stable.requests


def test_a_fault_shows_on_the_canary_only_and_from_its_onset_on():
    """Twice the latency and five points of errors, from second 1000 on."""
    fault = Fault(error_points=5, latency_ratio=2, onset_seconds=1000)
    windows = served(replace(PLAIN, kind=Kind.FAULTY, fault=fault))
    before = [w for w in windows if w.start < EPOCH + 1000]
    after = [w for w in windows if w.start >= EPOCH + 1000]
    assert arm(before, Side.CANARY).error_rate == pytest.approx(0.003, rel=0.3)
    assert arm(after, Side.CANARY).error_rate == pytest.approx(0.053, rel=0.05)
    assert arm(after, Side.CANARY).latency.quantile(0.5) == pytest.approx(200, rel=0.05)
    assert arm(after, Side.STABLE).latency.quantile(0.5) == pytest.approx(100, rel=0.05)


@pytest.mark.parametrize("law", list(Law))
def test_clusters_keep_the_mean_and_widen_the_spread(law):
    """Fixed clusters of six are six times as spread out, geometric ones eleven times."""
    windows = served(replace(PLAIN, error_rate=0.01, clusters=Clusters(size=6, law=law)), count=2000)
    errors = np.array([w.errors for w in windows if w.side is Side.STABLE])
    assert errors.mean() == pytest.approx(15, rel=0.05)
    assert errors.var() / errors.mean() == pytest.approx(6 if law is Law.FIXED else 11, rel=0.15)


def test_lost_late_and_blind_windows():
    """What is missing is missing on either side by itself, what is late comes later, all of it."""
    count = 200
    missing = served(WORLDS["missing-windows"], count=count)
    assert len(missing) == pytest.approx(2 * count * 0.8, rel=0.1)
    gap = served(WORLDS["scrape-gap"], count=count)
    assert not [w for w in gap if EPOCH + 600 <= w.start < EPOCH + 720]
    blind = served(WORLDS["no-latency"], count=count)
    assert sum(w.latency.count == 0 for w in blind) == pytest.approx(2 * count * 0.2, rel=0.3)
    late = served(WORLDS["windows-late"], count=count)
    assert late != sorted(late, key=lambda w: w.start)
    assert len(late) == pytest.approx(2 * count, abs=4)
    reported = served(WORLDS["errors-late"], count=count)
    assert all(w.errors == 0 for w in reported if w.start < EPOCH + 60)


def test_bucket_chances_are_a_distribution_and_match_prometheus_placement():
    """Rows sum to one; coarse buckets lie where a Prometheus reading would put them."""
    for name in ("heavy-tail", "ten-endpoints", "coarse-buckets"):
        world = WORLDS[name]
        rows = chances(grid_of(world), world.latency, np.array([0.5, 1.0, 3.0]))
        assert rows.sum(axis=1) == pytest.approx(1)
        assert rows.min() >= 0
    grid = grid_of(WORLDS["coarse-buckets"])
    edges = WORLDS["coarse-buckets"].buckets_ms
    read = Histogram.from_cumulative({edge: at + 1 for at, edge in enumerate(edges)}, 1.0)
    assert set(read.buckets) == set(grid.index[:-1].tolist())


def test_totals_say_the_same_as_evidence():
    """The fast sums are the slow ones, for any span and with windows that arrive late."""
    world = replace(WORLDS["windows-late"], endpoints=WORLDS["ten-endpoints"].endpoints)
    traffic = Traffic(world, 3, 0, 80)
    totals, windows = Totals(traffic.grid, 80), []
    for at in range(80):
        for side, number, fresh, latency in traffic.serve(at, 0.3)[1]:
            totals.take(side, number, fresh, latency)
            windows += fresh
        now = EPOCH + (at + 1) * 10 + 5
        for side in Side:
            fast = totals.over(side, now - 300, now)
            slow = Evidence(windows=tuple(windows)).over(side, now - 300, now)
            assert (fast.requests, fast.errors) == (slow.requests, slow.errors)
            assert fast.latency.buckets == slow.latency.buckets
            assert fast.latency.total == pytest.approx(slow.latency.total)


def test_users_who_stay_make_a_side_differ_for_a_while():
    """Neighbouring minutes of a small canary resemble each other more than chance allows."""
    flow = Traffic(WORLDS["users"], 1, 0, 200).block(0, 0.01).flows
    assert log(flow[CANARY][0].chance.max() / flow[CANARY][0].chance.min()) > 0.02
    spread = [np.log(flow[side][0].chance / 0.003).std() for side in (CANARY, STABLE)]
    assert spread[0] > spread[1]
