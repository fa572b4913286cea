"""One group of requests under judgement: everything together, or one stratum."""

from __future__ import annotations

from dataclasses import dataclass, field

from serinus.core.analysis.sequential.capital import Capital
from serinus.core.analysis.sequential.estimate import Tally
from serinus.core.analysis.sequential.plan import Bets

__all__ = ["EARLY", "Gains", "Group"]

#: Part of the capital that is staked at the start; the rest is kept for faults that begin late.
EARLY = 0.80


@dataclass(slots=True)
class Gains:
    """ln likelihood ratios of one window, and of a harm of just the tolerated size."""

    errors: list[float]
    errors_limit: float = 0.0
    latency: list[float] = field(default_factory=list)
    latency_limit: float = 0.0

    def add(self, other: Gains) -> None:
        """Add another stratum's."""
        self.errors = [a + b for a, b in zip(self.errors, other.errors, strict=True)]
        self.errors_limit += other.errors_limit
        if other.latency:
            mine = self.latency or [0.0] * len(other.latency)
            self.latency = [a + b for a, b in zip(mine, other.latency, strict=True)]
            self.latency_limit += other.latency_limit


@dataclass(slots=True)
class Group:
    """Capital on errors and latency, and sums for the estimates."""

    errors: Capital
    latency: Capital
    #: Sums since the start, and since the last window at which a late fault could still be denied.
    tally: Tally = field(default_factory=Tally)
    since: Tally = field(default_factory=Tally)

    @classmethod
    def of(cls, bets: Bets) -> Group:
        """Return an untouched group."""
        return cls(errors=Capital.of(len(bets.ratios)), latency=Capital.of(len(bets.harms)))

    def settle(self, gains: Gains, error_cap: float, latency_cap: float, release: float, warm: bool) -> None:
        """Take one window's gains in, each alternative's bounded by what one window may say."""
        self.errors.bet(*_bounded(gains.errors, gains.errors_limit, error_cap), release)
        if gains.latency and warm:
            self.latency.bet(*_bounded(gains.latency, gains.latency_limit, latency_cap), release)

    def value(self, check: str, bets: Bets) -> float:
        """Return the capital per unit staked on a check."""
        if check == "errors":
            return self.errors.value(bets.ratio_weights, bets.ratio_late, EARLY)
        return self.latency.value(bets.harm_weights, bets.harm_late, EARLY)

    def best(self, check: str, bets: Bets) -> tuple[int, bool]:
        """Return the alternative of a check that has gained most, and whether its late part has."""
        if check == "errors":
            return self.errors.best(bets.ratio_weights, bets.ratio_late, EARLY)
        return self.latency.best(bets.harm_weights, bets.harm_late, EARLY)

    def capital(self, check: str) -> Capital:
        """Return a check's capital."""
        return self.errors if check == "errors" else self.latency

    def doubts(self) -> bool:
        """Tell whether no late fault has anything for it any more: then ``since`` begins anew."""
        late = max(*self.errors.late, *self.latency.late)
        return late <= 3.0 * max(self.errors.released, self.latency.released, 1e-9) / 50.0


def _bounded(gains: list[float], limit: float, cap: float) -> tuple[list[float], float]:
    """Bound what one window says; the tolerated harm loses as much as the best bet, so that they compare."""
    cut = max(gains) - cap
    return ([min(g, cap) for g in gains], limit - cut) if cut > 0 else (gains, limit)
