"""The errors that the core raises, and whose fault they are.

::

    SerinusError                    anything of ours
    ├── InvalidInput                the caller's: a field is wrong (400)
    ├── NotFound                    the caller's: no such thing in this tenant (404)
    ├── Forbidden                   the caller's: the role does not reach (403)
    ├── Unauthenticated             the caller's: no token, a bad or an expired one (401)
    ├── Conflict                    the state's: not now (409)
    │   ├── TransitionRefused       the lifecycle table does not allow it
    │   ├── GateRefused             a promotion gate is not met
    │   └── StaleRevision           somebody else changed it first
    ├── RuleFailed                  the rules': they gave no answer for this input (422)
    └── Unavailable                 ours or a peer's: try again later (503)

Each carries ``next_step``: what the reader should do now.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = [
    "Conflict",
    "Forbidden",
    "GateRefused",
    "InvalidInput",
    "NotFound",
    "RuleFailed",
    "SerinusError",
    "StaleRevision",
    "TransitionRefused",
    "Unauthenticated",
    "Unavailable",
]


class SerinusError(Exception):
    """Something went wrong inside Serinus; the log has the details."""

    #: Stable last part of the problem type's URI.
    kind = "error"

    def __init__(
        self,
        detail: str | None = None,
        *,
        next_step: str = "",
        field: str = "",
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        """Say what, where and what to do next; the default detail is the class's docstring."""
        self.detail = detail or (type(self).__doc__ or "").strip()
        self.next_step = next_step
        self.field = field
        self.extra: dict[str, Any] = dict(extra or {})
        super().__init__(self.detail)


class InvalidInput(SerinusError):
    """A value is not acceptable."""

    kind = "invalid-input"


class NotFound(SerinusError):
    """There is no such thing here."""

    kind = "not-found"


class Forbidden(SerinusError):
    """Your role does not allow this."""

    kind = "forbidden"


class Unauthenticated(SerinusError):
    """This call needs a valid token."""

    kind = "unauthenticated"


class Conflict(SerinusError):
    """The current state does not allow this."""

    kind = "conflict"


class TransitionRefused(Conflict):
    """The deployment's status does not allow this."""

    kind = "transition-refused"

    def __init__(self, action: str, status: str, allowed: Sequence[str], detail: str = "") -> None:
        """Name the current status and what it allows; ``action`` is a verb."""
        names = ", ".join(allowed) or "nothing: make a new deployment"
        super().__init__(
            detail or f"Cannot {action} a deployment that is {status}.",
            next_step=f"Allowed now: {names}.",
            extra={"current_status": status, "allowed": list(allowed)},
        )


class GateRefused(Conflict):
    """The promotion gate is not met."""

    kind = "gate-refused"


class StaleRevision(Conflict):
    """Somebody else changed this first."""

    kind = "stale-revision"


class RuleFailed(SerinusError):
    """The rules gave no answer."""

    kind = "rule-failed"


class Unavailable(SerinusError):
    """A part that this needs does not answer; try again shortly."""

    kind = "unavailable"
