"""What people are told about a rollout, and where."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from serinus.core.codec import told

__all__ = ["Notifications", "Topic"]


class Topic(StrEnum):
    """What a notification is about."""

    ROLLBACK = "rollback"  #: everyone is on stable again
    WARNING = "warning"  #: a check warns, or the rollout holds and needs somebody
    WAITING = "waiting"  #: it waits for an approval or its promotion
    PROMOTED = "promoted"  #: everyone has the new version


@dataclass(frozen=True, kw_only=True, slots=True)
class Notifications:
    """Which of a rollout's notifications are sent, and to which channels."""

    on: tuple[Topic, ...] = told("What is told; left out: everything.", tuple(Topic))
    channels: tuple[str, ...] = told("Channels by name; left out: every one that is configured.", ())
