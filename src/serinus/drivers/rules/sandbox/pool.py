"""The sandbox: a few warm worker processes, killed and replaced when a rule goes too far.

Runs are handed to the idlest worker and answered in order, so when a worker dies the first unanswered
run is the one that killed it. The ones behind it did nothing wrong: they go to another worker.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import sys
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from serinus.core.errors import InvalidInput, Unavailable
from serinus.drivers.rules.sandbox.worker import HEAD
from serinus.ports.rules import Outcome, RuleRejected

__all__ = ["WorkerPool"]

log = logging.getLogger("serinus.rules")

#: CPU of one run or one compilation; the process ends at it.
CPU_SECONDS = 0.04
#: Memory that rules may take beyond what a fresh worker has.
MEMORY_BYTES = 128 * 1024 * 1024
#: A worker that is silent for so long gets no time from the machine: that is no fault of the rules.
WALL_SECONDS = 5.0
START_SECONDS = 15.0
#: Rules that ended so many workers within this time are not run again until it is over.
DEADLY_TIMES, DEADLY_SECONDS = 3, 30.0
#: Runs waiting per worker; more are told to come back later.
MAX_WAITING = 500
_DEATHS = {
    signal.SIGPROF: ("time", f"It used more than {CPU_SECONDS * 1000:.0f} ms of CPU and was stopped."),
    signal.SIGABRT: (
        "memory",
        f"It used more than {MEMORY_BYTES // 2**20} MiB of memory and was stopped.",
    ),
    signal.SIGSEGV: ("crash", "It went too deep for the engine and was stopped."),
}


@dataclass(eq=False, slots=True)
class _Run:
    """A frame under way, and who waits for its answer."""

    head: dict[str, Any]
    body: bytes
    #: The rules' source, for a worker that does not have them.
    source: str
    answer: asyncio.Future[tuple[dict[str, Any], bytes]]
    done: bool = False


class _Worker:
    """One process."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.waiting: deque[_Run] = deque()
        #: Digests of the programs that it has.
        self.has: set[str] = set()
        self.alive = True
        #: It was killed for being stuck, not by what it ran.
        self.given_up = False

    def send(self, head: Mapping[str, Any], body: bytes) -> None:
        """Write a frame; a broken pipe shows at the reading end."""
        text = json.dumps(head).encode()
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.process.stdin.write(HEAD.pack(len(text), len(body)) + text + body)

    async def receive(self) -> tuple[dict[str, Any], bytes]:
        """Read a frame.

        Raises:
            IncompleteReadError: The process has ended.
        """
        assert self.process.stdout is not None
        of_head, of_body = HEAD.unpack(await self.process.stdout.readexactly(HEAD.size))
        head: dict[str, Any] = json.loads(await self.process.stdout.readexactly(of_head))
        return head, await self.process.stdout.readexactly(of_body) if of_body else b""

    def kill(self) -> None:
        """End it at once."""
        self.alive = False
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()


@dataclass(kw_only=True, slots=True)
class WorkerPool:
    """Runs rules in ``size`` processes, started on first use."""

    #: Engine name → ``module:class``; only the installed ones.
    engines: Mapping[str, str]
    size: int = 3
    _workers: list[_Worker] = field(default_factory=list)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _starting: asyncio.Lock = field(default_factory=asyncio.Lock)
    _closed: bool = False
    #: Digest → when it ended a worker (monotonic seconds).
    _deadly: dict[str, list[float]] = field(default_factory=dict)
    #: Workers that died of their rules, for ``serinus doctor`` and the tests.
    replaced: int = 0

    async def check(self, engine: str, source: str) -> None:
        """Compile, and forget.

        Raises:
            RuleRejected: The rules cannot be taken, or compiling them goes beyond the limits.
            InvalidInput: There is no such engine.
            Unavailable: No worker could be started.
        """
        self._ensure_known(engine)
        head, _ = await self._ask({"do": "check", "engine": engine}, source.encode("utf-8", "surrogatepass"))
        if head.get("error"):
            raise RuleRejected(str(head["error"]))

    async def run(self, engine: str, digest: str, source: str, data: bytes) -> Outcome:
        """Run rules on an input in JSON; a rule's failure is an outcome.

        Raises:
            Unavailable: No worker could be started, or the machine gives it no time.
        """
        self._ensure_known(engine)
        if self._is_deadly(digest):
            text = f"It was stopped {DEADLY_TIMES} times just now and is not run again for some seconds."
            return Outcome(error=text, kind="crash")
        asked = {"do": "run", "engine": engine, "digest": digest}
        head, body = await self._ask(asked, data, source)
        error = str(head.get("error", ""))
        return Outcome(
            output=body, latency_ms=float(head.get("ms", 0.0)), error=error, kind=str(head.get("kind", ""))
        )

    async def close(self) -> None:
        """End the workers."""
        self._closed = True
        for worker in self._workers:
            worker.kill()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(w.process.wait() for w in self._workers))
        self._workers.clear()

    def _is_deadly(self, digest: str) -> bool:
        if digest not in self._deadly:
            return False
        since = asyncio.get_running_loop().time() - DEADLY_SECONDS
        times = self._deadly[digest] = [t for t in self._deadly[digest] if t > since]
        if not times:
            del self._deadly[digest]
        return len(times) >= DEADLY_TIMES

    def _ensure_known(self, engine: str) -> None:
        if engine not in self.engines:
            known = ", ".join(sorted(self.engines)) or "none is installed"
            raise InvalidInput(
                f"There is no rule engine {engine!r} here: {known}.",
                field="engine",
                next_step="zen and starlark come with pip install 'serinus[rules]'.",
            )

    async def _ask(self, head: dict[str, Any], body: bytes, source: str = "") -> tuple[dict[str, Any], bytes]:
        run = _Run(head, body, source, asyncio.get_running_loop().create_future())
        await self._submit(run)
        try:
            async with asyncio.timeout(WALL_SECONDS):
                return await run.answer
        except TimeoutError:
            run.done = True
            self._give_up_on(run)
            raise Unavailable(
                "The machine gives rules no time to run.", next_step="Try again; look at its load."
            ) from None

    def _give_up_on(self, run: _Run) -> None:
        """Replace a worker that is stuck; one that is only behind goes on."""
        for worker in self._workers:
            if worker.waiting and worker.waiting[0] is run:
                worker.given_up = True
                worker.kill()

    async def _submit(self, run: _Run) -> None:
        worker = min((w for w in self._workers if w.alive), key=lambda w: len(w.waiting), default=None)
        if worker is None:
            async with self._starting:
                await self._fill()
            worker = min((w for w in self._workers if w.alive), key=lambda w: len(w.waiting), default=None)
        if worker is None or len(worker.waiting) >= MAX_WAITING:
            raise Unavailable("Too many rules are waiting to run.", next_step="Try again in a moment.")
        self._hand(worker, run)

    def _hand(self, worker: _Worker, run: _Run) -> None:
        digest = run.head.get("digest", "")
        if run.head["do"] == "run" and digest not in worker.has:
            worker.has.add(digest)
            load = _Run(
                {**run.head, "do": "load"},
                run.source.encode("utf-8", "surrogatepass"),
                "",
                asyncio.get_running_loop().create_future(),
            )
            worker.waiting.append(load)
            worker.send(load.head, load.body)
        worker.waiting.append(run)
        worker.send(run.head, run.body)

    # -- workers --------------------------------------------------------------------------------

    async def _fill(self) -> None:
        """Start as many as are missing."""
        missing = self.size - sum(1 for w in self._workers if w.alive)
        await asyncio.gather(*(self._start() for _ in range(missing)))

    async def _start(self) -> None:
        if self._closed:
            raise Unavailable("The control plane is shutting down.")
        given = {
            "engines": dict(self.engines),
            "cpu_seconds": CPU_SECONDS,
            "memory_bytes": MEMORY_BYTES,
        }
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "serinus.drivers.rules.sandbox.worker",
            json.dumps(given),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env=_bare_environment(),
            start_new_session=True,
        )
        worker = _Worker(process)
        try:
            async with asyncio.timeout(START_SECONDS):
                await worker.receive()
        except (TimeoutError, asyncio.IncompleteReadError) as error:
            worker.kill()
            await process.wait()
            raise Unavailable(
                "A rule worker did not start.", next_step="`serinus doctor` may say why."
            ) from error
        self._workers.append(worker)
        self._later(lambda: self._listen(worker))

    def _later(self, work: Callable[[], Any]) -> None:
        task = asyncio.create_task(work())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _listen(self, worker: _Worker) -> None:
        try:
            while True:
                head, body = await worker.receive()
                self._answered(worker, worker.waiting.popleft(), head, body)
        except (asyncio.IncompleteReadError, ConnectionError):
            worker.alive = False
            self._workers.remove(worker)
            await self._bury(worker, await worker.process.wait())

    def _answered(self, worker: _Worker, run: _Run, head: dict[str, Any], body: bytes) -> None:
        if head.get("unknown"):  # it has forgotten this program among many, or could not load it
            worker.has.discard(run.head["digest"])
            if not run.answer.done():
                self._hand(worker, run)
        elif run.head["do"] == "load" and head.get("error"):
            worker.has.discard(run.head["digest"])
            nxt = worker.waiting[0]
            if nxt.head.get("digest") == run.head["digest"] and not nxt.answer.done():
                nxt.answer.set_result((head, body))
        elif not run.answer.done():
            run.answer.set_result((head, body))

    async def _bury(self, worker: _Worker, code: int) -> None:
        """Tell the run that killed it, start another, and hand the others over."""
        if self._closed:
            return
        self.replaced += 1
        waiting = [r for r in worker.waiting if not r.done]
        culprit = waiting[0] if waiting and not worker.given_up else None
        kind, text = _DEATHS.get(signal.Signals(-code), ("crash", "")) if code < 0 else ("crash", "")
        text = text or "It crashed the engine and was stopped."
        if culprit is not None:
            log.warning("rules stopped: %s", text, extra={"action": "rules.stopped", "kind": kind})
            digest = str(culprit.head.get("digest", ""))
            self._deadly.setdefault(digest, []).append(asyncio.get_running_loop().time())
            killed = {culprit.head.get("digest")} if culprit.head["do"] == "load" else set()
            for run in waiting:
                blamed = run is culprit or run.head.get("digest") in killed
                if blamed and not run.answer.done():
                    told = {"error": text, "kind": kind, "ms": CPU_SECONDS * 1000}
                    run.answer.set_result((told, b""))
        rest = [r for r in waiting if not r.answer.done() and r.head["do"] != "load"]
        self._later(self._replace)
        for run in rest:
            try:
                await self._submit(run)
            except Unavailable as error:
                run.answer.set_exception(error)

    async def _replace(self) -> None:
        async with self._starting:
            try:
                await self._fill()
            except Unavailable as error:  # the next call tries again, and is told
                log.warning("%s", error, extra={"action": "rules.worker_missing"})


def _bare_environment() -> dict[str, str]:
    """Return what a worker needs to import us, and none of our secrets."""
    return {
        "PYTHONPATH": os.pathsep.join(p for p in sys.path if p),
        "PYTHONDONTWRITEBYTECODE": "1",
        "RUST_BACKTRACE": "0",
        "MALLOC_ARENA_MAX": "2",
    }
