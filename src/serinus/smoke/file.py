"""The smoke file: its keys, their meanings, and reading it with everything that is wrong told at once."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import urlsplit

from serinus.core.codec import at, nearest, read_file, told
from serinus.core.policy.forms import Choice, Duration, Exactly, Name, Number, Text, WrittenForm
from serinus.core.policy.schema import schema_of
from serinus.smoke.paths import PATTERN
from serinus.smoke.variables import ENV, names_in

__all__ = ["Expect", "JsonExpect", "LogLine", "Metric", "SmokeFile", "Step", "smoke_from", "smoke_schema"]

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")
TYPES = ("text", "number", "boolean", "list", "object", "null")


class _Anything(WrittenForm):
    """Any value."""

    def value(self, data: Any) -> Any:
        """Take it as it is."""
        return data

    def shape(self) -> dict[str, Any]:
        """Take everything."""
        return {}


class _Pattern(WrittenForm):
    """A regular expression."""

    def value(self, data: Any) -> str:
        """Take a text that compiles."""
        if not isinstance(data, str):
            raise ValueError("expected a text")  # noqa: TRY004 (forms speak in ValueErrors)
        try:
            re.compile(data)
        except re.error as error:
            raise ValueError(f"no regular expression: {error}") from None
        return data

    def shape(self) -> dict[str, Any]:
        """Take a text."""
        return {"type": "string", "format": "regex"}


class _Statuses(WrittenForm):
    """A status, or several that are all right."""

    def value(self, data: Any) -> tuple[int, ...]:
        """Take one or a list."""
        listed = data if isinstance(data, list) else [data]
        for one in listed:
            if isinstance(one, bool) or not isinstance(one, int) or not 100 <= one <= 599:
                raise ValueError("expected a status like 200, or a list of them")
        return tuple(listed)

    def shape(self) -> dict[str, Any]:
        """Take one or a list."""
        one = {"type": "integer", "minimum": 100, "maximum": 599}
        return {"anyOf": [one, {"type": "array", "items": one}]}


_Any = Annotated[Any, _Anything()]
_JsonPath = Annotated[str, Text(PATTERN, "expected a place like options[0].id")]
_Count = Annotated[int, Number(whole=True)]
_Time = Annotated[float, Duration(above_zero=True)]
_Url = Annotated[str, Text(r"https?://[^\s]+", "expected http://host:port or https://host")]


@dataclass(frozen=True, kw_only=True, slots=True)
class JsonExpect:
    """What must be at one place of a JSON answer."""

    path: _JsonPath = told("The place: names, dots and indexes, like options[0].id.", required=True)
    equals: _Any = told("Its value.")
    exists: bool | None = told("Whether there is anything.")
    count: _Count | None = told("How many elements a list, keys an object or characters a text has.")
    type: Annotated[str, Choice("type", TYPES)] | None = told("What it is.")
    matches: Annotated[str, _Pattern()] | None = told("A regular expression that is found in it.")
    at_least: float | None = told("The smallest value of a number.")
    at_most: float | None = told("The largest value of a number.")


@dataclass(frozen=True, kw_only=True, slots=True)
class Expect:
    """What a step's answer must be."""

    status: Annotated[tuple[int, ...], _Statuses()] | None = told(
        "Its status, or several that are all right; left out: any from 200 to 299."
    )
    within: _Time | None = told("It takes no longer than this.")
    headers: dict[str, str] | None = told("Its headers; names in any case, values exactly.")
    contains: str = told("A text in its body.", "")
    json: tuple[JsonExpect, ...] = told("What is in its JSON.", ())


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """One request, and what must come of it."""

    name: Name = told("Its name.", required=True)
    method: Annotated[str, Choice("method", METHODS)] = told("Its method.", "GET")
    path: Annotated[str, Text(r"/\S*", "expected a path that begins with /", 2000)] = told(
        "Its path, with its query.", required=True
    )
    headers: dict[str, str] | None = told("Sent along.")
    json: _Any = told("Its body, as JSON.")
    body: str = told("Its body, as text.", "")
    expect: Expect = told("What must come of it.", Expect())
    capture: dict[str, _JsonPath] | None = told(
        "Variables from its JSON answer: a name, and the place of the value."
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class LogLine:
    """A log line that must have been written, with its fields."""

    name: Name = told(
        "The event: the value of `key` in a JSON line, or a word of a text line.", required=True
    )
    key: str = told("The key of a JSON line that names its event.", "event")
    file: str = told("The log file; only lines that this run caused count.", "")
    step: str = told("Or the step whose answer holds the lines.", "")
    fields: tuple[str, ...] = told("Fields that it must have, with any value.", ())
    within: _Time = told("How long it may take until it is written.", 5.0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Metric:
    """A metric that must be in `/metrics`; series that match are added up."""

    name: Annotated[str, Text(r"[a-zA-Z_:][a-zA-Z0-9_:]*", "expected a metric's name")] = told(
        "Its name.", required=True
    )
    labels: dict[str, str] | None = told("Labels that its series must have.")
    at_least: float | None = told("The smallest value.")
    at_most: float | None = told("The largest value.")


@dataclass(frozen=True, kw_only=True, slots=True)
class SmokeFile:
    """Smoke tests: what must work right after a launch."""

    version: Annotated[int, Exactly(1, "expected 1")] | None = told("Of this format: 1.")
    name: Name = told("What is tested.", "smoke")
    service: str = told("The service, for the canary's address from its upstreams.", "")
    base_url: _Url | None = told("Where it answers.")
    canary_url: _Url | None = told("Where the canary answers, with --canary.")
    timeout: _Time = told("An answer that takes longer is none.", 10.0)
    headers: dict[str, str] | None = told("Sent with every request.")
    variables: dict[str, _Any] | None = told("Values for ${name} in what follows.")
    steps: tuple[Step, ...] = told("The requests, in their order.", ())
    logs: tuple[LogLine, ...] = told("Log lines that must have been written.", ())
    metrics: tuple[Metric, ...] = told("Metrics that must be there.", ())
    metrics_path: Annotated[str, Text(r"/\S*", "expected a path that begins with /")] = told(
        "Where the metrics are.", "/metrics"
    )


def smoke_schema() -> dict[str, Any]:
    """Return the JSON Schema of smoke files, for editors."""
    return schema_of(SmokeFile, "Serinus smoke tests")


def smoke_from(data: Any) -> SmokeFile:
    """Read a smoke file's data.

    Raises:
        InvalidInput: Anything is wrong; ``extra["errors"]`` has all of it by place.
    """
    return read_file(SmokeFile, data, _check)


def _check(file: SmokeFile, problems: dict[str, str]) -> None:
    if problems:
        return
    if not (file.steps or file.logs or file.metrics):
        problems["steps"] = "nothing is tested: give steps, logs or metrics"
    for key in ("base_url", "canary_url"):
        url = getattr(file, key)
        if url and urlsplit(url).password:
            problems[key] = "holds a password: send it in a header from the environment, ${env:NAME}"
    known = set(file.variables or {})
    _refers(file.headers, "headers", known, problems)
    for n, step in enumerate(file.steps):
        _check_step(step, f"steps[{n}]", known, problems)
        known |= set(step.capture or {})
    names = [step.name for step in file.steps]
    for n, line in enumerate(file.logs):
        if bool(line.file) == bool(line.step):
            problems[f"logs[{n}]"] = "give either `file` or `step`"
        elif line.step and line.step not in names:
            problems[at(f"logs[{n}]", "step")] = f"there is no step {line.step[:60]!r}" + nearest(
                line.step, names
            )
    for n, metric in enumerate(file.metrics):
        _bounds(metric, f"metrics[{n}]", problems)


def _check_step(step: Step, place: str, known: set[str], problems: dict[str, str]) -> None:
    if step.json is not None and step.body:
        problems[at(place, "body")] = "give either `json` or `body`"
    for key in ("path", "headers", "json", "body"):
        _refers(getattr(step, key), at(place, key), known, problems)
    _refers(
        [step.expect.headers, step.expect.contains, [j.equals for j in step.expect.json]],
        at(place, "expect"),
        known | set(step.capture or {}),
        problems,
    )
    for n, expected in enumerate(step.expect.json):
        where = f"{at(place, 'expect')}.json[{n}]"
        if expected == JsonExpect(path=expected.path):
            keys = "equals, exists, count, type, matches, at_least or at_most"
            problems[where] = f"says nothing of the value: give {keys}"
        _bounds(expected, where, problems)


def _bounds(limited: Any, place: str, problems: dict[str, str]) -> None:
    low, high = limited.at_least, limited.at_most
    if low is not None and high is not None and low > high:
        problems[place] = f"at_least {low:g} is above at_most {high:g}"


def _refers(value: Any, place: str, known: set[str], problems: dict[str, str]) -> None:
    for name in names_in(value):
        if not name.startswith(ENV) and name not in known:
            problems[place] = f"no step before captures ${{{name[:60]}}}" + nearest(name, known)
