"""Reading what Prometheus' query API answered."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any

from serinus.core.analysis.counters import RawSeries
from serinus.drivers._http import Trouble, status_words
from serinus.ports.metrics import Reading, Series, number

__all__ = ["data_of", "raw_series", "readings", "series"]

#: Longest part of a server's own words that is passed on.
MAX_WORDS = 200


def data_of(status: int, body: bytes, secrets: Sequence[str]) -> Mapping[str, Any]:
    """Return the ``data`` of a good answer.

    Raises:
        Trouble: It is none; a partial one (with warnings) is none either.
    """
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        answer = None
    if not isinstance(answer, dict) or "status" not in answer:
        if status == 200:
            raise Trouble("the answer is not from Prometheus' API: check the URL")
        raise Trouble(status_words(status))
    if status in (401, 403):
        raise Trouble(status_words(status))
    if answer["status"] != "success":
        said = _told(f"{answer.get('errorType', 'error')}: {answer.get('error', 'no reason')}", secrets)
        raise Trouble(f"Prometheus refused the question ({said})")
    if answer.get("warnings"):
        raise Trouble(f"only a part could be read ({_told(str(answer['warnings'][0]), secrets)})")
    data = answer.get("data")
    if status != 200 or not isinstance(data, dict) or not isinstance(data.get("result"), list):
        raise Trouble("the answer is not from Prometheus' API: check the URL")
    return data


def readings(data: Mapping[str, Any], at: float) -> tuple[Reading, ...]:
    """Return an instant answer as readings; none when no series matched.

    Raises:
        Trouble: It holds no numbers, or not in the API's form.
    """
    kind, result = data.get("resultType"), data["result"]
    if kind == "string":
        raise Trouble("the answer is text, not a number")
    if kind == "matrix":
        raise Trouble("the answer is a range of samples: wrap it in rate(), increase() or *_over_time()")
    try:
        if kind == "scalar":
            return (number(float(result[1]), at),)
        return tuple(_reading(one, at) for one in result)
    except (ValueError, TypeError, LookupError, AttributeError):
        raise Trouble("the answer is not in the form of Prometheus' API") from None


def raw_series(data: Mapping[str, Any]) -> list[RawSeries]:
    """Return a matrix as raw samples.

    Raises:
        Trouble: It is none.
    """
    return [RawSeries(labels=labels, samples=points) for labels, points in _matrix(data)]


def series(data: Mapping[str, Any]) -> list[Series]:
    """Return a matrix as series of finite values.

    Raises:
        Trouble: It is none.
    """
    return [
        Series(labels=labels, points=tuple(p for p in points if isfinite(p[1])))
        for labels, points in _matrix(data)
    ]


def _reading(one: Mapping[str, Any], at: float) -> Reading:
    labels = dict(one["metric"])
    if "value" not in one:
        problem = "the answer is a native histogram: take a quantile or a count of it"
        return Reading(value=None, problem=problem, labels=labels, at=at)
    return number(float(one["value"][1]), at, labels)


def _matrix(data: Mapping[str, Any]) -> list[tuple[dict[str, str], list[tuple[float, float]]]]:
    if data.get("resultType") != "matrix":
        raise Trouble("the answer is no range of samples: give a selector, not an expression")
    try:
        if any("histograms" in one for one in data["result"]):
            raise Trouble("these are native histograms, not counters")
        return [
            (dict(one["metric"]), [(float(at), float(value)) for at, value in one["values"]])
            for one in data["result"]
        ]
    except (ValueError, TypeError, LookupError):
        raise Trouble("the answer is not in the form of Prometheus' API") from None


def _told(words: str, secrets: Sequence[str]) -> str:
    """Return the server's words, short and without our secrets, should it echo them."""
    for secret in secrets:
        words = words.replace(secret, "…")
    return " ".join(words.split())[:MAX_WORDS]
