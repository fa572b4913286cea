"""A whole policy written out, with where each part comes from. It reads back as the same policy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from serinus.core.analysis.queries import RequestsFrom
from serinus.core.analysis.sequential.plan import MetricHarm, Plan
from serinus.core.codec import also, hints, to_json
from serinus.core.notices import Notifications
from serinus.core.policy.file import PolicyFile
from serinus.core.policy.forms import WrittenForm
from serinus.core.policy.inputs import ErrorsInput, LatencyInput, MetricInput, PolicyInput, StepInput
from serinus.core.policy.judging import PLAN_KEYS
from serinus.core.policy.limits import written_check, written_query
from serinus.core.policy.promql import CONTRACT
from serinus.core.policy.schema import form_of
from serinus.core.policy.sources import written_source

__all__ = ["Effective", "effective"]

FILE, DEFAULT, STEPS = "this file", "default", "the steps"
_CHECKS = ("checks", "gate")
#: Parts that no preset says anything about.
_NO_PRESETS = {"steps", "sources", "metrics", "requests", "slos", "alerts", "notifications"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Effective:
    """A policy as a file would say it."""

    data: dict[str, Any]
    #: Where a part comes from, by its place: ``budget``, ``errors.ratio``, ``checks[0]``.
    origins: dict[str, str]
    #: What is worth knowing about a part, by its place.
    notes: dict[str, tuple[str, ...]]


def effective(file: PolicyFile, given: Mapping[str, Any]) -> Effective:
    """Write a policy out. ``given`` is the data that it was read from."""
    policy = file.policy
    data: dict[str, Any] = {
        "version": 1,
        "name": file.name,
        "preset": file.preset,
        # Every check is written out below, so nothing more is taken from the preset.
        "only": True,
        "judge": policy.judge is not None,
    }
    if policy.judge:
        data |= _plan(policy.judge, file)
    data |= {
        "breaker": policy.breaker,
        "on_no_data": policy.on_no_data.value,
        "no_data_deadline": _shown(PolicyInput, "no_data_deadline", policy.no_data_deadline_seconds),
        "steps": [_step(step) for step in file.steps],
        "sources": {source.name: written_source(source) for source in policy.sources},
        "checks": [written_check(check) for check in policy.checks],
        "gate": [written_check(check) for check in policy.gate],
    }
    if policy.gate_majority_seconds is not None:
        data["gate_majority"] = _shown(PolicyInput, "gate_majority", policy.gate_majority_seconds)
    if policy.requests:
        data["requests"] = _plain(policy.requests, RequestsFrom)
    data |= {key: [_plain(one, type(one)) for one in getattr(file, key)] for key in ("slos", "alerts")}
    data["notifications"] = _plain(policy.notifications, Notifications)
    data = {key: value for key, value in data.items() if value != [] or key in _CHECKS}
    data = {key: value for key, value in data.items() if value != {}}
    return Effective(data=data, origins=_origins(file, given, data), notes=_notes(file))


def _plan(plan: Plan, file: PolicyFile) -> dict[str, Any]:
    written: dict[str, Any] = {}
    for key in PLAN_KEYS:
        value = getattr(plan, key)
        if key in ("errors", "latency"):
            kind = ErrorsInput if key == "errors" else LatencyInput
            written[key] = "off" if value is None else _plain(value, kind)
        elif key == "metrics":
            asked = {one.name: one.query for one in file.policy.metrics}
            rows = [{**_plain(m, MetricInput, MetricHarm), **written_query(asked.get(m.name))} for m in value]
            written |= {"metrics": rows} if rows else {}
        else:
            written[key] = _shown(PolicyInput, key, value)
    return written


def _step(step: Any) -> dict[str, Any]:
    shown = {"traffic": step.traffic_bp / 10_000, "hold": step.hold_seconds}
    written = {key: _shown(StepInput, key, value) for key, value in shown.items()}
    return {**written, "gate": True} if step.gate else written


def _plain(value: Any, kind: type, only: type | None = None) -> dict[str, Any]:
    """Write a dataclass's fields in the forms of ``kind``, without those that say nothing."""
    written: dict[str, Any] = {}
    for field in fields(only or kind):
        item = getattr(value, field.name)
        name = also(field) if field.name.endswith("_") else field.name
        if item not in ("", None, ()):
            written[name] = _shown(kind, field.name, item)
    return written


def _shown(kind: type, key: str, value: Any) -> Any:
    form: WrittenForm | None = form_of(hints(kind)[key])
    return form.show(value) if form else to_json(value)


def _origins(file: PolicyFile, given: Mapping[str, Any], data: dict[str, Any]) -> dict[str, str]:
    preset = f"preset {file.preset}"
    known = {f.name: f for f in fields(PolicyInput)}
    origins: dict[str, str] = {}
    for key, value in data.items():
        own = key in given or also(known[key]) in given
        fallback = DEFAULT if key in _NO_PRESETS else preset
        origins[key] = FILE if own else fallback
        if key in _CHECKS:
            names = {c.get("name") for c in given.get(key) or () if isinstance(c, Mapping)}
            for n, check in enumerate(value):
                origins[f"{key}[{n}]"] = FILE if check["name"] in names else preset
        if key in ("errors", "latency") and isinstance(value, dict):
            inside = given.get(key) if isinstance(given.get(key), Mapping) else {}
            origins |= {f"{key}.{name}": FILE if name in (inside or {}) else preset for name in value}
    if "horizon" not in given and file.steps and "horizon" in origins:
        origins["horizon"] = STEPS
    for key in ("version", "name", "preset", "only", "judge", *_CHECKS):
        origins.pop(key, None)
    return origins


def _notes(file: PolicyFile) -> dict[str, tuple[str, ...]]:
    known = CONTRACT.get(file.preset, {})
    notes: dict[str, tuple[str, ...]] = {}
    for n, check in enumerate(file.policy.checks):
        if check.name in known and check.query is None:
            asked = known[check.name]
            sides = {"canary": asked.canary, "stable": asked.stable}
            notes[f"checks[{n}]"] = tuple(f"PromQL, {side}: {text}" for side, text in sides.items() if text)
    return notes
