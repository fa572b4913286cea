"""Services, their deployments, and what happened to these."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from serinus.drivers.store.sql.tables.columns import Moment, RowId, deployment, metadata, tenant

__all__ = ["deployments", "events", "services"]

services = Table(
    "services",
    metadata,
    Column("id", String(40), primary_key=True),
    tenant(),
    Column("name", String(200), nullable=False),
    Column("body", JSON, nullable=False),
    Column("lease_owner", String(200)),
    Column("lease_until", Moment),
    Column("next_due_at", Moment),
    # A wake-up call that came while somebody held the lease.
    Column("woken", Boolean, nullable=False, server_default=text("false")),
    UniqueConstraint("tenant_id", "name"),
    Index(None, "next_due_at"),
)

deployments = Table(
    "deployments",
    metadata,
    Column("id", String(40), primary_key=True),
    tenant(),
    Column("service_id", String(40), ForeignKey("services.id"), nullable=False),
    Column("version", String(200), nullable=False),
    Column("status", String(20), nullable=False),
    Column("revision", Integer, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("body", JSON, nullable=False),
    Index(None, "tenant_id", "created_at"),
    Index(None, "service_id", "status"),
    # One canary per service, whatever two replicas decide at the same moment.
    Index(
        "uq_one_canary",
        "service_id",
        unique=True,
        sqlite_where=text("status = 'canary'"),
        postgresql_where=text("status = 'canary'"),
    ),
)

events = Table(
    "events",
    metadata,
    Column("id", RowId, primary_key=True, autoincrement=True),
    tenant(),
    deployment(),
    Column("at", Moment, nullable=False),
    Column("kind", String(40), nullable=False),
    Column("message", Text, nullable=False),
    Column("actor", String(200), nullable=False),
    Column("data", JSON, nullable=False),
    Index(None, "deployment_id", "id"),
    sqlite_autoincrement=True,
)
