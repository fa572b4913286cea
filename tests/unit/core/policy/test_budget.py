"""Error budgets and burn rates, by hand."""

from __future__ import annotations

import pytest

from serinus.core.policy.budget import BURNS, CONTRACT, Counts, budget_of, budget_view, windows_of
from serinus.core.policy.slos import Slo

DAY = 86400.0
SLO = Slo(name="availability", objective=0.995)


def test_the_contracts_objectives():
    """Availability 99.5 %, p95 800 ms, errors 0.5 %."""
    assert [(s.name, s.objective, s.under) for s in CONTRACT] == [
        ("availability", 0.995, None),
        ("p95 latency", 0.95, 0.8),
        ("errors", 0.995, None),
    ]


@pytest.mark.parametrize(
    ("total", "bad", "spent", "words"),
    [
        (100_000, 0, 0.0, "100 % of 100,000 requests, 100 % of the error budget is left"),
        (100_000, 250, 0.5, "99.75 % of 100,000 requests, 50 % of the error budget is left"),
        (100_000, 500, 1.0, "99.5 % of 100,000 requests, the error budget is spent (100 % of it)"),
        (1_000, 50, 10.0, "95 % of 1,000 requests, the error budget is spent (1,000 % of it)"),
        (200, 1, 1.0, "the error budget is spent"),
        (199, 100, None, "199 requests measured, too few to say (at least 200)"),
        (0, 0, None, "0 requests measured, too few to say"),
    ],
)
def test_a_budget_is_what_may_be_bad(total, bad, spent, words):
    """Below one allowed bad request there is nothing that could be spent."""
    budget = budget_of(SLO, lambda _: Counts(total, bad))
    assert budget.spent == (None if spent is None else pytest.approx(spent))
    assert budget.exhausted is (spent is not None and spent >= 1)
    assert words in budget.sentence


def test_a_burn_rate_of_one_lasts_exactly_the_period():
    """0.5 % bad where 0.5 % may be; 14.4 times that for an hour is 2 % of thirty days."""
    assert budget_of(SLO, lambda _: Counts(10_000, 50)).burns[0].long == pytest.approx(1)
    assert [b.limit for b in budget_of(SLO, lambda _: Counts()).burns] == [14.4, 6.0, 3.0, 1.0]


def test_an_alert_needs_both_windows():
    """The long one says that it matters, the short one that it is still going on."""

    def over(bad: set[float]):
        return budget_of(SLO, lambda back: Counts(10_000, 1000 if back in bad else 0)).firing

    assert [b.burn.long for b in over({3600, 300})] == [3600]
    assert over({3600}) == over({300}) == ()
    assert budget_of(SLO, lambda _: Counts()).firing == ()


def test_a_short_period_has_only_the_alerts_that_fit():
    """Over a day there are an hour's and six hours'."""
    short = Slo(name="x", objective=0.99, period=DAY)
    assert [b.burn for b in budget_of(short, lambda _: Counts()).burns] == list(BURNS[:2])
    assert windows_of(short) == (300, 1800, 3600, 6 * 3600, DAY)


def test_the_view_has_everything_for_api_and_terminal():
    """Plain data, rounded."""
    view = budget_view(budget_of(SLO, lambda _: Counts(100_000, 333)))
    assert (view["spent"], view["left"], view["exhausted"]) == (0.666, 0.334, False)
    assert view["burns"][0] == {
        "long_seconds": 3600,
        "short_seconds": 300,
        "limit": 14.4,
        "long": 0.666,
        "short": 0.666,
        "severity": "critical",
        "fires": False,
    }
