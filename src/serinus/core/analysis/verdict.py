"""What a check says."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

__all__ = ["Outcome", "Verdict", "blocking", "failed"]


class Outcome(StrEnum):
    """Four outcomes; missing data is never a pass."""

    PASS = "pass"  # noqa: S105  #: measured, and inside the limit
    FAIL = "fail"  #: measured, and outside the limit
    INCONCLUSIVE = "inconclusive"  #: not enough measured yet
    ERROR = "error"  #: it could not be measured


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """One check's answer with its numbers."""

    check: str
    outcome: Outcome
    #: One clause with the numbers, ready to be shown.
    message: str
    canary: float | None = None
    stable: float | None = None
    #: The bound that the canary's value was held against, in the same unit.
    limit: float | None = None
    #: ``ratio`` (0 to 1), ``ms`` or empty.
    unit: str = ""
    canary_requests: int = 0
    stable_requests: int = 0
    window_seconds: float = 0
    #: What a failure does: ``rollback``, ``hold`` or ``warn``.
    on_fail: str = "rollback"
    #: Whether the step may end without it: a metric that the service does not report does not block.
    required: bool = True
    #: It says neither pass nor fail, and the policy goes on without it: no harm among enough requests.
    accepted: bool = False


def failed(verdicts: tuple[Verdict, ...], on_fail: str) -> tuple[Verdict, ...]:
    """Return the failures whose consequence is ``on_fail``."""
    return tuple(v for v in verdicts if v.outcome is Outcome.FAIL and v.on_fail == on_fail)


def blocking(verdicts: tuple[Verdict, ...]) -> tuple[Verdict, ...]:
    """Return the required verdicts that say neither pass nor fail and that the policy waits for."""
    unknown = (Outcome.INCONCLUSIVE, Outcome.ERROR)
    return tuple(v for v in verdicts if v.required and not v.accepted and v.outcome in unknown)
