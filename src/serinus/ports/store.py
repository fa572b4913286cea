"""The store port: one transaction at a time, split by who calls what.

Everything is tenant-scoped: a method that takes ``tenant_id`` neither sees nor changes another
tenant's rows. Values go in and out as the core's frozen dataclasses.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol

from serinus.core.analysis.evidence import Sample, Window
from serinus.core.model import Deployment, Role, Service, Status
from serinus.core.rules import RuleVersion
from serinus.ports.assignments import Assignments, Placements
from serinus.ports.compensation import Compensations
from serinus.ports.fleet import Instance, Order
from serinus.ports.people import Member, Members
from serinus.ports.release_sets import Freezes, ReleaseSets, SetTimeline
from serinus.ports.sightings import Sightings
from serinus.ports.traffic import Finding
from serinus.ports.vault import SealedSecrets

__all__ = [
    "Audit",
    "AuditEntry",
    "AuditHead",
    "Deployments",
    "Event",
    "EvidenceLog",
    "Execution",
    "Executions",
    "Fleet",
    "Idempotency",
    "Job",
    "Jobs",
    "Leases",
    "NewestVersion",
    "Outbox",
    "OutboxItem",
    "OutboxState",
    "Page",
    "Rulesets",
    "Services",
    "Sessions",
    "Sources",
    "Store",
    "StoredAnswer",
    "Tenant",
    "Tenants",
    "Timeline",
    "Token",
    "Tokens",
    "Transaction",
]


@dataclass(frozen=True, kw_only=True, slots=True)
class Page:
    """A slice of a longer list: ``number`` counts from 1."""

    number: int = 1
    size: int = 50

    @property
    def offset(self) -> int:
        """How many rows come before this page."""
        return (self.number - 1) * self.size


@dataclass(frozen=True, kw_only=True, slots=True)
class Tenant:
    """Whose rows these are."""

    id: str
    name: str
    created_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Token:
    """An API token. Only the SHA-256 of its secret is kept."""

    id: str
    tenant_id: str
    name: str
    role: Role
    #: Hex SHA-256 of the whole token.
    digest: str
    created_at: datetime
    created_by: str = ""
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    #: Whose it is; a tenant's first token, and those from before there were members, are nobody's.
    member_id: str | None = None
    #: Names of the only services that it is for; none: every one.
    services: tuple[str, ...] = ()
    #: To the minute or so.
    last_used_at: datetime | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """One line of a deployment's timeline. ``id`` is given by the store, ascending."""

    tenant_id: str
    deployment_id: str
    at: datetime
    kind: str
    message: str
    #: Who or what caused it: a token's name, or ``monitor``.
    actor: str
    data: Mapping[str, Any] = field(default_factory=dict)
    id: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class AuditEntry:
    """Who did what. ``outcome`` is ``ok`` or the kind of the error that refused it."""

    tenant_id: str
    at: datetime
    actor: str
    token_id: str
    action: str
    target: str
    outcome: str = "ok"
    request_id: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)
    id: int = 0
    #: Its number within the tenant, from 1 without gaps, and its hash (:mod:`serinus.core.chain`);
    #: the store gives both.
    seq: int = 0
    hash: str = ""

    @property
    def said(self) -> dict[str, Any]:
        """What the hash covers besides the moment and the number."""
        names = ("tenant_id", "actor", "token_id", "action", "target", "outcome", "request_id")
        return {name: getattr(self, name) for name in names} | {"data": dict(self.data)}


@dataclass(frozen=True, kw_only=True, slots=True)
class AuditHead:
    """The last entry of a tenant's audit log, kept beside the log."""

    #: How many entries there are.
    seq: int
    hash: str


class OutboxState(StrEnum):
    """Where a message stands."""

    PENDING = "pending"
    SENT = "sent"
    FAILED = "failed"  #: given up; the error says why
    OFF = "off"  #: the channel is not configured
    REFUSED = "refused"  #: a hook said no
    HELD = "held"  #: held back by the limit; a summary tells it
    GROUPED = "grouped"  #: told together with another message


@dataclass(frozen=True, kw_only=True, slots=True)
class OutboxItem:
    """One effect to be carried out after commit, once. ``id`` is also its idempotency key."""

    id: str
    tenant_id: str
    deployment_id: str
    #: ``notify``, or ``hook`` for a call that a rollout may wait for.
    kind: str
    #: Which notifier or hook.
    channel: str
    payload: Mapping[str, Any]
    created_at: datetime
    state: OutboxState = OutboxState.PENDING
    attempts: int = 0
    next_attempt_at: datetime | None = None
    error: str = ""
    done_at: datetime | None = None
    #: Of a claimed item: the replica that held it before and has not said what became of it.
    lease_owner: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """A background job as one replica runs it."""

    name: str
    replica: str
    state: str
    interval_seconds: float
    last_run_at: datetime | None = None
    next_run_at: datetime | None = None
    error: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredAnswer:
    """The answer to an earlier call with the same idempotency key."""

    fingerprint: str
    status: int
    body: Any


@dataclass(frozen=True, kw_only=True, slots=True)
class Execution:
    """A logged run of rules, redacted. ``id`` is given by whoever ran it, so that an answer can name it."""

    id: str
    tenant_id: str
    service_id: str
    #: Empty when nothing was rolling out.
    deployment_id: str
    at: datetime
    #: ``execute``, or ``shadow`` for the canary's rules run beside stable's.
    kind: str
    version: str
    is_canary: bool
    ok: bool
    latency_ms: float
    #: Which key decided; empty without one.
    priority: str = ""
    error: str = ""
    #: Of the error: error, time, memory, output or crash.
    error_kind: str = ""
    #: For a shadow: whether its output differs from stable's, and where.
    differs: bool = False
    input: Any = None
    output: Any = None
    differences: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class NewestVersion:
    """A ruleset's newest version, and how many it has."""

    version: str
    author: str
    created_at: datetime
    total: int


class Tenants(Protocol):
    """Tenants."""

    async def add(self, tenant: Tenant) -> None:
        """Store a new tenant."""
        ...

    async def get(self, tenant_id: str) -> Tenant | None:
        """Return a tenant by id."""
        ...

    async def all(self) -> Sequence[Tenant]:
        """Return every tenant, by name."""
        ...


class Tokens(Protocol):
    """API tokens."""

    async def add(self, token: Token) -> None:
        """Store a new token."""
        ...

    async def by_digest(self, digest: str) -> tuple[Token, Member | None] | None:
        """Return the token with this digest and whose it is, whatever its tenant: so a caller is found."""
        ...

    async def get(self, tenant_id: str, token_id: str) -> tuple[Token, Member | None] | None:
        """Return a token and whose it is."""
        ...

    async def used(self, at: Mapping[str, datetime]) -> None:
        """Remember by id when tokens were last used."""
        ...

    async def ending(self, after: datetime, before: datetime) -> Sequence[tuple[Token, Member | None]]:
        """Return every tenant's tokens that end in this time, and whose they are, but for revoked ones."""
        ...

    async def all(self, tenant_id: str) -> Sequence[tuple[Token, Member | None]]:
        """Return a tenant's tokens, newest first, and whose they are."""
        ...

    async def revoke(self, tenant_id: str, token_id: str, at: datetime) -> bool:
        """Revoke a token; ``False`` when the tenant has no such one."""
        ...


class Sessions(Protocol):
    """Dashboard sessions and one-time login codes, by the digest of their secret."""

    async def put(self, digest: str, token_id: str, expires_at: datetime, *, once: bool = False) -> None:
        """Store a session, or a code that works once."""
        ...

    async def find(self, digest: str, now: datetime) -> tuple[Token, Member | None] | None:
        """Return the token behind a live session, and whose it is."""
        ...

    async def spend(self, digest: str, now: datetime) -> str | None:
        """Use up a one-time code: its token's id, or ``None`` if it is unknown, used or expired."""
        ...

    async def drop(self, digest: str) -> None:
        """End a session."""
        ...


class Services(Protocol):
    """Services."""

    async def add(self, service: Service) -> None:
        """Store a new service. Raises ``Conflict`` when the tenant has one of that name."""
        ...

    async def get(self, tenant_id: str, id_or_name: str) -> Service | None:
        """Return a service by id or name."""
        ...

    async def all(self, tenant_id: str) -> Sequence[Service]:
        """Return a tenant's services, by name."""
        ...

    async def save(self, service: Service) -> None:
        """Store changes of a service."""
        ...


class Leases(Protocol):
    """Who reconciles which service. Any number of replicas claim; a dead one's lease runs out."""

    async def claim(
        self, owner: str, now: datetime, lease_seconds: float, limit: int
    ) -> Sequence[tuple[str, str]]:
        """Lease due services that nobody holds: ``(tenant_id, service_id)``, the longest due first."""
        ...

    async def release(self, service_id: str, owner: str, next_due_at: datetime) -> None:
        """Give a lease back and say when the service is due again; an earlier wake-up call stays."""
        ...

    async def wake(self, service_id: str, now: datetime) -> None:
        """Make a service due at once."""
        ...

    async def forget(self, owner: str) -> None:
        """Give back everything that ``owner`` holds, outbox items included: it has just started anew."""
        ...


class Deployments(Protocol):
    """Deployments."""

    async def add(self, deployment: Deployment) -> None:
        """Store a new deployment."""
        ...

    async def get(self, tenant_id: str, deployment_id: str) -> Deployment | None:
        """Return a deployment."""
        ...

    async def page(
        self,
        tenant_id: str,
        page: Page,
        *,
        service_id: str | None = None,
        status: Status | None = None,
        among: Collection[str] | None = None,
    ) -> tuple[Sequence[Deployment], int]:
        """Return a page, newest first, and the total; ``among``: only of services with these ids."""
        ...

    async def current(self, tenant_id: str, service_id: str) -> Sequence[Deployment]:
        """Return the service's deployments in ``canary`` or ``active``, newest first."""
        ...

    async def save(self, deployment: Deployment, *, bump: bool = True) -> Deployment:
        """Store changes if nobody changed it since ``deployment.revision``; return it as stored.

        ``bump`` raises the revision; the monitor's bookkeeping does not.

        Raises:
            StaleRevision: Somebody else changed it first.
            Conflict: It starts while another deployment of the service is in ``canary``.
        """
        ...

    async def delete(self, tenant_id: str, deployment_id: str) -> bool:
        """Delete a deployment and what hangs on it; ``False`` when there is none."""
        ...


class Timeline(Protocol):
    """What happened to deployments."""

    async def append(self, event: Event) -> Event:
        """Store an event; return it with its id."""
        ...

    async def read(
        self, tenant_id: str, deployment_id: str, *, after: int = 0, limit: int = 200
    ) -> Sequence[Event]:
        """Return events with an id above ``after``, oldest first."""
        ...

    async def latest(self, tenant_id: str, deployment_id: str, limit: int = 50) -> Sequence[Event]:
        """Return the newest events, newest first."""
        ...


class Outbox(Protocol):
    """Effects that wait for their delivery."""

    async def add(self, item: OutboxItem) -> None:
        """Store an effect; a known id is left as it is."""
        ...

    async def claim(
        self,
        owner: str,
        now: datetime,
        lease_seconds: float,
        limit: int,
        *,
        kind: str = "notify",
        channel: str = "",
        without: Sequence[str] = (),
    ) -> Sequence[OutboxItem]:
        """Lease pending items of a kind that are due, oldest first: of one channel, or none of ``without``.

        Of a deployment's items on a channel only the oldest: what comes later waits until it is settled
        or put off, so that nothing overtakes.
        """
        ...

    async def settle(self, item: OutboxItem) -> None:
        """Store an item's new state, payload, attempts, error and next attempt; end its lease."""
        ...

    async def amend(self, item: OutboxItem, *, leased: bool = False) -> bool:
        """Store the payload and next attempt of a pending item; ``False`` when somebody is sending it.

        ``leased``: the caller holds its lease, and keeps it.
        """
        ...

    async def get(self, tenant_id: str, item_id: str) -> OutboxItem | None:
        """Return one item."""
        ...

    async def of(self, tenant_id: str, deployment_id: str) -> Sequence[OutboxItem]:
        """Return a deployment's items, oldest first."""
        ...

    async def backlog(self) -> int:
        """Return how many items are pending."""
        ...


class EvidenceLog(Protocol):
    """Windows and samples. ``arm`` says whose the canary's are: 0, or with several candidates its place."""

    async def merge(
        self,
        tenant_id: str,
        deployment_id: str,
        windows: Sequence[Window],
        samples: Sequence[Sample],
        arm: int = 0,
    ) -> None:
        """Add to what is stored: counts and histograms add up, gauges keep the newest."""
        ...

    async def read(
        self, tenant_id: str, deployment_id: str, since: float, until: float, arm: int = 0
    ) -> tuple[tuple[Window, ...], tuple[Sample, ...]]:
        """Return what overlaps ``since`` to ``until`` (Unix seconds), oldest first."""
        ...

    async def totals(self, tenant_id: str, deployment_id: str, arm: int = 0) -> tuple[Window, ...]:
        """Return one all-time window per side, endpoint and label (``seconds`` 0)."""
        ...

    async def counted(self, tenant_id: str, deployment_id: str, names: Sequence[str]) -> Mapping[str, float]:
        """Return what counters of these names add up to; those that never counted are left out."""
        ...

    async def roll_up(self, *, older_than: float, into_seconds: int, delete_before: float) -> int:
        """Merge old windows into wider ones and delete the oldest; return how many rows went."""
        ...


class Sources(Protocol):
    """Who sends measurements, and how far each one is taken over."""

    async def advance(self, tenant_id: str, source: str, seq: int, now: datetime, revision: str) -> bool:
        """Take a batch number; ``False`` when this or a later one was taken before."""
        ...

    async def cursor(self, key: str) -> Mapping[str, Any] | None:
        """Return the last cumulative counters read from a proxy."""
        ...

    async def set_cursor(self, key: str, value: Mapping[str, Any]) -> None:
        """Remember the last cumulative counters read from a proxy."""
        ...

    async def seen_since(self, tenant_id: str, since: datetime) -> Sequence[tuple[str, str, datetime]]:
        """Return ``(source, snapshot revision, last seen)`` of SDK processes seen since then."""
        ...


class Rulesets(Protocol):
    """Versions of rulesets: added, read, never changed."""

    async def add(self, version: RuleVersion) -> None:
        """Store a version. Raises ``Conflict`` when the ruleset has one of that name."""
        ...

    async def get(self, tenant_id: str, service_id: str, version: str) -> RuleVersion | None:
        """Return one version, whole."""
        ...

    async def page(self, tenant_id: str, service_id: str, page: Page) -> tuple[Sequence[RuleVersion], int]:
        """Return a page, newest first, and the total."""
        ...

    async def newest(self, tenant_id: str) -> Mapping[str, NewestVersion]:
        """Return of each ruleset how many versions it has and which is the newest, without their rules."""
        ...


class Executions(Protocol):
    """The execution log (``canary_execution_logs``)."""

    async def add(self, items: Sequence[Execution]) -> None:
        """Store entries; known ids are left as they are."""
        ...

    async def page(
        self,
        tenant_id: str,
        service_id: str,
        page: Page,
        *,
        deployment_id: str = "",
        kind: str = "",
        failed: bool = False,
        canary: bool = False,
        differs: bool = False,
    ) -> tuple[Sequence[Execution], int]:
        """Return a page, newest first, and the total; ``canary``: only those of the version under test."""
        ...

    async def prune(self, *, before: datetime, most: int) -> int:
        """Forget what is older than ``before`` and all but the newest ``most`` per ruleset; how many went."""
        ...


class Audit(Protocol):
    """Who did what."""

    async def append(self, entry: AuditEntry) -> None:
        """Store an entry as the next of its tenant's chain, and move the head; writers take turns."""
        ...

    async def page(self, tenant_id: str, page: Page) -> tuple[Sequence[AuditEntry], int]:
        """Return a page, newest first, and the total; as fast at the end of a long log as at its start."""
        ...

    async def head(self, tenant_id: str) -> AuditHead:
        """Return the last entry's number and hash, as kept beside the log."""
        ...

    async def after(self, tenant_id: str, seq: int, limit: int) -> Sequence[AuditEntry]:
        """Return entries with numbers above ``seq``, oldest first."""
        ...


class Idempotency(Protocol):
    """Answers by idempotency key."""

    async def get(self, tenant_id: str, key: str) -> StoredAnswer | None:
        """Return the stored answer."""
        ...

    async def put(self, tenant_id: str, key: str, answer: StoredAnswer, at: datetime) -> None:
        """Store an answer. Raises ``StaleRevision`` when the key was used meanwhile."""
        ...

    async def prune(self, before: datetime) -> int:
        """Forget old ones."""
        ...


class Jobs(Protocol):
    """Heartbeats of the background jobs."""

    async def beat(self, job: Job) -> None:
        """Store a job's state under its name and replica."""
        ...

    async def all(self) -> Sequence[Job]:
        """Return every job, by name and replica."""
        ...


class Fleet(Protocol):
    """Orders to agents, and what they reported."""

    async def order(self, order: Order, at: datetime) -> str | None:
        """Store what a service's instances should carry; its tenant's id, or ``None`` if it was so."""
        ...

    async def ordered(self, service_id: str) -> tuple[Order, datetime] | None:
        """Return the present order of a service, and since when it is."""
        ...

    async def instances(self, service_id: str) -> Sequence[Instance]:
        """Return every instance of a service, by name."""
        ...

    async def instance(self, service_id: str, name: str) -> Instance | None:
        """Return one, and keep others from changing it until the transaction ends."""
        ...

    async def save(self, tenant_id: str, service_id: str, instance: Instance) -> None:
        """Store an instance, new or known, of a service that belongs to this tenant."""
        ...

    async def forget(self, tenant_id: str, service_id: str, name: str) -> bool:
        """Delete an instance; ``False`` when there is none."""
        ...


class Transaction(Protocol):
    """One transaction: everything below commits together or not at all."""

    @property
    def tenants(self) -> Tenants:
        """Tenants in this transaction."""
        ...

    @property
    def tokens(self) -> Tokens:
        """Tokens in this transaction."""
        ...

    @property
    def sessions(self) -> Sessions:
        """Sessions in this transaction."""
        ...

    @property
    def services(self) -> Services:
        """Services in this transaction."""
        ...

    @property
    def leases(self) -> Leases:
        """Leases in this transaction."""
        ...

    @property
    def deployments(self) -> Deployments:
        """Deployments in this transaction."""
        ...

    @property
    def timeline(self) -> Timeline:
        """Timeline in this transaction."""
        ...

    @property
    def outbox(self) -> Outbox:
        """Outbox in this transaction."""
        ...

    @property
    def compensations(self) -> Compensations:
        """Compensations in this transaction."""
        ...

    @property
    def evidence(self) -> EvidenceLog:
        """EvidenceLog in this transaction."""
        ...

    @property
    def sources(self) -> Sources:
        """Sources in this transaction."""
        ...

    @property
    def assignments(self) -> Assignments:
        """Assignments in this transaction."""
        ...

    @property
    def placements(self) -> Placements:
        """Placements in this transaction."""
        ...

    @property
    def rulesets(self) -> Rulesets:
        """Rulesets in this transaction."""
        ...

    @property
    def executions(self) -> Executions:
        """Executions in this transaction."""
        ...

    @property
    def audit(self) -> Audit:
        """Audit in this transaction."""
        ...

    @property
    def idempotency(self) -> Idempotency:
        """Idempotency in this transaction."""
        ...

    @property
    def jobs(self) -> Jobs:
        """Jobs in this transaction."""
        ...

    @property
    def fleet(self) -> Fleet:
        """Fleet in this transaction."""
        ...

    @property
    def members(self) -> Members:
        """Members in this transaction."""
        ...

    @property
    def secrets(self) -> SealedSecrets:
        """SealedSecrets in this transaction."""
        ...

    @property
    def release_sets(self) -> ReleaseSets:
        """ReleaseSets in this transaction."""
        ...

    @property
    def set_timeline(self) -> SetTimeline:
        """SetTimeline in this transaction."""
        ...

    @property
    def freezes(self) -> Freezes:
        """Freezes in this transaction."""
        ...

    @property
    def sightings(self) -> Sightings:
        """Sightings in this transaction."""
        ...


class Store(Protocol):
    """Where everything is kept."""

    def begin(self, *, write: bool = True) -> AbstractAsyncContextManager[Transaction]:
        """Open a transaction; leaving it without an error commits.

        Raises:
            Unavailable: The database is locked, away, or full.
        """
        ...

    async def migrate(self) -> None:
        """Bring the schema to the newest revision."""
        ...

    async def check(self) -> Sequence[Finding]:
        """Look the database over for ``serinus doctor``."""
        ...

    async def close(self) -> None:
        """Release connections."""
        ...
