"""Tenants, and who may come in."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
    Text,
    text,
)

from serinus.drivers.store.sql.tables.columns import Moment, metadata, tenant

__all__ = ["idempotency", "members", "secrets", "sessions", "tenants", "tokens"]

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
    tenant(),
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
    tenant(),
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
