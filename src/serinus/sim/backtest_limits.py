"""What a backtest cannot tell, said to whoever would rely on it."""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil, log, log1p

from serinus.sim.backtest import Backtest
from serinus.sim.recorded import Record

__all__ = ["limits"]

SPLITS = """The different splits of one hour share their requests; all {all} are shown, but only one split
of each hour counts for the interval."""
HALVES = """Half of the instances plays the canary, thinned request by request to the right split, so the
made-up rollouts have about half of the real traffic: real ones would find harm sooner. Real splits keep a
user on one side, so retries of one user cluster more than they do here."""
WATCH = """Rollouts end when every step has passed; the watch after a promotion is not replayed."""
WINDOWS = """Counters were compared in windows of {width} s, so times to detection are multiples of about
{width} s; the live monitor may see a proxy's counters every 10 s. Recorded windows come on time; live ones
may be late."""
FAULTS = """Injected faults hit every instance and endpoint of the canary alike, and the load does not
react."""
LATENCY = """Latency is known by bucket; inside a bucket a slowdown is laid over as if values were spread
evenly on a logarithmic scale. What stays within a bucket cannot be seen."""
RELEASES = """A past release is replayed at the shares it had: what would have happened after an earlier
rollback is not in the record. The wanted split is not recorded either, so it is not checked. Nobody's
approval, pause or other decision is replayed."""


def limits(b: Backtest) -> list[str]:
    """Return the limits in sentences, the most important first."""
    return [*b.record.notes, *_of_numbers(b), *_of_method(b), *_of_gaps(b.record)]


def _of_numbers(b: Backtest) -> Iterator[str]:
    first = b.findings[0]
    trials, budget = len(first.independent), first.budget
    need = ceil(log(0.025) / log1p(-budget)) if 0 < budget < 1 else 0
    if first.budget_is == "open" and trials < need:
        yield (
            f"{trials} independent rollouts cannot prove a budget of {budget * 100:g} %: even with no false "
            f"alarm it takes {need}. A longer record, or `serinus simulate`, can."
        )
    if b.overlapping:
        yield "Quiet rollouts overlap, so the interval is narrower than the truth."
    yield _said(SPLITS, all=len(first.healthy))


def _of_method(b: Backtest) -> Iterator[str]:
    yield _said(HALVES)
    yield _said(WINDOWS, width=b.record.shape.width)
    if len(b.record.shape.edges) > 1:
        yield _said(LATENCY)
    yield _said(FAULTS)
    if b.releases:
        yield _said(RELEASES)
    yield WATCH


def _of_gaps(record: Record) -> Iterator[str]:
    gaps = [(x, y) for x, y in record.gaps if x > 0 and y < record.length]
    minutes = sum(y - x for x, y in gaps) * record.shape.width / 60
    if gaps:
        few = "1 gap" if len(gaps) == 1 else f"{len(gaps)} gaps"
        yield f"The record has {few} ({minutes:g} min of windows in all). No number was invented for it."


def _said(text: str, **values: int) -> str:
    return " ".join(text.format(**values).split())
