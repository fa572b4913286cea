"""Starlark scripts: a small, deterministic dialect of Python without files, network, clock or chance.

A ruleset is a script with a function ``decide(input)`` that returns the output. Input and output cross
as JSON text inside the interpreter: it is faster than converting Python objects, and what is no JSON
value is refused where it arises.
"""

from __future__ import annotations

import json
import re
from threading import get_ident
from time import thread_time
from typing import Any

import starlark

from serinus.ports.rules import MAX_SOURCE_BYTES, RuleFailure, RuleRejected

__all__ = ["StarlarkEngine"]

#: Calls within calls; a rule that needs more is not finished, it is lost.
MAX_CALLS = 64
#: Seconds of CPU after which a loop is broken off.
CPU_SECONDS = 0.035
#: Appended to every script: the lines of the script itself keep their numbers. JSON writes NaN and
#: infinities as null, so an output with a null is walked once to tell the two apart.
_TAIL = """
def serinus_sound_(value, where):
    kind = type(value)
    if kind == "float":
        if str(value) in ("nan", "+inf", "-inf", "inf"):
            fail("serinus: " + where + " is " + str(value) + ", which JSON cannot say")
    elif kind == "dict":
        for key, inner in value.items():
            serinus_sound_(inner, where + "." + str(key))
    elif kind == "list" or kind == "tuple":
        for at, inner in enumerate(value):
            serinus_sound_(inner, where + "[" + str(at) + "]")

def serinus_run_(text):
    value = decide(json.decode(text))
    written = json.encode(value)
    if "null" in written:
        serinus_sound_(value, "output")
    return written
"""
_decode = json.JSONDecoder().decode
_PLACE = re.compile(r"rules\.star:(\d+):\d+")


class StarlarkEngine:
    """Compiles scripts."""

    example = ('def decide(input):\n    return {"echo": input}\n', b"{}")

    def __init__(self) -> None:
        """Prepare what every script may use: the standard functions, map, filter and json."""
        extensions = starlark.LibraryExtension
        self._globals = starlark.Globals.extended_by([extensions.Map, extensions.Filter, extensions.Json])
        self._dialect = starlark.Dialect.standard()

    def compile(self, source: str) -> StarlarkProgram:
        """Return the program.

        Raises:
            RuleRejected: It does not compile, has no ``decide``, or is too large.
        """
        if len(source.encode("utf-8", "surrogatepass")) > MAX_SOURCE_BYTES:
            raise RuleRejected(f"The script is larger than {MAX_SOURCE_BYTES // 1024} KiB.")
        lines = source.count("\n") + 1
        module = starlark.Module()
        try:
            tree = starlark.parse("rules.star", source + _TAIL, self._dialect)
            starlark.eval_with(_Limits().options, module, tree, self._globals)
            return StarlarkProgram(module.freeze(), lines)
        except starlark.StarlarkError as error:
            text = _told(str(error), lines)
            if "Variable `decide` not found" in text:
                text = "The script has no function decide(input)."
            raise RuleRejected(text) from error
        except UnicodeEncodeError as error:
            raise RuleRejected("The script is no valid Unicode text.") from error


class StarlarkProgram:
    """A frozen module."""

    def __init__(self, module: starlark.FrozenModule, lines: int) -> None:
        """Keep the module, and how many of its lines are the author's."""
        self._module, self._lines = module, lines
        self._limits = _Limits()

    def run(self, data: bytes) -> Any:
        """Return the output for an input in JSON.

        Raises:
            RuleFailure: The script failed, ran too long or too deep, or returned no JSON value.
        """
        try:
            self._limits.start()
            written = self._module.call_with(self._limits.options, "serinus_run_", data.decode()).value
            return _decode(str(written))
        except starlark.StarlarkError as error:
            text = _told(str(error), self._lines)
            raise RuleFailure(text, _kind(text)) from error
        except (ValueError, RecursionError) as error:
            raise RuleFailure(f"The output is no JSON: {error}.", "output") from error


class _Limits:
    """Breaks loops off by the CPU time that their thread used: a busy machine is no fault of a rule.

    The interpreter asks every thousand steps. The clock is read at its first question, so that rules
    without long loops never pay for it.
    """

    def __init__(self) -> None:
        self._began: dict[int, float] = {}
        self.options = starlark.EvalOptions(check_cancelled=self._is_over, max_callstack_size=MAX_CALLS)

    def start(self) -> None:
        """Begin a run on this thread."""
        self._began.pop(get_ident(), None)

    def _is_over(self) -> bool:
        now = thread_time()
        return now - self._began.setdefault(get_ident(), now) > CPU_SECONDS


def _kind(text: str) -> str:
    if text.startswith("It used more than"):
        return "time"
    return "output" if text.startswith(("The output", "output")) else "error"


def _told(text: str, lines: int) -> str:
    """Return the interpreter's report as one sentence with the author's line."""
    message = next((s[7:] for s in text.splitlines() if s.startswith("error: ")), text.strip())
    if "Evaluation cancelled" in message:
        return f"It used more than {CPU_SECONDS * 1000:.0f} ms of CPU: is there a loop without an end?"
    if "call stack overflow" in message.lower():
        return f"It calls itself more than {MAX_CALLS} levels deep."
    if "not supported on type" in message or "Cycle detected" in message:
        return f"The output is no JSON value: {message}."
    if message.startswith("fail: serinus: "):
        return f"{message[15:]}."
    places = [int(n) for n in _PLACE.findall(text) if int(n) <= lines]
    place = f" (line {places[-1]})" if places else ""
    return f"{message[:300]}{place}"
