"""Sizes and always-valid intervals."""

from __future__ import annotations

import random
from math import exp, log

import pytest

from serinus.core.analysis.sequential.estimate import Tally, radius


def test_without_information_nothing_is_known():
    """The interval is as wide as it gets, not an error."""
    assert radius(0.0, 0.05) == 50.0


def test_it_narrows_with_information_and_widens_with_confidence():
    """And is always wider than the interval of somebody who looks once."""
    assert radius(100, 0.05) > radius(400, 0.05) > 1.96 / 400**0.5
    assert radius(400, 0.01) > radius(400, 0.05)


def test_the_interval_holds_at_every_look():
    """400 random walks of 400 looks: the boundary is ever crossed in at most about 5 % of them."""
    rnd, crossed = random.Random(1), 0
    for _ in range(400):
        s = 0.0
        for v in range(1, 401):
            s += rnd.gauss(0, 1)
            if abs(s) / v > radius(float(v), 0.05, 30.0):
                crossed += 1
                break
    assert crossed <= 28  # 20 expected at most; four standard deviations more would be 37


def test_the_error_ratio_is_compared_within_strata():
    """A canary with a harder mix of endpoints fails as often as stable in each of them: ratio 1."""
    tally = Tally()
    for _ in range(50):
        tally.errors(900, 90, 100, 10)  # the hard endpoint: 10 % fail
        tally.errors(100, 1, 900, 9)  # the easy one: 1 %
    assert tally.canary_errors / tally.stable_errors > 4
    ratio = tally.error_ratio(0.05, 1.0)
    assert ratio is not None
    assert ratio.estimate == pytest.approx(1.0, abs=0.01)
    assert ratio.low < 1 < ratio.high


def test_common_drift_cancels():
    """Both sides fail ten times as often later, when the canary has more traffic."""
    tally = Tally()
    tally.errors(100, 1, 9900, 99)
    tally.errors(5000, 500, 5000, 500)
    ratio = tally.error_ratio(0.05, 1.0)
    assert ratio is not None
    assert ratio.estimate == pytest.approx(1.0, abs=0.01)


def test_clusters_widen_the_interval():
    """Errors that come four at a time tell a quarter as much."""
    tally = Tally()
    tally.errors(1000, 40, 1000, 20)
    alone, clustered = tally.error_ratio(0.05, 1.0), tally.error_ratio(0.05, 4.0)
    assert alone is not None
    assert clustered is not None
    assert clustered.low < alone.low < alone.estimate == clustered.estimate


@pytest.mark.parametrize(("canary", "stable"), [((100, 5), (900, 0)), ((100, 0), (900, 5))])
def test_a_side_without_errors_gives_a_finite_ratio(canary, stable):
    """Half an event on each side."""
    tally = Tally()
    tally.errors(*canary, *stable)
    ratio = tally.error_ratio(0.05, 1.0)
    assert ratio is not None
    assert 0 < ratio.low < ratio.estimate < ratio.high < 1e30


def test_before_anything_failed_there_is_no_ratio():
    """And none before both sides had requests."""
    tally = Tally()
    assert tally.error_ratio(0.05, 1.0) is None
    assert tally.latency_ratio(0.05) is None
    tally.errors(100, 0, 100, 0)
    assert tally.error_ratio(0.05, 1.0) is None


def test_the_latency_ratio():
    """Two windows a tenth slower, one at double latency for both."""
    tally = Tally()
    for base in (3.0, 3.0, 3.7):
        tally.latency(400, base + log(1.1), 1600, base, 0.25)
    ratio = tally.latency_ratio(0.05)
    assert ratio is not None
    assert ratio.estimate == pytest.approx(1.1)
    assert 1.0 < ratio.low < 1.1 < ratio.high


def test_intervals_of_error_ratios_hold_over_a_rollout():
    """60 healthy rollouts of 100 looks: hardly one interval ever leaves 1 out."""
    missed = 0
    for seed in range(60):
        rnd, tally = random.Random(seed), Tally()
        for _ in range(100):
            tally.errors(
                100,
                sum(rnd.random() < 0.05 for _ in range(100)),
                200,
                sum(rnd.random() < 0.05 for _ in range(200)),
            )
            ratio = tally.error_ratio(0.05, 1.0)
            if ratio is not None and not ratio.low <= 1.0 <= ratio.high:
                missed += 1
                break
    assert missed <= 5


def test_what_is_lately_fades_to_nothing():
    """The last failure does not stay on the board for ever."""
    tally = Tally()
    tally.errors(100, 2, 0, 0)
    for _ in range(40):
        tally.fade(0.8)
    assert (tally.canary, tally.canary_errors) == (0, 0)


def test_extremes_are_cut():
    """Ratios stay within e**50, whatever the sums."""
    tally = Tally()
    tally.latency(1, 500.0, 1, -500.0, 1e-6)
    ratio = tally.latency_ratio(0.05)
    assert ratio is not None
    assert ratio.high <= exp(50.0)
