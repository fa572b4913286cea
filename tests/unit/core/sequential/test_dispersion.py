"""How clustered errors are, learned from stable."""

from __future__ import annotations

import random

import pytest

from serinus.core.analysis.sequential.dispersion import Dispersion


def after(windows: list[tuple[int, int]]) -> float:
    """Return the factor after stable's windows of (requests, errors)."""
    dispersion = Dispersion()
    for requests, errors in windows:
        dispersion.observe(requests, errors)
    return dispersion.factor


def clustered(rnd: random.Random, windows: int, rate: float, size: int) -> list[tuple[int, int]]:
    """Return windows of 2,000 requests whose errors come ``size`` at a time."""
    found = []
    for _ in range(windows):
        events = sum(rnd.random() < rate / size for _ in range(2000))
        found.append((2000, events * size))
    return found


def test_it_believes_in_single_errors_at_first():
    """Nothing seen: nothing is tempered."""
    assert Dispersion().factor == 1.0


def test_single_errors_stay_at_one():
    """Chance alone is hardly ever called a cluster, and never a large one."""
    found = [after(clustered(random.Random(seed), 60, 0.003, 1)) for seed in range(40)]
    assert sum(f == 1.0 for f in found) >= 30
    assert max(found) < 1.8


@pytest.mark.parametrize("size", [3, 6])
def test_retry_clusters_are_recognised(size):
    """Errors that come three or six at a time count about as one."""
    found = [after(clustered(random.Random(seed), 60, 0.003, size)) for seed in range(10)]
    assert size / 2 < sum(found) / len(found) < size * 1.5


def test_drift_does_not_look_like_clusters():
    """A rate that grows a hundredfold over an hour is compared with its neighbours only."""
    rnd = random.Random(1)
    windows = [(2000, sum(rnd.random() < 0.0005 * 1.012**n for _ in range(2000))) for n in range(360)]
    assert after(windows) < 1.3


def test_more_requests_are_no_cluster():
    """Traffic that doubles between two windows doubles the errors, too."""
    assert after([(1000, 10), (2000, 20)] * 30) == 1.0


def test_one_wild_window_says_only_so_much():
    """A burst is bounded: the edges of an outage of stable's do not temper the judge for long."""
    calm = [(2000, 6)] * 30
    assert after([*calm, (2000, 900), *calm]) < 1.5


def test_windows_without_requests_or_errors_say_nothing():
    """They change no number."""
    dispersion = Dispersion()
    before = (dispersion.total, dispersion.weight)
    for requests, errors in ((0, 0), (100, 0), (100, 0), (0, 5)):
        dispersion.observe(requests, errors)
    assert (dispersion.total, dispersion.weight) == before
