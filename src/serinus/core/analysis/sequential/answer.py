"""What the judge answers: data, and the sentence that a person reads."""

from __future__ import annotations

from dataclasses import dataclass

from serinus.core.analysis.sequential.estimate import Interval
from serinus.core.analysis.sequential.plan import Finding

__all__ = ["Answer", "CheckAnswer", "Slice"]


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckAnswer:
    """One check's answer."""

    #: ``errors``, ``latency``, ``alone`` (errors or latency against recorded stable), or a metric's name.
    check: str
    finding: Finding
    sentence: str
    #: Where harm was found, when one stratum alone shows it; the numbers are that stratum's then.
    stratum: str = ""
    #: Both sides' values: error rates (0 to 1), ms, or a metric's mean.
    canary: float | None = None
    stable: float | None = None
    #: ``ratio`` (0 to 1), ``ms`` or empty.
    unit: str = ""
    #: Canary ÷ stable with always-valid bounds; for a metric: canary − stable.
    interval: Interval | None = None
    #: Capital staked on this check by now; harm is called when all together reach ``Answer.needed``.
    evidence: float = 0.0
    #: Canary requests and seconds until harm of the size worth finding can be excluded, at the present rate.
    requests_needed: int | None = None
    seconds_needed: float | None = None
    #: The smallest harm that would be called by now, as a ratio.
    smallest: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Slice:
    """Where harm shows: evidence is corrected for having looked at every stratum."""

    stratum: str
    check: str
    evidence: float
    canary: float | None = None
    stable: float | None = None
    ratio: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What is known so far."""

    finding: Finding
    #: One sentence with the numbers.
    sentence: str
    #: The capital, 1 at the start, and where harm is called: candidates ÷ budget.
    evidence: float
    needed: float
    #: The largest part of the error budget that the capital has claimed so far, 0 to 1.
    budget_used: float
    checks: tuple[CheckAnswer, ...] = ()
    #: Worst first; empty without a split or without anything to see.
    slices: tuple[Slice, ...] = ()
    #: What is wrong with the set-up: a split that is not as configured, sides that are missing.
    warnings: tuple[str, ...] = ()
    #: Canary requests compared so far, and in this step.
    requests: int = 0
    step_requests: int = 0
    #: Unix seconds up to which each side has had requests in a closed window; 0: never.
    stable_seen: float = 0.0
    canary_seen: float = 0.0
    #: Which sizes of harm are excluded: 0 the smallest worth finding, 1 and 2 larger, 3 none yet.
    excluded: int = 3
