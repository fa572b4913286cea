"""The audit log."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    Index,
    String,
    Table,
)

from serinus.drivers.store.sql.tables.columns import Moment, RowId, metadata, tenant

__all__ = ["audit"]

audit = Table(
    "audit_log",
    metadata,
    Column("id", RowId, primary_key=True, autoincrement=True),
    tenant(),
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
