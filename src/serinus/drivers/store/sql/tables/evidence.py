"""What was measured, and which sources told it."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    Float,
    Index,
    Integer,
    String,
    Table,
)

from serinus.drivers.store.sql.tables.columns import Moment, deployment, metadata, tenant

__all__ = ["cursors", "samples", "sightings", "sources", "totals", "windows"]

windows = Table(
    "evidence_windows",
    metadata,
    tenant(),
    deployment(primary_key=True),
    Column("side", String(10), primary_key=True),
    Column("endpoint", String(200), primary_key=True),
    Column("label", String(200), primary_key=True),
    Column("start", BigInteger, primary_key=True),
    Column("seconds", Integer, primary_key=True),
    Column("requests", BigInteger, nullable=False),
    Column("errors", BigInteger, nullable=False),
    Column("latency", JSON, nullable=False),
    Index(None, "deployment_id", "start"),
    Index(None, "start"),
)

totals = Table(
    "evidence_totals",
    metadata,
    tenant(),
    deployment(primary_key=True),
    Column("side", String(10), primary_key=True),
    Column("endpoint", String(200), primary_key=True),
    Column("label", String(200), primary_key=True),
    Column("requests", BigInteger, nullable=False),
    Column("errors", BigInteger, nullable=False),
    Column("latency", JSON, nullable=False),
)

samples = Table(
    "evidence_samples",
    metadata,
    tenant(),
    deployment(primary_key=True),
    Column("side", String(10), primary_key=True),
    Column("name", String(200), primary_key=True),
    Column("label", String(200), primary_key=True),
    Column("start", BigInteger, primary_key=True),
    Column("kind", String(10), nullable=False),
    Column("value", Float, nullable=False),
    Index(None, "start"),
)

sightings = Table(
    "sightings",
    metadata,
    tenant(),
    deployment(primary_key=True),
    # A seeded hash of the unit's key: not the one that decides, and no key.
    Column("unit", String(16), primary_key=True),
    Column("version", String(200), primary_key=True),
    Column("share_bp", Integer, primary_key=True),
    Column("seen_at", BigInteger, nullable=False),
    Index(None, "seen_at"),
    sqlite_with_rowid=False,
)

sources = Table(
    "sources",
    metadata,
    tenant(),
    Column("source", String(100), primary_key=True),
    Column("seq", BigInteger, nullable=False),
    Column("revision", String(64), nullable=False),
    Column("seen_at", Moment, nullable=False),
    Index(None, "tenant_id", "seen_at"),
)

cursors = Table(
    "cursors",
    metadata,
    Column("key", String(120), primary_key=True),
    Column("value", JSON, nullable=False),
)
