"""What waits to be done, and the jobs that do it."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    Float,
    Index,
    Integer,
    String,
    Table,
    Text,
)

from serinus.drivers.store.sql.tables.columns import Moment, deployment, metadata, tenant

__all__ = ["compensations", "jobs", "outbox"]

outbox = Table(
    "outbox",
    metadata,
    Column("id", String(120), primary_key=True),
    tenant(),
    deployment(),
    Column("kind", String(20), nullable=False),
    Column("channel", String(60), nullable=False),
    Column("payload", JSON, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("state", String(20), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("next_attempt_at", Moment, nullable=False),
    Column("error", Text, nullable=False),
    Column("done_at", Moment),
    Column("lease_owner", String(200)),
    Column("lease_until", Moment),
    Index(None, "state", "next_attempt_at"),
    Index(None, "deployment_id"),
)

compensations = Table(
    "compensations",
    metadata,
    Column("id", String(120), primary_key=True),
    tenant(),
    deployment(),
    Column("name", String(60), nullable=False),
    Column("what", String(120), nullable=False),
    Column("position", Integer, nullable=False),
    Column("by_hand", Boolean, nullable=False),
    Column("payload", JSON, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("state", String(20), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("next_attempt_at", Moment, nullable=False),
    Column("error", Text, nullable=False),
    Column("done_at", Moment),
    Column("done_by", String(200), nullable=False),
    Column("note", Text, nullable=False),
    Column("lease_owner", String(200)),
    Column("lease_until", Moment),
    Index(None, "state", "next_attempt_at"),
    Index(None, "deployment_id", "position"),
    Index(None, "tenant_id", "state"),
)

jobs = Table(
    "jobs",
    metadata,
    Column("name", String(60), primary_key=True),
    Column("replica", String(200), primary_key=True),
    Column("state", String(20), nullable=False),
    Column("interval_seconds", Float, nullable=False),
    Column("last_run_at", Moment),
    Column("next_run_at", Moment),
    Column("error", Text, nullable=False),
)
