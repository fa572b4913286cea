"""The policy file: YAML that says what a new version is held to, and what follows.

Plain data in, a frozen value out, with everything that is wrong told at once and by its place. The
API's ``analysis`` is read by the same function: a file's content can be sent as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from itertools import pairwise
from typing import Any

from serinus.core.analysis.checks import Check, Policy
from serinus.core.analysis.queries import MetricQuery, Source, SourceType
from serinus.core.codec import at, read, refuse
from serinus.core.model import Step
from serinus.core.notices import Notifications
from serinus.core.policy.inputs import CheckInput, PolicyInput
from serinus.core.policy.judging import judge_from
from serinus.core.policy.limits import check_from, has_stable, query_from
from serinus.core.policy.presets import DEFAULT, PRESETS
from serinus.core.policy.promql import CONTRACT, asked_of, is_selector
from serinus.core.policy.slos import Alert, Slo
from serinus.core.policy.sources import check_requests, source_from

__all__ = ["PolicyFile", "policy_file_from", "read_policy"]


@dataclass(frozen=True, kw_only=True, slots=True)
class PolicyFile:
    """A policy file, read."""

    name: str
    #: What it starts from.
    preset: str
    policy: Policy
    #: The walk; none means that whoever starts the rollout says it.
    steps: tuple[Step, ...] = ()
    slos: tuple[Slo, ...] = ()
    alerts: tuple[Alert, ...] = ()

    @property
    def sources(self) -> tuple[Source, ...]:
        """Who is asked for measurements."""
        return self.policy.sources

    @property
    def notifications(self) -> Notifications:
        """What people are told, and where."""
        return self.policy.notifications


def policy_file_from(data: Any, where: str = "") -> PolicyFile:
    """Read a policy file's data. ``where`` is put before the places of problems.

    Raises:
        InvalidInput: Anything is wrong; ``extra["errors"]`` has all of it by place.
    """
    problems: dict[str, str] = {}
    if isinstance(data, Mapping) and "version" not in data:
        problems[at(where, "version")] = "missing: write `version: 1`"
    file = read_policy(data, DEFAULT, where, problems)
    refuse(problems)
    assert file is not None
    return file


def read_policy(
    data: Any,
    default: Policy,
    where: str,
    problems: dict[str, str],
    bases: Mapping[str, Policy] = PRESETS,
) -> PolicyFile | None:
    """Read a policy on top of one of ``bases``; what is wrong is added to ``problems``.

    What it returns is of use only when nothing was wrong.
    """
    given: PolicyInput | None = read(PolicyInput, data, where, problems)
    if given is None:
        return None
    reading = _Reading(given=given, where=where, problems=problems)
    preset = reading.part("preset") or default.name
    base = bases[preset].scaled(reading.speed())
    if reading.part("promql"):
        base = reading.asking(base, preset)
    steps = reading.steps()
    policy = reading.policy(base, steps)
    return PolicyFile(
        name=policy.name,
        preset=preset,
        policy=policy,
        steps=steps,
        slos=reading.slos(policy),
        alerts=reading.alerts(policy),
    )


class _Reading:
    """One reading: looks closer at the parts whose shape is right, and notes what is wrong."""

    def __init__(self, *, given: PolicyInput, where: str, problems: dict[str, str]) -> None:
        self.given, self.where, self.problems = given, where, problems
        self.sources = self._sources()

    def place(self, *names: str) -> str:
        where = self.where
        for name in names:
            where = at(where, name)
        return where

    def sound(self, place: str) -> bool:
        """Tell whether nothing is wrong at a place or inside it."""
        inside = (place + ".", place + "[")
        return not any(p == place or p.startswith(inside) for p in self.problems)

    def part(self, key: str) -> Any:
        """Return a part of the input, or ``None`` when its shape is wrong."""
        return getattr(self.given, key) if self.sound(self.place(key)) else None

    def items(self, key: str) -> list[tuple[str, Any]]:
        """Return the parts of a list whose shape is right, with their places."""
        places = ((f"{self.place(key)}[{n}]", item) for n, item in enumerate(getattr(self.given, key) or ()))
        return [(place, item) for place, item in places if item is not None and self.sound(place)]

    def speed(self) -> float:
        speed: float | None = self.part("speed")
        # Beyond these bounds times become zero or endless.
        if speed is not None and not 1e-3 <= speed <= 1e6:
            self.problems[self.place("speed")] = "must be above 0, from 0.001 to 1,000,000; 1 is real time"
            return 1.0
        return speed or 1.0

    def steps(self) -> tuple[Step, ...]:
        given = self.items("steps")
        if self.given.steps == ():
            self.problems[self.place("steps")] = "expected at least one step"
        for (_, one), (place, two) in pairwise(given):
            if two.traffic <= one.traffic:
                self.problems[at(place, "traffic")] = (
                    "must be above the step before: order them like 1 %, 5 %, 25 %, 100 %"
                )
        for place, step in given:
            if step.traffic == 0:
                self.problems[at(place, "traffic")] = "a step without traffic shows nothing"
        return tuple(
            Step(traffic_bp=round(s.traffic * 10_000), hold_seconds=s.hold, gate=s.gate) for _, s in given
        )

    def _sources(self) -> dict[str, Source]:
        made: dict[str, Source] = {}
        for name, given in (self.given.sources or {}).items() if isinstance(self.given.sources, dict) else ():
            place = self.place("sources", name)
            if self.sound(place) and given is not None:
                made[name] = source_from(name, given, place, self.problems)
            elif given is not None:
                # Named, though wrongly described: those who ask it are not to blame.
                made[name] = Source(name=name, type=SourceType.PROMETHEUS)
        return made

    def asking(self, base: Policy, preset: str) -> Policy:
        """Return the preset with the contract's PromQL."""
        place = self.place("promql")
        source = self.sources.get(self.given.promql)
        if source is None or source.type is not SourceType.PROMETHEUS:
            self.problems[place] = "expected one of `sources` that is a Prometheus"
            return base
        if preset not in CONTRACT:
            self.problems[place] = f"the preset {preset} has no PromQL; {', '.join(CONTRACT)} has"
        return asked_of(base, preset, source.name)

    def policy(self, base: Policy, steps: tuple[Step, ...]) -> Policy:
        given = self.given
        own, kept = self._checks("checks"), () if given.only else base.checks
        taken = {check.name for check in own}
        asked = self._metrics()
        changes: dict[str, Any] = {
            "checks": tuple(c for c in kept if c.name not in taken) + own,
            "judge": judge_from(self, base, steps),
            "sources": tuple(self.sources.values()),
            "metrics": asked,
            "requests": self._requests(),
            "notifications": given.notifications or base.notifications,
        }
        changed = bool(given.checks or given.only)
        changes["name"] = given.name or (f"{base.name}, changed" if changed else base.name)
        if given.gate is not None:
            changes["gate"] = self._checks("gate")
        for key, name in _PLAIN.items():
            if self.part(key) is not None:
                changes[name] = self.part(key)
        policy = replace(base, **changes)
        self._same_names(policy)
        return policy

    def _checks(self, key: str) -> tuple[Check, ...]:
        given: list[tuple[str, CheckInput]] = self.items(key)
        self._unique(given)
        return tuple(check_from(check, self.sources, place, self.problems) for place, check in given)

    def _metrics(self) -> tuple[MetricQuery, ...]:
        given = self.items("metrics")
        self._unique(given)
        asked = [(m.name, query_from(m, self.sources, place, self.problems)) for place, m in given]
        for (place, _), (_, query) in zip(given, asked, strict=True):
            if query and not has_stable(query, self.sources):
                self.problems[at(place, "stable")] = "missing: what is compared with"
        return tuple(MetricQuery(name=name, query=query) for name, query in asked if query)

    def _requests(self) -> Any:
        requests = self.part("requests")
        if requests is None:
            return None
        return check_requests(requests, self.sources, self.place("requests"), self.problems)

    def _same_names(self, policy: Policy) -> None:
        """Samples go by name: two queries of one name would be mixed."""
        known: dict[str, Any] = {}
        for one in policy.queries():
            if known.setdefault(one.name, one.query) != one.query:
                self.problems[self.place("checks")] = (
                    f"two different queries are named {one.name!r}; checks, gate and metrics share names"
                )

    def slos(self, policy: Policy) -> tuple[Slo, ...]:
        given = self.items("slos")
        self._unique(given)
        for place, slo in given:
            self._check_slo(place, slo, policy)
        return tuple(slo for _, slo in given)

    def _check_slo(self, place: str, slo: Slo, policy: Policy) -> None:
        for key in ("total", "bad"):
            if getattr(slo, key) and not is_selector(getattr(slo, key)):
                self.problems[at(place, key)] = "expected one metric with its labels, without a range"
        if slo.under and slo.bad:
            self.problems[at(place, "bad")] = "give either `under` or `bad`"
        requests, wants = policy.requests, "latency" if slo.under else "errors"
        has = {key: requests and getattr(requests, key) for key in ("total", wants)}
        if not (slo.total or has["total"]) or not (slo.bad or has[wants]):
            here = "" if slo.under else ", or `total` and `bad` here"
            need = f"`requests` with `total` and `{wants}`{here}"
            self.problems.setdefault(place, f"nothing to measure it by: give {need}")

    def alerts(self, policy: Policy) -> tuple[Alert, ...]:
        given = self.items("alerts")
        self._unique(given)
        names = {check.name for check in policy.checks}
        for place, alert in given:
            if bool(alert.check) == bool(alert.expr):
                self.problems[place] = "give either `check` or `expr`"
            elif alert.check and alert.check not in names:
                self.problems[at(place, "check")] = (
                    f"there is no check {alert.check[:60]!r}; there are: {', '.join(sorted(names)) or 'none'}"
                )
        return tuple(alert for _, alert in given)

    def _unique(self, items: list[tuple[str, Any]]) -> None:
        seen: set[str] = set()
        for place, item in items:
            if item.name in seen:
                self.problems[at(place, "name")] = f"there is another {item.name[:60]!r} above"
            seen.add(item.name)


#: Keys that set a policy's field as they are.
_PLAIN = {
    "breaker": "breaker",
    "on_no_data": "on_no_data",
    "no_data_deadline": "no_data_deadline_seconds",
    "gate_majority": "gate_majority_seconds",
}
assert set(_PLAIN.values()) <= {f.name for f in fields(Policy)}
