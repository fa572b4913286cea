"""Freeze windows as people write them.

::

    freeze:
      zone: Europe/Berlin
      windows:
        - {name: weekend, from: fri 16:00, until: mon 08:00}
        - {name: nights, days: [mon, tue, wed, thu], from: "20:00", until: "07:00"}
        - {name: holidays, from: 2026-12-20 00:00, until: 2027-01-04 08:00}
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Annotated, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from serinus.core.codec import at, told
from serinus.core.freeze import DAYS, WEEK, Span, Weekly
from serinus.core.policy.forms import Choice, Name, Text

__all__ = ["FreezeInput", "FreezeWindowInput", "windows_of"]

_CLOCK = r"(?:[01][0-9]|2[0-3]):[0-5][0-9]"
_DATE = rf"[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}[ T]{_CLOCK}"
_DAY = "|".join(DAYS)
_HELP = "expected 16:00, fri 16:00, or 2026-12-20 00:00"
_When = Annotated[str, Text(rf"(?:(?:{_DAY}) )?{_CLOCK}|{_DATE}", _HELP, 40)]
_DayName = Annotated[str, Choice("day", DAYS)]


@dataclass(frozen=True, kw_only=True, slots=True)
class FreezeWindowInput:
    """A time in which nothing is rolled out: once, weekly, or on some days."""

    name: Name = told("Its name.", required=True)
    from_: _When = told("When it begins: a clock time, a day and a time, or a date and a time.", also="from")
    until: _When = told("When it ends, written alike.")
    days: tuple[_DayName, ...] = told("The days on which it begins, with clock times.", ())


@dataclass(frozen=True, kw_only=True, slots=True)
class FreezeInput:
    """When nothing is rolled out."""

    zone: str = told("Time zone of all windows, such as Europe/Berlin.", "UTC")
    windows: tuple[FreezeWindowInput, ...] = told("The windows.", ())


def windows_of(given: FreezeInput, where: str, problems: dict[str, str]) -> tuple[Span | Weekly, ...]:
    """Return the windows that were written; what is wrong is added to ``problems`` by its place."""
    zone = _zone(given.zone)
    if zone is None:
        problems[at(where, "zone")] = (
            f"there is no time zone {given.zone[:60]!r} here; write one like Europe/Berlin "
            "(a system without zones needs `pip install tzdata`)"
        )
        return ()
    made: list[Span | Weekly] = []
    for n, window in enumerate(given.windows):
        if window is not None:
            made += _window(window, zone, f"{at(where, 'windows')}[{n}]", problems)
    return tuple(made)


def _zone(name: Any) -> tzinfo | None:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, TypeError, OSError):
        return None


def _window(
    given: FreezeWindowInput, zone: tzinfo, place: str, problems: dict[str, str]
) -> list[Span | Weekly]:
    begin, end = given.from_, given.until
    if not begin or not end:
        problems.setdefault(at(place, "from" if not begin else "until"), "missing: " + _HELP)
        return []
    if given.days and {_kind(begin), _kind(end)} & {"day", "date"}:
        problems[at(place, "days")] = (
            "go with clock times: write `from` and `until` like 16:00, or leave it out"
        )
        return []
    if {_kind(begin), _kind(end)} == {"date"}:
        return _span(given, zone, place, problems)
    if {_kind(begin), _kind(end)} == {"day"}:
        return [Weekly(name=given.name, begin=_minute(begin), end=_minute(end), zone=zone)]
    if {_kind(begin), _kind(end)} != {"clock"}:
        problems[place] = "write `from` and `until` alike: two clock times, two days with times, or two dates"
        return []
    days = given.days or DAYS
    over = _minute(end) <= _minute(begin)  # past midnight
    return [
        Weekly(
            name=given.name,
            begin=day * 1440 + _minute(begin),
            end=((day + over) * 1440 + _minute(end)) % WEEK,
            zone=zone,
        )
        for day in sorted(DAYS.index(d) for d in days if d in DAYS)
    ]


def _span(
    given: FreezeWindowInput, zone: tzinfo, place: str, problems: dict[str, str]
) -> list[Span | Weekly]:
    try:
        since, until = (datetime.fromisoformat(t).replace(tzinfo=zone) for t in (given.from_, given.until))
    except ValueError:
        problems[place] = "there is no such day"
        return []
    if until <= since:
        problems[at(place, "until")] = "must be after `from`"
        return []
    return [Span(name=given.name, since=since, until=until)]


def _kind(text: str) -> str:
    return "clock" if re.fullmatch(_CLOCK, text) else "day" if text[:3] in DAYS else "date"


def _minute(text: str) -> int:
    """Return a clock time's minute of the day, or a day and time's minute of the week."""
    day, _, clock = text.rpartition(" ")
    hour, minute = clock.split(":")
    return (DAYS.index(day) if day else 0) * 1440 + int(hour) * 60 + int(minute)
