"""The last order, kept in a file over restarts; and one agent per file."""

from __future__ import annotations

import fcntl
import json
import logging
import os
import tempfile
import time
from pathlib import Path
from typing import IO, Any

from serinus.core.errors import Conflict, InvalidInput

__all__ = ["Kept"]

log = logging.getLogger("serinus.agent")

#: The file's time says when the control plane was last heard; it is moved on at most this often.
TOUCH_SECONDS = 1.0


class Kept:
    """A state file. It holds no secret: the split, the terms, and by its time the last contact."""

    def __init__(self, path: Path, service: str) -> None:
        """Keep where it is, and whose; :meth:`open` takes it."""
        self._path, self._service = path, service
        self._lock: IO[str] | None = None
        self._touched = 0.0

    def open(self) -> None:
        """Take the file for this process; the system gives it back however the process ends.

        Raises:
            Conflict: Another agent has it.
            InvalidInput: Its folder cannot be written.
        """
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._lock = self._path.with_name(f"{self._path.name}.lock").open("w")
        except OSError as error:
            raise InvalidInput(
                f"{self._path.parent} cannot be written ({error.strerror}).",
                field="state",
                next_step="Name another file with --state.",
            ) from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise Conflict(
                f"Another agent runs with {self._path}.",
                next_step="End it, or give this one an --instance or a --state of its own.",
            ) from error

    def close(self) -> None:
        """Give the file back."""
        if self._lock:
            self._lock.close()
            self._lock = None

    def load(self) -> tuple[dict[str, Any] | None, float]:
        """Return what was last stored, and how many seconds ago the control plane was heard.

        A file that cannot be read is told in the log and counts as none: the control plane knows better.
        """
        try:
            data = json.loads(self._path.read_text())
            age = max(0.0, time.time() - self._path.stat().st_mtime)
        except FileNotFoundError:
            return None, 0.0
        except (OSError, ValueError) as error:
            log.warning("%s cannot be read (%s)", self._path, error, extra={"action": "kept.unreadable"})
            return None, 0.0
        if not isinstance(data, dict) or data.get("service") != self._service:
            log.warning("%s is of another service", self._path, extra={"action": "kept.foreign"})
            return None, 0.0
        return data, age

    def store(self, revision: str, order: Any) -> None:
        """Replace the file at once: whoever reads it finds the old or the new, never a half.

        A full disk is told in the log: the split has to be carried all the same.
        """
        content = json.dumps({"schema": 1, "service": self._service, "revision": revision, "order": order})
        try:
            self._replace(content)
        except OSError as error:
            log.warning("%s cannot be kept (%s)", self._path, error.strerror, extra={"action": "kept.failed"})

    def _replace(self, content: str) -> None:
        with tempfile.NamedTemporaryFile("w", dir=self._path.parent, suffix=".tmp", delete=False) as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(file.name).replace(self._path)

    def touch(self) -> None:
        """Note that the control plane was heard just now: a restart does not renew the lease."""
        now = time.monotonic()
        if now - self._touched < TOUCH_SECONDS or not self._path.exists():
            return
        self._touched = now
        try:
            os.utime(self._path)
        except OSError as error:
            log.warning("%s cannot be kept (%s)", self._path, error.strerror, extra={"action": "kept.failed"})
