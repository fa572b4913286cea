"""Who has been on a canary, and who was put there by hand."""

from __future__ import annotations

from sqlalchemy import (
    Column,
    Index,
    Integer,
    String,
    Table,
    Text,
)

from serinus.drivers.store.sql.tables.columns import Moment, deployment, metadata, tenant

__all__ = ["assignment_slices", "assignments", "placements"]

assignments = Table(
    "assignments",
    metadata,
    tenant(),
    Column("book", String(60), primary_key=True),
    # The hash's own remainder: with it in the key, a slice of units lies in one place.
    Column("bucket", Integer, primary_key=True),
    Column("unit_hash", String(16), primary_key=True),
    Column("priority", String(20), nullable=False),
    Column("key", String(256), nullable=False),
    Column("assigned_at", Moment, nullable=False),
    Index(None, "book", "assigned_at"),
    # The primary key is the table: a row is there once, and not a second time in an index.
    sqlite_with_rowid=False,
)

assignment_slices = Table(
    "assignment_slices",
    metadata,
    tenant(),
    Column("book", String(60), primary_key=True),
    Column("slice", Integer, primary_key=True),
    Column("units", Integer, nullable=False),
    Column("version", Integer, nullable=False),
)

placements = Table(
    "placements",
    metadata,
    tenant(),
    deployment(primary_key=True),
    Column("unit_hash", String(16), primary_key=True),
    Column("side", String(10), nullable=False),
    Column("priority", String(20), nullable=False),
    Column("key", String(256), nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("actor", String(200), nullable=False),
    Column("reason", Text, nullable=False),
    Column("at", Moment, nullable=False),
)
