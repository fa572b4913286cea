"""The notification port: a channel that tells people."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

__all__ = ["DeliveryFailed", "Level", "Notification", "Notifier", "Traits", "traits_of"]


class Level(StrEnum):
    """How bad it is (contract 4)."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"
    CRITICAL = "critical"

    @property
    def rank(self) -> int:
        """Return its place: the worse, the higher."""
        return tuple(Level).index(self)


@dataclass(frozen=True, kw_only=True, slots=True)
class Notification:
    """What is told, independent of the channel."""

    #: Unique per cause and channel: a receiver that sees it twice may drop the second.
    id: str
    #: ``rollback``, ``warning``, ``promoted``, ``resolved``, ``test``, …
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
    #: What it is about: one incident, one thread. Empty for messages without a deployment.
    deployment_id: str = ""
    service: str = ""
    tenant: str = ""
    #: ``en`` or ``ko``: the language of the words that a channel adds.
    language: str = "en"
    #: What the channel answered to the first message about this deployment; empty for the first.
    thread: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Traits:
    """What is particular about a channel; a driver that says nothing has the defaults."""

    #: Milder messages are not for this channel: nobody wants a text message about a promotion.
    least: Level = Level.INFO
    #: It keeps incidents open until it is told that they are over.
    resolves: bool = False
    #: Its receivers drop a second copy with the same id, so sending again is safe.
    idempotent: bool = False
    #: ``send`` answers with a handle, and messages that carry it appear below the first one.
    threads: bool = False


class DeliveryFailed(Exception):
    """The channel did not take the message."""

    def __init__(
        self, detail: str, *, retryable: bool = True, unsure: bool = False, retry_after: float = 0.0
    ) -> None:
        """Say why, without any secret.

        Args:
            detail: What people read.
            retryable: False where trying again cannot help.
            unsure: It was sent, but no answer came: perhaps it has arrived.
            retry_after: Seconds that the channel wants to be left alone.
        """
        self.retryable = retryable
        self.unsure = unsure
        self.retry_after = retry_after
        super().__init__(detail)


class Notifier(Protocol):
    """One configured channel. It may have ``traits``."""

    #: Catalogue name: ``slack``, ``email``.
    name: str

    async def send(self, notification: Notification) -> str | None:
        """Deliver it once; a channel with threads answers with the message's handle.

        Raises:
            DeliveryFailed: The channel refused it or could not be reached.
        """
        ...


def traits_of(notifier: object) -> Traits:
    """Return a channel's traits, or the defaults where it has none."""
    found = getattr(notifier, "traits", None)
    return found if isinstance(found, Traits) else Traits()
