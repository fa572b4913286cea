"""The store port: one transaction at a time, split by who calls what.

Everything is tenant-scoped: a method that takes ``tenant_id`` neither sees nor changes another
tenant's rows. Values go in and out as the core's frozen dataclasses.
"""

from __future__ import annotations

from serinus.ports.store.audit import Audit, AuditEntry, AuditHead
from serinus.ports.store.deployments import Deployments, Event, Leases, Services, Timeline
from serinus.ports.store.evidence import EvidenceLog, Sources
from serinus.ports.store.fleet import Fleet
from serinus.ports.store.paging import Page
from serinus.ports.store.people import Idempotency, Sessions, StoredAnswer, Tenant, Tenants, Token, Tokens
from serinus.ports.store.rules import Execution, Executions, NewestVersion, Rulesets
from serinus.ports.store.transaction import Store, Transaction
from serinus.ports.store.work import Job, Jobs, Outbox, OutboxItem, OutboxState

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
