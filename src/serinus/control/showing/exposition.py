"""``/metrics`` in the Prometheus text format, with contract 1's names."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import inf
from typing import Any

from serinus.control.showing.judgement import judge_view
from serinus.control.showing.views import totals
from serinus.core.analysis.evidence import Arm, Side, Window
from serinus.core.analysis.sequential.plan import Finding
from serinus.core.lifecycle.moves import under_watch
from serinus.core.model import Deployment, Status

__all__ = ["CONTENT_TYPE", "render"]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

#: Upper edges in seconds: Prometheus' defaults plus finer ones where p95 limits usually lie.
EDGES = (0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.75, 1.0, 1.5, 2.0, 2.5, 5.0, 10.0)

_SIDES = (("v1", Side.STABLE), ("v2", Side.CANARY))


def render(deployments: Iterable[tuple[Deployment, Sequence[Window]]]) -> str:
    """Return the exposition of these deployments with their all-time totals."""
    known = [(d, {side: totals(w, side) for side in Side}) for d, w in deployments]
    lines = [
        "# HELP canary_deployment_status 1 for the status that the deployment has.",
        "# TYPE canary_deployment_status gauge",
    ]
    for d, _ in known:
        for status in Status:
            labels = f'deployment_id="{d.id}",status="{status.value}"'
            lines.append(f"canary_deployment_status{{{labels}}} {int(d.status is status)}")
    lines += [
        "# HELP canary_traffic_percentage Wanted share of units on the canary.",
        "# TYPE canary_traffic_percentage gauge",
    ]
    lines += [f'canary_traffic_percentage{{deployment_id="{d.id}"}} {d.traffic_bp / 100:g}' for d, _ in known]
    for name, side in _SIDES:
        lines += _counter(
            f"canary_{name}_requests_total", f"Requests to {side.value}.", known, side, "requests"
        )
        lines += _counter(
            f"canary_{name}_errors_total", f"Failed requests to {side.value}.", known, side, "errors"
        )
        lines += _histogram(f"canary_{name}_latency_seconds", side, known)
    lines += _judge([d for d, _ in known])
    return "\n".join(lines) + "\n"


_Known = list[tuple[Deployment, dict[Side, Arm]]]


def _counter(name: str, help_: str, known: _Known, side: Side, field: str) -> list[str]:
    lines = [f"# HELP {name} {help_}", f"# TYPE {name} counter"]
    return lines + [f'{name}{{deployment_id="{d.id}"}} {getattr(arms[side], field)}' for d, arms in known]


def _histogram(name: str, side: Side, known: _Known) -> list[str]:
    lines = [f"# HELP {name} Latency of {side.value}.", f"# TYPE {name} histogram"]
    for d, arms in known:
        latency = arms[side].latency
        counts = latency.cumulative(edge * 1000 for edge in EDGES)
        for edge, count in zip((*EDGES, inf), (*counts, latency.count), strict=True):
            shown = "+Inf" if edge == inf else f"{edge:g}"
            lines.append(f'{name}_bucket{{deployment_id="{d.id}",le="{shown}"}} {count}')
        lines.append(f'{name}_sum{{deployment_id="{d.id}"}} {latency.total / 1000:.6f}')
        lines.append(f'{name}_count{{deployment_id="{d.id}"}} {latency.count}')
    return lines


def _judge(deployments: Sequence[Deployment]) -> list[str]:
    """Return what the judge says of what rolls out or is watched; one that has ended has no samples."""
    judged = [(d.id, judge_view(d)) for d in deployments if d.status is Status.CANARY or under_watch(d)]
    known = [(f'deployment_id="{id_}"', view) for id_, view in judged if view]
    checks = [(f'{who},check="{_escaped(c["check"])}"', c) for who, view in known for c in view["checks"]]
    return [
        *_head("serinus_judge_budget_used_ratio", "Largest part of the error budget claimed so far, 0 to 1."),
        *(f"serinus_judge_budget_used_ratio{{{who}}} {view['budget_used']:.6g}" for who, view in known),
        *_head("serinus_judge_finding", "1 for what the judge says of the deployment."),
        *_states("serinus_judge_finding", known),
        *_head("serinus_judge_check_finding", "1 for what the judge says of the check."),
        *_states("serinus_judge_check_finding", checks),
        *_head("serinus_judge_evidence", "Evidence for harm, 1 at the start."),
        *(f"serinus_judge_evidence{{{who}}} {c['evidence']:.6g}" for who, c in checks),
        *_head("serinus_judge_seconds_to_decision", "Seconds until the check knows; none while unknown."),
        *(
            f"serinus_judge_seconds_to_decision{{{who}}} {c['seconds_needed'] or 0:.6g}"
            for who, c in checks
            if c["seconds_needed"] is not None or c["finding"] in (Finding.HARM, Finding.SAFE)
        ),
    ]


def _head(name: str, help_: str) -> list[str]:
    return [f"# HELP {name} {help_}", f"# TYPE {name} gauge"]


def _states(name: str, found: list[tuple[str, dict[str, Any]]]) -> list[str]:
    """Return one sample for each finding: 1 for the one that holds."""
    return [
        f'{name}{{{who},finding="{finding.value}"}} {int(view["finding"] == finding)}'
        for who, view in found
        for finding in Finding
    ]


def _escaped(value: str) -> str:
    """Return a label's value as the format wants it."""
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
