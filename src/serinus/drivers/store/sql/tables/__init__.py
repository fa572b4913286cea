"""The tables. Every row belongs to a tenant; times are UTC; documents are JSON."""

from __future__ import annotations

from serinus.drivers.store.sql.tables.assignments import assignment_slices, assignments, placements
from serinus.drivers.store.sql.tables.audit import audit
from serinus.drivers.store.sql.tables.columns import metadata
from serinus.drivers.store.sql.tables.deployments import deployments, events, services
from serinus.drivers.store.sql.tables.evidence import cursors, samples, sightings, sources, totals, windows
from serinus.drivers.store.sql.tables.fleet import fleet_instances, fleet_orders
from serinus.drivers.store.sql.tables.people import idempotency, members, secrets, sessions, tenants, tokens
from serinus.drivers.store.sql.tables.release_sets import freezes, release_sets, set_events
from serinus.drivers.store.sql.tables.rules import executions, ruleset_versions
from serinus.drivers.store.sql.tables.work import compensations, jobs, outbox

__all__ = [
    "assignment_slices",
    "assignments",
    "audit",
    "compensations",
    "cursors",
    "deployments",
    "events",
    "executions",
    "fleet_instances",
    "fleet_orders",
    "freezes",
    "idempotency",
    "jobs",
    "members",
    "metadata",
    "outbox",
    "placements",
    "release_sets",
    "ruleset_versions",
    "samples",
    "secrets",
    "services",
    "sessions",
    "set_events",
    "sightings",
    "sources",
    "tenants",
    "tokens",
    "totals",
    "windows",
]
