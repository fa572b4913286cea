"""The promotion gate: what a person checks before everyone gets the new version (contract 1)."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from serinus.core.analysis.checks import OnFail, evaluate
from serinus.core.analysis.evidence import Evidence
from serinus.core.analysis.verdict import Outcome, Verdict, blocking
from serinus.core.breaker import CLOSED
from serinus.core.lifecycle.guards import seconds_missing
from serinus.core.model import Deployment, Mode
from serinus.core.strategy import StrategyType

__all__ = ["promotion_gate"]


def promotion_gate(d: Deployment, evidence: Evidence, now: datetime) -> tuple[Verdict, ...]:
    """Evaluate the policy's gate: its checks, the breaker, and the time at 50 % or more."""
    moment = now.timestamp()
    verdicts = [replace(evaluate(c, evidence, moment), on_fail=OnFail.HOLD) for c in d.policy.gate]
    if d.policy.judge:
        verdicts.append(_judged(d))
    if d.policy.breaker:
        verdicts.append(_breaker(d))
    needed = d.policy.gate_majority_seconds
    if needed is None:
        # Contract 1's condition on a promotion by hand; steps that are walked have their own times.
        timed = d.policy.judge is not None or d.strategy.type is not StrategyType.CANARY
        walked = timed and d.strategy.mode is Mode.AUTO
        needed = 0.0 if walked else d.config.duration_minutes * 60
    if needed > 0:
        verdicts.append(_majority(d.majority_seconds, needed))
    if seconds_missing(d):
        verdicts.append(_minimum(d))
    return tuple(verdicts)


def _judged(d: Deployment) -> Verdict:
    """The judge's word on a promotion: no harm, and enough seen for what the policy accepts."""
    judged = [v for v in d.verdicts if d.answer and v.check in {c.check for c in d.answer.checks}]
    bad = [v for v in judged if v.outcome is Outcome.FAIL]
    waits = bad or blocking(tuple(judged))
    outcome = Outcome.FAIL if bad else Outcome.INCONCLUSIVE if waits or not judged else Outcome.PASS
    message = (
        "; ".join(v.message for v in waits) if waits else "no harm found" if judged else "nothing seen yet"
    )
    return Verdict(check="judge", outcome=outcome, message=f"judge: {message}", on_fail="hold")


def _breaker(d: Deployment) -> Verdict:
    outcome = Outcome.PASS if d.breaker.state == CLOSED else Outcome.FAIL
    return Verdict(
        check="breaker",
        outcome=outcome,
        message=f"breaker: {d.breaker.state} (must be closed)",
        on_fail="hold",
    )


def _minimum(d: Deployment) -> Verdict:
    least = d.step.min_seconds if d.step else 0.0
    return Verdict(
        check="minimum time",
        outcome=Outcome.FAIL,
        message=f"time at this step: {d.observed_seconds:.0f} s (at least {least:g} s)",
        canary=d.observed_seconds,
        limit=least,
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
