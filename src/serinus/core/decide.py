"""The decision. The monitor, ``--dry-run``, the scenarios and later the simulator are this function.

``decide(deployment, evidence, now)`` measures first (verdicts, breaker, how long the step has been
observed), then asks the rules of :mod:`serinus.core.policy.order` one after the other; with several
candidates (A/B/n) each is measured by itself, and :mod:`serinus.core.policy.among` says what is asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from functools import lru_cache

from serinus.core.analysis.checks import OnFail, evaluate_all
from serinus.core.analysis.evidence import Evidence
from serinus.core.analysis.flips import flips_of
from serinus.core.analysis.judging import Judged, Setting, judge_evidence
from serinus.core.analysis.sequential.plan import Plan
from serinus.core.analysis.verdict import Outcome, blocking, failed
from serinus.core.breaker import FAILURES, OPEN, Breaker
from serinus.core.bucketing import BUCKETS
from serinus.core.candidates import compared_share
from serinus.core.codec import to_json
from serinus.core.contest import measure_all, settled
from serinus.core.decision import Decision, Intent, IntentKind, Reason
from serinus.core.lifecycle.back import carry_on, go_back_by_itself
from serinus.core.lifecycle.moves import SET_TRAFFIC, under_watch
from serinus.core.model import Deployment, Status
from serinus.core.policy.among import among, called
from serinus.core.policy.confirm import confirm_move
from serinus.core.policy.order import ORDER, Rule, unseen
from serinus.core.values import changed

__all__ = ["MAX_GAP_SECONDS", "decide", "plan_of"]

#: A longer gap between two looks does not count as observed: nobody looked, or the clock stepped.
MAX_GAP_SECONDS = 30.0


def decide(d: Deployment, evidence: Evidence, now: datetime, others: Sequence[Evidence] = ()) -> Decision:
    """Return what follows for a deployment from what was measured. ``now`` must be aware.

    ``others`` is what was measured of each further candidate and stable, while there are several.
    """
    if d.status is Status.ACTIVE:
        return _promoted(d, evidence, now)
    if d.status is not Status.CANARY:
        return Decision(next_state=d)
    if d.awaits_start and d.going_back is None:
        # It has no traffic before its hooks say yes: there is nothing to measure.
        return confirm_move(d, evidence, now) or Decision(next_state=d)
    if d.contested:
        return _among(d, (evidence, *others), now)
    measured = _with_flips(_measure(d, evidence, now), evidence, now)
    news = _breaker_news(d, measured) + _warnings(d, measured)
    return _asked(measured, ORDER, evidence, now, news)


def _among(d: Deployment, evidences: Sequence[Evidence], now: datetime) -> Decision:
    """Decide about several candidates."""
    measured, pairs = measure_all(d, evidences, now, _measure)
    measured = _with_flips(measured, evidences[0], now)
    news = [n for before, after in pairs for n in _breaker_news(before, after, f"{after.version}: ")]
    news += _warnings(d, measured)
    decision = _asked(called(measured), among(evidences), evidences[0], now, tuple(news))
    return settled(measured, decision)


def _asked(
    measured: Deployment,
    rules: Sequence[Rule],
    evidence: Evidence,
    now: datetime,
    news: tuple[Intent | Reason, ...],
) -> Decision:
    """Ask the rules in their order; what is new goes before what the first that answers decides."""
    for rule in rules:
        decision = rule(measured, evidence, now)
        if decision is None:
            continue
        if not news:
            return decision
        return replace(
            decision,
            intents=tuple(n for n in news if isinstance(n, Intent)) + decision.intents,
            reasons=tuple(n for n in news if isinstance(n, Reason)) + decision.reasons,
        )
    return Decision(next_state=measured)


def _measure(d: Deployment, evidence: Evidence, now: datetime) -> Deployment:
    """Return ``d`` with fresh verdicts, breaker and clocks."""
    judged = _judge(d, evidence, now)
    verdicts = judged.verdicts + evaluate_all(d.policy.checks, evidence, now.timestamp())
    gap = (now - d.last_tick_at).total_seconds() if d.last_tick_at else 0.0
    # A clock that steps back gives nothing, one that jumps ahead at most the longest normal gap.
    looked = min(max(gap, 0.0), MAX_GAP_SECONDS)
    carried = looked if evidence.traffic.acknowledged and not d.paused else 0.0
    return changed(
        d,
        verdicts=verdicts,
        judge=judged.state,
        judged_until=judged.until,
        answer=judged.answer,
        breaker=_breaker(d, evidence, now.timestamp()),
        observed_seconds=d.observed_seconds + carried,
        blind_seconds=d.blind_seconds + looked if blocking(verdicts) and not unseen(d.step) else 0.0,
        majority_seconds=d.majority_seconds + (carried if d.traffic_bp >= 5000 else 0.0),
        last_tick_at=now,
    )


def _with_flips(d: Deployment, evidence: Evidence, now: datetime) -> Deployment:
    """Return ``d`` with what is known of whether its units stick."""
    if evidence.sightings is None:
        return d
    return changed(d, flips=flips_of(evidence.sightings, now.timestamp(), d.tested, d.stable_version))


def _judge(d: Deployment, evidence: Evidence, now: datetime) -> Judged:
    """Feed the sequential judge what has closed since the last look."""
    before = Judged(d.judge, d.judged_until, d.answer)
    if d.policy.judge is None:
        return before
    step = d.step
    # After promotion the canary is alone from that moment on, whatever step it was promoted from.
    begun = d.ended_at or d.step_started_at or d.started_at
    alone = d.traffic_bp >= BUCKETS
    setting = Setting(
        step=f"{d.step_index}:{d.traffic_bp}",
        step_started=begun.timestamp() if begun else 0.0,
        alone=alone,
        share=None if alone or _chosen(d) else _expected(d),
        left=max(0.0, step.hold_seconds - d.observed_seconds) if step else None,
    )
    return judge_evidence(plan_of(d), before, evidence, setting, now.timestamp())


def _expected(d: Deployment) -> float:
    """Return the canary's configured part of the requests to it and to stable."""
    if d.contested:
        return compared_share(d.candidates, d.version, d.traffic_bp)
    return d.traffic_bp / BUCKETS


def _chosen(d: Deployment) -> bool:
    """Tell whether something else than the hash alone decides what reaches the canary."""
    others = d.target_filter or d.strategy.preview or d.traffic_bp == 0
    return bool(others) or d.peak_bp > d.traffic_bp


def _promoted(d: Deployment, evidence: Evidence, now: datetime) -> Decision:
    """After promotion: go back if that was decided, watch, and let the old side go at its time."""
    if d.going_back is not None:
        return carry_on(d, now)
    if d.blocked is not None:
        return Decision(next_state=d)  # the old side stays warm, too, until somebody has decided
    decision = _watch(d, evidence, now) if under_watch(d) else Decision(next_state=d)
    after = decision.next_state
    if after.status is not Status.ACTIVE or after.warm_until is None or now < after.warm_until:
        return decision
    message = (
        f"{d.stable_version} is released: there is no instant switch back any more, and it may be stopped."
    )
    released = Reason(kind="released", message=message, data={"version": d.stable_version})
    return replace(
        decision,
        next_state=changed(after, warm_until=None),
        intents=(*decision.intents, SET_TRAFFIC),
        reasons=(*decision.reasons, released),
    )


def _watch(d: Deployment, evidence: Evidence, now: datetime) -> Decision:
    """After promotion: the same judge goes on against what was recorded of the version before."""
    judged = _judge(d, evidence, now)
    after = changed(
        d, verdicts=judged.verdicts, judge=judged.state, judged_until=judged.until, answer=judged.answer
    )
    bad = {v.check: v.message for v in failed(judged.verdicts, "rollback")}
    if d.policy.breaker and evidence.open_breakers:
        bad["breaker"] = f"the circuit breaker opened ({', '.join(evidence.open_breakers)})"
    if not bad:
        return _watched(after, now)
    reason, data = "after promotion: " + "; ".join(bad.values()), {"rule": "watch"}
    shown = {**data, "verdicts": to_json(after.verdicts)}
    return go_back_by_itself(after, now, reason, causes=tuple(bad), data=shown) or _watched(after, now)


def _watched(d: Deployment, now: datetime) -> Decision:
    """Go on watching, or say that it is over."""
    length = plan_of(d).watch
    seconds = (now - d.ended_at).total_seconds() if d.ended_at else length
    if seconds < length:
        return Decision(next_state=d)
    alone = [c.sentence for c in d.answer.checks if c.check == "alone"] if d.answer else []
    found = alone[0] if alone else "nothing was measured"
    message = f"Watched for {length / 60:.0f} min after promotion, and kept: {found}."
    return Decision(
        next_state=replace(d, phase="active", sentence=message),
        reasons=(Reason(kind="watched", message=message),),
    )


@lru_cache(maxsize=256)
def _spread(plan: Plan, planned: float) -> Plan:
    return replace(plan, horizon=planned)


def plan_of(d: Deployment) -> Plan:
    """Return the judge's plan, spread over the time that this deployment's steps take."""
    plan = d.policy.judge or Plan()
    planned = sum(step.hold_seconds for step in d.strategy.steps if step.traffic_bp < BUCKETS)
    return _spread(plan, planned) if planned > 0 else plan


def _breaker(d: Deployment, evidence: Evidence, now: float) -> Breaker:
    breaker = d.breaker.at(now).observed(now, evidence.fresh_errors, evidence.fresh_successes)
    if d.stable_down and not d.policy.breaker and d.breaker.state != OPEN:
        # Opening would send everyone to a side that is down, and no rollback would be held for it.
        return d.breaker
    if d.canary_down and d.breaker.state == OPEN:
        return d.breaker  # half open would send its share to a side that is down
    if evidence.open_breakers and breaker.state != OPEN:
        return Breaker(OPEN, max(breaker.consecutive, FAILURES), now)
    return breaker


def _breaker_news(before: Deployment, after: Deployment, who: str = "") -> tuple[Intent | Reason, ...]:
    if before.breaker.state == after.breaker.state:
        return ()
    message = f"{who}Circuit breaker {before.breaker.state} → {after.breaker.state}."
    return (Reason(kind="breaker", message=message, data={"consecutive": after.breaker.consecutive}),)


def _warnings(before: Deployment, after: Deployment) -> tuple[Intent | Reason, ...]:
    """Tell about checks that began to fail and only warn, and about units that do not stick any more."""

    def warned(d: Deployment) -> dict[str, str]:
        bad = (v for v in d.verdicts if v.outcome is Outcome.FAIL and v.on_fail == OnFail.WARN)
        flips = {"units": d.flips.sentence} if d.flips and d.flips.sentence else {}
        return {v.check: v.message for v in bad} | flips

    fresh = [message for name, message in warned(after).items() if name not in warned(before)]
    if not fresh:
        return ()
    return (
        Reason(kind="warning", message="; ".join(fresh)),
        Intent(kind=IntentKind.TELL, topic="warning", data={"warnings": fresh}),
    )
