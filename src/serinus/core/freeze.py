"""Freeze windows: times in which nothing is rolled out. Pure: the caller says what time it is.

A window is a span between two moments, or comes back every week. Weekly times are wall-clock times of
their zone, so they stay where people expect them when the clocks change.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo

__all__ = ["DAYS", "WEEK", "Freeze", "Span", "Weekly", "frozen"]

#: Days as people write them; the index is the weekday.
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
#: Minutes of a week, which begins on Monday at midnight.
WEEK = 7 * 24 * 60


@dataclass(frozen=True, kw_only=True, slots=True)
class Span:
    """A freeze between two moments; ``until`` itself is free again."""

    name: str
    since: datetime
    until: datetime

    def ends(self, now: datetime) -> datetime | None:
        """Return when the freeze that is on at ``now`` ends, or ``None``."""
        return self.until if self.since <= now < self.until else None


@dataclass(frozen=True, kw_only=True, slots=True)
class Weekly:
    """A freeze that comes back: minutes of the week at which it begins and ends, in a zone."""

    name: str
    #: 0 is Monday 00:00; below :data:`WEEK`.
    begin: int
    end: int
    zone: tzinfo

    def ends(self, now: datetime) -> datetime | None:
        """Return when the freeze that is on at ``now`` ends, or ``None``."""
        local = now.astimezone(self.zone)
        at = (local.weekday() * 24 + local.hour) * 60 + local.minute
        length = (self.end - self.begin) % WEEK or WEEK
        if (at - self.begin) % WEEK >= length:
            return None
        left = timedelta(minutes=length - (at - self.begin) % WEEK)
        # Wall-clock arithmetic: a clock that changes meanwhile does not move the end.
        wall = local.replace(second=0, microsecond=0, tzinfo=None) + left
        return wall.replace(tzinfo=self.zone)


@dataclass(frozen=True, kw_only=True, slots=True)
class Freeze:
    """A freeze that is on."""

    name: str
    until: datetime

    @property
    def sentence(self) -> str:
        """Which freeze, and until when."""
        return f"{self.name}: frozen until {self.until:%Y-%m-%d %H:%M %Z}".rstrip()


def frozen(windows: Iterable[Span | Weekly], now: datetime) -> Freeze | None:
    """Return the freeze that is on at ``now`` and lasts longest, or ``None``. ``now`` must be aware."""
    on = [(end, w.name) for w in windows if (end := w.ends(now)) is not None]
    if not on:
        return None
    end, name = max(on)
    return Freeze(name=name, until=end)
