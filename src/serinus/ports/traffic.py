"""The traffic port: what carries a split out.

The desired split is stored first; a driver is told it again and again until it reads back that
every instance carries it. ``apply`` is therefore idempotent and cheap when nothing changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from serinus.core.model import Upstream

__all__ = [
    "Capability",
    "Carried",
    "Counters",
    "DesiredSplit",
    "Finding",
    "InstanceState",
    "TrafficDriver",
    "TrafficError",
]


class Capability(StrEnum):
    """What a driver can do; a strategy that needs more is refused before anything moves."""

    PERSISTENT = "persistent"  #: keeps units on the canary when the percentage shrinks
    TARGET_FILTER = "target-filter"  #: pins named users and workflows
    STATISTICS = "statistics"  #: counts per version without Prometheus
    FAILOVER = "failover"  #: retries a failed canary answer on stable


class TrafficError(Exception):
    """The data plane did not do what it was told; the message says which instance and what to do."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DesiredSplit:
    """What the data plane should carry for one service."""

    service_id: str
    service: str
    stable: Upstream
    #: The version under test, or ``None`` when everyone is on stable.
    canary: Upstream | None = None
    #: Share of units that the hash sends to the canary, in basis points.
    canary_bp: int = 0
    #: Prefix of the hashed key: ``xxh64("salt:key") % 10_000 < canary_bp``.
    salt: str = ""
    #: Users and workflows that are on the canary whatever the share.
    user_ids: tuple[str, ...] = ()
    workflow_ids: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class InstanceState:
    """What one proxy really carries."""

    name: str
    #: It carries the desired split.
    ok: bool
    carried_bp: int | None = None
    #: In words, when it does not: what is wrong and what to do.
    problem: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Carried:
    """What all instances of a service's data plane carry, as read back."""

    instances: tuple[InstanceState, ...] = ()

    @property
    def acknowledged(self) -> bool:
        """Tell whether every instance carries the desired split."""
        return all(i.ok for i in self.instances)

    @property
    def problems(self) -> tuple[str, ...]:
        """What is wrong, instance by instance."""
        return tuple(f"{i.name}: {i.problem}" for i in self.instances if not i.ok)

    @property
    def carried_bp(self) -> int | None:
        """The share that the instances carry, if they agree."""
        shares = {i.carried_bp for i in self.instances}
        return shares.pop() if len(shares) == 1 else None


@dataclass(frozen=True, kw_only=True, slots=True)
class Counters:
    """One version's counters at one instance, cumulative since the instance started.

    A failed canary answer counts here as an error even when a retry on stable saved the client.
    """

    instance: str
    version: str
    requests: int
    errors: int
    latency_total_ms: float = 0.0
    #: Upper edge in ms → requests at or below it, cumulative; may be empty.
    buckets: Mapping[float, int] = field(default_factory=dict)
    #: The instance's own breaker has taken this version out (5 failures in a row).
    ejected: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """One line of ``serinus doctor``."""

    name: str
    ok: bool
    detail: str
    #: What to do, when it is not ok.
    remedy: str = ""


class TrafficDriver(Protocol):
    """Carries splits for services whose ``driver`` names it. One object per service configuration."""

    capabilities: frozenset[Capability]

    async def apply(self, desired: DesiredSplit) -> Carried:
        """Make every instance carry ``desired``, and read back what they carry.

        An instance that does not follow is reported in the answer, not raised: the deployment
        holds and the next tick tries again.

        Raises:
            TrafficError: The configuration itself is unusable (a bad address, an unwritable folder).
        """
        ...

    async def read(self, desired: DesiredSplit) -> Carried:
        """Read back what every instance carries, compared with ``desired``; change nothing."""
        ...

    async def statistics(self, desired: DesiredSplit) -> tuple[Counters, ...]:
        """Return cumulative counters per instance and version; unreachable instances are left out."""
        ...

    async def check(self) -> tuple[Finding, ...]:
        """Look the data plane over for ``serinus doctor``."""
        ...

    async def close(self) -> None:
        """Release connections."""
        ...
