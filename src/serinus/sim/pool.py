"""Many rollouts over many processes, in chunks, with progress, and with an end when asked for."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import replace
from typing import Protocol

from serinus.core.analysis.checks import Policy
from serinus.sim.oracle import Found, limit
from serinus.sim.run import Options, Outcome, rollout
from serinus.sim.summary import Report, summed_up
from serinus.sim.world import Kind, World

__all__ = ["BUDGET", "Progress", "simulate"]

#: What a policy without a budget of its own is held against.
BUDGET = 0.01
#: Rollouts that a process makes before it reports: a second or two of work.
CHUNK = 10

_Answer = tuple[list[Outcome], list[Found | None]]


class Progress(Protocol):
    """Is told how far it is."""

    def __call__(self, world: World, done: int, of: int) -> None:
        """``done`` of ``of`` rollouts of a world have ended."""


def simulate(
    worlds: Sequence[World],
    policy: Policy,
    *,
    runs: int = 2000,
    faulty_runs: int = 500,
    options: Options | None = None,
    jobs: int = 0,
    progress: Progress | None = None,
) -> Report:
    """Run the policy over the worlds. Interrupted (Ctrl-C), it reports what was done until then.

    ``jobs`` processes are used, 0 for one per core; the answer does not hang on how many.
    """
    options = options or Options()
    wanted = {w.name: runs if w.kind is Kind.HEALTHY else faulty_runs for w in worlds}
    outcomes: dict[str, list[Outcome]] = {w.name: [] for w in worlds}
    limits: dict[str, list[Found | None]] = {w.name: [] for w in worlds}
    partial = False
    try:
        for world, found, best in _chunks(worlds, policy, wanted, options, jobs or _cores()):
            outcomes[world.name] += found
            limits[world.name] += best
            if progress:
                progress(world, len(outcomes[world.name]), wanted[world.name])
    except KeyboardInterrupt:
        partial = True
    for done in outcomes.values():
        done.sort(key=lambda outcome: outcome.run)
    report = summed_up(
        worlds,
        outcomes,
        limits,
        policy=policy.name,
        seed=options.seed,
        runs=runs,
        faulty_runs=faulty_runs,
        budget=policy.judge.budget if policy.judge else BUDGET,
    )
    return replace(report, partial=partial)


def _chunks(
    worlds: Sequence[World], policy: Policy, wanted: dict[str, int], options: Options, jobs: int
) -> Iterator[tuple[World, list[Outcome], list[Found | None]]]:
    work = [
        (world, range(first, min(first + CHUNK, wanted[world.name])))
        for world in worlds
        for first in range(0, wanted[world.name], CHUNK)
    ]
    if jobs == 1 or len(work) == 1:
        for world, span in work:
            yield world, *_chunk(world, policy, span, options)
        return
    pool = _executor(min(jobs, len(work)))
    try:
        with _undisturbed():
            futures = {pool.submit(_chunk, world, policy, span, options): world for world, span in work}
        for future in as_completed(futures):
            yield futures[future], *_answer(future)
    finally:
        # Once, and waiting: an executor that is shut down twice may never let the process end.
        pool.shutdown(wait=True, cancel_futures=True)


def _cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _answer(future: Future[_Answer]) -> _Answer:
    return future.result()


def _executor(jobs: int) -> ProcessPoolExecutor:
    # A fork of a process with threads may hang, so every platform starts its workers afresh.
    fresh = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(max_workers=jobs, mp_context=fresh, initializer=_ignore_interrupts)


def _ignore_interrupts() -> None:
    """Leave Ctrl-C to the parent: it stops handing out work and reports."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """Work for nobody: a parent that was killed takes its workers along."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Start processes without being interrupted half-way, which would leave them waiting for ever.

    They inherit that Ctrl-C is ignored, so that one during their start does not end in their tracebacks.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _chunk(world: World, policy: Policy, span: range, options: Options) -> _Answer:
    outcomes = [rollout(world, policy, run, options) for run in span]
    best = [limit(world, options.seed, run) for run in span] if world.kind is Kind.FAULTY else []
    return outcomes, best
