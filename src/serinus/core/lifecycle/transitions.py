"""The lifecycle as a table (contract 1). What is not in it is refused and changes nothing.

::

    draft ──start-canary──► canary ──promote──► active ──deprecate──► deprecated
      │ ▲                    ▲ │                  │
      │ └─cancel─ scheduled ─┘ └────rollback──────┴──► rolled_back
      └─start-canary──► │ ──────────rollback──────────────┘

``scheduled`` is a start that was asked for a later time: it starts by itself, or at once when asked again.
"""

from __future__ import annotations

from enum import StrEnum

from serinus.core.errors import TransitionRefused
from serinus.core.model import Status

__all__ = ["TABLE", "Action", "allowed", "follow"]


class Action(StrEnum):
    """What can be asked of a deployment; the value is the last part of its path."""

    UPDATE = "update"
    DELETE = "delete"
    START = "start-canary"
    SCHEDULE = "schedule"
    CANCEL = "cancel"
    TRAFFIC = "traffic"
    PAUSE = "pause"
    RESUME = "resume"
    APPROVE = "approve"
    PROMOTE = "promote"
    ROLLBACK = "rollback"
    DEPRECATE = "deprecate"


#: In a sentence, where that is not the value.
_VERBS = {
    Action.START: "start",
    Action.CANCEL: "cancel the start of",
    Action.TRAFFIC: "change the traffic of",
    Action.ROLLBACK: "roll back",
}

#: (status, action) → status afterwards.
TABLE: dict[tuple[Status, Action], Status] = {
    (Status.DRAFT, Action.START): Status.CANARY,
    (Status.DRAFT, Action.UPDATE): Status.DRAFT,
    (Status.DRAFT, Action.DELETE): Status.DRAFT,
    (Status.DRAFT, Action.SCHEDULE): Status.SCHEDULED,
    (Status.SCHEDULED, Action.START): Status.CANARY,
    (Status.SCHEDULED, Action.SCHEDULE): Status.SCHEDULED,
    (Status.SCHEDULED, Action.CANCEL): Status.DRAFT,
    (Status.SCHEDULED, Action.ROLLBACK): Status.ROLLED_BACK,
    (Status.CANARY, Action.TRAFFIC): Status.CANARY,
    (Status.CANARY, Action.PAUSE): Status.CANARY,
    (Status.CANARY, Action.RESUME): Status.CANARY,
    (Status.CANARY, Action.APPROVE): Status.CANARY,
    (Status.CANARY, Action.PROMOTE): Status.ACTIVE,
    (Status.CANARY, Action.ROLLBACK): Status.ROLLED_BACK,
    (Status.ACTIVE, Action.ROLLBACK): Status.ROLLED_BACK,
    (Status.ACTIVE, Action.DEPRECATE): Status.DEPRECATED,
}


def allowed(status: Status) -> tuple[Action, ...]:
    """Return the actions that a status allows, in the table's order."""
    return tuple(action for at, action in TABLE if at is status)


def follow(status: Status, action: Action) -> Status:
    """Return the status after ``action``.

    Raises:
        TransitionRefused: The table has no such move; the error names the status and what it allows.
    """
    try:
        return TABLE[status, action]
    except KeyError:
        verb = _VERBS.get(action, action.value)
        raise TransitionRefused(verb, status.value, [a.value for a in allowed(status)]) from None
