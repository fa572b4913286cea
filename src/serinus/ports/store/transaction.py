"""One transaction, with every group of calls in it; and the store that begins it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from serinus.ports.assignments import Assignments, Placements
from serinus.ports.compensation import Compensations
from serinus.ports.people import Members
from serinus.ports.release_sets import Freezes, ReleaseSets, SetTimeline
from serinus.ports.sightings import Sightings
from serinus.ports.store.audit import Audit
from serinus.ports.store.deployments import Deployments, Leases, Services, Timeline
from serinus.ports.store.evidence import EvidenceLog, Sources
from serinus.ports.store.fleet import Fleet
from serinus.ports.store.people import Idempotency, Sessions, Tenants, Tokens
from serinus.ports.store.rules import Executions, Rulesets
from serinus.ports.store.work import Jobs, Outbox
from serinus.ports.traffic import Finding
from serinus.ports.vault import SealedSecrets

__all__ = ["Store", "Transaction"]


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
