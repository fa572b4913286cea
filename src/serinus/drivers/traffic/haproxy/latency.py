"""Counting answer times by their class: HAProxy itself has only averages.

A stick table has a row per version and time until an answer's head: whole milliseconds as they are, as far as
there are few of them, and classes above. Those are found in a map of address prefixes (a number is an IPv4
address to HAProxy) by one look-up in a tree.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from ipaddress import IPv4Address, summarize_address_range
from math import inf

__all__ = [
    "ABOVE",
    "LATENCY_FILE",
    "LATENCY_TABLE",
    "PLAIN_BELOW",
    "cumulative",
    "edges",
    "map_lines",
    "rows",
    "total_ms",
]

LATENCY_FILE = "latency.map"
#: The stick table: a row per version and time.
LATENCY_TABLE = "serinus_latency"
#: Classes are so much wider each, up to a minute: a quantile is off by 7 % at most, above 7 ms.
_GROWTH, _LAST = 1.15, 60_000
#: Row of the class above the last edge.
ABOVE = 65_535
#: Milliseconds below this have rows of their own, and are looked up nowhere.
PLAIN_BELOW = 64


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


@cache
def rows() -> dict[int, float]:
    """Return row → upper edge of its class, upwards: whole milliseconds, then edges, then ``ABOVE``."""
    made = {ms: float(next(edge for edge in edges() if ms < edge)) for ms in range(PLAIN_BELOW)}
    return made | {edge: float(edge) for edge in edges() if edge > PLAIN_BELOW} | {ABOVE: inf}


def cumulative(counted: Mapping[int, int]) -> dict[float, int]:
    """Return upper edge → answers at or below it, of row → answers in it."""
    made: dict[float, int] = {}
    total = 0
    for row, edge in rows().items():
        total += counted.get(row, 0)
        made[edge] = total
    return made if total else {}


def total_ms(counted: Mapping[int, int]) -> float:
    """Return about how long all answers took together: each counts as the middle of its row."""
    total = sum((ms + 0.5) * counted.get(ms, 0) for ms in range(PLAIN_BELOW))
    before = float(PLAIN_BELOW)
    for edge in (edge for edge in edges() if edge > PLAIN_BELOW):
        total += counted.get(edge, 0) * (before + edge) / 2
        before = edge
    return total + counted.get(ABOVE, 0) * float(_LAST)
