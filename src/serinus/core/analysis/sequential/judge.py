"""The sequential judge: feed it one closed window at a time; it answers what that means so far.

>>> judge = Judge()
>>> pair = Pair(stable=Counts(1980, 6), canary=Counts(20, 0))
>>> judge.feed(Moment(start=0, seconds=10, strata={"": pair})).finding.value
'not_yet'

Its state is a few numbers per check and stratum: ``Judge.restore(plan, judge.state())`` answers the
same, bit for bit. There is no clock and no chance in it. ``docs/judge.md`` derives the method.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import log, sqrt

from serinus.core.analysis.sequential import errors, state
from serinus.core.analysis.sequential.answer import Answer
from serinus.core.analysis.sequential.blame import Stake
from serinus.core.analysis.sequential.buckets import Moments, measured, merge, moments
from serinus.core.analysis.sequential.group import Gains
from serinus.core.analysis.sequential.judged import answer_of
from serinus.core.analysis.sequential.latency import Harm, Reference
from serinus.core.analysis.sequential.ledger import Ledger
from serinus.core.analysis.sequential.means import MeanBet
from serinus.core.analysis.sequential.moment import Counts, Moment, Pair
from serinus.core.analysis.sequential.plan import LatencyHarm, Plan, bets_of

__all__ = ["Counts", "Judge", "Moment", "Pair"]

#: What one window may say at most, in nats, for latency: a single pause is not a verdict.
LATENCY_CAP = 5.6
#: The same for errors, plus half a nat for each failure beyond the third (failures that came together
#: count as one): a burst of retries is one event. Nothing is cut when nearly everything in it fails.
ERROR_CAP, PER_EVENT, EVENTS = 3.0, 0.5, 3.0
#: Nearly everything: so many failures of one window, and such a share of it.
WINDOW_ERRORS, WINDOW_SHARE = 8, 0.8
#: A canary slower than this in its warm-up, and still in the last windows, gets more time to settle …
SETTLING, STILL = 1.3, 1.15
#: … up to this many times the warm-up.
EXTENDED = 1.5
#: What is shown of the canary while it is alone fades by this from window to window.
RECENT = 0.8
#: Strata that are told apart; those that come later, or have fewer requests, are judged as one.
MOST_STRATA, OTHERS = 40, "other"
#: A metric beyond this is not a number that anybody measured; its square would not fit either.
UNREADABLE = 1e100
#: Mean square root of the share over the default schedule (1, 5, 25 %): late capital is released in
#: proportion to it, as more traffic finds a fault sooner.
TYPICAL_ROOT = 0.2745
#: Part of the late capital released within the planned time.
PLANNED = 0.85


class Judge:
    """Judges one canary against stable under one budget."""

    __slots__ = ("_harms", "_stakes", "bets", "book", "plan")

    def __init__(self, plan: Plan | None = None) -> None:
        """Begin a rollout under ``plan`` (default: the plan that a deployment gets)."""
        self.plan = plan or Plan()
        self.bets = bets_of(self.plan)
        self.book = Ledger.of(self.bets)
        #: The alternatives of latency, and at the end a harm of just the tolerated size.
        self._harms = (*self.bets.harms, Harm(1.0 + (self.plan.latency or LatencyHarm()).slower))
        #: What is staked where after the last window, so that the answer need not count again.
        self._stakes: list[Stake] | None = None

    @classmethod
    def restore(cls, plan: Plan, kept: str) -> Judge:
        """Go on from ``state()``; an empty text is a new rollout.

        Raises:
            ValueError: The text is not a state of this version's.
        """
        judge = cls(plan)
        if kept:
            judge.book = state.load(kept, judge.bets)
        return judge

    def state(self) -> str:
        """Return everything that it knows, as compact JSON."""
        return state.dump(self.book)

    def feed(self, moment: Moment, *, left: float | None = None) -> Answer:
        """Take a closed window in; windows must come in the order of time.

        ``left``: seconds until somebody wants to know, for "cannot tell in time".
        """
        self.take(moment)
        return self.answer(left=left)

    def answer(self, *, left: float | None = None) -> Answer:
        """Say what is known so far."""
        return answer_of(self.plan, self.bets, self.book, left, self._stakes)

    def take(self, moment: Moment) -> None:
        """Take a closed window in without asking for the answer."""
        book = self.book
        book.enter(moment)
        if moment.alone:
            self._take_alone(moment)
        else:
            self._take_pairs(moment)
        self._take_metrics(moment)
        book.leave(moment)
        self._stakes = book.stakes_of(self.plan, self.bets)
        book.peak = max(book.peak, sum(value for _, _, value in self._stakes))

    def _take_pairs(self, moment: Moment) -> None:
        book = self.book
        whole = Gains([0.0] * len(self.bets.ratios))
        parts: dict[str, Gains] = {}
        # Beyond the smallest bet the split does not tell tolerated from harmful: see ``blame``.
        limit = min(self.book.tolerated_ratio(self.plan), self.bets.ratios[0])
        stable, canary = (
            _sum(p.stable for p in moment.strata.values()),
            _sum(p.canary for p in moment.strata.values()),
        )
        one_event = 1.0 if _out(canary) else book.dispersion.likely
        slow = _Slowness()
        strata = self._strata(moment)
        for name, pair in strata.items():
            gains = self._gains(name, pair, limit, one_event, slow)
            whole.add(gains)
            parts[name] = gains
        release = self._release(moment.seconds, canary.requests, stable.requests)
        cap = self._error_cap(canary)
        if canary.errors:
            book.events += max(1.0, canary.errors / book.dispersion.worst)
        warm = book.warmed(slow.mean, slow.weight, moment, self.plan, SETTLING, STILL, EXTENDED)
        split = self.plan.slices and (len(parts) > 1 or book.parts)
        groups = book.grouped(parts, self.bets) if split else {}
        book.whole.settle(whole, cap, LATENCY_CAP, release, warm)
        for name, group in groups.items():
            group.settle(parts[name], cap, LATENCY_CAP, release, warm)
        book.tally(strata, slow.pieces if warm else [])
        # What stable does now tempers the next window, not this one: a bet is placed before it is settled.
        book.dispersion.observe(stable.requests, stable.errors)
        book.recorded.requests += stable.requests
        book.recorded.errors += stable.errors

    def _strata(self, moment: Moment) -> dict[str, Pair]:
        if not self.plan.slices:
            return {"": _merged(moment.strata.values())}
        known = self.book.references.keys() | self.book.parts.keys()
        new = [name for name in moment.strata if name not in known]
        room = max(0, MOST_STRATA - len(known))
        if len(new) <= room:
            return dict(sorted(moment.strata.items()))
        new.sort(key=lambda name: (-_traffic(moment.strata[name]), name))
        rest = {OTHERS, *new[room:]}
        kept = {name: pair for name, pair in moment.strata.items() if name not in rest}
        kept[OTHERS] = _merged(pair for name, pair in moment.strata.items() if name in rest)
        return dict(sorted(kept.items()))

    def _gains(self, name: str, pair: Pair, limit: float, one_event: float, slow: _Slowness) -> Gains:
        stable, canary = pair.stable, pair.canary
        bets, temper = self.bets, self.book.dispersion.factor
        *found, tolerated = errors.log_ratios(
            canary.requests, canary.errors, stable.requests, stable.errors, [*bets.ratios, limit]
        )
        extra = temper - 1.0
        tempered = [g / (1.0 + extra * t) for g, t in zip(found, bets.temper, strict=True)]
        if canary.errors > 1 and one_event > 1.0:
            # Until it is known how clustered errors are, those that came together count as few.
            few = 1.0 + (canary.errors - 1.0) / one_event
            if self.book.dispersion.guessed:
                part = few / canary.errors
                tempered = [min(t, g * part) if g > 0 else t for t, g in zip(tempered, found, strict=True)]
            else:
                tempered = [min(t, few * log(r)) for t, r in zip(tempered, bets.ratios, strict=True)]
        gains = Gains(tempered, tolerated / temper)
        if self.plan.latency:
            self._latency(name, canary, stable, gains, slow)
        return gains

    def _latency(self, name: str, canary: Counts, stable: Counts, gains: Gains, slow: _Slowness) -> None:
        if canary.latency is None or stable.latency is None or not measured(stable.latency):
            return
        book = self.book
        reference = book.references.get(name)
        if reference is None:
            reference = book.references[name] = Reference.of(stable.latency)
        ours, theirs = reference.place(canary.latency), reference.place(stable.latency)
        if measured(canary.latency):
            found = reference.log_ratios(ours, theirs, self._harms)
            gains.latency, gains.latency_limit = found[:-1], found[-1]
            slow.add(name, moments(canary.latency), moments(stable.latency))
        reference.learn(theirs)

    def _take_alone(self, moment: Moment) -> None:
        book, plan = self.book, self.plan
        canary = _sum(p.canary for p in moment.strata.values())
        temper = book.dispersion.factor
        release = 0.8 * moment.seconds / max(plan.watch, 60.0)
        watch = book.watch
        if watch.windows * moment.seconds > plan.watch:
            release = 0.0
        watch.see_errors(canary.requests, canary.errors, book.recorded, plan.drift, temper, release)
        if plan.latency:
            pieces = [
                (book.references[name], book.references[name].place(pair.canary.latency))
                for name, pair in sorted(moment.strata.items())
                if name in book.references and pair.canary.latency and book.references[name].shape
            ]
            watch.see_latency(pieces, sqrt(plan.drift), LATENCY_CAP, release)
        book.alone.fade(RECENT)
        book.alone.errors(canary.requests, canary.errors, 0, 0)

    def _take_metrics(self, moment: Moment) -> None:
        for harm in self.plan.metrics:
            found = moment.metrics.get(harm.name)
            if found is None:
                continue
            canary, stable = found
            if not (abs(canary) < UNREADABLE and abs(stable) < UNREADABLE):
                continue  # NaN, infinite or absurd: as good as not reported
            bet = self.book.metrics.setdefault(harm.name, MeanBet())
            slack = harm.tolerate * abs(stable)
            worse = (stable - canary if harm.higher_is_better else canary - stable) - slack
            bet.observe(worse, canary, stable)

    def _error_cap(self, canary: Counts) -> float:
        if _out(canary):
            return 300.0
        return ERROR_CAP + PER_EVENT * max(0.0, canary.errors / self.book.dispersion.worst - EVENTS)

    def _release(self, seconds: float, canary: int, stable: int) -> float:
        """Return the part of the late capital that is staked from this window on."""
        if canary <= 0 or stable <= 0:
            return 0.0
        pace = seconds * sqrt(canary / (canary + stable)) / (self.plan.horizon * TYPICAL_ROOT)
        gone = self.book.whole.errors.released
        return min(0.9 * pace if gone < PLANNED else 0.5 * pace * (1.0 - gone), 1.0 - gone)


class _Slowness:
    """How much slower the canary was in one window, over the strata."""

    __slots__ = ("mean", "pieces", "weight")

    def __init__(self) -> None:
        self.mean = 0.0
        self.weight = 0.0
        #: Per stratum: requests and mean ln(latency) of both sides, and its variance.
        self.pieces: list[tuple[str, float, float, float, float, float]] = []

    def add(self, name: str, ours: Moments, theirs: Moments) -> None:
        """Add one stratum's latencies."""
        (n, one, _), (m, two, spread) = ours, theirs
        weight = n * m / (n + m)
        self.mean = (self.mean * self.weight + (one - two) * weight) / (self.weight + weight)
        self.weight += weight
        self.pieces.append((name, n, one, m, two, max(spread, 1e-6)))


def _out(canary: Counts) -> bool:
    return canary.errors >= WINDOW_ERRORS and canary.errors >= WINDOW_SHARE * canary.requests


def _sum(counts: Iterable[Counts]) -> Counts:
    requests = failed = 0
    for one in counts:
        requests += one.requests
        failed += min(one.errors, one.requests)
    return Counts(requests, failed)


def _traffic(pair: Pair) -> int:
    return pair.stable.requests + pair.canary.requests


def _merged(strata: Iterable[Pair]) -> Pair:
    """Return strata as one."""
    pairs = list(strata)
    stable, canary = _sum(p.stable for p in pairs), _sum(p.canary for p in pairs)
    return Pair(
        Counts(stable.requests, stable.errors, merge(p.stable.latency for p in pairs)),
        Counts(canary.requests, canary.errors, merge(p.canary.latency for p in pairs)),
    )
