"""A channel in memory."""

from __future__ import annotations

from serinus.ports.notify import Notification, Notifier

__all__ = ["MemoryNotifier"]


class MemoryNotifier(Notifier):
    """Keeps what it is told, or fails as it is told to."""

    def __init__(self, name: str = "memory") -> None:
        self.name = name
        self.messages: list[Notification] = []
        #: Raised instead of keeping the next messages, one each.
        self.failures: list[Exception] = []

    async def send(self, notification: Notification) -> None:
        """Keep it."""
        if self.failures:
            raise self.failures.pop(0)
        self.messages.append(notification)
