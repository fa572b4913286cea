"""The contracts' thresholds as named policies, each exactly as its contract says."""

from __future__ import annotations

from serinus.core.analysis.checks import Check, Comparison, Measure, OnFail, Policy
from serinus.core.analysis.evidence import Selector
from serinus.core.analysis.sequential.plan import Plan

__all__ = ["DEFAULT", "PRESETS"]

#: Requests below which a rate says little: one error among fewer is more than any limit here.
#: The contracts name none; Argo-like rules without one failed 39 % of healthy canaries.
FEW = 20

RULESETS = Policy(
    name="rulesets",
    gate_majority_seconds=None,
    checks=(
        Check(name="error rate", measure=Measure.ERROR_RATE, limit=0.05, min_requests=FEW),
        Check(
            name="p95 latency",
            measure=Measure.LATENCY_P95,
            comparison=Comparison.RATIO,
            limit=2.0,
            min_requests=FEW,
        ),
        Check(
            name="success rate",
            measure=Measure.SUCCESS_RATE,
            floor=True,
            limit=0.95,
            window_seconds=600,
            min_requests=FEW,
        ),
    ),
    gate=(
        Check(name="success rate", measure=Measure.SUCCESS_RATE, floor=True, limit=0.95, window_seconds=600),
        Check(name="error rate", measure=Measure.ERROR_RATE, limit=0.05),
        Check(name="p95 latency", measure=Measure.LATENCY_P95, comparison=Comparison.RATIO, limit=1.2),
        Check(
            name="success not below stable",
            measure=Measure.SUCCESS_RATE,
            comparison=Comparison.DIFFERENCE,
            floor=True,
            limit=0.0,
            window_seconds=600,
        ),
    ),
)

IN_APP = Policy(
    name="in-app",
    checks=(
        Check(name="error rate", measure=Measure.ERROR_RATE, limit=0.05, min_requests=FEW),
        Check(name="p95 latency", measure=Measure.LATENCY_P95, limit=2000.0, min_requests=FEW),
        Check(name="availability", measure=Measure.SUCCESS_RATE, floor=True, limit=0.99, min_requests=FEW),
    ),
    gate=(
        Check(
            name="error rate increase",
            measure=Measure.ERROR_RATE,
            comparison=Comparison.DIFFERENCE,
            limit=0.005,
            strict=True,
        ),
        Check(
            name="p95 increase",
            measure=Measure.LATENCY_P95,
            comparison=Comparison.RATIO,
            limit=1.10,
            strict=True,
        ),
        Check(name="canary requests", measure=Measure.REQUESTS, floor=True, limit=1000, strict=True),
    ),
)


def _mode_check(mode: str, limit_ms: float) -> Check:
    return Check(
        name=f"p95 latency ({mode})",
        measure=Measure.LATENCY_P95,
        limit=limit_ms,
        selector=Selector(label=f"mode={mode}"),
        required=False,
    )


ORCHESTRATOR = Policy(
    name="orchestrator",
    checks=(
        _mode_check("fast", 2500),
        _mode_check("balanced", 3200),
        _mode_check("creative", 4500),
        Check(name="error rate", measure=Measure.ERROR_RATE, limit=0.005, strict=True, min_requests=FEW),
        Check(
            name="schema failures",
            measure=Measure.SAMPLE,
            metric="llm_brief_schema_failures_total",
            comparison=Comparison.ZERO,
            required=False,
        ),
        Check(
            name="training loss",
            measure=Measure.SAMPLE,
            metric="rl_training_loss",
            comparison=Comparison.RATIO,
            limit=2.0,
            strict=True,
            required=False,
        ),
    ),
)

SLO = Policy(
    name="slo",
    checks=(
        Check(name="availability", measure=Measure.SUCCESS_RATE, floor=True, limit=0.995, min_requests=FEW),
        Check(name="p95 latency", measure=Measure.LATENCY_P95, limit=800.0, min_requests=FEW),
        Check(
            name="error rate",
            measure=Measure.ERROR_RATE,
            limit=0.005,
            min_requests=FEW,
            on_fail=OnFail.ROLLBACK,
        ),
    ),
)

SEQUENTIAL = Policy(
    name="sequential",
    judge=Plan(),
    # The judge itself is the gate; contract 1's time at 50 % or more is asked on a promotion by hand.
    gate_majority_seconds=None,
)

PRESETS = {policy.name: policy for policy in (SEQUENTIAL, RULESETS, IN_APP, ORCHESTRATOR, SLO)}

#: What a deployment gets that names no policy.
DEFAULT = SEQUENTIAL
