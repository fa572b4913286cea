"""What many rollouts come to: false rollbacks with their interval, and how fast faults are found."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from serinus.sim.intervals import geometric_mean, percent, quantile
from serinus.sim.oracle import Found
from serinus.sim.proportion import clopper_pearson
from serinus.sim.run import End, Outcome
from serinus.sim.world import Kind, World

__all__ = ["SLACK", "FaultyLine", "HealthyLine", "Report", "Share", "Verdict", "summed_up"]

#: The upper end of the interval may be this many times the budget: 2,000 rollouts cannot say more.
SLACK = 1.5
#: A ratio is counted as at most this when a world is not found, so that a mean can be given at all.
WORST = 50.0
REASONS_SHOWN = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class Share:
    """How many of how many, with the exact 95 % interval."""

    hits: int
    of: int
    low: float
    high: float

    @classmethod
    def count(cls, hits: int, of: int) -> Share:
        """Return a share with its interval."""
        low, high = clopper_pearson(hits, of)
        return cls(hits=hits, of=of, low=low, high=high)

    @property
    def value(self) -> float:
        """The share itself."""
        return self.hits / self.of if self.of else 0.0


class Verdict(StrEnum):
    """Whether a healthy world keeps the budget."""

    KEPT = "kept"  #: the whole interval lies below the allowance
    UNCLEAR = "unclear"  #: it reaches above the allowance, but down to the budget too
    BROKEN = "broken"  #: it lies above the budget


@dataclass(frozen=True, kw_only=True, slots=True)
class HealthyLine:
    """A healthy world: rolling back is wrong."""

    world: str
    title: str
    family: str
    rolled_back: Share
    stuck: int
    #: Seconds to 100 %: median of those that got there.
    promoted_seconds: float | None
    #: Reasons of false rollbacks, the most frequent first.
    reasons: tuple[tuple[str, int], ...]
    example: str
    verdict: Verdict


@dataclass(frozen=True, kw_only=True, slots=True)
class FaultyLine:
    """A faulty world: rolling back is right. ``None`` for a quantile: more than that were not found."""

    world: str
    title: str
    family: str
    found: Share
    #: Rolled back before the fault began; not counted among the found or the missed.
    early: Share
    #: Canary requests, seconds and users from the onset until the rollback.
    requests: tuple[float | None, float | None]
    seconds: tuple[float | None, float | None]
    users: tuple[float | None, float | None]
    oracle_requests: tuple[float | None, float | None]
    oracle_seconds: tuple[float | None, float | None]
    #: Median canary requests over the oracle's.
    ratio: float | None
    reasons: tuple[tuple[str, int], ...]
    example: str
    #: Every delay in seconds, sorted, for pictures.
    delays: tuple[float, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """A whole simulation."""

    policy: str
    seed: int
    runs: int
    faulty_runs: int
    budget: float
    healthy: tuple[HealthyLine, ...]
    faulty: tuple[FaultyLine, ...]
    #: Geometric mean of the ratios by family, and over all (a world not found counts as 50).
    by_family: dict[str, float]
    overall: float | None
    #: The faulty world with the largest ratio, or not found at all.
    worst: str
    #: Healthy worlds whose interval lies above the budget, and those that too few rollouts leave open.
    broken: tuple[str, ...]
    unclear: tuple[str, ...]
    #: It was interrupted: worlds are missing, or have fewer rollouts than asked for.
    partial: bool = False

    @property
    def kept(self) -> bool:
        """Tell whether every healthy world kept the budget."""
        return not (self.broken or self.unclear)

    @property
    def sentence(self) -> str:
        """Say whether the budget was kept."""
        worlds, budget = len(self.healthy), f"the budget of {percent(self.budget)} false rollbacks"
        if self.kept:
            return f"✔ Every healthy world keeps {budget}."
        said = []
        if self.broken:
            said.append(f"✘ {len(self.broken)} of {worlds} healthy worlds break {budget}.")
        if self.unclear:
            said.append(
                f"? {len(self.unclear)} of {worlds} are unclear: their intervals reach above "
                f"{percent(self.budget * SLACK)}; more rollouts would tell."
            )
        return " ".join(said)


def summed_up(
    worlds: Sequence[World],
    outcomes: dict[str, list[Outcome]],
    limits: dict[str, list[Found | None]],
    **about: object,
) -> Report:
    """Sum up all worlds' rollouts. ``about`` fills the report's first fields."""
    budget = float(str(about["budget"]))
    run = [world for world in worlds if outcomes.get(world.name)]
    healthy = tuple(_healthy(w, outcomes[w.name], budget) for w in run if w.kind is Kind.HEALTHY)
    faulty = tuple(_faulty(w, outcomes[w.name], limits.get(w.name, [])) for w in run if w.kind is Kind.FAULTY)
    ratios = {line.world: min(line.ratio or WORST, WORST) for line in faulty}
    families: dict[str, list[float]] = {}
    for line in faulty:
        families.setdefault(line.family, []).append(ratios[line.world])
    return Report(
        **about,  # type: ignore[arg-type]
        healthy=healthy,
        faulty=faulty,
        by_family={name: geometric_mean(values) or 0.0 for name, values in families.items()},
        overall=geometric_mean(list(ratios.values())),
        worst=max(ratios, key=lambda name: ratios[name], default=""),
        broken=tuple(line.world for line in healthy if line.verdict is Verdict.BROKEN),
        unclear=tuple(line.world for line in healthy if line.verdict is Verdict.UNCLEAR),
    )


def _healthy(world: World, outcomes: list[Outcome], budget: float) -> HealthyLine:
    wrong = [o for o in outcomes if o.end is End.ROLLED_BACK]
    share = Share.count(len(wrong), len(outcomes))
    promoted = [o.promoted for o in outcomes if o.promoted is not None]
    return HealthyLine(
        world=world.name,
        title=world.title,
        family=world.family,
        rolled_back=share,
        stuck=sum(o.end is End.STUCK for o in outcomes),
        promoted_seconds=quantile(promoted, 0.5),
        reasons=_reasons(wrong),
        example=wrong[0].sentence if wrong else "",
        verdict=_verdict(share, budget),
    )


def _verdict(share: Share, budget: float) -> Verdict:
    if share.high <= budget * SLACK:
        return Verdict.KEPT
    return Verdict.BROKEN if share.low > budget else Verdict.UNCLEAR


def _faulty(world: World, outcomes: list[Outcome], limits: list[Found | None]) -> FaultyLine:
    early = sum(o.early for o in outcomes)
    tried = [o for o in outcomes if not o.early]
    found = [o if o.end is End.ROLLED_BACK else None for o in tried]
    hits = [o for o in found if o is not None]
    requests = [float(o.requests) if o else None for o in found]
    known = [float(limit.requests) if limit else None for limit in limits]
    median, oracle = quantile(requests, 0.5), quantile(known, 0.5)
    return FaultyLine(
        world=world.name,
        title=world.title,
        family=world.family,
        found=Share.count(len(hits), len(tried)),
        early=Share.count(early, len(outcomes)),
        requests=_pair(requests),
        seconds=_pair([o.delay if o else None for o in found]),
        users=_pair([o.requests * world.users_per_request if o else None for o in found]),
        oracle_requests=_pair(known),
        oracle_seconds=_pair([limit.seconds if limit else None for limit in limits]),
        ratio=median / max(oracle, 1.0) if median is not None and oracle is not None else None,
        reasons=_reasons(hits),
        example=hits[0].sentence if hits else "",
        delays=tuple(sorted(o.delay for o in hits)),
    )


def _pair(values: Sequence[float | None]) -> tuple[float | None, float | None]:
    return quantile(values, 0.5), quantile(values, 0.9)


def _reasons(outcomes: list[Outcome]) -> tuple[tuple[str, int], ...]:
    return tuple(Counter(o.reason for o in outcomes).most_common(REASONS_SHOWN))
