"""Error budgets and burn rates of objectives, from counts. Pure: whoever counted gives the counts.

A budget is the share of requests that may be bad over the objective's period. It is spent when as
many were bad; it burns at rate 1 when it would last exactly the period.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from serinus.core.policy.slos import Severity, Slo
from serinus.core.policy.units import share_text, span

__all__ = [
    "BURNS",
    "CONTRACT",
    "Budget",
    "Burn",
    "Burning",
    "Counts",
    "budget_of",
    "budget_view",
    "windows_of",
]


@dataclass(frozen=True, slots=True)
class Burn:
    """An alert on a burn rate: so much of the period's budget within the long window, and still now."""

    spent: float
    long: float
    short: float
    severity: Severity
    hold: float

    def rate(self, period: float) -> float:
        """Return how many times as fast as allowed the budget burns at this alert's limit."""
        return round(self.spent * period / self.long, 3)


#: Google's SRE Workbook, chapter 5, table 5-8: pages at 2 % in an hour and 5 % in six, tickets at 10 %
#: in three days; and at 10 % in one day between them.
BURNS = (
    Burn(0.02, 3600, 300, Severity.CRITICAL, 120),
    Burn(0.05, 6 * 3600, 1800, Severity.CRITICAL, 900),
    Burn(0.10, 86400, 7200, Severity.WARNING, 3600),
    Burn(0.10, 3 * 86400, 6 * 3600, Severity.WARNING, 3 * 3600),
)

#: Contract 5's objectives.
CONTRACT = (
    Slo(name="availability", objective=0.995),
    Slo(name="p95 latency", objective=0.95, under=0.8),
    Slo(name="errors", objective=0.995),
)


@dataclass(frozen=True, slots=True)
class Counts:
    """Requests, and the bad ones among them."""

    total: float = 0.0
    bad: float = 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Burning:
    """How fast the budget burns in the two windows of one alert; ``None`` without requests."""

    burn: Burn
    limit: float
    long: float | None
    short: float | None

    @property
    def fires(self) -> bool:
        """Tell whether both windows are above the limit: it matters, and it still goes on."""
        return all(rate is not None and rate > self.limit for rate in (self.long, self.short))


@dataclass(frozen=True, kw_only=True, slots=True)
class Budget:
    """What is left of an objective's error budget."""

    slo: Slo
    counts: Counts
    #: Share of the budget that is spent, above 1 when it is more than spent; ``None``: too few requests.
    spent: float | None
    burns: tuple[Burning, ...] = ()

    @property
    def exhausted(self) -> bool:
        """Tell whether nothing is left."""
        return self.spent is not None and self.spent >= 1

    @property
    def firing(self) -> tuple[Burning, ...]:
        """The burn-rate alerts that fire now."""
        return tuple(b for b in self.burns if b.fires)

    @property
    def sentence(self) -> str:
        """What is left, with the numbers."""
        name = f"{self.slo.name}: objective {objective_words(self.slo)}"
        total, bad = self.counts.total, self.counts.bad
        if self.spent is None:
            fewest = 1 / (1 - self.slo.objective)
            return f"{name}; {total:,.0f} requests measured, too few to say (at least {fewest:,.0f})"
        good = 100 * (1 - bad / total)
        said = f"{name}; {good:.4g} % of {total:,.0f} requests, "
        if self.exhausted:
            return f"{said}the error budget is spent ({100 * self.spent:,.0f} % of it)"
        return f"{said}{100 * (1 - self.spent):.3g} % of the error budget is left"


def objective_words(slo: Slo) -> str:
    """Return an objective as people write it: ``99.5 % over 30d``.

    >>> objective_words(CONTRACT[1])
    '95 % within 800ms over 30d'
    """
    within = f" within {span(slo.under)}" if slo.under else ""
    return f"{share_text(slo.objective)}{within} over {span(slo.period)}"


def budget_of(slo: Slo, count: Callable[[float], Counts]) -> Budget:
    """Return an objective's budget.

    Args:
        slo: The objective.
        count: Returns what was counted over the last so many seconds.
    """
    whole = count(slo.period)
    allowed = round(whole.total * (1 - slo.objective), 9)
    # Where the budget does not even allow one bad request there is nothing to be spent yet.
    spent = whole.bad / allowed if allowed >= 1 else None
    burns = tuple(
        Burning(
            burn=burn,
            limit=burn.rate(slo.period),
            long=_rate(slo, count(burn.long)),
            short=_rate(slo, count(burn.short)),
        )
        for burn in BURNS
        if burn.long < slo.period
    )
    return Budget(slo=slo, counts=whole, spent=spent, burns=burns)


def windows_of(slo: Slo) -> tuple[float, ...]:
    """Return the windows, in seconds, that :func:`budget_of` counts over."""
    burns = [(b.long, b.short) for b in BURNS if b.long < slo.period]
    return tuple(sorted({slo.period, *(window for pair in burns for window in pair)}))


def _rate(slo: Slo, counts: Counts) -> float | None:
    """Return the burn rate: the share of bad requests in times the allowed one."""
    if counts.total <= 0:
        return None
    return counts.bad / counts.total / (1 - slo.objective)


def budget_view(budget: Budget) -> dict[str, Any]:
    """Return a budget as the API and the commands show it."""
    counts, spent = budget.counts, budget.spent
    return {
        "name": budget.slo.name,
        "objective": budget.slo.objective,
        "objective_words": objective_words(budget.slo),
        "under_ms": budget.slo.under * 1000 if budget.slo.under else None,
        "period_seconds": budget.slo.period,
        "total": round(counts.total, 3),
        "bad": round(counts.bad, 3),
        "spent": None if spent is None else round(spent, 4),
        "left": None if spent is None else round(1 - spent, 4),
        "exhausted": budget.exhausted,
        "sentence": budget.sentence,
        "burns": [
            {
                "long_seconds": b.burn.long,
                "short_seconds": b.burn.short,
                "limit": b.limit,
                "long": None if b.long is None else round(b.long, 3),
                "short": None if b.short is None else round(b.short, 3),
                "severity": b.burn.severity.value,
                "fires": b.fires,
            }
            for b in budget.burns
        ],
    }
