"""Numbers as people write them; each text reads back as the same number."""

from __future__ import annotations

from decimal import Decimal

__all__ = ["number_of", "plain", "share_text", "span"]


def share_text(value: float) -> str:
    """Return a share as a percentage that reads back as the same number.

    >>> share_text(0.995)
    '99.5 %'
    """
    return f"{(Decimal(repr(value)) * 100).normalize():f} %"


def plain(value: float) -> float | int:
    """Return a number without a needless fraction: 2.0 as 2."""
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < 1e15 else value


def span(seconds: float) -> str:
    """Return a time with units that reads back as the same number.

    >>> span(5400), span(0.25), span(90)
    ('1h30m', '250ms', '90s')
    """
    if seconds < 120 or seconds % 1:
        whole = Decimal(repr(float(seconds)))
        rest = whole * 1000
        milli = 0 < whole < 1 and rest == rest.to_integral_value()
        return f"{rest.normalize():f}ms" if milli else f"{whole.normalize():f}s"
    left, text = int(seconds), ""
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        count, left = divmod(left, size)
        text += f"{count}{unit}" if count else ""
    return text


def number_of(count: int, what: str) -> str:
    """Return how many of something there are.

    >>> number_of(1, "file"), number_of(1200, "file")
    ('1 file', '1,200 files')
    """
    return f"{count:,} {what}{'' if count == 1 else 's'}"
