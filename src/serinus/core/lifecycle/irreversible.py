"""A rollback that would cross an irreversible step: held, and a person is asked. Pure."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

from serinus.core.decision import Decision, Intent, IntentKind, Reason
from serinus.core.errors import InvalidInput
from serinus.core.lifecycle.guards import irreversible_behind
from serinus.core.model import Deployment, Status, Stickiness, Waiting, percent
from serinus.core.strategy import Blocked

__all__ = ["BLOCKED", "block", "foretold", "go_on"]

#: The phase of a deployment that somebody has to decide about.
BLOCKED = "holding:irreversible"


def block(
    d: Deployment, now: datetime, reason: str, *, causes: tuple[str, ...], data: dict[str, Any] | None = None
) -> Decision:
    """Stay on the canary's side of an irreversible step, take nobody new onto it, and ask a person."""
    step, still = irreversible_behind(d), _still(d)
    message = (
        f"Not rolled back: {step} is irreversible and was completed. {still or _nobody_new(d)} "
        f"Why back: {reason}. Somebody has to decide: roll back across it, or approve to go on."
    )
    asked = Blocked(reason=reason, at=now, from_bp=d.traffic_bp, causes=causes, phase=d.phase)
    held = replace(
        d,
        blocked=asked,
        traffic_bp=d.traffic_bp if still else 0,
        intended=None,
        waiting=Waiting.NOTHING,
        phase=BLOCKED,
        sentence=message,
    )
    shown = {"irreversible": step, "from_bp": d.traffic_bp, "to_bp": held.traffic_bp, **(data or {})}
    return Decision(
        next_state=held,
        intents=(
            Intent(kind=IntentKind.SET_TRAFFIC),
            Intent(kind=IntentKind.TELL, topic="decision", data={"reason": reason, "step": step}),
        ),
        reasons=(Reason(kind="blocked", message=message, data={**shown, "causes": list(causes)}),),
    )


def foretold(d: Deployment) -> str:
    """Say what the irreversible steps of a strategy will mean; empty without one."""
    marked = [
        f"step {number} ({percent(step.traffic_bp)})"
        for number, step in enumerate(d.strategy.steps, 1)
        if step.irreversible
    ]
    if not marked:
        return ""
    why = _why_not(d)
    then = (
        f"{why}, so the share would stay as it is, new units included"
        if why
        else f"new units would go to {d.stable_version}, and those on {d.version} stay"
    )
    many = "are" if len(marked) > 1 else "is"
    return (
        f"{' and '.join(marked).capitalize()} {many} irreversible: once completed, nothing goes back across "
        f"it by itself. Instead somebody is asked; until then {then}."
    )


def _still(d: Deployment) -> str:
    """Say why the share cannot be taken to zero without moving units off the canary; empty: it can."""
    if d.status is Status.ACTIVE:
        return f"Everyone is on {d.version}, new units too, and stays."
    why = _why_not(d)
    share = f"so the share stays at {percent(d.traffic_bp)}, new units included."
    return f"{why[0].upper()}{why[1:]}, {share}" if why else ""


def _why_not(d: Deployment) -> str:
    """Say as a clause why new units cannot be told from those on the canary; empty: they can."""
    if d.strategy.stickiness is not Stickiness.PERSISTENT:
        return f"`stickiness: hash` cannot tell new units from those on {d.version}"
    if not d.keeps_units:
        return f"this data plane cannot keep units on {d.version} while its share shrinks"
    return ""


def _nobody_new(d: Deployment) -> str:
    return f"New units go to {d.stable_version}; those on {d.version} stay."


def go_on(d: Deployment, now: datetime, by: str, reason: str) -> Decision:
    """Go on although it should have gone back: a person has decided so, and why is written down.

    The same causes do not ask again; others do.

    Raises:
        InvalidInput: No reason is given.
    """
    asked = d.blocked
    assert asked is not None
    if not reason.strip():
        raise InvalidInput(
            "Going on although it should have gone back needs a reason.",
            field="reason",
            next_step="Say why in one sentence; or roll back with `across_irreversible`.",
        )
    who = f" by {by}" if by else ""
    message = f"Goes on at {percent(asked.from_bp)}, decided{who}: {reason.strip()}"
    freed = replace(
        d,
        blocked=None,
        accepted=tuple(sorted({*d.accepted, *asked.causes})),
        traffic_bp=asked.from_bp,
        observed_seconds=0.0,
        blind_seconds=0.0,
        step_started_at=d.step_started_at if d.status is Status.ACTIVE else now,
        phase=asked.phase,
        sentence=message,
    )
    data = {"by": by, "reason": reason.strip(), "in_spite_of": asked.reason}
    return Decision(
        next_state=freed,
        intents=(Intent(kind=IntentKind.SET_TRAFFIC),),
        reasons=(Reason(kind="going_on", message=message, data=data),),
    )
