"""The rules of a tick with several candidates (A/B/n): the order of one canary, and what differs.

What would roll one canary back drops that candidate. The walk is everybody's. At its end the best
candidate is promoted, or a person is asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from serinus.core.analysis.evidence import Evidence
from serinus.core.contest import chosen, drop_harmful, place_of, settled
from serinus.core.decision import Decision, Intent, IntentKind, Reason
from serinus.core.model import Deployment, Status, Waiting, percent
from serinus.core.policy import order
from serinus.core.policy.confirm import confirm_move, confirm_step
from serinus.core.policy.order import Rule
from serinus.core.strategy import OnTie
from serinus.core.values import changed
from serinus.core.winner import Standing, standing

__all__ = ["among", "called"]


def called(d: Deployment) -> Deployment:
    """Return the deployment under the name that sentences about the whole test use."""
    return changed(d, version=f"the A/B/n test of {d.tested}")


def among(evidences: Sequence[Evidence]) -> tuple[Rule, ...]:
    """Return the rules; ``evidences`` is what was measured of each candidate, in their order."""

    def harmful(d: Deployment, _: Evidence, now: datetime) -> Decision | None:
        return drop_harmful(d, evidences, now)

    def confirmed(d: Deployment, evidence: Evidence, now: datetime) -> Decision | None:
        if d.intended is None or not d.intended.version:
            return confirm_move(d, evidence, now)
        at = place_of(d, d.intended.version)
        decision = confirm_move(chosen(d, at), evidences[at], now)
        return settled(d, decision) if decision else None

    def finished(d: Deployment, evidence: Evidence, now: datetime) -> Decision | None:
        return _finished(d, evidence, evidences, now)

    return (
        order.on_the_way_back,
        harmful,
        order.not_carried,
        order.is_paused,
        order.hold_check_failed,
        confirmed,
        waits_for_choice,
        order.manual_mode,
        order.still_observing,
        order.on_verge,
        order.not_enough_measured,
        order.canary_down,
        order.in_freeze,
        finished,
    )


def waits_for_choice(d: Deployment, evidence: Evidence, now: datetime) -> Decision | None:
    """Hold at a gate, or until somebody has said which candidate everybody gets."""
    decision = order.waits_for_person(d, evidence, now)
    if decision is None or d.waiting is not Waiting.PROMOTION:
        return decision
    found = standing(d.candidates, d.policy.judge)
    words = f"Every step passed. {found.sentence}. {_what_is_missing(found)}"
    return replace(decision, next_state=changed(decision.next_state, sentence=words))


def _what_is_missing(found: Standing) -> str:
    if found.best:
        return f"{found.best} waits to be promoted."
    return "Somebody has to choose: promote one by its version."


def _finished(
    d: Deployment, evidence: Evidence, evidences: Sequence[Evidence], now: datetime
) -> Decision | None:
    """Go on: to the next step, to a gate, or to the end of the test."""
    step = d.step
    if step is None:
        return None
    last = d.step_index + 1 == len(d.strategy.steps)
    if not last or step.manual or (step.gate and not d.approved):
        return confirm_step(d, evidence, now) or order.step_passed(d, evidence, now)
    found = standing(d.candidates, d.policy.judge)
    wanted = found.best or (found.leading[0] if d.strategy.on_tie is OnTie.FIRST else "")
    if not (wanted and d.strategy.auto_promote):
        return _asked_of_step(d, evidence, now) or _choice(d, found)
    at = place_of(d, wanted)
    seen = chosen(d, at)
    decision = confirm_step(seen, evidences[at], now) or order.step_passed(seen, evidences[at], now)
    if decision is None or decision.next_state.status is not Status.ACTIVE:
        return settled(d, decision) if decision else None
    tie = "" if found.best else f"; {wanted} was named first"
    won = Reason(kind="winner", message=f"{found.sentence}{tie}.", data={"best": wanted})
    return replace(decision, reasons=(won, *decision.reasons))


def _asked_of_step(d: Deployment, evidence: Evidence, now: datetime) -> Decision | None:
    """Ask the hooks of the step's end, and none about a promotion that nobody has decided."""
    by_hand = changed(d, strategy=replace(d.strategy, auto_promote=False))
    stop = confirm_step(by_hand, evidence, now)
    return replace(stop, next_state=changed(stop.next_state, strategy=d.strategy)) if stop else None


def _choice(d: Deployment, found: Standing) -> Decision:
    """Wait for a person, who is told how the candidates stand."""
    message = f"{percent(d.traffic_bp)} passed. {found.sentence}. {_what_is_missing(found)}"
    waiting = Waiting.PROMOTION
    tell = Intent(kind=IntentKind.TELL, topic="waiting", data={"what": waiting.value})
    # Where somebody is best nobody has to do anything in a release set: it is promoted with that.
    return Decision(
        next_state=changed(d, waiting=waiting, sentence=message, phase=f"waiting:{waiting.value}"),
        intents=() if d.release_set and found.best else (tell,),
        reasons=(Reason(kind="step_passed", message=message, data={"best": found.best}),),
    )
