"""The process in which rules run: ``python -m serinus.drivers.rules.sandbox.worker`` with a JSON argument.

It reads frames from its standard input and answers on its standard output, one at a time. Before it
takes the first one it gives up what rules must not have: new files and sockets, core dumps, more memory.
Each run is bounded by a timer on the CPU time used, whose signal ends the process: the parent sees which
run that was, and starts another worker.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import signal
import struct
import sys
import time
from typing import Any, BinaryIO

from serinus.ports.rules import Program, RuleFailure, RuleRejected, written

__all__ = ["HEAD", "main"]

#: A frame: the lengths of its head (JSON) and of its body.
HEAD = struct.Struct(">II")
#: Compiled programs that are kept; the oldest goes first.
MAX_PROGRAMS = 128
#: Compiling may take so many times what a run may.
COMPILE_FACTOR = 4


class _Worker:
    """Answers frames."""

    def __init__(self, engines: dict[str, Any], cpu_seconds: float) -> None:
        self._engines = engines
        self._cpu = cpu_seconds
        self._programs: dict[str, Program] = {}

    def answer(self, head: dict[str, Any], body: bytes) -> tuple[dict[str, Any], bytes]:
        """Do what the frame asks, within its time."""
        began = time.perf_counter()
        often = 1 if head["do"] == "run" else COMPILE_FACTOR
        try:
            signal.setitimer(signal.ITIMER_PROF, self._cpu * often)
            return self._done(head, body)
        except RuleRejected as error:
            return {"error": str(error), "kind": "rejected"}, b""
        except RuleFailure as error:
            failed, kind = str(error), error.kind
        except MemoryError:
            failed, kind = "It used more memory than rules may have.", "memory"
        except RecursionError:
            failed, kind = "It is nested too deeply.", "error"
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
        return {"error": failed, "kind": kind, "ms": (time.perf_counter() - began) * 1000}, b""

    def _done(self, head: dict[str, Any], body: bytes) -> tuple[dict[str, Any], bytes]:
        digest = head.get("digest", "")
        if head["do"] != "run":
            program = self._engines[head["engine"]].compile(body.decode("utf-8", "surrogatepass"))
            if head["do"] == "load":
                self._programs[digest] = program
                if len(self._programs) > MAX_PROGRAMS:
                    del self._programs[next(iter(self._programs))]
            return {}, b""
        known = self._programs.get(digest)
        if known is None:
            return {"unknown": True}, b""
        began = time.perf_counter()
        output = known.run(body)
        took = (time.perf_counter() - began) * 1000
        return {"ms": took}, written(output)


def main(given: dict[str, Any]) -> None:
    """Serve until the parent closes the pipe.

    Args:
        given: ``engines`` (name → module:class), ``cpu_seconds`` per run, ``memory_bytes`` for rules.
    """
    requests, answers = _pipes()
    engines = {name: _load(target)() for name, target in given["engines"].items()}
    for engine in engines.values():  # started once now, with the threads it wants, before the limits
        source, data = engine.example
        engine.compile(source).run(data)
    _give_up(given["memory_bytes"])
    worker = _Worker(engines, given["cpu_seconds"])
    _send(answers, {"ready": True}, b"")
    while True:
        start = requests.read(HEAD.size)
        if len(start) < HEAD.size:
            return
        of_head, of_body = HEAD.unpack(start)
        head, body = json.loads(requests.read(of_head)), requests.read(of_body)
        _send(answers, *worker.answer(head, body))


def _load(target: str) -> Any:
    # The catalogue does the same; importing it would triple the time that a worker takes to start.
    module, _, name = target.partition(":")
    return getattr(importlib.import_module(module), name)


def _pipes() -> tuple[BinaryIO, BinaryIO]:
    """Take the pipes for ourselves: whatever an engine prints goes nowhere."""
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nowhere = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(nowhere, fd)
    os.close(nowhere)
    return requests, answers


def _give_up(memory_bytes: int) -> None:
    """Lower our own limits, for good."""
    used = int(_first("/proc/self/statm")) * resource.getpagesize() if sys.platform == "linux" else 0
    limits = [
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NOFILE, 0),  # what is open stays open; nothing new opens, no socket either
    ]
    if used:
        limits.append((resource.RLIMIT_AS, used + memory_bytes))
    for which, most in limits:
        resource.setrlimit(which, (most, most))
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _first(path: str) -> str:
    with open(path, encoding="ascii") as file:  # noqa: PTH123 - a pseudo file
        return file.read().split()[0]


def _send(answers: BinaryIO, head: dict[str, Any], body: bytes) -> None:
    text = json.dumps(head).encode()
    answers.write(HEAD.pack(len(text), len(body)) + text + body)
    answers.flush()


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
