"""Gauges and business metrics, window by window."""

from __future__ import annotations

import random
from math import inf, isfinite

import pytest

from serinus.core.analysis.sequential.means import FEW, MeanBet

#: What a metric's own capital must grow by for a rollback: 100 at a stake of 5 %.
CALLED = 2000.0


def differences(rnd: random.Random, many: int, mean: float, stay: float = 0.0) -> list[float]:
    """Return differences with this mean and spread 1; ``stay``: how much each resembles the last."""
    found, noise = [], rnd.gauss(0, 1)
    for _ in range(many):
        noise = stay * noise + (1 - stay**2) ** 0.5 * rnd.gauss(0, 1)
        found.append(mean + noise)
    return found


def peak(values: list[float]) -> float:
    """Return the largest capital over all looks."""
    bet, top = MeanBet(), 1.0
    for value in values:
        bet.observe(value, value, 0.0)
        top = max(top, bet.value())
    return top


def test_it_says_nothing_at_first():
    """A variance has to be known: 20 windows."""
    bet = MeanBet()
    for _ in range(FEW - 1):
        bet.observe(100.0, 100.0, 0.0)
        assert bet.value() == 1.0
        assert bet.half_width(0.05) == inf


def test_worse_is_found():
    """One standard deviation worse is found within 80 windows."""
    assert all(peak(differences(random.Random(seed), 80, 1.0)) > 50 for seed in range(20))


@pytest.mark.parametrize("stay", [0.0, 0.5])
def test_no_worse_is_never_called(stay):
    """100 healthy gauges over 270 windows, also such as resemble their last reading: none reaches 2,000."""
    found = [peak(differences(random.Random(seed), 270, 0.0, stay)) for seed in range(100)]
    assert max(found) < CALLED


def test_better_is_never_harm():
    """A canary that is better has less than it began with."""
    assert peak(differences(random.Random(1), 200, -1.0)) <= 1.0


def test_constant_differences():
    """A gauge that never moves: always worse is certain after a while, equal never is."""
    assert peak([1.0] * 50) > CALLED
    assert peak([0.0] * 300) == 1.0
    assert peak([-1.0] * 300) == 1.0


def test_one_wild_reading_is_no_verdict():
    """A single spike of a thousand deviations is its own excuse: it raises the spread, too."""
    values = differences(random.Random(2), 100, 0.0)
    assert peak([*values[:50], 1000.0, *values[50:]]) < 10


def test_the_interval_narrows():
    """And holds the true difference."""
    bet, widths = MeanBet(), []
    for value in differences(random.Random(3), 300, 0.3):
        bet.observe(value, value, 0.0)
        widths.append(bet.half_width(0.05))
    assert widths[FEW] > widths[100] > widths[-1]
    assert abs(bet.mean - 0.3) < bet.half_width(0.05) < 0.5


def test_either_side_of_a_split():
    """``beyond`` looks both ways, past a tolerance."""
    for sign in (1, -1):
        bet = MeanBet()
        for value in differences(random.Random(4), 100, 0.0):
            bet.observe(sign * 0.5 + 0.1 * value, 0.0, 0.0)
        assert bet.beyond(0.1) > 1e6
        assert bet.beyond(0.6) == 1.0


def test_numbers_stay_finite():
    """Tiny and huge readings."""
    for size in (1e-200, 1e90):
        bet = MeanBet()
        for value in differences(random.Random(5), 60, 1.0):
            bet.observe(value * size, value * size, 0.0)
            assert isfinite(bet.value())
            assert isfinite(bet.beyond(0.1))
