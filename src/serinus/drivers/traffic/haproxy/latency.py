"""Counting answer times by their class: HAProxy itself has only averages.

The time until an answer's head, in whole milliseconds, is looked up in a map of address prefixes (a number
is an IPv4 address to HAProxy), which finds the class of any number by one look-up in a tree. A stick table
then counts per version and class.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from ipaddress import IPv4Address, summarize_address_range
from math import inf

__all__ = ["ABOVE", "LATENCY_FILE", "LATENCY_TABLE", "cumulative", "edges", "map_lines", "total_ms"]

LATENCY_FILE = "latency.map"
#: The stick table: a row per version and class.
LATENCY_TABLE = "serinus_latency"
#: Classes are so much wider each, up to a minute: a quantile is off by 7 % at most, above 7 ms.
_GROWTH, _LAST = 1.15, 60_000
#: Name of the class above the last edge.
ABOVE = "inf"


@cache
def edges() -> tuple[int, ...]:
    """Return the classes' upper edges in ms. An answer of 0 whole milliseconds took less than 1."""
    made = [1]
    while made[-1] < _LAST:
        made.append(min(_LAST, max(made[-1] + 1, int(made[-1] * _GROWTH))))
    return tuple(made)


def map_lines() -> str:
    """Return the map: prefix → upper edge of the class that its numbers are in."""
    lines = []
    before = 0
    for edge in edges():
        # Whole milliseconds from ``before`` to ``edge - 1`` are times below ``edge``.
        ranges = summarize_address_range(IPv4Address(before), IPv4Address(edge - 1))
        lines += [f"{network} {edge}" for network in ranges]
        before = edge
    above = summarize_address_range(IPv4Address(before), IPv4Address(2**31 - 1))
    return "\n".join([*lines, *(f"{network} {ABOVE}" for network in above), ""])


def cumulative(classes: Mapping[str, int]) -> dict[float, int]:
    """Return upper edge → answers at or below it, of class → answers in it."""
    made: dict[float, int] = {}
    total = 0
    for edge in edges():
        total += classes.get(str(edge), 0)
        made[float(edge)] = total
    made[inf] = total + classes.get(ABOVE, 0)
    return made if made[inf] else {}


def total_ms(classes: Mapping[str, int]) -> float:
    """Return about how long all answers took together: each counts as the middle of its class."""
    total, before = 0.0, 0
    for edge in edges():
        total += classes.get(str(edge), 0) * (before + edge) / 2
        before = edge
    return total + classes.get(ABOVE, 0) * float(_LAST)
