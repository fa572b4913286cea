"""The sequential judge for anyone: no server, no store, standard library only.

>>> from serinus.judge import Counts, Judge, Plan, window
>>> judge = Judge(Plan(budget=0.01))
>>> answer = judge.feed(window(at=0, stable=Counts(990, 3), canary=Counts(10, 0)))
>>> answer.finding.value, answer.requests
('not_yet', 10)

``docs/judge.md`` explains what it answers and why it can be looked at as often as one likes.
"""

from __future__ import annotations

from collections.abc import Mapping

from serinus.core.analysis.sequential.answer import Answer, CheckAnswer, Slice
from serinus.core.analysis.sequential.judge import Judge
from serinus.core.analysis.sequential.latency import Buckets, buckets_of
from serinus.core.analysis.sequential.lines import Contest, buckets_from
from serinus.core.analysis.sequential.moment import Counts, Moment, Pair
from serinus.core.analysis.sequential.plan import (
    ErrorHarm,
    Finding,
    LatencyHarm,
    MetricHarm,
    Plan,
    StepUp,
    Unsure,
)
from serinus.core.histogram import Histogram

__all__ = [
    "Answer",
    "Buckets",
    "CheckAnswer",
    "Contest",
    "Counts",
    "ErrorHarm",
    "Finding",
    "Histogram",
    "Judge",
    "LatencyHarm",
    "MetricHarm",
    "Moment",
    "Pair",
    "Plan",
    "Slice",
    "StepUp",
    "Unsure",
    "buckets_from",
    "buckets_of",
    "window",
]


def window(
    *,
    at: float,
    seconds: float = 10.0,
    stable: Counts | None = None,
    canary: Counts | None = None,
    strata: Mapping[str, tuple[Counts, Counts]] | None = None,
    step: str = "",
    share: float | None = None,
    alone: bool = False,
    metrics: Mapping[str, tuple[float, float]] | None = None,
) -> Moment:
    """Return one closed window that began ``at`` (seconds on any clock).

    Args:
        at: When it began, in seconds on any clock.
        seconds: How long it was.
        stable: Requests, errors and latencies of one side, where traffic is not split …
        canary: … and of the other.
        strata: name → (stable, canary), where it is split.
        step: Changes with the traffic percentage: latency warms up anew.
        share: The canary's configured part, 0 to 1, for checking the split.
        alone: The canary has all traffic on purpose.
        metrics: name → (canary, stable).
    """
    pairs = {name: Pair(*both) for name, both in strata.items()} if strata else {}
    if stable or canary:
        pairs[""] = Pair(stable or Counts(), canary or Counts())
    return Moment(
        start=at,
        seconds=seconds,
        strata=pairs,
        step=step,
        share=share,
        alone=alone,
        metrics=dict(metrics or {}),
    )
