"""How things look from outside: the same dictionaries for the API, the pages and the terminal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from serinus.control.context import stamp
from serinus.control.showing.contests import candidates_view
from serinus.control.showing.judgement import flips_view, judge_view, surely_differs, watch_view
from serinus.control.showing.strategies import standing_view, strategy_view
from serinus.core.analysis.evidence import Arm, Side, Window
from serinus.core.analysis.sequential.plan import Finding
from serinus.core.analysis.verdict import Outcome, Verdict
from serinus.core.codec import to_json
from serinus.core.lifecycle.transitions import Action, allowed
from serinus.core.model import Deployment, Mode, Service, Status
from serinus.ports.release_sets import SetEvent
from serinus.ports.store import Event, OutboxItem

__all__ = [
    "arm_metrics",
    "comparison_view",
    "deployment_view",
    "event_view",
    "message_view",
    "notification_view",
    "service_view",
    "totals",
    "verdict_view",
]

_NOT_BEGUN = (Status.DRAFT, Status.SCHEDULED)
#: Requests per side below which a difference is not called significant.
SIGNIFICANT_REQUESTS = 100
#: Two-sided 1 % of the standard normal distribution: the comparison is looked at often.
SIGNIFICANT_Z = 2.576


def service_view(service: Service) -> dict[str, Any]:
    """Return a service as the API shows it."""
    return {
        "service_id": service.id,
        "ruleset_id": service.id,
        "name": service.name,
        "kind": service.kind.value,
        "stable_version": service.stable_version,
        "driver": service.driver,
        "driver_config": dict(service.driver_config),
        "upstreams": {version: list(addresses) for version, addresses in service.upstreams.items()},
        "created_at": stamp(service.created_at),
    }


def deployment_view(d: Deployment) -> dict[str, Any]:
    """Return a deployment as the API shows it."""
    steps = d.strategy.steps if d.strategy.mode is Mode.AUTO else ()
    return {
        "deployment_id": d.id,
        "service_id": d.service_id,
        "ruleset_id": d.service_id,
        "service": d.service,
        "version": d.version,
        "stable_version": d.stable_version,
        "status": d.status.value,
        "sentence": d.sentence or f"Draft of {d.version}: start it to send it traffic.",
        "phase": d.phase,
        "traffic_percentage": d.traffic_bp / 100,
        "canary_target_filter": to_json(d.target_filter) if d.target_filter else None,
        "filter_only": d.filter_only,
        "paused": d.paused,
        "waiting": d.waiting.value,
        "changelog": d.changelog,
        "canary_config": to_json(d.config),
        "compensation_strategy": d.compensation_strategy.value,
        "strategy": strategy_view(d),
        **standing_view(d),
        "analysis": {
            "preset": d.policy.name,
            "checks": [to_json(c) for c in d.policy.checks],
            "judge": to_json(d.policy.judge),
        },
        "step": {
            "number": d.step_index + 1 if steps and d.status not in _NOT_BEGUN else 0,
            "of": len(steps),
            "observed_seconds": round(d.observed_seconds, 3),
            "hold_seconds": d.step.hold_seconds if d.step else None,
        },
        "circuit_breaker_state": d.breaker.state.upper(),
        "hooks": [to_json(ask) for ask in d.asks],
        "checks": [verdict_view(v) for v in d.verdicts],
        "judge": judge_view(d),
        "stickiness": flips_view(d),
        "watch": watch_view(d),
        **candidates_view(d),
        "allowed": [a.value for a in _allowed(d)],
        "revision": d.revision,
        "created_at": stamp(d.created_at),
        "created_by": d.created_by,
        "started_at": stamp(d.started_at),
        "ended_at": stamp(d.ended_at),
        "end_reason": d.end_reason,
    }


def _allowed(d: Deployment) -> tuple[Action, ...]:
    """Return what may be asked of it now: what its status allows, or a decision that it waits for."""
    return (Action.ROLLBACK, Action.APPROVE) if d.blocked else allowed(d.status)


def verdict_view(v: Verdict) -> dict[str, Any]:
    """Return a verdict as the API shows it."""
    return to_json(v)  # type: ignore[no-any-return]


def event_view(e: Event | SetEvent) -> dict[str, Any]:
    """Return one line of a timeline, of a deployment or of a release set, as the API shows it."""
    return {
        "event_id": e.id,
        "at": stamp(e.at),
        "kind": e.kind,
        "message": e.message,
        "actor": e.actor,
        "data": dict(e.data),
    }


def notification_view(item: OutboxItem) -> dict[str, Any]:
    """Return a notification's delivery as the API shows it."""
    return {
        "id": item.id,
        "channel": item.channel,
        "kind": item.payload.get("kind", item.kind),
        "level": item.payload.get("level", "info"),
        "title": item.payload.get("title", item.kind),
        "state": item.state.value,
        "attempts": item.attempts,
        "error": item.error,
        "created_at": stamp(item.created_at),
        "next_attempt_at": stamp(item.next_attempt_at),
        "done_at": stamp(item.done_at),
    }


def message_view(item: OutboxItem) -> dict[str, Any]:
    """Return a notification with what it says."""
    return {
        **notification_view(item),
        "deployment_id": item.deployment_id,
        "text": item.payload.get("text", ""),
        "fields": [{"name": name, "value": value} for name, value in item.payload.get("fields") or ()],
        "link": item.payload.get("link", ""),
        "summary_id": item.payload.get("summary", ""),
    }


def totals(windows: Iterable[Window], side: Side, endpoint: str = "") -> Arm:
    """Add up one side's windows, of one endpoint or of all."""
    arm = Arm()
    for window in windows:
        if window.side is side and endpoint in ("", window.endpoint):
            arm.add(window)
    return arm


def arm_metrics(arm: Arm) -> dict[str, Any] | None:
    """Return contract 1's numbers for one version; ``None`` without requests."""
    if not arm.requests:
        return None

    def ms(value: float | None) -> float | None:
        return None if value is None else round(value, 2)

    return {
        "total_requests": arm.requests,
        "success_count": arm.requests - arm.errors,
        "error_count": arm.errors,
        "success_rate": 1 - arm.errors / arm.requests,
        "error_rate": arm.errors / arm.requests,
        "avg_latency_ms": ms(arm.latency.mean),
        "p95_latency_ms": ms(arm.latency.quantile(0.95)),
        "p99_latency_ms": ms(arm.latency.quantile(0.99)),
    }


def comparison_view(d: Deployment, stable: Arm, canary: Arm, gate: tuple[Verdict, ...]) -> dict[str, Any]:
    """Return contract 1's comparison: differences are canary − stable.

    Where there is a judge, the recommendation and the significance are its own.
    """
    judge = judge_view(d)
    if not stable.requests or not canary.requests:
        who = "either version" if not stable.requests and not canary.requests else "one version"
        return {
            "deployment_id": d.id,
            "comparison": _wait(f"nothing measured yet for {who}; raise the percentage or wait"),
            "analysis": {
                "v1_is_more_reliable": None,
                "v2_is_faster": None,
                "significant_difference": False,
            },
            "judge": judge,
            "stickiness": flips_view(d),
        }
    one, two = stable.errors / stable.requests, canary.errors / canary.requests
    latency = (canary.latency.mean or 0.0) - (stable.latency.mean or 0.0)
    enough = canary.requests >= SIGNIFICANT_REQUESTS
    return {
        "deployment_id": d.id,
        "comparison": {
            "success_rate_diff": one - two,
            "error_rate_diff": two - one,
            "latency_diff_ms": round(latency, 2) + 0.0,  # never -0.0
            "is_better": two <= one and latency <= 0,
            **_recommend(d, gate, judge, enough=enough),
        },
        "analysis": {
            "v1_is_more_reliable": one < two,
            "v2_is_faster": latency < 0,
            "significant_difference": surely_differs(d.answer) if judge else _significant(stable, canary),
        },
        "judge": judge,
        "stickiness": flips_view(d),
    }


def _recommend(
    d: Deployment, gate: tuple[Verdict, ...], judge: Mapping[str, Any] | None, *, enough: bool
) -> Mapping[str, Any]:
    """Say what to do now: harm goes back, what is not known yet waits, and the gate is asked last."""
    failed = [v for v in d.verdicts if v.outcome is Outcome.FAIL]
    if failed:
        return {"recommendation": "rollback", "reason": "; ".join(v.message for v in failed)}
    if judge is not None and d.status is Status.ACTIVE:
        return {"recommendation": "wait", "reason": d.sentence}
    if judge is not None and judge["finding"] != Finding.SAFE:
        return _judged(judge)
    unmet = [v for v in gate if v.outcome is not Outcome.PASS]
    if unmet:
        return {"recommendation": "wait", "reason": "; ".join(v.message for v in unmet)}
    if not enough:
        return {
            "recommendation": "wait",
            "reason": f"fewer than {SIGNIFICANT_REQUESTS} canary requests so far",
        }
    found = f"{judge['sentence']} " if judge else ""
    return {
        "recommendation": "promote",
        "reason": f"{found}{'E' if found else 'e'}very condition of the promotion gate is met",
    }


def _judged(judge: Mapping[str, Any]) -> Mapping[str, Any]:
    """Recommend from a judge that has not said safe."""
    if judge["finding"] == Finding.HARM:
        return {"recommendation": "rollback", "reason": judge["sentence"]}
    return {
        "recommendation": "wait",
        "reason": f"no harm seen so far; {judge['sentence']}",
        "requests_needed": judge["requests_needed"],
        "seconds_needed": judge["seconds_needed"],
    }


def _wait(why: str) -> dict[str, Any]:
    return {
        "success_rate_diff": None,
        "error_rate_diff": None,
        "latency_diff_ms": None,
        "is_better": None,
        "recommendation": "wait",
        "reason": why,
    }


def _significant(stable: Arm, canary: Arm) -> bool:
    """Two-proportion z-test with pooled variance; false until both sides have enough requests."""
    n1, n2 = stable.requests, canary.requests
    if min(n1, n2) < SIGNIFICANT_REQUESTS:
        return False
    pooled = (stable.errors + canary.errors) / (n1 + n2)
    spread = pooled * (1 - pooled) * (1 / n1 + 1 / n2)
    if spread == 0:
        return False
    difference = abs(canary.errors / n2 - stable.errors / n1)
    return bool(difference / spread**0.5 > SIGNIFICANT_Z)
