"""The decision. The monitor, ``--dry-run``, the scenarios and later the simulator are this function.

``decide(deployment, evidence, now)`` measures first (verdicts, breaker, how long the step has been
observed), then asks the rules of :mod:`serinus.core.policy.order` one after the other.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from serinus.core.analysis.checks import OnFail, evaluate_all
from serinus.core.analysis.evidence import Evidence
from serinus.core.analysis.verdict import Outcome, blocking
from serinus.core.breaker import FAILURES, OPEN, Breaker
from serinus.core.decision import Decision, Intent, IntentKind, Reason
from serinus.core.model import Deployment, Status
from serinus.core.policy.order import ORDER

__all__ = ["MAX_GAP_SECONDS", "decide"]

#: A longer gap between two looks does not count as observed: nobody looked, or the clock stepped.
MAX_GAP_SECONDS = 30.0


def decide(d: Deployment, evidence: Evidence, now: datetime) -> Decision:
    """Return what follows for a deployment from what was measured. ``now`` must be aware."""
    if d.status is not Status.CANARY:
        return Decision(next_state=d)
    measured = _measure(d, evidence, now)
    news = _breaker_news(d, measured) + _warnings(d, measured)
    for rule in ORDER:
        decision = rule(measured, evidence, now)
        if decision is not None:
            return replace(
                decision,
                intents=tuple(n for n in news if isinstance(n, Intent)) + decision.intents,
                reasons=tuple(n for n in news if isinstance(n, Reason)) + decision.reasons,
            )
    return Decision(next_state=measured)


def _measure(d: Deployment, evidence: Evidence, now: datetime) -> Deployment:
    """Return ``d`` with fresh verdicts, breaker and clocks."""
    verdicts = evaluate_all(d.policy.checks, evidence, now.timestamp())
    gap = (now - d.last_tick_at).total_seconds() if d.last_tick_at else 0.0
    # A clock that steps back gives nothing, one that jumps ahead at most the longest normal gap.
    looked = min(max(gap, 0.0), MAX_GAP_SECONDS)
    carried = looked if evidence.traffic.acknowledged and not d.paused else 0.0
    return replace(
        d,
        verdicts=verdicts,
        breaker=_breaker(d, evidence, now.timestamp()),
        observed_seconds=d.observed_seconds + carried,
        blind_seconds=d.blind_seconds + looked if blocking(verdicts) else 0.0,
        majority_seconds=d.majority_seconds + (carried if d.traffic_bp >= 5000 else 0.0),
        last_tick_at=now,
    )


def _breaker(d: Deployment, evidence: Evidence, now: float) -> Breaker:
    breaker = d.breaker.at(now).observed(now, evidence.fresh_errors, evidence.fresh_successes)
    if evidence.open_breakers and breaker.state != OPEN:
        return Breaker(OPEN, max(breaker.consecutive, FAILURES), now)
    return breaker


def _breaker_news(before: Deployment, after: Deployment) -> tuple[Intent | Reason, ...]:
    if before.breaker.state == after.breaker.state:
        return ()
    message = f"Circuit breaker {before.breaker.state} → {after.breaker.state}."
    return (Reason(kind="breaker", message=message, data={"consecutive": after.breaker.consecutive}),)


def _warnings(before: Deployment, after: Deployment) -> tuple[Intent | Reason, ...]:
    """Tell about checks that began to fail and only warn."""

    def warned(d: Deployment) -> dict[str, str]:
        bad = (v for v in d.verdicts if v.outcome is Outcome.FAIL and v.on_fail == OnFail.WARN)
        return {v.check: v.message for v in bad}

    fresh = [message for name, message in warned(after).items() if name not in warned(before)]
    if not fresh:
        return ()
    return (
        Reason(kind="warning", message="; ".join(fresh)),
        Intent(kind=IntentKind.TELL, topic="warning", data={"warnings": fresh}),
    )
