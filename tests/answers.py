"""Judge's answers as tests need them: too early, safe, harmful, and alone after promotion."""

from __future__ import annotations

from serinus.core.analysis.sequential.answer import Answer, CheckAnswer, Slice
from serinus.core.analysis.sequential.estimate import Interval
from serinus.core.analysis.sequential.plan import Finding

LATENCY_SAFE = CheckAnswer(
    check="latency",
    finding=Finding.SAFE,
    sentence="latency: 1.0 % faster than stable; 10 % slower or more is excluded",
    canary=49.5,
    stable=50.0,
    unit="ms",
    interval=Interval(estimate=0.99, low=0.96, high=1.02),
    evidence=0.1,
    requests_needed=0,
    seconds_needed=0.0,
    smallest=1.06,
)
ERRORS_EARLY = CheckAnswer(
    check="errors",
    finding=Finding.NOT_YET,
    sentence="errors: 0.31 % at the canary against 0.3 % at stable; "
    "1,840 more canary requests, about 6 min to exclude 2 ×",
    canary=0.0031,
    stable=0.003,
    unit="ratio",
    interval=Interval(estimate=1.03, low=0.38, high=2.8),
    evidence=0.9,
    requests_needed=1840,
    seconds_needed=370.0,
    smallest=4.2,
)
NOT_YET = Answer(
    finding=Finding.NOT_YET,
    sentence=f"{ERRORS_EARLY.sentence}.",
    evidence=1.0,
    needed=100.0,
    budget_used=0.03,
    checks=(ERRORS_EARLY, LATENCY_SAFE),
    warnings=("the canary gets 31 % less traffic than configured: check the split",),
    requests=960,
    step_requests=240,
    excluded=2,
)
SAFE = Answer(
    finding=Finding.SAFE,
    sentence="errors: 0.3 % at the canary against 0.3 % at stable; 2 × or more is excluded; "
    "latency: 1.0 % faster than stable; 10 % slower or more is excluded.",
    evidence=0.4,
    needed=100.0,
    budget_used=0.02,
    checks=(
        CheckAnswer(
            check="errors",
            finding=Finding.SAFE,
            sentence="errors: 0.3 % at the canary against 0.3 % at stable; 2 × or more is excluded",
            canary=0.003,
            stable=0.003,
            unit="ratio",
            interval=Interval(estimate=1.0, low=0.6, high=1.7),
            evidence=0.3,
            requests_needed=0,
            seconds_needed=0.0,
        ),
        LATENCY_SAFE,
    ),
    requests=9600,
    step_requests=4800,
    excluded=0,
)
HARM = Answer(
    finding=Finding.HARM,
    sentence="errors: 8 % at the canary against 0.4 % at stable (20 ×, surely more than 9 ×). "
    "Worst in /pay region=eu.",
    evidence=5200.0,
    needed=100.0,
    budget_used=1.0,
    checks=(
        CheckAnswer(
            check="errors",
            finding=Finding.HARM,
            sentence="errors: 8 % at the canary against 0.4 % at stable (20 ×, surely more than 9 ×)",
            canary=0.08,
            stable=0.004,
            unit="ratio",
            interval=Interval(estimate=20.0, low=9.0, high=44.0),
            evidence=5200.0,
        ),
        LATENCY_SAFE,
    ),
    slices=(
        Slice(
            stratum="/pay region=eu", check="errors", evidence=4100.0, canary=0.31, stable=0.004, ratio=77.0
        ),
        Slice(stratum="/cart", check="errors", evidence=12.0, canary=0.02, stable=0.004, ratio=5.0),
        Slice(stratum="/slow", check="latency", evidence=1e12, ratio=1.4),
    ),
    requests=600,
    step_requests=600,
)
ALONE = Answer(
    finding=Finding.SAFE,
    sentence="at 100 %: 0.3 % errors against 0.3 % recorded of stable; within 2 × of what was recorded.",
    evidence=0.2,
    needed=100.0,
    budget_used=0.02,
    checks=(
        *SAFE.checks,
        CheckAnswer(
            check="alone",
            finding=Finding.SAFE,
            sentence="at 100 %: 0.3 % errors against 0.3 % recorded of stable; "
            "within 2 × of what was recorded",
            canary=0.003,
            stable=0.003,
            unit="ratio",
            evidence=0.2,
        ),
    ),
    requests=40_000,
    step_requests=30_000,
    excluded=0,
)
