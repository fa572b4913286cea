"""The metrics port: measurements that somebody else keeps.

A source answers or says in plain words why it cannot; it does not raise for its own trouble. What
is missing is never a number: a check that gets no value holds, it does not pass.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite
from typing import Protocol, runtime_checkable

from serinus.core.analysis.counters import Increases

__all__ = ["Increases", "MetricSource", "Reading", "SelectSource", "Series", "number", "single"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """One number, or what was wrong: ``value`` is ``None`` exactly when there is a ``problem``."""

    value: float | None
    #: For whoever is on call: "no series matched", "timed out after 5 s".
    problem: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    #: Unix seconds for which it was asked.
    at: float = 0.0

    def __post_init__(self) -> None:
        """Refuse a value with a problem, neither of the two, and what is no finite number."""
        if (self.value is None) != bool(self.problem):
            raise ValueError("a reading has either a value or a problem")
        if self.value is not None and not isfinite(self.value):
            raise ValueError("a reading's value is finite")


@dataclass(frozen=True, kw_only=True, slots=True)
class Series:
    """Values over time, oldest first; steps without a finite value are left out."""

    labels: Mapping[str, str] = field(default_factory=dict)
    #: (Unix seconds, value).
    points: tuple[tuple[float, float], ...] = ()
    #: Why there are no points, in words.
    problem: str = ""


class MetricSource(Protocol):
    """Something that can be asked for measurements."""

    #: Catalogue name: ``prometheus``, ``http-json``, ``sql``.
    name: str

    async def instant(self, expression: str, at: float) -> tuple[Reading, ...]:
        """Return what ``expression`` was at ``at``, one reading per series; at least one."""
        ...

    async def increases(
        self, selector: str, start: float, end: float, width: int, by: tuple[str, ...]
    ) -> Increases:
        """Return how much the selected counters grew in each window; see :mod:`.counters`."""
        ...

    async def close(self) -> None:
        """Release connections."""
        ...


@runtime_checkable
class SelectSource(Protocol):
    """A source that is told whom a question is about, and over which time."""

    async def select(
        self, statement: str, *, since: float, until: float, version: str = "", side: str = ""
    ) -> Reading:
        """Return one number; ``since`` and ``until`` are Unix seconds."""
        ...


def number(value: float, at: float, labels: Mapping[str, str] | None = None) -> Reading:
    """Return a reading of ``value``, with a problem when it is no finite number.

    >>> number(float("nan"), 0.0).problem
    'the answer is NaN'
    """
    if isfinite(value):
        return Reading(value=value, labels=labels or {}, at=at)
    word = "NaN" if value != value else "+Inf" if value > 0 else "-Inf"  # noqa: PLR0124 (only NaN differs)
    return Reading(value=None, problem=f"the answer is {word}", labels=labels or {}, at=at)


def single(readings: Sequence[Reading]) -> Reading:
    """Return the one reading where one is expected, else say how many there were.

    >>> single([Reading(value=1.0), Reading(value=2.0)]).problem
    '2 series matched, 1 expected'
    """
    if len(readings) == 1:
        return readings[0]
    at = readings[0].at if readings else 0.0
    matched = f"{len(readings)} series matched, 1 expected" if readings else "no series matched"
    return Reading(value=None, problem=matched, at=at)
