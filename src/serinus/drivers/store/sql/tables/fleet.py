"""Orders to agents, and what they reported."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    Column,
    ForeignKey,
    String,
    Table,
)

from serinus.drivers.store.sql.tables.columns import Moment, metadata, tenant

__all__ = ["fleet_instances", "fleet_orders"]

fleet_orders = Table(
    "fleet_orders",
    metadata,
    Column("service_id", String(40), ForeignKey("services.id", ondelete="CASCADE"), primary_key=True),
    tenant(),
    Column("revision", String(64), nullable=False),
    Column("body", JSON, nullable=False),
    Column("at", Moment, nullable=False),
)

fleet_instances = Table(
    "fleet_instances",
    metadata,
    Column("service_id", String(40), ForeignKey("services.id", ondelete="CASCADE"), primary_key=True),
    Column("name", String(100), primary_key=True),
    tenant(),
    Column("report", JSON, nullable=False),
    Column("first_seen_at", Moment, nullable=False),
    Column("seen_at", Moment, nullable=False),
    Column("changed_at", Moment, nullable=False),
)
