"""Whether a side can be sent traffic: by what it has just answered, and by knocking at its addresses.

Being wrong towards "down" would keep people on a bad canary, so nothing is down on a guess: what
serves requests is up whatever the knocking says, a knock that neither side answers says more about our
network than about them, and a stable side that has never answered us may only be out of our reach.
"""

from __future__ import annotations

from dataclasses import dataclass

from serinus.core.analysis.evidence import Arm, Evidence, Side
from serinus.core.model import Deployment
from serinus.core.values import changed

__all__ = ["Knocked", "sides_down", "with_health"]

#: What was answered so long ago says nothing about now.
RECENT_SECONDS = 30.0
#: Fewer answers say nothing; more than this part of them wrong is a side that is down.
FEWEST, MOST_WRONG = 10, 0.5


@dataclass(frozen=True, kw_only=True, slots=True)
class Knocked:
    """What knocking at the sides' addresses found: ``None`` where there is nothing to knock at."""

    #: Why it does not answer; empty: it does.
    stable: str | None = None
    canary: str | None = None


def with_health(d: Deployment, evidence: Evidence, knocked: Knocked, now: float) -> Deployment:
    """Return ``d`` with what is known of its two sides at ``now`` (Unix seconds)."""
    reached = d.stable_reached or knocked.stable == ""
    if not reached:
        knocked = Knocked(canary=knocked.canary)
    stable, canary = sides_down(evidence, knocked, now)
    return changed(d, stable_reached=reached, stable_down=stable, canary_down=canary)


def sides_down(evidence: Evidence, knocked: Knocked, now: float) -> tuple[str, str]:
    """Return why stable, and why the canary, cannot be sent traffic; empty where it can, or nobody knows."""
    stable = evidence.over(Side.STABLE, now - RECENT_SECONDS, now)
    canary = evidence.over(Side.CANARY, now - RECENT_SECONDS, now)
    nobody = bool(knocked.stable and knocked.canary)
    return (
        _down(stable, canary, None if nobody else knocked.stable),
        _down(canary, stable, None if nobody else knocked.canary),
    )


def _down(side: Arm, other: Arm, knocked: str | None) -> str:
    wrong = side.error_rate
    if wrong is not None and side.requests >= FEWEST:
        if wrong <= MOST_WRONG:
            return ""
        # What fails on both sides is behind both of them: neither is the better place to be.
        if (other.error_rate or 0.0) < wrong:
            return f"{side.errors} of its last {side.requests} requests failed"
    return knocked or ""
