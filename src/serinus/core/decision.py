"""What a decision is: the next state, what shall be done about it, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from serinus.core.model import Deployment

__all__ = ["Decision", "Intent", "IntentKind", "Reason"]


class IntentKind(StrEnum):
    """What the shell has to do after the state is stored."""

    SET_TRAFFIC = "set_traffic"  #: carry the deployment's wanted split
    TELL = "tell"  #: notify people
    CLEAR_ASSIGNMENTS = "clear_assignments"  #: forget who was on the canary
    COMPENSATE = "compensate"  #: undo what was completed, as the compensation strategy says
    HOOK = "hook"  #: call a hook; ``topic`` is its phase
    TAKE_OVER = "take_over"  #: the version becomes stable, older deployments deprecated


@dataclass(frozen=True, kw_only=True, slots=True)
class Intent:
    """One effect, idempotent, carried out after commit."""

    kind: IntentKind
    #: ``rollback``, ``warning``, … for ``TELL``.
    topic: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Reason:
    """One line of the timeline: what happened, in words, with its evidence."""

    kind: str
    message: str
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Decision:
    """The answer of the pure core. Nothing has happened yet."""

    next_state: Deployment
    intents: tuple[Intent, ...] = ()
    reasons: tuple[Reason, ...] = ()
