"""Freeze windows: when nothing is rolled out, in whose clock, and until when."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from serinus.core.codec import read
from serinus.core.freeze import Span, Weekly, frozen
from serinus.core.policy.freezes import FreezeInput, windows_of

BERLIN = ZoneInfo("Europe/Berlin")


def windows(*listed: dict, zone: str = "Europe/Berlin") -> tuple:
    """Return windows as they are written, and what is wrong with them."""
    problems: dict[str, str] = {}
    given = read(FreezeInput, {"zone": zone, "windows": list(listed)}, "freeze", problems)
    made = () if problems else windows_of(given, "freeze", problems)
    return made, problems


def at(text: str) -> datetime:
    """Return a moment of Berlin's clock."""
    return datetime.fromisoformat(text).replace(tzinfo=BERLIN)


WEEKEND = {"name": "weekend", "from": "fri 16:00", "until": "mon 08:00"}


@pytest.mark.parametrize(
    ("moment", "until"),
    [
        ("2026-11-20 15:59", None),
        ("2026-11-20 16:00", "2026-11-23 08:00"),
        ("2026-11-22 23:59", "2026-11-23 08:00"),
        ("2026-11-23 07:59", "2026-11-23 08:00"),
        ("2026-11-23 08:00", None),
        # The clocks go back in this night: the end stays where people expect it.
        ("2026-10-24 12:00", "2026-10-26 08:00"),
    ],
)
def test_a_weekend_goes_over_the_weeks_end(moment, until):
    """Its end is free again; it is told in the window's own zone."""
    made, problems = windows(WEEKEND)
    assert problems == {}
    on = frozen(made, at(moment).astimezone(UTC))
    assert (on.until if on else None) == (at(until) if until else None)


def test_nights_begin_on_their_days_and_go_past_midnight():
    """Thursday's night ends on Friday morning, and Friday has none."""
    made, _ = windows({"name": "nights", "days": ["mon", "thu"], "from": "20:00", "until": "07:00"})
    for moment, on in (
        ("2026-11-19 19:59", False),
        ("2026-11-19 20:00", True),
        ("2026-11-20 06:59", True),
        ("2026-11-20 07:00", False),
        ("2026-11-20 21:00", False),
        ("2026-11-24 03:00", True),
    ):
        assert (frozen(made, at(moment)) is not None) is on, moment
    every, _ = windows({"name": "nights", "from": "20:00", "until": "07:00"})
    assert len(every) == 7


def test_sundays_night_ends_on_monday():
    """The week is a ring."""
    made, _ = windows({"name": "n", "days": ["sun"], "from": "22:00", "until": "06:00"})
    assert made == (Weekly(name="n", begin=6 * 1440 + 22 * 60, end=6 * 60, zone=BERLIN),)
    assert frozen(made, at("2026-11-23 05:00")).until == at("2026-11-23 06:00")


def test_the_freeze_that_lasts_longest_is_told():
    """Holidays over a weekend."""
    made, _ = windows(WEEKEND, {"name": "holidays", "from": "2026-12-20 00:00", "until": "2027-01-04 08:00"})
    assert isinstance(made[1], Span)
    on = frozen(made, at("2026-12-26 12:00"))
    assert on.sentence == "holidays: frozen until 2027-01-04 08:00 CET"
    assert frozen(made, at("2027-01-04 08:00")) is None
    assert frozen((), at("2026-12-26 12:00")) is None


@pytest.mark.parametrize(
    ("window", "place", "words"),
    [
        ({"name": "x", "from": "fri 16:00", "until": "08:00"}, "windows[0]", "alike"),
        ({"name": "x", "from": "25:00", "until": "08:00"}, "windows[0].from", "expected 16:00"),
        ({"name": "x", "from": "08:00"}, "windows[0].until", "missing"),
        ({"name": "x", "from": "2026-02-30 00:00", "until": "2026-03-01 00:00"}, "windows[0]", "no such day"),
        ({"name": "x", "from": "2026-03-02 00:00", "until": "2026-03-01 00:00"}, "windows[0].until", "after"),
        ({"name": "x", "days": ["mo"], "from": "1:00", "until": "08:00"}, "windows[0].days[0]", "'mon'"),
        ({**WEEKEND, "days": ["sat"]}, "windows[0].days", "clock times"),
        (
            {"name": "x", "days": ["sat"], "from": "2026-12-20 00:00", "until": "2027-01-04 08:00"},
            "windows[0].days",
            "clock times",
        ),
    ],
)
def test_what_cannot_be_is_told_by_its_place(window, place, words):
    """With what to write instead."""
    _, problems = windows(window)
    assert words in problems[f"freeze.{place}"]
    assert "no time zone" in windows(WEEKEND, zone="Mars/Base")[1]["freeze.zone"]
