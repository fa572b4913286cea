"""Which messages have been delivered, written the moment a channel took them.

Between a channel's "ok" and the commit that records it lies a gap in which a killed process would
send again after its restart. A line appended to a local file closes it but for microseconds: what the
operating system has taken survives ``kill -9``. What no sender can know is whether a receiver took a
message whose answer never arrived; such a message is sent again, under the same id.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

__all__ = ["FileJournal", "Journal", "NoJournal"]


class Journal(Protocol):
    """Remembers deliveries until they are committed."""

    def delivered(self, item_id: str) -> None:
        """Remember that a channel has taken this item."""
        ...

    def recall(self) -> set[str]:
        """Return what the process before this one has delivered."""
        ...

    def clear(self) -> None:
        """Forget everything: it is committed."""
        ...


class NoJournal:
    """Remembers nothing; for tests and replicas without a folder."""

    def delivered(self, item_id: str) -> None:
        """Do nothing."""

    def recall(self) -> set[str]:
        """Return nothing."""
        return set()

    def clear(self) -> None:
        """Do nothing."""


class FileJournal:
    """Remembers in a file beside the embedded database."""

    def __init__(self, path: Path) -> None:
        """Keep the path; the file is made with the first delivery."""
        self._path = path

    def delivered(self, item_id: str) -> None:
        """Append one line: a single write, whole or not at all."""
        with self._path.open("ab", buffering=0) as file:
            file.write(f"{item_id}\n".encode())

    def recall(self) -> set[str]:
        """Read what is there."""
        try:
            return set(self._path.read_text().split())
        except FileNotFoundError:
            return set()

    def clear(self) -> None:
        """Remove the file."""
        self._path.unlink(missing_ok=True)
