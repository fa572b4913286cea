"""Errors within a window: exact, over every small table."""

from __future__ import annotations

from math import comb, exp, inf

import pytest

from serinus.core.analysis.sequential.errors import log_ratios

RATIOS = [0.5, 1.1, 2.0, 3.2, 7.0, 22.0, 300.0]


def chances(canary: int, stable: int, errors: int) -> dict[int, float]:
    """Return the hypergeometric chances of the canary's errors when both sides are alike."""
    whole = comb(canary + stable, errors)
    low, high = max(0, errors - stable), min(canary, errors)
    return {x: comb(canary, x) * comb(stable, errors - x) / whole for x in range(low, high + 1)}


def mean_ratio(canary: int, stable: int, errors: int, ratio: float) -> float:
    """Return the exact mean of the likelihood ratio given the window's totals."""
    return sum(
        chance * exp(log_ratios(canary, x, stable, errors - x, [ratio])[0])
        for x, chance in chances(canary, stable, errors).items()
    )


@pytest.mark.parametrize("ratio", RATIOS)
def test_nothing_is_gained_on_average_while_both_sides_are_alike(ratio):
    """The mean is at most 1 in every table of up to 14 requests a side: rare errors and mostly failing."""
    worst = max(
        mean_ratio(canary, stable, errors, ratio)
        for canary in range(1, 15)
        for stable in range(1, 15)
        for errors in range(canary + stable + 1)
    )
    assert worst <= 1 + 1e-12


@pytest.mark.parametrize(("canary", "stable"), [(3, 300), (40, 160), (100, 100), (300, 3)])
def test_the_same_holds_in_larger_windows(canary, stable):
    """Every number of errors, from none to all."""
    for errors in range(canary + stable + 1):
        assert mean_ratio(canary, stable, errors, 2.0) <= 1 + 1e-12


def test_little_is_given_away_for_rare_errors():
    """The bound is close to the exact mean where errors are rare, so that bets are not blunted."""
    assert mean_ratio(200, 1800, 6, 2.0) > 0.999


def test_worse_gains_and_better_loses():
    """Four of six errors at a tenth of the traffic speak for harm, none of them against it."""
    (gain,) = log_ratios(200, 4, 1800, 2, [3.0])
    (loss,) = log_ratios(200, 0, 1800, 6, [3.0])
    assert gain > 2.5
    assert loss < -1.0


def test_an_outage_is_told_by_its_successes():
    """When most requests fail, the few successes are counted: all of them at stable is harm."""
    harm = log_ratios(100, 100, 100, 60, [3.0])[0]
    alike = log_ratios(100, 80, 100, 80, [3.0])[0]
    assert harm > 5 > 0 > alike


@pytest.mark.parametrize(
    ("canary", "canary_errors", "stable", "stable_errors"),
    [(0, 0, 100, 5), (100, 5, 0, 0), (100, 0, 900, 0), (5, 5, 5, 5), (0, 3, 10, 1), (-1, 0, 10, 1)],
    ids=["no canary", "no stable", "no errors", "all fail", "errors without requests", "negative"],
)
def test_what_compares_nothing_says_nothing(canary, canary_errors, stable, stable_errors):
    """Zeros, not a guess: also when every request of both sides failed."""
    assert log_ratios(canary, canary_errors, stable, stable_errors, RATIOS) == [0.0] * len(RATIOS)


def test_errors_beyond_the_requests_count_as_all_of_them():
    """Errors of an earlier window that are reported late do not break the table."""
    assert log_ratios(10, 25, 90, 1, RATIOS) == log_ratios(10, 10, 90, 1, RATIOS)


def test_numbers_stay_finite_at_any_size():
    """A billion requests in a window."""
    for x in (0, 1, 10**6, 10**9):
        assert all(-inf < g < inf for g in log_ratios(10**9, x, 10**9, 10**6, RATIOS))
