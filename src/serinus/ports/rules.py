"""The rules port: engines that run rules, and the sandbox that runs engines.

An engine is plain, synchronous code; it bounds what it can by itself (recursion, what a rule may
call). The sandbox bounds the rest from outside: time, memory, files, network. Rules are a function
of their input: the same input gives the same output, so an engine refuses clocks and chance.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any, Protocol

__all__ = [
    "MAX_DEPTH",
    "MAX_INPUT_BYTES",
    "MAX_OUTPUT_BYTES",
    "MAX_SOURCE_BYTES",
    "Outcome",
    "Program",
    "RuleEngine",
    "RuleFailure",
    "RuleRejected",
    "Sandbox",
    "written",
]

#: A ruleset's source; a decision table with some thousand rows fits.
MAX_SOURCE_BYTES = 512 * 1024
MAX_INPUT_BYTES = 256 * 1024
MAX_OUTPUT_BYTES = 256 * 1024
#: Levels of lists and objects in an input or an output.
MAX_DEPTH = 64
#: Integers beyond are not carried by every JSON reader.
_MAX_INTEGER = 2**63


class RuleRejected(Exception):
    """These rules cannot be taken: the message says what and where."""


class RuleFailure(Exception):
    """A rule did not give an answer. ``kind`` is error, time, memory, output or crash."""

    def __init__(self, message: str, kind: str = "error") -> None:
        """Say what happened."""
        super().__init__(message)
        self.kind = kind


class Program(Protocol):
    """Compiled rules. May be run any number of times, by one thread at a time."""

    def run(self, data: bytes) -> Any:
        """Return the output for an input in JSON.

        Raises:
            RuleFailure: The rules gave no answer.
        """
        ...


class RuleEngine(Protocol):
    """Turns source into programs."""

    def compile(self, source: str) -> Program:
        """Return the program.

        Raises:
            RuleRejected: The source is not acceptable.
        """
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What became of one run."""

    #: The output in JSON; empty when there is none.
    output: bytes = b""
    #: Milliseconds that the engine took, without any waiting.
    latency_ms: float = 0.0
    error: str = ""
    #: Of the error: error, time, memory, output or crash.
    kind: str = ""

    @property
    def ok(self) -> bool:
        """Tell whether there is an output."""
        return not self.error


class Sandbox(Protocol):
    """Runs rules where they can do no harm."""

    async def check(self, engine: str, source: str) -> None:
        """Compile, and forget.

        Raises:
            RuleRejected: The rules cannot be taken, or compiling them goes beyond the limits.
            Unavailable: No worker could be started.
        """
        ...

    async def run(self, engine: str, digest: str, source: str, data: bytes) -> Outcome:
        """Run rules on an input in JSON; a rule's failure is an outcome.

        Raises:
            Unavailable: No worker could be started, or the machine gives it no time.
        """
        ...

    async def close(self) -> None:
        """End the workers."""
        ...


def written(value: Any) -> bytes:
    """Return an output as JSON.

    Raises:
        RuleFailure: It is no JSON, too deep or too large.
    """
    _ensure_json(value, "output", MAX_DEPTH)
    try:
        data = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
    except (ValueError, RecursionError) as error:
        raise RuleFailure(f"The output is no JSON: {error}.", "output") from error
    if len(data) > MAX_OUTPUT_BYTES:
        raise RuleFailure(
            f"The output has {len(data)} bytes; at most {MAX_OUTPUT_BYTES} are taken.", "output"
        )
    return data


def _ensure_json(value: Any, where: str, depth: int) -> None:
    kind = type(value)
    if value is None or kind is bool or kind is str:
        return
    if kind is int:
        if abs(value) >= _MAX_INTEGER:
            raise RuleFailure(f"{where} is an integer beyond 64 bits.", "output")
    elif kind is float:
        if not math.isfinite(value):
            raise RuleFailure(f"{where} is {value}, which JSON cannot say.", "output")
    elif depth == 0:
        raise RuleFailure(f"The output is nested deeper than {MAX_DEPTH} levels.", "output")
    elif kind is list:
        for at, inner in enumerate(value):
            _ensure_json(inner, f"{where}[{at}]", depth - 1)
    elif kind is dict:
        for key, inner in value.items():
            if type(key) is not str:
                raise RuleFailure(f"{where} has the key {key!r:.60}, which is no text.", "output")
            _ensure_json(inner, f"{where}.{key}", depth - 1)
    else:
        raise RuleFailure(f"{where} is a {kind.__name__}, which is no JSON value.", "output")
