"""The backtest: quiet hours as A/A, faults laid over them, and past releases, for several policies."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from math import inf
from multiprocessing import get_context
from statistics import median

from serinus.core.analysis.checks import Policy
from serinus.sim.injected import FAULTS, Fault
from serinus.sim.proportion import clopper_pearson
from serinus.sim.quiet import Trial, Tried, plan_faults, starts, try_out
from serinus.sim.recorded import Record
from serinus.sim.releases import Release, Replayed, find_releases, replay_release
from serinus.sim.replay import Course

__all__ = ["Backtest", "Findings", "FoundFault", "Plan", "run"]

#: Quiet rollouts keep clear of a release by this long on both sides: caches warm up, pods are replaced.
CLEAR_SECONDS = 900
#: The budget held against policies that name none.
DEFAULT_BUDGET = 0.01

#: Told with what is done and how much of it: ``progress("quiet hours", 0.4)``.
Progress = Callable[[str, float], None]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What to replay."""

    course: Course = Course.even()
    #: Seconds between two starts; 0: one after the other.
    every_seconds: float = 0.0
    #: Ways to halve the instances.
    splits: int = 4
    #: Rollouts for each fault.
    fault_rollouts: int = 40
    seed: int = 1
    faults: tuple[Fault, ...] = FAULTS
    #: Stretches of Unix seconds that are not quiet: known incidents.
    excluded: tuple[tuple[float, float], ...] = ()
    #: Share of healthy rollouts that may be rolled back; ``None``: the policy's own.
    budget: float | None = None
    #: Processes; 1: none but this.
    jobs: int = 1


@dataclass(frozen=True, kw_only=True)
class FoundFault:
    """One fault under one policy.

    A policy that rolls back healthy rollouts, too, "finds" much by luck. So each rollout is held
    against its twin, which has the same traffic without the fault.
    """

    fault: Fault
    tried: tuple[Tried, ...]
    #: Twins that were rolled back: (first window, split) → seconds from the start.
    false: Mapping[tuple[int, int], float]

    @property
    def judged(self) -> list[Tried]:
        """The rollouts that were not ended anyway, at the same time or before."""
        return [t for t in self.tried if self.false.get(_place(t), inf) > t.outcome.seconds]

    @property
    def anyway(self) -> int:
        """Rollouts that were rolled back without the fault as early: nothing was found in them."""
        return len(self.tried) - self.trials

    @property
    def hits(self) -> list[Tried]:
        """The rollouts in which the fault was found."""
        return [t for t in self.judged if t.outcome.rolled_back]

    @property
    def trials(self) -> int:
        """How many rollouts could find it."""
        return len(self.judged)

    @property
    def share(self) -> float | None:
        """Found rollouts among those, or ``None`` without any."""
        return len(self.hits) / self.trials if self.trials else None

    def middle(self, value: Callable[[Tried], float]) -> float | None:
        """Return the median of something over the rollouts in which it was found."""
        return median(map(value, self.hits)) if self.hits else None


@dataclass(frozen=True, kw_only=True)
class Findings:
    """What one policy did."""

    policy: Policy
    budget: float
    #: Every start with every split.
    healthy: tuple[Tried, ...]
    #: Starts do not overlap: then one split each makes independent trials.
    splits: int
    releases: tuple[Replayed, ...]
    faults: tuple[FoundFault, ...]

    @property
    def independent(self) -> tuple[Tried, ...]:
        """One split for each start, in turn: rollouts that share no request."""
        order = {first: i for i, first in enumerate(sorted({t.trial.first for t in self.healthy}))}
        return tuple(t for t in self.healthy if t.trial.split == order[t.trial.first] % self.splits)

    @property
    def false_alarms(self) -> tuple[Tried, ...]:
        """Every healthy rollout that was rolled back."""
        return tuple(t for t in self.healthy if t.outcome.rolled_back)

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval of the false-rollback rate, from the independent rollouts."""
        return clopper_pearson(self.false_count, len(self.independent))

    @property
    def false_count(self) -> int:
        """False rollbacks among the independent rollouts."""
        return sum(t.outcome.rolled_back for t in self.independent)

    @property
    def budget_is(self) -> str:
        """``kept`` or ``broken`` when the interval shows it, else ``open``: too few rollouts to tell."""
        low, high = self.interval
        return "kept" if high <= self.budget else "broken" if low > self.budget else "open"

    @property
    def outages_found(self) -> bool:
        """Tell whether every injected outage was found."""
        outages = [f for f in self.faults if f.fault.is_outage]
        return all(len(f.hits) == f.trials for f in outages)

    @property
    def good(self) -> bool:
        """Tell whether the record speaks against nothing: budget not broken, no outage missed."""
        return self.budget_is != "broken" and self.outages_found


@dataclass(frozen=True, kw_only=True)
class Backtest:
    """Everything that was found out."""

    record: Record
    plan: Plan
    releases: tuple[Release, ...]
    #: Windows in which quiet rollouts started.
    starts: tuple[int, ...]
    #: The policy in question first, then those it is compared with.
    findings: tuple[Findings, ...]

    @property
    def overlapping(self) -> bool:
        """Tell whether quiet rollouts share hours, which makes the interval too narrow."""
        return 0 < self.plan.every_seconds < self.plan.course.seconds


@dataclass(kw_only=True)
class _Work:
    """Runs trials, here or in processes, and tells how far it is."""

    record: Record
    course: Course
    progress: Progress
    pool: ProcessPoolExecutor | None
    done: int = field(default=0)

    def tried(self, policy: Policy, trials: Sequence[Trial], what: str) -> tuple[Tried, ...]:
        """Run the trials, in their order."""
        made = []
        for one in self._each(policy, trials):
            made.append(one)
            self.progress(what, len(made) / len(trials))
        return tuple(made)

    def _each(self, policy: Policy, trials: Sequence[Trial]) -> Iterator[Tried]:
        if self.pool is None:
            return map(partial(try_out, self.record, policy, self.course), trials)
        return self.pool.map(partial(_in_process, policy, self.course), trials, chunksize=8)


def run(
    record: Record, policies: Sequence[Policy], plan: Plan, progress: Progress = lambda _, __: None
) -> Backtest:
    """Replay the record under each policy."""
    releases = find_releases(record)
    first = starts(
        record, plan.course, plan.every_seconds or _back_to_back(record, plan), _busy(record, plan, releases)
    )
    with _pool(record, plan.jobs) as pool:
        work = _Work(record=record, course=plan.course, progress=progress, pool=pool)
        findings = tuple(_findings(work, plan, policy, first, releases) for policy in policies)
    return Backtest(
        record=record, plan=plan, releases=tuple(releases), starts=tuple(first), findings=findings
    )


def _findings(
    work: _Work, plan: Plan, policy: Policy, first: list[int], releases: Iterable[Release]
) -> Findings:
    healthy = [Trial(first=at, split=split, seed=plan.seed) for at in first for split in range(plan.splits)]
    ill = list(plan_faults(plan.faults, first, plan.fault_rollouts, plan.splits, plan.seed))
    with_fault = work.tried(policy, ill, f"{policy.name}: injected faults")
    budget = plan.budget or (policy.judge.budget if policy.judge else DEFAULT_BUDGET)
    quiet = work.tried(policy, healthy, f"{policy.name}: quiet hours")
    false = {_place(t): t.outcome.seconds for t in quiet if t.outcome.rolled_back}
    return Findings(
        policy=policy,
        budget=budget,
        healthy=quiet,
        splits=plan.splits,
        releases=tuple(replay_release(work.record, policy, release) for release in releases),
        faults=tuple(
            FoundFault(fault=fault, tried=tuple(t for t in with_fault if t.trial.fault == fault), false=false)
            for fault in plan.faults
        ),
    )


def _place(t: Tried) -> tuple[int, int]:
    return t.trial.first, t.trial.split


def _back_to_back(record: Record, plan: Plan) -> float:
    """Return the time between starts at which rollouts follow one another and share no window."""
    width = record.shape.width
    return (int(-(-plan.course.seconds // width)) + 1) * width


def _busy(record: Record, plan: Plan, releases: Iterable[Release]) -> list[tuple[int, int]]:
    clear = -(-CLEAR_SECONDS // record.shape.width)
    known = [(record.index(a), record.index(b) + 1) for a, b in plan.excluded]
    return [*known, *((r.first - clear, r.last + clear) for r in releases)]


_record: Record | None = None


@contextmanager
def _pool(record: Record, jobs: int) -> Iterator[ProcessPoolExecutor | None]:
    if jobs <= 1:
        yield None
        return
    context = get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=context, initializer=_keep, initargs=(record,)) as pool:
        yield pool


def _keep(record: Record) -> None:
    """Keep the record in a fresh process, so that it is sent once and not with every trial."""
    global _record
    _record = record


def _in_process(policy: Policy, course: Course, trial: Trial) -> Tried:
    assert _record is not None
    return try_out(_record, policy, course, trial)
