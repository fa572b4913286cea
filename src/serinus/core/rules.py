"""Rulesets: immutable versions addressed by their content, their cases, and what differs between answers.

Everything here is JSON data; the engines that run rules are drivers.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

__all__ = [
    "MAX_DIFFERENCES",
    "REDACTED",
    "Case",
    "Difference",
    "RuleSettings",
    "RuleVersion",
    "canonical",
    "differences",
    "digest_of",
    "hidden_texts",
    "redacted",
    "scrubbed",
    "spelled",
]

#: Differences told of one comparison; whoever has more of them reads the two documents.
MAX_DIFFERENCES = 50
REDACTED = "[redacted]"
#: Texts shorter than this are not looked for in error messages: they would be found everywhere.
_SHORTEST_SECRET = 4
_ABSENT: Any = object()


@dataclass(frozen=True, kw_only=True, slots=True)
class RuleSettings:
    """How a ruleset's executions are logged and shadowed."""

    #: Paths in inputs and outputs whose values are never stored: ``customer.email``, ``items.*.card``.
    redact: tuple[str, ...] = ()
    #: Share of good executions that are logged, in percent; failed ones always are.
    log_percent: float = 10.0
    #: Share of calls served by stable on which the canary's rules run beside it, in percent.
    shadow_percent: float = 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """A test case: what goes in and what has to come out."""

    name: str
    input: Any
    expected_output: Any


@dataclass(frozen=True, kw_only=True, slots=True)
class RuleVersion:
    """One immutable version of a ruleset."""

    tenant_id: str
    service_id: str
    version: str
    #: ``zen``, ``starlark``, or an engine that joined by entry point.
    engine: str
    #: The rules themselves: a script, or a decision model as canonical JSON.
    source: str
    #: SHA-256 of engine and source: the same rules have the same address, under whatever name.
    digest: str
    changelog: str = ""
    author: str = ""
    cases: tuple[Case, ...] = ()
    created_at: datetime | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """One place where two JSON documents differ."""

    path: str
    #: ``changed``, ``missing`` (expected, not there) or ``unexpected`` (there, not expected).
    kind: str
    expected: Any = field(default=None)
    actual: Any = field(default=None)

    @property
    def line(self) -> str:
        """The difference as people read it."""
        if self.kind == "missing":
            return f"{self.path}: expected {spelled(self.expected)}, but it is not there"
        if self.kind == "unexpected":
            return f"{self.path}: {spelled(self.actual)} was not expected"
        return f"{self.path}: expected {spelled(self.expected)}, got {spelled(self.actual)}"


def canonical(value: Any) -> str:
    """Return JSON data as its one spelling: keys in order, no spaces."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def digest_of(engine: str, source: str) -> str:
    """Return the address of rules: ``sha256:`` and 64 hex digits.

    >>> digest_of("starlark", "") == digest_of("starlark", "")
    True
    """
    hashed = hashlib.sha256(f"{engine}\n{source}".encode("utf-8", "surrogatepass"))
    return f"sha256:{hashed.hexdigest()}"


def spelled(value: Any, most: int = 120) -> str:
    """Return JSON data in one short line."""
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= most else f"{text[: most - 1]}…"


def differences(expected: Any, actual: Any) -> list[Difference]:
    """Return where two JSON documents differ, in reading order; at most ``MAX_DIFFERENCES``.

    ``1`` and ``1.0`` are the same number; ``1`` and ``true`` are not the same value.

    >>> [d.line for d in differences({"discount": 0.1}, {"discount": 0.2})]
    ['$.discount: expected 0.1, got 0.2']
    """
    found: list[Difference] = []
    for one in _differ("$", expected, actual):
        found.append(one)
        if len(found) == MAX_DIFFERENCES:
            break
    return found


def _differ(path: str, expected: Any, actual: Any) -> Iterator[Difference]:
    if expected is actual:
        return
    if isinstance(expected, Mapping) and isinstance(actual, Mapping):
        for key in sorted({*expected, *actual}, key=str):
            yield from _step(f"{path}.{key}", expected.get(key, _ABSENT), actual.get(key, _ABSENT))
    elif isinstance(expected, list) and isinstance(actual, list):
        for at in range(max(len(expected), len(actual))):
            left = expected[at] if at < len(expected) else _ABSENT
            right = actual[at] if at < len(actual) else _ABSENT
            yield from _step(f"{path}[{at}]", left, right)
    elif isinstance(expected, bool) is not isinstance(actual, bool) or expected != actual:
        yield Difference(path=path, kind="changed", expected=expected, actual=actual)


def _step(path: str, expected: Any, actual: Any) -> Iterator[Difference]:
    if expected is _ABSENT:
        yield Difference(path=path, kind="unexpected", actual=actual)
    elif actual is _ABSENT:
        yield Difference(path=path, kind="missing", expected=expected)
    else:
        yield from _differ(path, expected, actual)


def redacted(value: Any, paths: Sequence[str]) -> Any:
    """Return a copy in which what the paths name is ``[redacted]``; ``*`` stands for any key or index.

    >>> redacted({"user": {"mail": "a@b.c", "age": 7}}, ["user.mail"])
    {'user': {'mail': '[redacted]', 'age': 7}}
    """
    for path in paths:
        value = _hide(value, path.split("."))
    return value


def _hide(value: Any, steps: list[str]) -> Any:
    if not steps:
        return REDACTED
    head, rest = steps[0], steps[1:]
    if isinstance(value, Mapping):
        return {k: _hide(v, rest) if head in ("*", k) else v for k, v in value.items()}
    if isinstance(value, list):
        return [_hide(v, rest) if head in ("*", str(at)) else v for at, v in enumerate(value)]
    return value


def hidden_texts(value: Any, paths: Sequence[str]) -> frozenset[str]:
    """Return the texts and numbers that the paths hide, to be scrubbed from whatever repeats them."""
    found: set[str] = set()
    for path in paths:
        _collect(value, path.split("."), found)
    return frozenset(found)


def _collect(value: Any, steps: list[str], into: set[str]) -> None:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if not steps or steps[0] in ("*", key):
                _collect(inner, steps[1:], into)
    elif isinstance(value, list):
        for at, inner in enumerate(value):
            if not steps or steps[0] in ("*", str(at)):
                _collect(inner, steps[1:], into)
    elif not steps and value is not None and not isinstance(value, bool):
        text = str(value)
        if len(text) >= _SHORTEST_SECRET:
            into.add(text)


def scrubbed(value: Any, secrets: frozenset[str]) -> Any:
    """Return a copy of JSON data, or of a text, in which no secret is repeated."""
    if not secrets:
        return value
    if isinstance(value, str):
        for secret in sorted(secrets, key=len, reverse=True):
            value = value.replace(secret, REDACTED)
        return value
    if isinstance(value, Mapping):
        return {scrubbed(k, secrets): scrubbed(v, secrets) for k, v in value.items()}
    if isinstance(value, list):
        return [scrubbed(v, secrets) for v in value]
    if not isinstance(value, bool) and str(value) in secrets:
        return REDACTED
    return value
