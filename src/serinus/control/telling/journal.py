"""Which messages are being sent and which a channel has taken, written the moment it happens.

Between a channel's "ok" and the commit that records it lies a gap in which a killed process would
send again after its restart. A line appended to a local file closes it but for microseconds: what the
operating system has taken survives ``kill -9``. Replicas that share a folder read each other's files.
What no sender can know is whether a receiver took a message whose answer never arrived.
"""

from __future__ import annotations

import time
from enum import StrEnum
from pathlib import Path
from typing import Protocol

__all__ = ["Fate", "FileJournal", "Journal", "NoJournal"]

#: Marks the line of a message that is about to be sent.
_BEGUN = "~"
#: Files of processes that ended longer ago are of no use any more: everything in them is settled.
OLD_SECONDS = 2 * 86_400


class Fate(StrEnum):
    """What became of a message that a process held when it ended."""

    DELIVERED = "delivered"  #: the channel took it
    NOT_BEGUN = "not_begun"  #: it was surely not sent
    UNKNOWN = "unknown"  #: it may have arrived


class Journal(Protocol):
    """Remembers deliveries until they are committed."""

    def begun(self, item_id: str) -> None:
        """Remember that this item is about to be sent."""
        ...

    def delivered(self, item_id: str) -> None:
        """Remember that a channel has taken this item."""
        ...

    def fate(self, owner: str, item_id: str) -> Fate:
        """Return what became of an item that ``owner``, a replica's name, has left unsettled."""
        ...

    def clear(self) -> None:
        """Forget what this process has done: it is committed."""
        ...


class NoJournal:
    """Remembers nothing; for tests and replicas without a folder."""

    def begun(self, item_id: str) -> None:
        """Do nothing."""

    def delivered(self, item_id: str) -> None:
        """Do nothing."""

    def fate(self, owner: str, item_id: str) -> Fate:  # noqa: ARG002
        """Nobody knows."""
        return Fate.UNKNOWN

    def clear(self) -> None:
        """Do nothing."""


class FileJournal:
    """Remembers in a file of the replica's own, ``delivered-NAME.log`` in the data folder."""

    def __init__(self, folder: Path, replica: str) -> None:
        """Read what the process before this one of the same name has left."""
        self._folder, self._replica = folder, replica
        self._path = self._file(replica)
        self._before = _lines(self._path)
        for path in folder.glob("delivered-*.log"):
            if path != self._path and _age(path) > OLD_SECONDS:
                path.unlink(missing_ok=True)

    def begun(self, item_id: str) -> None:
        """Append one line: a single write, whole or not at all."""
        self._append(f"{_BEGUN}{item_id}\n")

    def delivered(self, item_id: str) -> None:
        """Append one line: a single write, whole or not at all."""
        self._append(f"{item_id}\n")

    def fate(self, owner: str, item_id: str) -> Fate:
        """Look it up in the owner's file.

        Our own file is there whenever something was begun; another's may lie on another machine.
        """
        mine = owner == self._replica
        lines = _lines(self._file(owner)) | (self._before if mine else set())
        if item_id in lines:
            return Fate.DELIVERED
        if _BEGUN + item_id in lines:
            return Fate.UNKNOWN
        return Fate.NOT_BEGUN if mine or lines else Fate.UNKNOWN

    def clear(self) -> None:
        """Remove the file."""
        self._path.unlink(missing_ok=True)

    def _append(self, line: str) -> None:
        with self._path.open("ab", buffering=0) as file:
            file.write(line.encode())

    def _file(self, replica: str) -> Path:
        safe = "".join(c if c.isalnum() or c in "-_." else "_" for c in replica)
        return self._folder / f"delivered-{safe}.log"


def _lines(path: Path) -> set[str]:
    try:
        return set(path.read_text().split())
    except FileNotFoundError:
        return set()


def _age(path: Path) -> float:
    try:
        return time.time() - path.stat().st_mtime
    except FileNotFoundError:
        return 0.0
