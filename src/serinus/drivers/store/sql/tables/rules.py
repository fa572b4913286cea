"""Rulesets and what they answered."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    String,
    Table,
    Text,
)

from serinus.drivers.store.sql.tables.columns import Moment, metadata, tenant

__all__ = ["executions", "ruleset_versions"]

ruleset_versions = Table(
    "ruleset_versions",
    metadata,
    tenant(),
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
    tenant(),
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
