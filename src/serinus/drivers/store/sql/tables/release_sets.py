"""Release sets, what happened to them, and freezes."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    Column,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
    Text,
)

from serinus.drivers.store.sql.tables.columns import Moment, RowId, metadata, tenant

__all__ = ["freezes", "release_sets", "set_events"]

release_sets = Table(
    "release_sets",
    metadata,
    Column("id", String(40), primary_key=True),
    tenant(),
    Column("state", String(20), nullable=False),
    Column("revision", Integer, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("body", JSON, nullable=False),
    Column("lease_owner", String(200)),
    Column("lease_until", Moment),
    Column("looked_at", Moment),
    Index(None, "tenant_id", "created_at"),
    Index(None, "state"),
)

set_events = Table(
    "release_set_events",
    metadata,
    Column("id", RowId, primary_key=True, autoincrement=True),
    tenant(),
    Column("set_id", String(40), ForeignKey("release_sets.id", ondelete="CASCADE"), nullable=False),
    Column("at", Moment, nullable=False),
    Column("kind", String(40), nullable=False),
    Column("message", Text, nullable=False),
    Column("actor", String(200), nullable=False),
    Column("data", JSON, nullable=False),
    Index(None, "set_id", "id"),
    sqlite_autoincrement=True,
)

freezes = Table(
    "freezes",
    metadata,
    Column("tenant_id", String(40), ForeignKey("tenants.id"), primary_key=True),
    Column("name", String(200), primary_key=True),
    Column("body", JSON, nullable=False),
)
