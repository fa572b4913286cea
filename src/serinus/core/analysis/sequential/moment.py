"""What the judge is fed: one closed window, both sides, split by stratum."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from serinus.core.analysis.sequential.buckets import Latencies

__all__ = ["Counts", "Moment", "Pair"]


@dataclass(frozen=True, slots=True)
class Counts:
    """One side's requests in one window. Errors beyond the requests are reported late, not impossible."""

    requests: int = 0
    errors: int = 0
    #: ``None``: latencies were not measured.
    latency: Latencies | None = None


@dataclass(frozen=True, slots=True)
class Pair:
    """Both sides of one stratum in one window."""

    stable: Counts = Counts()
    canary: Counts = Counts()


@dataclass(frozen=True, kw_only=True, slots=True)
class Moment:
    """One closed window.

    A side that is missing is one without requests: such a window compares nothing, and is not
    mistaken for zero errors. Only while ``alone`` is the canary held against recorded history.
    """

    #: Unix seconds (or any clock) at its start, and its length.
    start: float
    seconds: float
    #: Endpoint, label or whatever the traffic is split by → both sides. One key, ``""``, without a split.
    strata: Mapping[str, Pair]
    #: Changes when the traffic percentage does: warm-up begins anew.
    step: str = ""
    #: The canary's share as configured, 0 to 1; ``None``: not known, then the split is not checked.
    share: float | None = None
    #: The canary has all traffic on purpose: no live stable to compare with.
    alone: bool = False
    #: Gauge or business metric → (canary, stable).
    metrics: Mapping[str, tuple[float, float]] = field(default_factory=dict)
