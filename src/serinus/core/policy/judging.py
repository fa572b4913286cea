"""The sequential judge's part of a policy file."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any, Protocol

from serinus.core.analysis.checks import Policy
from serinus.core.analysis.sequential.plan import ErrorHarm, LatencyHarm, MetricHarm, Plan
from serinus.core.codec import at
from serinus.core.model import Step
from serinus.core.policy.forms import OFF
from serinus.core.policy.inputs import PolicyInput

__all__ = ["PLAN_KEYS", "judge_from"]

#: Keys of a file that are the plan's own. ``candidates`` is for whoever starts several at once.
PLAN_KEYS = tuple(f.name for f in fields(Plan) if f.name != "candidates")


class _Reading(Protocol):
    """What is needed of :class:`.file._Reading`."""

    given: PolicyInput
    problems: dict[str, str]

    def place(self, *names: str) -> str: ...
    def sound(self, place: str) -> bool: ...
    def part(self, key: str) -> Any: ...
    def items(self, key: str) -> list[tuple[str, Any]]: ...


def judge_from(reading: _Reading, base: Policy, steps: tuple[Step, ...]) -> Plan | None:
    """Return the plan that is meant, or ``None`` without a judge."""
    given = reading.given
    wanted = [key for key in PLAN_KEYS if getattr(given, key) is not None]
    on = given.judge if given.judge is not None else base.judge is not None and not given.only
    if not on:
        for key in wanted:
            reading.problems[reading.place(key)] = (
                "has no effect: this policy has no sequential judge; add `judge: true`"
            )
        return None
    plan = base.judge or Plan()
    walk = sum(step.hold_seconds for step in steps if step.traffic_bp < 10_000)
    changes: dict[str, Any] = {"horizon": walk} if walk else {}
    for key in wanted:
        if key not in ("errors", "latency", "metrics") and reading.part(key) is not None:
            changes[key] = reading.part(key)
    changes["errors"] = _harm(reading, "errors", plan.errors, ErrorHarm(), "ratio")
    changes["latency"] = _harm(reading, "latency", plan.latency, LatencyHarm(), "slower")
    if given.metrics is not None:
        changes["metrics"] = tuple(_metric(m) for _, m in reading.items("metrics"))
    return replace(plan, **changes)


def _harm(reading: _Reading, key: str, base: Any, default: Any, tolerated: str) -> Any:
    """Return what is harm: the base's with the given keys on top, or ``None`` for off."""
    given = reading.part(key)
    if given is None:
        return base
    if given is OFF:
        return None
    values = {f.name: getattr(given, f.name) for f in fields(given) if getattr(given, f.name) is not None}
    harm = replace(base or default, **values)
    if harm.find <= getattr(harm, tolerated):
        reading.problems[at(reading.place(key), "find")] = f"must be above what is tolerated (`{tolerated}`)"
    return harm


def _metric(given: Any) -> MetricHarm:
    keys = {f.name: getattr(given, f.name) for f in fields(MetricHarm)}
    return MetricHarm(**{key: value for key, value in keys.items() if value is not None})
