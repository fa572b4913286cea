"""The traffic port: what carries a split out.

The desired split is stored first; a driver is told it again and again until it reads back that
every instance carries it. ``apply`` is therefore idempotent and cheap when nothing changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol, runtime_checkable

from serinus.core.analysis.queries import Query
from serinus.core.model import Upstream

__all__ = [
    "Capability",
    "Carried",
    "Counters",
    "DesiredSplit",
    "Finding",
    "InstanceState",
    "Match",
    "Scraped",
    "Share",
    "TrafficDriver",
    "TrafficError",
]


class Capability(StrEnum):
    """What a driver can do; a strategy that needs more is refused before anything moves."""

    STICKY = "sticky"  #: splits by the SDK's own hash: the same unit on the same side everywhere
    PERSISTENT = "persistent"  #: keeps units on the canary when the percentage shrinks
    TARGET_FILTER = "target-filter"  #: pins named users and workflows
    MATCH = "match"  #: pins requests by a header's or a cookie's value
    VERSIONS = "versions"  #: carries more than two versions at once
    MIRROR = "mirror"  #: sends a copy of requests to a version and drops its answers
    STATISTICS = "statistics"  #: counts per version without Prometheus
    LATENCY = "latency"  #: those counts have latency histograms
    FAILOVER = "failover"  #: retries a failed canary answer on stable
    BREAKER = "breaker"  #: takes a canary that fails in a row out by itself
    NO_RELOAD = "no-reload"  #: changes a split without dropping connections


class TrafficError(Exception):
    """The data plane did not do what it was told; the message says which instance and what to do."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Match:
    """A request is meant when this header, or this cookie, has exactly this value."""

    name: str
    value: str
    cookie: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Share:
    """Another candidate beside the canary (A/B/n): its part of the buckets follows those before it."""

    upstream: Upstream
    bp: int
    #: So many buckets between the part before and this one are left to stable: units stay where they are
    #: while shares grow, and when one between them is dropped.
    gap_bp: int = 0


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
    #: Requests that are on the canary whatever the share: a preview by header or cookie.
    matches: tuple[Match, ...] = ()
    #: Further candidates. A unit whose bucket is below ``canary_bp`` is on the canary, below
    #: ``canary_bp + others[0].bp`` on the first of these, and so on; above the sum, on stable. Gaps
    #: before them are stable's as well: see ``ranges``.
    others: tuple[Share, ...] = ()
    #: A version that gets a copy of requests, whose answers nobody sees; its share of all requests
    #: in basis points.
    mirror: Upstream | None = None
    mirror_bp: int = 0

    @property
    def ranges(self) -> tuple[tuple[Upstream, int], ...]:
        """Return whose the buckets are from 0 on, range by range with its width; the rest is stable's."""
        found = [(self.canary, self.canary_bp)] if self.canary else []
        for share in self.others:
            found += [(self.stable, share.gap_bp)] if share.gap_bp else []
            found.append((share.upstream, share.bp))
        return tuple(found)


@dataclass(frozen=True, kw_only=True, slots=True)
class InstanceState:
    """What one proxy really carries."""

    name: str
    #: It carries the desired split.
    ok: bool
    carried_bp: int | None = None
    #: In words, when it does not: what is wrong and what to do.
    problem: str = ""
    #: It does not yet, and still has time: no problem, but nothing goes on either.
    pending: bool = False
    #: Since when it does not, where that is known.
    since: datetime | None = None


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
        return tuple(f"{i.name}: {i.problem}" for i in self.instances if not i.ok and not i.pending)

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


@runtime_checkable
class Scraped(Protocol):
    """A driver whose proxies Prometheus can scrape: it renders what an operator would have to find out."""

    def scrape_config(self) -> Mapping[str, Any]:
        """Return one entry of Prometheus' ``scrape_configs`` that reads every instance."""
        ...

    def queries(
        self, desired: DesiredSplit, *, source: str = "", window_seconds: float = 300
    ) -> Mapping[str, Query]:
        """Return the PromQL of each check, for stable and, with a canary, for the canary.

        ``requests`` counts what was sent in the window, ``error rate`` is a fraction of it, and, where
        the driver has ``Capability.LATENCY``, ``p95 latency`` is in milliseconds: the names and units
        of a policy's checks. As in ``Counters``, a failed canary answer is an error of the canary even
        when a retry on stable saved the client.

        Args:
            desired: Which versions are stable and canary.
            source: The policy's name of the Prometheus that is asked.
            window_seconds: How far back each query looks.
        """
        ...
