"""The capital: it pays no more than chance allows, however often one looks."""

from __future__ import annotations

import random
from itertools import product
from math import inf, log

import pytest

from serinus.core.analysis.sequential.capital import Capital

#: Two alternatives to a fair coin, and what is staked on them early and late.
SIDES = ((0.6, 0.4), (0.9, 0.1))
WEIGHTS, LATE, EARLY = (0.7, 0.3), (0.4, 0.6), 0.6


def play(tosses: tuple[int, ...], release: float = 0.08) -> list[float]:
    """Return the capital after every toss."""
    capital, values = Capital.of(len(SIDES)), []
    for toss in tosses:
        capital.bet([log(side[toss] / 0.5) for side in SIDES], 0.0, release)
        values.append(capital.value(WEIGHTS, LATE, EARLY))
    return values


def test_it_is_one_at_the_start():
    """Nothing staked is lost or won."""
    assert Capital.of(2).value(WEIGHTS, LATE, EARLY) == pytest.approx(1.0)


@pytest.mark.parametrize("rounds", [1, 5, 12])
def test_nothing_is_gained_on_average(rounds):
    """Over all tosses of a fair coin the mean is exactly what it was: staked early, late or not yet."""
    values = [play(tosses)[-1] for tosses in product((0, 1), repeat=rounds)]
    assert sum(values) / len(values) == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize("alpha", [0.5, 0.2, 0.1, 0.05, 0.02])
def test_villes_inequality_holds_exactly(alpha):
    """Of all 4,096 rollouts of twelve looks, at most alpha ever reach 1/alpha."""
    paths = list(product((0, 1), repeat=12))
    crossed = sum(max(play(tosses)) >= 1 / alpha for tosses in paths)
    assert 0 < crossed / len(paths) <= alpha


def test_no_more_than_everything_is_released():
    """Releasing beyond the whole would make capital out of nothing."""
    capital = Capital.of(1)
    for _ in range(5):
        capital.bet([0.0], 0.0, 0.4)
    assert capital.released == 1.0
    assert capital.value((1.0,), (1.0,), EARLY) == pytest.approx(1.0)


def test_a_late_fault_finds_its_stake():
    """After 300 fair tosses, the part that was kept finds a fault that the early part has been lost for."""
    rnd = random.Random(1)
    fair = tuple(rnd.randrange(2) for _ in range(300))
    capital = play((*fair, *(0 for _ in range(30))), release=1 / 330)[-1]
    kept_nothing = Capital.of(2)
    for toss in (*fair, *(0 for _ in range(30))):
        kept_nothing.bet([log(side[toss] / 0.5) for side in SIDES], 0.0, 0.0)
    assert capital > 100 > kept_nothing.value(WEIGHTS, LATE, EARLY)


def test_which_alternative_won():
    """Early from the start, late after a calm beginning."""
    capital = Capital.of(2)
    for _ in range(10):
        capital.bet([log(side[0] / 0.5) for side in SIDES], 0.0, 0.05)
    assert capital.best(WEIGHTS, LATE, EARLY) == (1, False)
    capital = Capital.of(2)
    for n in range(60):
        capital.bet([log(side[n < 30] / 0.5) for side in SIDES], 0.0, 1 / 60)
    assert capital.best(WEIGHTS, LATE, EARLY)[1] is True


def test_the_margin_over_a_tolerated_harm():
    """A harm that the tolerated one explains as well has none."""
    capital = Capital.of(1)
    for _ in range(20):
        capital.bet([0.2], 0.2, 0.01)
    assert capital.margin(0, late=False) == pytest.approx(0.0, abs=1e-9)
    assert capital.margin(0, late=True) == pytest.approx(0.0, abs=1e-9)
    capital.bet([0.7], 0.1, 0.01)
    assert capital.margin(0, late=False) == pytest.approx(0.6)


@pytest.mark.parametrize("gain", [1e6, -1e6, 700.0, -700.0])
def test_numbers_stay_finite(gain):
    """A month of outage, or of perfection."""
    capital = Capital.of(2)
    for _ in range(200):
        capital.bet([gain, -gain], gain, 0.001)
    assert 0.0 <= capital.value(WEIGHTS, LATE, EARLY) < inf
    assert -inf < capital.margin(0, late=True) < inf
