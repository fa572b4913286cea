"""Units that stay on the canary above its share: fetched by slices of one percent, eight bytes a unit.

A snapshot only names slices and their versions, so that it stays small however many units there are; what a
process has already is not fetched again. Looking a unit up is a binary search in its slice.
"""

from __future__ import annotations

import sys
from array import array
from bisect import bisect_left

TYPE_CHECKING = False  # typing itself costs milliseconds and a megabyte; checkers know this name
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from typing import Any

    Slices = Mapping[int, array[int]]

__all__ = ["KeptUnits", "holds", "packed", "plain", "sliced"]

BUCKETS, SLICE = 10_000, 100


def sliced(hashes: Iterable[str]) -> dict[int, array[int]]:
    """Return hashes in hex as sorted slices."""
    slices: dict[int, array[int]] = {}
    for unit in sorted(int(h, 16) for h in hashes):
        slices.setdefault(unit % BUCKETS // SLICE, array("Q")).append(unit)
    return slices


def holds(slices: Slices, unit: int) -> bool:
    """Tell whether a unit is in its slice."""
    units = slices.get(unit % BUCKETS // SLICE)
    if units is None:
        return False
    at = bisect_left(units, unit)
    return at < len(units) and units[at] == unit


def packed(version: int, hashes: Iterable[str]) -> bytes:
    """Return a slice as it travels: its version, then the hashes in order, 8 bytes each, big end first."""
    numbers = array("Q", [version, *sorted(int(h, 16) for h in hashes)])
    if sys.byteorder == "little":
        numbers.byteswap()
    return numbers.tobytes()


class KeptUnits:
    """The slices that this process has, by the book that they are in (a deployment's, until a reset)."""

    def __init__(self) -> None:
        """Start without any."""
        self._slices: dict[tuple[str, int], tuple[int, array[int]]] = {}

    def missing(self, snapshot: Mapping[str, Any]) -> list[tuple[str, int]]:
        """Return ``(book, slice)`` of what a snapshot names and is not here; the rest is forgotten."""
        named = {(book, int(n)): int(v) for book, kept in _named(snapshot) for n, v in kept.items()}
        for key in [k for k in self._slices if k not in named]:
            del self._slices[key]
        return [key for key, version in named.items() if self._version(key) < version]

    def put(self, book: str, index: int, body: bytes) -> None:
        """Take a slice as it travels.

        Raises:
            ValueError: It is none.
        """
        numbers = array("Q")
        numbers.frombytes(body)
        if sys.byteorder == "little":
            numbers.byteswap()
        if not numbers:
            raise ValueError("a slice without its version")
        self._slices[book, index] = (numbers[0], numbers[1:])

    def complete(self, snapshot: Mapping[str, Any], before: Mapping[str, Any]) -> dict[str, Any]:
        """Return a snapshot with its units in place. A service whose units are not all here stays as it was.

        ``before``: the services that are followed now.
        """
        services = dict(snapshot["services"])
        for name, entry in services.items():
            running = (entry or {}).get("deployment") or {}
            kept = running.get("kept") or {}
            keys = [(_book(running), int(n)) for n in kept]
            slices = {key[1]: self._slices[key][1] for key in keys if key in self._slices}
            was = (before.get(name) or {}).get("deployment") or {}
            whole = all(self._version(key) >= int(kept[str(key[1])]) for key in keys)
            if whole or was.get("id") != running.get("id"):
                services[name] = {**entry, "deployment": {**running, "sticky": slices}} if kept else entry
            else:
                services[name] = before[name]
        return {**snapshot, "services": services}

    def _version(self, key: tuple[str, int]) -> int:
        return self._slices[key][0] if key in self._slices else 0


def plain(snapshot: Mapping[str, Any]) -> dict[str, Any]:
    """Return a completed snapshot as JSON can hold it, units and all, for a process that starts alone."""
    services = dict(snapshot["services"])
    for name, entry in services.items():
        slices = ((entry or {}).get("deployment") or {}).get("sticky")
        if isinstance(slices, dict):
            hashes = [f"{unit:016x}" for units in slices.values() for unit in units]
            running = {**entry["deployment"], "sticky": hashes}
            del running["kept"]
            services[name] = {**entry, "deployment": running}
    return {**snapshot, "services": services}


def _named(snapshot: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for entry in snapshot["services"].values():
        running = (entry or {}).get("deployment") or {}
        if running.get("kept"):
            yield _book(running), running["kept"]


def _book(running: Mapping[str, Any]) -> str:
    return str(running.get("book") or running.get("id"))
