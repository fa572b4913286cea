"""Healthy rollouts made of quiet hours: half of the instances plays the canary, the rest stable.

The halves are thinned to the step's share. Each request is kept or left out by seeded chance, so
the same seed gives the same rollout, and two policies see the same traffic at the same share.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from serinus.core.analysis.checks import Policy
from serinus.core.analysis.evidence import Side, Window
from serinus.core.bucketing import BUCKETS
from serinus.sim.injected import Fault, slowed
from serinus.sim.recorded import Counts, Known, Record, Slice
from serinus.sim.replay import PATIENCE, Course, Outcome, Replay, rollout

__all__ = ["Halves", "Trial", "Tried", "starts", "try_out"]

#: Of the rollouts that could start, those with less than this share of known windows are left out.
LEAST_KNOWN = 0.5


@dataclass(frozen=True, kw_only=True, slots=True)
class Trial:
    """One made-up rollout: when, how the instances are split, and what is wrong with the canary."""

    #: Index of its first window.
    first: int
    split: int
    seed: int = 1
    fault: Fault | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Tried:
    """A trial and what became of it under one policy."""

    trial: Trial
    #: Unix seconds.
    start: int
    #: Seconds from the start to the fault's onset.
    onset: float
    outcome: Outcome

    @property
    def seconds(self) -> float:
        """Seconds from the fault to the rollback."""
        return self.outcome.seconds - self.onset


def starts(
    record: Record, course: Course, every_seconds: float, busy: Iterable[tuple[int, int]] = ()
) -> list[int]:
    """Return the windows in which a quiet rollout can start.

    They are ``every_seconds`` apart, need two instances, and stay clear of the ``busy`` stretches
    (releases and what the caller excludes).
    """
    length = int(-(-course.seconds // record.shape.width)) + 1
    stride = max(1, round(every_seconds / record.shape.width))
    taken = list(busy)
    known: Known = np.asarray(record.slice(0, record.length).known.all(axis=1))
    return [
        first
        for first in range(0, record.length - length + 1, stride)
        if not any(a < first + length and first < b for a, b in taken)
        and len(record.alive(first, first + length)) > 1
        and known[first : first + length].mean() >= LEAST_KNOWN
    ]


@dataclass(kw_only=True)
class Halves:
    """The two sides of a trial."""

    trial: Trial
    record: Record
    #: Windows that may be served.
    length: int
    #: Index, from the trial's first, of the first window with the fault.
    onset: int
    _canary: Slice = field(init=False)
    _stable: Slice = field(init=False)
    _rates: NDArray[np.float64] = field(init=False)
    _moves: NDArray[np.float64] = field(init=False)

    def __post_init__(self) -> None:
        """Split the instances that answer in this time: by a seeded shuffle of their names."""
        low, high = self.trial.first, min(self.trial.first + self.length, self.record.length)
        names = list(self.record.alive(low, high))
        order = np.random.default_rng([self.trial.seed, self.trial.split]).permutation(len(names))
        chosen = {names[i] for i in order[: len(names) // 2]}
        self._canary = self.record.slice(low, high, instances=chosen)
        self._stable = self.record.slice(low, high, instances=set(names) - chosen)
        both = (self._canary.counts + self._stable.counts).sum(axis=0)
        self._rates = both[:, 1] / np.maximum(1, both[:, 0])
        slower = self.trial.fault.slower if self.trial.fault else 1.0
        self._moves = slowed(self.record.shape.edges, slower)

    def serve(self, index: int, share_bp: int) -> list[Window]:
        """Return both sides' windows at this share of traffic; none where the record ends."""
        if index >= len(self._canary.counts):
            return []
        share, trial, shape = share_bp / BUCKETS, self.trial, self.record.shape
        start = self.record.at(trial.first + index)
        rng = np.random.default_rng([trial.seed, trial.split, trial.first, index])
        keep, stays = self._kept(index, share)
        canary = _thinned(self._canary.counts[index], keep, rng)
        stable = _thinned(self._stable.counts[index], stays, rng)
        if trial.fault and index >= self.onset:
            canary = trial.fault.laid_over(canary, self._rates, self._moves, rng)
        windows = shape.windows(Side.CANARY, start, canary, self._canary.known[index])
        if share < 1.0:
            windows += shape.windows(Side.STABLE, start, stable, self._stable.known[index])
        return windows

    def _kept(self, index: int, share: float) -> tuple[float, float]:
        """Return which part of each half's requests in this window is kept at this share.

        The proxy would carry exactly the wanted split, so each window does. Up to 50 % stable keeps
        all of its half, beyond that the canary does: the made-up service has up to half the traffic.
        """
        if share >= 1.0:
            return 1.0, 0.0
        ours, theirs = (int(s.counts[index, :, 0].sum()) for s in (self._canary, self._stable))
        if not ours or not theirs:
            return share, 1.0 - share
        wanted = share * theirs / ((1 - share) * ours)
        return min(1.0, wanted), min(1.0, 1 / wanted)


def try_out(record: Record, policy: Policy, course: Course, trial: Trial) -> Tried:
    """Run one trial under one policy."""
    width, start = record.shape.width, record.at(trial.first)
    limit = course.seconds * PATIENCE
    late = course.before_all * trial.fault.onset if trial.fault else 0.0
    onset = int(late // width)
    halves = Halves(trial=trial, record=record, length=int(limit // width) + 1, onset=onset)
    replay = Replay(
        deployment=rollout(policy, start, course),
        serve=halves.serve,
        start=start,
        width=width,
        limit=min(limit, record.end - start),
        since=float(onset * width),
    )
    return Tried(trial=trial, start=start, onset=float(onset * width), outcome=replay.run())


def plan_faults(faults: Iterable[Fault], at: list[int], most: int, splits: int, seed: int) -> Iterator[Trial]:
    """Spread ``most`` trials of each fault evenly over the starts, with the splits in turn."""
    stride = max(1, len(at) / most) if most else 1
    chosen = [at[int(i * stride)] for i in range(min(most, len(at)))]
    for fault in faults:
        for turn, first in enumerate(chosen):
            yield Trial(first=first, split=turn % splits, seed=seed, fault=fault)


def _thinned(counts: Counts, keep: float, rng: np.random.Generator) -> Counts:
    """Keep each request with this chance; failed ones stay failed."""
    if keep >= 1.0:
        return counts.copy()
    made = rng.binomial(counts, keep)
    errors = made[:, 1]
    made[:, 0] = errors + rng.binomial(counts[:, 0] - counts[:, 1], keep)
    return made
