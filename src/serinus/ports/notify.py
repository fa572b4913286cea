"""The notification port: a channel that tells people."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

__all__ = ["DeliveryFailed", "Level", "Notification", "Notifier"]


class Level(StrEnum):
    """How bad it is (contract 4)."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"
    CRITICAL = "critical"


@dataclass(frozen=True, kw_only=True, slots=True)
class Notification:
    """What is told, independent of the channel."""

    #: Unique per cause and channel: a receiver that sees it twice may drop the second.
    id: str
    #: ``rollback``, ``warning``, ``promoted``, ``test``, …
    kind: str
    level: Level
    #: The e-mail subject and the Slack title.
    title: str
    text: str
    #: Name → value, shown in order.
    fields: tuple[tuple[str, str], ...] = ()
    #: Link to the deployment, if the control plane knows its public address.
    link: str = ""
    at: datetime | None = None


class DeliveryFailed(Exception):
    """The channel did not take the message."""

    def __init__(self, detail: str, *, retryable: bool = True) -> None:
        """Say why, without any secret; ``retryable`` is false where trying again cannot help."""
        self.retryable = retryable
        super().__init__(detail)


class Notifier(Protocol):
    """One configured channel."""

    #: Catalogue name: ``slack``, ``email``.
    name: str

    async def send(self, notification: Notification) -> None:
        """Deliver it once.

        Raises:
            DeliveryFailed: The channel refused it or could not be reached.
        """
        ...
