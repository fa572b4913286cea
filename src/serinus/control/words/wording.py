"""How texts of notifications are put: on one line, cut, counted, in UTC."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from serinus.control.words.phrases import say

__all__ = ["LONGEST", "counted", "cut", "lasted", "line", "numbered", "seconds_text", "utc"]

#: Longer texts are cut: a reason must be readable on a phone.
LONGEST = 2000


def seconds_text(seconds: float) -> str:
    """Return a short duration: to the hundredth below ten seconds.

    >>> seconds_text(0.0834), seconds_text(23.4), seconds_text(400)
    ('0.08 s', '23 s', '6 min 40 s')
    """
    return f"{max(0.0, seconds):.2f} s" if seconds < 10 else lasted(seconds)


def counted(language: str, warnings: Sequence[str], where: str) -> str:
    """Return ``5 warnings in NAME``."""
    phrase = "warning.one" if len(warnings) == 1 else "warning.many"
    return say(language, phrase, n=len(warnings), service=where)


def numbered(lines: Sequence[str]) -> str:
    """Return lines with their numbers."""
    return "\n".join(f"{number}. {line}" for number, line in enumerate(lines, 1))


def lasted(seconds: float) -> str:
    """Return a duration in its two largest units.

    >>> [lasted(s) for s in (0.4, 42, 90, 7200, 93_600)]
    ['1 s', '42 s', '1 min 30 s', '2 h', '1 d 2 h']
    """
    left = max(1, round(seconds))
    parts = []
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min"), (1, "s")):
        count, left = divmod(left, size)
        parts.append(f"{count} {unit}" if count else "")
    first = next(at for at, part in enumerate(parts) if part)
    return " ".join(part for part in parts[first : first + 2] if part)


def utc(at: datetime) -> str:
    """Return a time in UTC, whatever zone it came in.

    Raises:
        ValueError: It has no zone, so nobody knows when it was.
    """
    if at.tzinfo is None:
        raise ValueError("a notification's time needs its UTC offset")
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def line(text: str) -> str:
    """Return a text on one line: a subject with a line break would be a second header."""
    return " ".join(text.split())[:200]


def cut(text: str) -> str:
    """Return a text that is not too long."""
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
