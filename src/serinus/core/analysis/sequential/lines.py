"""Windows as plain data, from any language: read with clear errors, answered as plain data.

One window is an object like::

    {"at": 1760000000, "seconds": 10, "step": "5 %",
     "arms": {"stable": {"requests": 1900, "errors": 6,
                         "latency": {"edges": [50, 100, 200], "counts": [700, 900, 290, 10]}},
              "canary": {"requests": 100, "errors": 0,
                         "latency": {"edges": [50, 100, 200], "counts": [41, 44, 14, 1]}}}}

Every arm beside ``stable`` is a candidate. ``strata`` (name → arms) takes the place of ``arms`` where
traffic is split, by endpoint for one. ``null`` for an arm or its requests means "not measured".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from math import inf, isfinite
from typing import Any

from serinus.core.analysis.sequential.answer import Answer
from serinus.core.analysis.sequential.judge import Judge
from serinus.core.analysis.sequential.latency import Buckets
from serinus.core.analysis.sequential.moment import Counts, Moment, Pair
from serinus.core.analysis.sequential.plan import Plan
from serinus.core.codec import nearest, to_json
from serinus.core.errors import InvalidInput

__all__ = ["STABLE", "Contest", "buckets_from", "counts_from"]

#: The name of the arm that the others are held against.
STABLE = "stable"

_LINE = ("at", "seconds", "step", "share", "alone", "arms", "strata", "metrics")
_ARM = ("requests", "errors", "latency")
_LATENCY = ("edges", "counts", "cumulative")


class Contest:
    """One judge per candidate, all under one budget (A/B/n). With one candidate: just a judge."""

    def __init__(self, plan: Plan | None = None, kept: Mapping[str, Any] | None = None) -> None:
        """Begin under ``plan``, or go on from ``state()``.

        Raises:
            ValueError: ``kept`` is no state, or one of another plan.
        """
        self.plan = plan or Plan()
        self.judges: dict[str, Judge] = {}
        self._last = -inf
        if kept:
            self._last = -inf if kept["last"] is None else float(kept["last"])
            self.judges = {name: Judge.restore(self.plan, text) for name, text in kept["judges"].items()}

    def state(self) -> dict[str, Any]:
        """Return everything that is known, as JSON data."""
        return {
            "last": self._last if isfinite(self._last) else None,
            "judges": {name: judge.state() for name, judge in self.judges.items()},
        }

    def feed(self, line: Any) -> dict[str, Any]:
        """Take one window; return the answer, or with several candidates one answer each.

        Raises:
            InvalidInput: Something in it is wrong, named by its place; nothing was taken in then.
        """
        data = _object(line, "", _LINE)
        start, seconds = _number(data, "at"), _number(data, "seconds", 10.0)
        if seconds <= 0:
            raise _wrong("seconds", "must be above 0")
        if start < self._last:
            raise _wrong("at", f"goes back: the window before began at {self._last:g}")
        strata = _strata(data)
        names = self._names(strata)
        moments = {name: self._moment(data, name, start, seconds, strata) for name in names}
        self._last = start
        answers = {name: self.judges[name].feed(moment) for name, moment in moments.items()}
        return _shown(start, answers)

    def _names(self, strata: Mapping[str, Mapping[str, Counts]]) -> list[str]:
        """Return the candidates of a line; the first line says which there are."""
        found = {name for arms in strata.values() for name in arms if name != STABLE}
        room = max(self.plan.candidates, 1)
        if not self.judges:
            if len(found) > room:
                self.plan = _several(self.plan, len(found))
            self.judges = {name: Judge(self.plan) for name in sorted(found)}
        new = sorted(found - self.judges.keys())
        if len(self.judges) + len(new) > max(room, self.plan.candidates):
            raise InvalidInput(
                f"A candidate that was not there at the start: {', '.join(new)}.",
                field="arms",
                next_step="Name every candidate in the first line: they share one budget.",
            )
        for name in new:
            self.judges[name] = Judge(self.plan)
        return list(self.judges)

    @staticmethod
    def _moment(
        data: Mapping[str, Any],
        name: str,
        start: float,
        seconds: float,
        strata: Mapping[str, Mapping[str, Counts]],
    ) -> Moment:
        share = data.get("share")
        return Moment(
            start=start,
            seconds=seconds,
            strata={
                stratum: Pair(stable=arms.get(STABLE, Counts()), canary=arms.get(name, Counts()))
                for stratum, arms in strata.items()
            },
            step=str(data.get("step", "")),
            share=None if share is None else _share(data),
            alone=bool(data.get("alone", False)),
            metrics=_metrics(data, name),
        )


def counts_from(data: Any, where: str) -> Counts:
    """Read one arm.

    Raises:
        InvalidInput: A count is negative, no number, or an unknown key is there.
    """
    if data is None:
        return Counts()
    arm = _object(data, where, _ARM)
    if arm.get("requests") is None:
        return Counts()
    requests, errors = _count(arm, "requests", where), _count(arm, "errors", where)
    return Counts(requests, errors, buckets_from(arm.get("latency"), f"{where}.latency"))


def buckets_from(data: Any, where: str) -> Buckets | None:
    """Read latency counts: ``{"edges": […], "counts": […]}``, or ``{"cumulative": {"0.1": 5, "+Inf": 9}}``.

    ``counts`` has one number per edge, or one more for what lies above the last. Edges are in ms.

    Raises:
        InvalidInput: Edges do not rise, counts are negative or of another number, or cumulative ones fall.
    """
    if data is None:
        return None
    given = _object(data, where, _LATENCY)
    if "cumulative" in given:
        return _cumulative(given["cumulative"], f"{where}.cumulative")
    edges, counts = _list(given, "edges", where), _list(given, "counts", where)
    upper = [float(e) for e in edges]
    if len(counts) == len(upper) + 1:
        upper.append(inf)
    if len(counts) != len(upper):
        raise _wrong(
            where, f"has {len(upper)} edges and {len(counts)} counts; give as many, or one count more"
        )
    return _buckets(upper, counts, where)


def _cumulative(data: Any, where: str) -> Buckets:
    if not isinstance(data, Mapping):
        raise _wrong(where, "must be an object of upper edge → requests up to it")
    try:
        pairs = sorted((inf if str(e) in ("+Inf", "inf") else float(e), n) for e, n in data.items())
    except (TypeError, ValueError):
        raise _wrong(where, "has an edge that is no number") from None
    counts: list[float] = []
    below = 0.0
    for _, upto in pairs:
        if isinstance(upto, bool) or not isinstance(upto, int | float) or upto < below:
            raise _wrong(where, "must not fall: each edge counts everything up to it")
        counts.append(upto - below)
        below = upto
    return _buckets([e for e, _ in pairs], counts, where)


def _buckets(edges: list[float], counts: list[Any], where: str) -> Buckets:
    if any(b <= a for a, b in pairwise(edges)) or any(not e > 0 for e in edges):
        raise _wrong(where, "edges must be above 0 and rise")
    for count in counts:
        if isinstance(count, bool) or not isinstance(count, int | float) or not 0 <= count < inf:
            raise _wrong(where, f"{count!r} is no count")
    return Buckets(tuple(edges), tuple(round(c) for c in counts))


def _strata(data: Mapping[str, Any]) -> dict[str, dict[str, Counts]]:
    if ("arms" in data) == ("strata" in data):
        raise _wrong("arms", "give either `arms`, or `strata` with arms in each")
    given = {"": data["arms"]} if "arms" in data else data["strata"]
    if not isinstance(given, Mapping):
        raise _wrong("strata", "must be an object of name → arms")
    found: dict[str, dict[str, Counts]] = {}
    for stratum, arms in given.items():
        where = f"strata.{stratum}" if "strata" in data else "arms"
        if not isinstance(arms, Mapping) or STABLE not in arms or len(arms) < 2:
            raise _wrong(where, "needs `stable` and at least one candidate")
        found[str(stratum)] = {str(n): counts_from(arm, f"{where}.{n}") for n, arm in arms.items()}
    return found


def _metrics(data: Mapping[str, Any], name: str) -> dict[str, tuple[float, float]]:
    given = data.get("metrics") or {}
    if not isinstance(given, Mapping):
        raise _wrong("metrics", "must be an object of name → arms")
    found = {}
    for metric, arms in given.items():
        if not isinstance(arms, Mapping):
            raise _wrong(f"metrics.{metric}", "must be an object of arm → value")
        values = [arms.get(name), arms.get(STABLE)]
        if all(isinstance(v, int | float) and not isinstance(v, bool) and isfinite(v) for v in values):
            found[str(metric)] = (float(values[0]), float(values[1]))  # type: ignore[arg-type]
    return found


def _share(data: Mapping[str, Any]) -> float:
    share = _number(data, "share")
    if not 0 < share <= 100:
        raise _wrong("share", "is the canary's configured part in percent, above 0 and up to 100")
    return share / 100


def _shown(start: float, answers: Mapping[str, Answer]) -> dict[str, Any]:
    found = {name: to_json(answer) for name, answer in answers.items()}
    if len(found) == 1:
        return {"at": start, "candidate": next(iter(found)), **next(iter(found.values()))}
    return {"at": start, "candidates": found}


def _several(plan: Plan, count: int) -> Plan:
    return replace(plan, candidates=count)


def _object(data: Any, where: str, known: tuple[str, ...]) -> Mapping[str, Any]:
    if not isinstance(data, Mapping):
        raise _wrong(where or "line", "must be an object")
    for key in data:
        if key not in known:
            raise _wrong(f"{where}.{key}".strip("."), "is not known" + nearest(str(key), list(known)))
    return data


def _number(data: Mapping[str, Any], name: str, default: float | None = None) -> float:
    value = data.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
        raise _wrong(name, "must be a number")
    return float(value)


def _count(data: Mapping[str, Any], name: str, where: str) -> int:
    value = data.get(name, 0)
    value = 0 if value is None else value
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < inf:
        raise _wrong(f"{where}.{name}", f"is {value!r}; give a count, 0 or more")
    return round(value)


def _list(data: Mapping[str, Any], name: str, where: str) -> list[Any]:
    value = data.get(name)
    if not isinstance(value, list | tuple):
        raise _wrong(f"{where}.{name}", "must be a list of numbers")
    if name == "edges" and any(isinstance(v, bool) or not isinstance(v, int | float) for v in value):
        raise _wrong(f"{where}.{name}", "must be a list of numbers")
    return list(value)


def _wrong(where: str, what: str) -> InvalidInput:
    return InvalidInput(
        f"{where}: {what}.", field=where, next_step="See `serinus judge --help` for the format."
    )
