"""Several candidates (A/B/n): whose buckets are whose, and a breaker for each."""

from __future__ import annotations

import time

TYPE_CHECKING = False  # typing itself costs milliseconds and a megabyte; checkers know this name
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

__all__ = ["Breaker", "Seat"]


class Seat:
    """A candidate's range of buckets: it has ``begin`` to ``end``, and may keep units up to ``limit``."""

    __slots__ = ("begin", "end", "limit", "version")

    def __init__(self, entry: Mapping[str, Any]) -> None:
        """Read one of a snapshot's candidates.

        Raises:
            ValueError: A bound is no number.
            KeyError: One is missing.
        """
        self.version = str(entry["version"])
        self.begin, self.end, self.limit = (int(entry[name]) for name in ("begin", "end", "limit"))


class Breaker:
    """Takes a candidate out in this process after failures in a row, then lets one request at a time try."""

    __slots__ = ("failures", "opened_at", "trying")

    def __init__(self) -> None:
        """Start closed."""
        self.failures = 0
        self.opened_at: float | None = None
        self.trying = False

    def lets_through(self, open_seconds: float) -> bool:
        """Tell whether a request may go to the candidate; half open, the next one waits as long again."""
        if self.opened_at is None:
            return True
        now = time.monotonic()
        if now - self.opened_at < open_seconds:
            return False
        self.opened_at, self.trying = now, True
        return True

    def failed(self, most: int) -> bool:
        """Count a failure; tell whether that opened it, for the first time in this run."""
        self.failures += 1
        if self.opened_at is None and self.failures < most:
            return False
        was_open = self.opened_at is not None and not self.trying
        self.opened_at, self.trying = time.monotonic(), False
        return not was_open
