"""Enough evidence is there: who is to blame, and is it more than the plan tolerates?"""

from __future__ import annotations

from math import log

from serinus.core.analysis.sequential.estimate import Tally
from serinus.core.analysis.sequential.group import Group
from serinus.core.analysis.sequential.ledger import Ledger
from serinus.core.analysis.sequential.plan import Bets, ErrorHarm, Plan

__all__ = ["Stake", "blamed", "relevant"]

#: (check, stratum, capital staked there by now); the stratum ``""`` is everything together.
Stake = tuple[str, str, float]

#: Harm must explain what was seen better than a harm of just the tolerated size, by this much (nats): one
#: that was there from the start, and one that began late. Pods wander by themselves for minutes, most of
#: all in latency, and that is like something that began late; harm that is there has it anyway.
MARGIN = {"errors": (2.25, 2.0), "latency": (1.75, 4.5)}
#: Failures that may be one and the same, retried, are no pattern before there are this many; unless
#: nearly everything fails.
EVENTS = 3
#: Nearly everything: so many failures of a stratum and such a share of it, since it began. (What
#: ``judge.py`` calls one is asked of a single window, which a burst can fill: it wants more.)
LASTING_ERRORS, LASTING_SHARE = 5, 0.8


def blamed(plan: Plan, bets: Bets, book: Ledger, stakes: list[Stake], needed: float) -> Stake | None:
    """Return the stake that has gained most, or ``None`` while what is harmful has not reached ``needed``.

    What a tolerated harm explains as well counts for nothing, and hides nothing else.
    """
    left = list(stakes)
    while sum(value for _, _, value in left) >= needed:
        top = max(left, key=lambda stake: stake[2])
        check, stratum, _ = top
        if check == "errors" and book.events < EVENTS and not _lasting(book.group(stratum).tally):
            left.remove(top)
            continue
        if check not in ("errors", "latency") or not _tolerated(plan, bets, book, check, stratum):
            return top
        left.remove(top)
    return None


def _lasting(tally: Tally) -> bool:
    return tally.canary_errors >= max(LASTING_ERRORS, LASTING_SHARE * tally.canary)


def relevant(group: Group, check: str, bets: Bets) -> Tally:
    """Return the sums since a late fault began to show, or all for one that was there from the start."""
    _, late = group.best(check, bets)
    return group.since if late and group.since.canary else group.tally


def _tolerated(plan: Plan, bets: Bets, book: Ledger, check: str, stratum: str) -> bool:
    group = book.group(stratum)
    if check == "errors" and book.tolerated_ratio(plan) > bets.ratios[0]:
        return not _beyond_points(plan, relevant(group, check, bets), book.dispersion.factor)
    best, late = group.best(check, bets)
    if group.capital(check).margin(best, late=late) >= MARGIN[check][late]:
        return False
    # On a busy service a window's bets are cut and the tolerated harm is not: then the numbers speak,
    # with errors taken for as clustered as they may be while that is not known.
    return check != "errors" or not _beyond_points(plan, relevant(group, check, bets), book.dispersion.worst)


def _beyond_points(plan: Plan, tally: Tally, temper: float) -> bool:
    """Tell whether the canary fails more often than stable's rate and the tolerated points explain.

    Where stable hardly ever fails, every ratio is large and the split no longer tells them apart; so
    the number of errors itself is held against the largest rate that is tolerated, as a Poisson
    number, with the plan's budget as the chance of being wrong.
    """
    harm = plan.errors or ErrorHarm()
    rate = (tally.stable_errors + 0.5) / (tally.stable + 1.0)
    expected = tally.canary * max(rate * harm.ratio, rate + harm.points / 100.0)
    found = tally.canary_errors
    if found <= expected:
        return False
    return (found * log(found / expected) - (found - expected)) / temper >= log(1.0 / plan.budget)
