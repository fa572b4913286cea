"""The circuit breaker of contract 1, as data.

CLOSED → (5 consecutive failures) → OPEN → (60 s) → HALF_OPEN → success CLOSED / failure OPEN.
While it is OPEN every request goes to stable. The SDK steps it per request, the control plane
per batch; both use the functions below.
"""

from __future__ import annotations

from typing import Final, NamedTuple

__all__ = ["CLOSED", "CLOSED_BREAKER", "FAILURES", "HALF_OPEN", "OPEN", "OPEN_SECONDS", "Breaker"]

CLOSED: Final = "closed"
OPEN: Final = "open"
HALF_OPEN: Final = "half_open"

#: Consecutive failures that open it (contract 1).
FAILURES: Final = 5
#: Seconds it stays open before it lets a trial through (contract 1).
OPEN_SECONDS: Final = 60.0


class Breaker(NamedTuple):
    """A breaker's state. ``opened_at`` is in seconds of whatever clock the caller passes as ``now``."""

    state: str = CLOSED
    consecutive: int = 0
    opened_at: float = 0.0

    def failed(self, now: float, times: int = 1, limit: int = FAILURES) -> Breaker:
        """Return the state after ``times`` failures in a row."""
        if self.state == OPEN:
            return self
        consecutive = self.consecutive + times
        if self.state == HALF_OPEN or consecutive >= limit:
            return Breaker(OPEN, consecutive, now)
        return Breaker(CLOSED, consecutive, 0.0)

    def succeeded(self) -> Breaker:
        """Return the state after a success."""
        return self if self.state == OPEN else CLOSED_BREAKER

    def at(self, now: float, open_seconds: float = OPEN_SECONDS) -> Breaker:
        """Return the state at ``now``: an open one turns half open when its time is over."""
        if self.state == OPEN and now - self.opened_at >= open_seconds:
            return Breaker(HALF_OPEN, self.consecutive, self.opened_at)
        return self

    def observed(self, now: float, errors: int, successes: int, limit: int = FAILURES) -> Breaker:
        """Return the state after a batch whose order is unknown.

        With any success in the batch the run of failures at its end may be empty, so only a batch
        without one extends the run: a lower bound, never a false alarm.
        """
        if successes:
            return self.succeeded()
        return self.failed(now, errors, limit) if errors else self


CLOSED_BREAKER: Final = Breaker()
