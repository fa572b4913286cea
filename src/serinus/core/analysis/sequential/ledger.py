"""Everything that the judge remembers between two windows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from math import inf, log

from serinus.core.analysis.sequential.dispersion import Dispersion
from serinus.core.analysis.sequential.estimate import Tally
from serinus.core.analysis.sequential.group import Gains, Group
from serinus.core.analysis.sequential.latency import Reference
from serinus.core.analysis.sequential.means import MeanBet
from serinus.core.analysis.sequential.moment import Moment, Pair
from serinus.core.analysis.sequential.plan import Bets, ErrorHarm, Plan
from serinus.core.analysis.sequential.watch import Recorded, Watch

__all__ = ["Ledger", "shares"]

#: Of the capital of a check, what is staked on "everywhere alike"; the rest on single strata.
EVERYWHERE = 0.6
#: Capital per check. What a plan leaves out goes to the others in proportion.
ERRORS, LATENCY, ALONE, METRIC, METRICS_AT_MOST = 0.70, 0.30, 0.06, 0.05, 0.20
#: Of the strata's capital, what is kept for strata that are first seen later.
LATER = 0.1
#: A window shorter than this (seconds) tells nothing of a rate.
SHORTEST = 1e-3
#: Windows over which the canary's request rate is averaged.
RATE_WINDOWS = 6.0


@lru_cache(maxsize=256)
def shares(plan: Plan) -> dict[str, float]:
    """Return the part of the capital that each check stakes; they sum to 1."""
    each = min(METRIC, METRICS_AT_MOST / max(len(plan.metrics), 1))
    found = {m.name: each for m in plan.metrics}
    weights = {"errors": ERRORS if plan.errors else 0.0, "latency": LATENCY if plan.latency else 0.0}
    compared = sum(weights.values())
    if not compared:
        return {"errors": 0.0, "latency": 0.0, "alone": 0.0, **{n: 1.0 / max(len(found), 1) for n in found}}
    left = 1.0 - ALONE - sum(found.values())
    return {n: w / compared * left for n, w in weights.items()} | {"alone": ALONE} | found


@dataclass(slots=True)
class Ledger:
    """The judge's state."""

    whole: Group
    parts: dict[str, Group] = field(default_factory=dict)
    #: Stratum → its part of the strata's capital.
    stakes: dict[str, float] = field(default_factory=dict)
    #: Check → what one unit staked on everything together had become when it was first split by stratum.
    handed: dict[str, float] = field(default_factory=dict)
    references: dict[str, Reference] = field(default_factory=dict)
    dispersion: Dispersion = field(default_factory=Dispersion)
    recorded: Recorded = field(default_factory=Recorded)
    watch: Watch = field(default_factory=Watch)
    alone: Tally = field(default_factory=Tally)
    metrics: dict[str, MeanBet] = field(default_factory=dict)
    #: The split itself: canary requests against the configured share.
    split: MeanBet = field(default_factory=MeanBet)
    #: Largest capital so far, of 1 at the start.
    peak: float = 1.0
    windows: int = 0
    #: Canary failures so far that cannot be one and the same: those of one window may be one.
    events: float = 0.0
    first: float = 0.0
    last: float = 0.0
    step: str = ""
    step_start: float = 0.0
    step_requests: int = 0
    #: Mean slowness in this step's warm-up and its weight, that of the last windows, and whether it settles.
    warm_mean: float = 0.0
    warm_weight: float = 0.0
    lately: float = 0.0
    settling: bool = True
    #: Canary requests a second, lately; and windows in which one side was missing.
    rate: float = 0.0
    one_sided: int = 0
    #: Unix seconds up to which each side has had requests; 0: never.
    stable_seen: float = 0.0
    canary_seen: float = 0.0

    @classmethod
    def of(cls, bets: Bets) -> Ledger:
        """Return an empty book."""
        return cls(whole=Group.of(bets))

    def enter(self, moment: Moment) -> None:
        """Open a window: note the time, and whether a step begins."""
        if not self.windows:
            self.first = moment.start
        if not self.windows or moment.step != self.step:
            self.step, self.step_start, self.step_requests = moment.step, moment.start, 0
            self.warm_mean = self.warm_weight = self.lately = self.rate = 0.0
            self.settling = True
        self.windows += 1

    def leave(self, moment: Moment) -> None:
        """Close a window: count requests, and hold the split against what was configured."""
        canary = sum(p.canary.requests for p in moment.strata.values())
        stable = sum(p.stable.requests for p in moment.strata.values())
        self.step_requests += canary
        self.last = moment.start + moment.seconds
        if moment.seconds >= SHORTEST:
            windows = (moment.start - self.step_start) / moment.seconds + 1
            self.rate += (canary / moment.seconds - self.rate) / min(max(windows, 1.0), RATE_WINDOWS)
        self.stable_seen = self.last if stable else self.stable_seen
        self.canary_seen = self.last if canary else self.canary_seen
        if not moment.alone and not (canary and stable):
            self.one_sided += 1
        if moment.share and not moment.alone and canary + stable:
            off = canary / (canary + stable) / moment.share - 1.0
            self.split.observe(off, off, 0.0)

    def warmed(
        self,
        slower: float,
        weight: float,
        moment: Moment,
        plan: Plan,
        settling: float,
        still: float,
        extended: float,
    ) -> bool:
        """Tell whether this window's latencies count, given how much slower (ln) the canary was in it."""
        age = moment.start - self.step_start
        self.lately = 0.5 * self.lately + 0.5 * slower if self.warm_weight else slower
        if age < plan.warm_up:
            if weight:
                self.warm_weight += weight
                self.warm_mean += (slower - self.warm_mean) * weight / self.warm_weight
            return False
        if self.settling:
            self.settling = (
                age < extended * plan.warm_up and self.warm_mean > log(settling) and self.lately > log(still)
            )
        return not self.settling

    def grouped(self, parts: Mapping[str, Gains], bets: Bets) -> dict[str, Group]:
        """Return the groups of these strata, with capital for those that are new."""
        new = [name for name in parts if name not in self.parts]
        if new and not self.parts:
            self.stakes = {name: (1.0 - LATER) / len(new) for name in new}
            # What the strata stake from now on is taken from what there is now, not from the beginning.
            self.handed = {check: self.whole.value(check, bets) for check in ("errors", "latency")}
        elif new:
            first = round((1.0 - LATER) / next(iter(self.stakes.values())))
            for name in new:
                nth = len(self.stakes) - first
                self.stakes[name] = LATER / ((nth + 1) * (nth + 2))
        for name in new:
            self.parts[name] = Group.of(bets)
        return {name: self.parts[name] for name in parts}

    def tally(
        self, strata: Mapping[str, Pair], latencies: list[tuple[str, float, float, float, float, float]]
    ) -> None:
        """Add a window to the sums behind the estimates."""
        if self.whole.doubts():
            self.whole.since = Tally(since=self.last)
        for name, pair in strata.items():
            c, s = pair.canary, pair.stable
            if not (c.requests and s.requests):
                continue
            for tally in self._tallies(name):
                tally.errors(c.requests, min(c.errors, c.requests), s.requests, min(s.errors, s.requests))
        for name, n, one, m, two, spread in latencies:
            for tally in self._tallies(name):
                tally.latency(n, one, m, two, spread)

    def _tallies(self, name: str) -> list[Tally]:
        mine = [self.whole.tally, self.whole.since]
        if name in self.parts:
            mine.append(self.parts[name].tally)
        return mine

    def stakes_of(self, plan: Plan, bets: Bets) -> list[tuple[str, str, float]]:
        """Return (check, stratum, capital staked there by now); the stratum ``""`` is everything together."""
        parts = shares(plan)
        found = []
        everywhere = EVERYWHERE if self.parts else 1.0
        for check in ("errors", "latency"):
            if not parts[check]:
                continue
            found.append((check, "", parts[check] * everywhere * self.whole.value(check, bets)))
            for name, group in self.parts.items():
                stake = parts[check] * (1.0 - everywhere) * self.handed[check] * self.stakes[name]
                found.append((check, name, stake * group.value(check, bets)))
        if self.watch.windows:
            found.append(("alone", "", parts["alone"] * self.watch.value()))
        found += [
            (m.name, "", parts[m.name] * self.metrics[m.name].value())
            for m in plan.metrics
            if m.name in self.metrics
        ]
        return found

    def group(self, stratum: str) -> Group:
        """Return a stratum's group; ``""`` is everything together."""
        return self.parts[stratum] if stratum else self.whole

    def tolerated_ratio(self, plan: Plan) -> float:
        """Return the tolerated ratio of error rates at stable's recorded rate; infinite without an error."""
        harm = plan.errors or ErrorHarm()
        if not self.recorded.errors:
            return inf
        return max(harm.ratio, 1.0 + harm.points / 100.0 * self.recorded.requests / self.recorded.errors)

    def value(self, plan: Plan, bets: Bets) -> float:
        """Return the whole capital, 1 at the start."""
        return sum(value for _, _, value in self.stakes_of(plan, bets))
