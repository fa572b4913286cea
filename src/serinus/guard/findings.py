"""What a check of the guard says."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

__all__ = ["Finding", "Outcome", "failed", "passed", "refuses", "skipped"]


class Outcome(StrEnum):
    """What came of a check."""

    PASS = "pass"  # noqa: S105 #: it is as it must be
    FAIL = "fail"  #: it is not: the rollout is refused
    SKIP = "skip"  #: there is nothing to look at; refused too when nothing may be left out


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """One check's answer, with what to do when it is not a pass."""

    #: ``before deployment``, ``stable``, ``objectives`` or ``calendar``.
    group: str
    name: str
    outcome: Outcome
    message: str
    next_step: str = ""


def passed(group: str, name: str, message: str) -> Finding:
    """Return a pass."""
    return Finding(group=group, name=name, outcome=Outcome.PASS, message=message)


def failed(group: str, name: str, message: str, next_step: str = "") -> Finding:
    """Return a failure."""
    return Finding(group=group, name=name, outcome=Outcome.FAIL, message=message, next_step=next_step)


def skipped(group: str, name: str, message: str, next_step: str = "") -> Finding:
    """Return that there is nothing to look at."""
    return Finding(group=group, name=name, outcome=Outcome.SKIP, message=message, next_step=next_step)


def refuses(finding: Finding, *, strict: bool, required: tuple[str, ...] = ()) -> bool:
    """Tell whether this refuses a rollout: a failure does, and what is left out where that may not be."""
    if finding.outcome is Outcome.SKIP:
        return strict or finding.name in required
    return finding.outcome is Outcome.FAIL
