"""A start at a later time: asked for, put off while it cannot begin, called off."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from serinus.core.decision import Decision, Intent, IntentKind, Reason
from serinus.core.errors import Conflict, InvalidInput
from serinus.core.lifecycle.moves import SET_TRAFFIC
from serinus.core.lifecycle.transitions import Action, follow
from serinus.core.model import Deployment, Scheduled, Status, TargetFilter

__all__ = ["call_off", "cancel", "is_due", "override_freeze", "put_off", "schedule"]


def schedule(
    d: Deployment,
    now: datetime,
    at: datetime,
    *,
    bp: int | None = None,
    target: TargetFilter | None = None,
    why: str = "",
) -> Decision:
    """Have it start by itself at ``at``; ``bp`` and ``target`` are kept until then.

    Without either, another time for what is scheduled already keeps those that it has.

    Raises:
        InvalidInput: The moment has passed.
    """
    status = follow(d.status, Action.SCHEDULE)
    if at <= now:
        raise InvalidInput(
            f"start_at is {_clock(at)}, which has passed.",
            field="start_at",
            next_step="Give a later time, or leave it out to start now.",
        )
    planned = Scheduled(at=at, bp=bp, target=target or TargetFilter())
    if d.scheduled and bp is None and target is None:
        planned = replace(d.scheduled, at=at)
    message = f"{d.version} starts at {_clock(at)}{f': {why}' if why else ''}."
    waiting = replace(d, status=status, scheduled=planned, phase="scheduled", sentence=message)
    return Decision(
        next_state=waiting,
        intents=(SET_TRAFFIC,),  # wakes the monitor, which then knows when to look again
        reasons=(Reason(kind="scheduled", message=message, data={"at": at.isoformat()}),),
    )


def is_due(d: Deployment, now: datetime) -> bool:
    """Tell whether a scheduled start has come."""
    return d.status is Status.SCHEDULED and d.scheduled is not None and d.scheduled.at <= now


def put_off(d: Deployment, why: str) -> Decision:
    """Keep a start that is due waiting, and say once why."""
    message = f"{d.version} is due and waits: {why}"
    waiting = replace(d, phase="scheduled:waiting", sentence=message)
    if d.sentence == message:
        return Decision(next_state=waiting)
    return Decision(
        next_state=waiting,
        intents=(Intent(kind=IntentKind.TELL, topic="warning", data={"warnings": [message]}),),
        reasons=(Reason(kind="holding", message=message, data={"phase": "scheduled"}),),
    )


def cancel(d: Deployment, now: datetime) -> Decision:  # noqa: ARG001 - every move takes the moment
    """Take a scheduled start back: it is a draft again."""
    status = follow(d.status, Action.CANCEL)
    message = f"The start of {d.version} was cancelled; it is a draft again."
    draft = replace(d, status=status, scheduled=None, phase="observing", sentence=message)
    return Decision(next_state=draft, reasons=(Reason(kind="cancelled", message=message),))


def override_freeze(d: Deployment, now: datetime, reason: str) -> Decision:  # noqa: ARG001
    """Let a deployment start and grow in its freezes, for a reason.

    Raises:
        Conflict: It has no freeze, or has ended.
        InvalidInput: No reason is given.
    """
    frozen = d.strategy.freeze is not None or d.tenant_freezes
    if not frozen or d.status not in (Status.DRAFT, Status.SCHEDULED, Status.CANARY):
        raise Conflict("No freeze holds it.", next_step="Nothing to override.")
    if not reason.strip():
        raise InvalidInput(
            "An override needs a reason.", field="reason", next_step="Say why in one sentence."
        )
    message = f"Freezes are overridden for {d.version}: {reason.strip()}"
    freed = replace(d, freeze_override=reason.strip(), sentence=message)
    return Decision(
        next_state=freed,
        intents=(SET_TRAFFIC,),
        reasons=(Reason(kind="freeze_overridden", message=message, data={"reason": reason.strip()}),),
    )


def call_off(d: Deployment, now: datetime, reason: str) -> Decision:
    """Roll back what has not started: it ends here, and nobody has to be moved."""
    status = follow(d.status, Action.ROLLBACK)
    message = f"Called off before its start: {reason}"
    ended = replace(d, status=status, scheduled=None, ended_at=now, end_reason=reason, sentence=message)
    return Decision(next_state=ended, reasons=(Reason(kind="rolled_back", message=message),))


def _clock(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S %Z}"
