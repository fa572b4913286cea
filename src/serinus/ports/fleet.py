"""Fleets: what agents beside proxies on other hosts are told, and what they answer.

The control plane keeps one order per service and the last report of each instance. Whether an instance
follows is told by :func:`condition` from these two and the time, nothing else.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from functools import cached_property
from math import inf
from typing import Any, Protocol

from serinus.core.codec import from_json, to_json
from serinus.core.errors import InvalidInput
from serinus.core.model import percent
from serinus.ports.polling import POLLS
from serinus.ports.traffic import Counters, DesiredSplit, InstanceState

__all__ = [
    "AGENTS",
    "Counted",
    "FleetBook",
    "FleetConfig",
    "Instance",
    "OnLost",
    "Order",
    "Report",
    "Terms",
    "condition",
    "conditions",
    "everyone_on_stable",
]

#: The traffic driver's name in the catalogue.
AGENTS = "agents"
#: An instance has to have this many reports within its deadline, or a lost one would make it silent.
REPORTS_PER_DEADLINE = 2


class OnLost(StrEnum):
    """What an agent does that has not reached the control plane for its lease."""

    HOLD = "hold"  #: keeps the last split
    STABLE = "stable"  #: sends everyone to stable until it has asked again


@dataclass(frozen=True, kw_only=True, slots=True)
class Terms:
    """How an agent and the control plane keep in touch."""

    #: Seconds without a report, or without following, after which an instance is a problem.
    deadline_seconds: float = 10.0
    #: Seconds between two reports while nothing changes.
    report_seconds: float = 2.0
    #: Seconds without the control plane after which ``on_lost`` applies.
    lease_seconds: float = 60.0
    on_lost: OnLost = OnLost.HOLD


@dataclass(frozen=True, kw_only=True, slots=True)
class FleetConfig:
    """The ``driver_config`` of a service whose driver is ``agents``."""

    #: Drivers that carry the split beside the agents; what all of them can, the service can.
    drivers: tuple[str, ...]
    #: Names of instances that have to be there; one that never reported is a problem. Others may join.
    expect: tuple[str, ...] = ()
    deadline_seconds: float = 10.0
    report_seconds: float = 2.0
    lease_seconds: float = 60.0
    on_lost: OnLost = OnLost.HOLD
    #: Those of ``drivers`` whose proxies may poll instead of having an agent → their settings.
    polled: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def terms(self) -> Terms:
        """The part that agents have to know."""
        return Terms(
            deadline_seconds=self.deadline_seconds,
            report_seconds=self.report_seconds,
            lease_seconds=self.lease_seconds,
            on_lost=self.on_lost,
        )

    @classmethod
    def read(cls, data: Mapping[str, Any], known: Sequence[str]) -> FleetConfig:
        """Read and check a ``driver_config``; ``known`` are the drivers that can stand beside an agent.

        Raises:
            InvalidInput: A driver that is not known, a time that cannot be kept, or a name that is none.
        """
        config = from_json(cls, dict(data), "driver_config")
        strange = [name for name in config.drivers if name not in known]
        if strange or not config.drivers:
            what = f"names {strange[0]!r}, which carries no split" if strange else "names no driver"
            raise _wrong("drivers", what, f"Use some of: {', '.join(known)}.")
        stray = [name for name in config.polled if name not in config.drivers]
        if stray:
            raise _wrong("polled", f"has {stray[0]!r}, which is none of `drivers`", "Name it in both.")
        for name in ("deadline_seconds", "report_seconds", "lease_seconds"):
            if getattr(config, name) <= 0:
                raise _wrong(name, "must be above 0", "Leave it out for the default.")
        if config.report_seconds * REPORTS_PER_DEADLINE > config.deadline_seconds:
            raise _wrong(
                "report_seconds",
                f"is {config.report_seconds:g}, too long for a deadline of {config.deadline_seconds:g} s",
                f"Give at most {config.deadline_seconds / REPORTS_PER_DEADLINE:g}.",
            )
        if any(not name or len(name) > 100 or "|" in name or "/" in name for name in config.expect):
            raise _wrong("expect", "has a name that is none", "Use 1 to 100 characters without | and /.")
        return config


def _wrong(name: str, what: str, next_step: str) -> InvalidInput:
    where = f"driver_config.{name}"
    return InvalidInput(f"{where} {what}.", field=where, next_step=next_step)


@dataclass(frozen=True, kw_only=True)
class Order:
    """What every instance of a service should carry, and on which terms."""

    split: DesiredSplit
    terms: Terms = Terms()

    @cached_property
    def revision(self) -> str:
        """A digest of the content: equal on every replica, and what an agent acknowledges."""
        content = json.dumps(self.to_json(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(content.encode()).hexdigest()[:16]

    def to_json(self) -> dict[str, Any]:
        """Return it as sent and stored."""
        return {"split": to_json(self.split), "terms": to_json(self.terms)}

    @classmethod
    def from_json(cls, data: Any) -> Order:
        """Read one back.

        Raises:
            InvalidInput: It has parts that are not known here: whoever wrote it is newer.
        """
        return from_json(cls, data, "order")


@dataclass(frozen=True, kw_only=True, slots=True)
class Counted:
    """One version's counters at one proxy, as an agent reports them: cumulative since the proxy started."""

    version: str
    requests: int
    errors: int
    latency_total_ms: float = 0.0
    #: Upper edge in ms, as text (``inf`` for the last) → requests at or below it, cumulative.
    buckets: dict[str, int] = field(default_factory=dict)
    ejected: bool = False
    #: Which proxy, where one agent has several.
    proxy: str = ""

    @classmethod
    def of(cls, counters: Counters, proxy: str = "") -> Counted:
        """Return a driver's counters as they are reported."""
        return cls(
            version=counters.version,
            requests=counters.requests,
            errors=counters.errors,
            latency_total_ms=counters.latency_total_ms,
            buckets={"inf" if edge == inf else repr(edge): n for edge, n in counters.buckets.items()},
            ejected=counters.ejected,
            proxy=proxy,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """What an agent says of its proxy."""

    #: One start of one agent; a second agent of the same name is refused by it.
    run: str
    #: Counts this run's reports, from 1.
    seq: int
    #: The order that the rest is about; empty when it knows none.
    revision: str = ""
    #: It carries that order, read back.
    ok: bool = False
    carried_bp: int | None = None
    problem: str = ""
    driver: str = ""
    #: The agent's own version.
    release: str = ""
    #: What somebody else had changed and the agent has put right since its last report.
    correction: str = ""
    counters: tuple[Counted, ...] = ()
    #: Of a proxy that polls: what is remembered until its next question (``ports.polling``).
    memory: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Instance:
    """One agent with its proxy, or one proxy that polls, as last heard of."""

    name: str
    report: Report
    #: Of a proxy that polls: since its present start.
    first_seen_at: datetime
    seen_at: datetime
    #: Since when it says what it says: revision, state and problem.
    changed_at: datetime


class FleetBook(Protocol):
    """What the traffic driver needs of the control plane."""

    async def order(self, order: Order) -> bool:
        """Store what a service's instances should carry and push it; ``False`` when it was so already."""
        ...

    async def ordered_at(self, service_id: str) -> datetime | None:
        """Return since when the present order is the present one; ``None`` before the first."""
        ...

    async def instances(self, service_id: str) -> Sequence[Instance]:
        """Return every instance, by name."""
        ...

    def heard(self, service_id: str) -> int:
        """Return how often an instance said something new here."""
        ...

    async def news(self, service_id: str, heard: int, timeout: float) -> int:
        """Return that count as soon as it is above ``heard``, after ``timeout`` seconds at the latest."""
        ...

    def now(self) -> datetime:
        """Return the time by which reports are stamped."""
        ...


def conditions(
    order: Order, ordered_at: datetime, instances: Sequence[Instance], expect: Sequence[str], now: datetime
) -> tuple[InstanceState, ...]:
    """Tell of every instance whether it carries an order, and of expected ones whether they are there.

    A fleet without any instance carries nothing: that is a problem of its own.
    """
    found = [condition(order, ordered_at, instance, now) for instance in instances]
    names = {instance.name for instance in instances}
    start = f"serinus agent --service {order.split.service} --instance"
    found += [
        InstanceState(name=name, ok=False, problem=f"has never reported; start `{start} {name} …` there")
        for name in expect
        if name not in names
    ]
    if not found:
        found = [
            InstanceState(name="fleet", ok=False, problem=f"no agent has reported; start `{start} NAME …`")
        ]
    return tuple(sorted(found, key=lambda state: state.name))


def everyone_on_stable(split: DesiredSplit) -> DesiredSplit:
    """Return the split without any candidate."""
    return DesiredSplit(service_id=split.service_id, service=split.service, stable=split.stable)


def condition(order: Order, ordered_at: datetime, instance: Instance, now: datetime) -> InstanceState:
    """Tell whether an instance carries an order; if not, since when, and why in words.

    Args:
        order: What it should carry.
        ordered_at: When that was first wanted.
        instance: What is known of it.
        now: The present, by the clock that stamps reports.
    """
    deadline = timedelta(seconds=order.terms.deadline_seconds)
    report = instance.report
    if now - instance.seen_at > deadline:
        return _silent(instance)
    told = InstanceState(name=instance.name, ok=True, carried_bp=report.carried_bp)
    if report.revision == order.revision:
        if report.ok:
            return told
        problem = report.problem or "it carries another split"
        return replace(
            told,
            ok=False,
            problem=f"{problem} (since {_time(instance.changed_at)})"[:600],
            since=instance.changed_at,
        )
    since = max(ordered_at, instance.first_seen_at)
    if now - since <= deadline:
        return replace(
            told,
            ok=False,
            pending=True,
            since=since,
            problem=f"has until {_time(since + deadline)} to follow",
        )
    why = f": {report.problem}" if report.problem else ""
    return replace(
        told, ok=False, since=ordered_at, problem=f"does not follow since {_time(ordered_at)}{why}"[:600]
    )


def _silent(instance: Instance) -> InstanceState:
    bp, polls = instance.report.carried_bp, instance.report.run == POLLS
    last = "" if bp is None else f", when it carried {percent(bp)}"
    there = "the proxy's own log there" if polls else "`serinus agent` there"
    return InstanceState(
        name=instance.name,
        ok=False,
        since=instance.seen_at,
        problem=f"silent since {_time(instance.seen_at)}{last}; look after its host, its network and "
        f"{there} (gone for good: `serinus fleet forget`)",
    )


def _time(moment: datetime) -> str:
    """Return a time of day as problems name it; it does not change from look to look."""
    return f"{moment:%H:%M:%S} {moment.tzname() or 'UTC'}"
