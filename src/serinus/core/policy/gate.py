"""The promotion gate: what a person checks before everyone gets the new version (contract 1)."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from serinus.core.analysis.checks import OnFail, evaluate
from serinus.core.analysis.evidence import Evidence
from serinus.core.analysis.verdict import Outcome, Verdict
from serinus.core.breaker import CLOSED
from serinus.core.model import Deployment

__all__ = ["promotion_gate"]


def promotion_gate(d: Deployment, evidence: Evidence, now: datetime) -> tuple[Verdict, ...]:
    """Evaluate the policy's gate: its checks, the breaker, and the time at 50 % or more."""
    moment = now.timestamp()
    verdicts = [replace(evaluate(c, evidence, moment), on_fail=OnFail.HOLD) for c in d.policy.gate]
    if d.policy.breaker:
        verdicts.append(_breaker(d))
    needed = d.policy.gate_majority_seconds
    if needed is None:
        needed = d.config.duration_minutes * 60
    if needed > 0:
        verdicts.append(_majority(d.majority_seconds, needed))
    return tuple(verdicts)


def _breaker(d: Deployment) -> Verdict:
    outcome = Outcome.PASS if d.breaker.state == CLOSED else Outcome.FAIL
    return Verdict(
        check="breaker",
        outcome=outcome,
        message=f"breaker: {d.breaker.state} (must be closed)",
        on_fail="hold",
    )


def _majority(seconds: float, needed: float) -> Verdict:
    return Verdict(
        check="time at 50 %",
        outcome=Outcome.PASS if seconds >= needed else Outcome.FAIL,
        message=f"time at 50 % or more: {seconds / 60:.0f} min (at least {needed / 60:.0f} min)",
        canary=seconds,
        limit=needed,
        on_fail="hold",
    )
