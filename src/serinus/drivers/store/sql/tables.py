"""The tables. Every row belongs to a tenant; times are UTC; documents are JSON."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Dialect,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
    text,
)

__all__ = ["metadata"]

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)


class Moment(TypeDecorator[datetime]):
    """An aware UTC time on every dialect; SQLite itself would forget the zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:  # noqa: ARG002
        """Store UTC."""
        return value.astimezone(UTC) if value else None

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Return UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


#: 64 bit on PostgreSQL, and SQLite's own ascending row id.
RowId = BigInteger().with_variant(Integer, "sqlite")


def _tenant() -> Column[str]:
    return Column("tenant_id", String(40), ForeignKey("tenants.id"), nullable=False)


def _deployment() -> Column[str]:
    return Column(
        "deployment_id", String(40), ForeignKey("deployments.id", ondelete="CASCADE"), nullable=False
    )


tenants = Table(
    "tenants",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("name", String(200), nullable=False, unique=True),
    Column("created_at", Moment, nullable=False),
    # Kept beside the rows, so that the total of millions of audit entries is one read.
    Column("audit_total", BigInteger, nullable=False, server_default="0"),
    # The hash of the last of them: what is missing at the end shows.
    Column("audit_head", String(64), nullable=False, server_default="0" * 64),
)

members = Table(
    "members",
    metadata,
    Column("id", String(40), primary_key=True),
    _tenant(),
    Column("kind", String(20), nullable=False),
    Column("name", String(200), nullable=False),
    Column("email", String(320), nullable=False),
    Column("role", String(20), nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("created_by", String(200), nullable=False),
    Column("removed_at", Moment),
    # A name is free again when its member was removed.
    Index(
        "uq_member_name",
        "tenant_id",
        "name",
        unique=True,
        sqlite_where=text("removed_at IS NULL"),
        postgresql_where=text("removed_at IS NULL"),
    ),
)

tokens = Table(
    "tokens",
    metadata,
    Column("id", String(40), primary_key=True),
    _tenant(),
    Column("name", String(200), nullable=False),
    Column("role", String(20), nullable=False),
    Column("digest", String(64), nullable=False, unique=True),
    Column("created_at", Moment, nullable=False),
    Column("created_by", String(200), nullable=False, server_default=""),
    Column("expires_at", Moment),
    Column("revoked_at", Moment),
    Column("member_id", String(40), ForeignKey("members.id")),
    Column("services", JSON, nullable=False, server_default=text("'[]'")),
    Column("last_used_at", Moment),
    Index(None, "tenant_id", "created_at"),
    Index(None, "member_id"),
)

# Of the server, so without a tenant.
secrets = Table(
    "secrets",
    metadata,
    Column("name", String(100), primary_key=True),
    Column("sealed", Text, nullable=False),
    Column("key_id", String(16), nullable=False),
    Column("set_at", Moment, nullable=False),
)

sessions = Table(
    "sessions",
    metadata,
    Column("digest", String(64), primary_key=True),
    Column("token_id", String(40), ForeignKey("tokens.id", ondelete="CASCADE"), nullable=False),
    Column("expires_at", Moment, nullable=False),
    Column("once", Boolean, nullable=False),
)

services = Table(
    "services",
    metadata,
    Column("id", String(40), primary_key=True),
    _tenant(),
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
    _tenant(),
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
    _tenant(),
    _deployment(),
    Column("at", Moment, nullable=False),
    Column("kind", String(40), nullable=False),
    Column("message", Text, nullable=False),
    Column("actor", String(200), nullable=False),
    Column("data", JSON, nullable=False),
    Index(None, "deployment_id", "id"),
    sqlite_autoincrement=True,
)

outbox = Table(
    "outbox",
    metadata,
    Column("id", String(120), primary_key=True),
    _tenant(),
    _deployment(),
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
    _tenant(),
    _deployment(),
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

windows = Table(
    "evidence_windows",
    metadata,
    _tenant(),
    Column("deployment_id", String(40), ForeignKey("deployments.id", ondelete="CASCADE"), primary_key=True),
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
    _tenant(),
    Column("deployment_id", String(40), ForeignKey("deployments.id", ondelete="CASCADE"), primary_key=True),
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
    _tenant(),
    Column("deployment_id", String(40), ForeignKey("deployments.id", ondelete="CASCADE"), primary_key=True),
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
    _tenant(),
    Column("deployment_id", String(40), ForeignKey("deployments.id", ondelete="CASCADE"), primary_key=True),
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
    _tenant(),
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

assignments = Table(
    "assignments",
    metadata,
    _tenant(),
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
    _tenant(),
    Column("book", String(60), primary_key=True),
    Column("slice", Integer, primary_key=True),
    Column("units", Integer, nullable=False),
    Column("version", Integer, nullable=False),
)

placements = Table(
    "placements",
    metadata,
    _tenant(),
    Column("deployment_id", String(40), ForeignKey("deployments.id", ondelete="CASCADE"), primary_key=True),
    Column("unit_hash", String(16), primary_key=True),
    Column("side", String(10), nullable=False),
    Column("priority", String(20), nullable=False),
    Column("key", String(256), nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("actor", String(200), nullable=False),
    Column("reason", Text, nullable=False),
    Column("at", Moment, nullable=False),
)

ruleset_versions = Table(
    "ruleset_versions",
    metadata,
    _tenant(),
    Column("service_id", String(40), ForeignKey("services.id"), primary_key=True),
    Column("version", String(200), primary_key=True),
    Column("engine", String(60), nullable=False),
    Column("digest", String(80), nullable=False),
    Column("source", Text, nullable=False),
    Column("changelog", Text, nullable=False),
    Column("author", String(200), nullable=False),
    Column("cases", JSON, nullable=False),
    Column("created_at", Moment, nullable=False),
    Index(None, "tenant_id", "service_id", "created_at"),
)

executions = Table(
    "canary_execution_logs",
    metadata,
    Column("id", String(40), primary_key=True),
    _tenant(),
    Column("service_id", String(40), ForeignKey("services.id"), nullable=False),
    # No foreign key: a log outlives the draft that was deleted.
    Column("deployment_id", String(40), nullable=False),
    Column("at", Moment, nullable=False),
    Column("kind", String(20), nullable=False),
    Column("version", String(200), nullable=False),
    Column("is_canary", Boolean, nullable=False),
    Column("ok", Boolean, nullable=False),
    Column("latency_ms", Float, nullable=False),
    Column("priority", String(20), nullable=False),
    Column("error", Text, nullable=False),
    Column("error_kind", String(20), nullable=False),
    Column("differs", Boolean, nullable=False),
    Column("input", JSON),
    Column("output", JSON),
    Column("differences", JSON, nullable=False),
    Index(None, "service_id", "at"),
    Index(None, "deployment_id", "at"),
)

audit = Table(
    "audit_log",
    metadata,
    Column("id", RowId, primary_key=True, autoincrement=True),
    _tenant(),
    Column("at", Moment, nullable=False),
    Column("actor", String(200), nullable=False),
    Column("token_id", String(40), nullable=False),
    Column("action", String(60), nullable=False),
    Column("target", String(200), nullable=False),
    Column("outcome", String(60), nullable=False),
    Column("request_id", String(100), nullable=False),
    Column("data", JSON, nullable=False),
    Column("seq", BigInteger, nullable=False, server_default="0"),
    Column("hash", String(64), nullable=False, server_default=""),
    # Numbers have no gaps, so a page is found by number however far back it is.
    Index("uq_audit_log_tenant_id_seq", "tenant_id", "seq", unique=True),
    sqlite_autoincrement=True,
)

idempotency = Table(
    "idempotency_keys",
    metadata,
    Column("tenant_id", String(40), ForeignKey("tenants.id"), primary_key=True),
    Column("key", String(260), primary_key=True),
    Column("fingerprint", String(64), nullable=False),
    Column("status", Integer, nullable=False),
    Column("body", JSON),
    Column("at", Moment, nullable=False),
    Index(None, "at"),
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

fleet_orders = Table(
    "fleet_orders",
    metadata,
    Column("service_id", String(40), ForeignKey("services.id", ondelete="CASCADE"), primary_key=True),
    _tenant(),
    Column("revision", String(64), nullable=False),
    Column("body", JSON, nullable=False),
    Column("at", Moment, nullable=False),
)

fleet_instances = Table(
    "fleet_instances",
    metadata,
    Column("service_id", String(40), ForeignKey("services.id", ondelete="CASCADE"), primary_key=True),
    Column("name", String(100), primary_key=True),
    _tenant(),
    Column("report", JSON, nullable=False),
    Column("first_seen_at", Moment, nullable=False),
    Column("seen_at", Moment, nullable=False),
    Column("changed_at", Moment, nullable=False),
)

release_sets = Table(
    "release_sets",
    metadata,
    Column("id", String(40), primary_key=True),
    _tenant(),
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
    _tenant(),
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
