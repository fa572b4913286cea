"""What every table shares: the metadata, and the columns that many have."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    Dialect,
    ForeignKey,
    Integer,
    MetaData,
    String,
    TypeDecorator,
)

__all__ = ["Moment", "RowId", "deployment", "metadata", "tenant"]

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


def tenant() -> Column[str]:
    """Return whose row it is."""
    return Column("tenant_id", String(40), ForeignKey("tenants.id"), nullable=False)


def deployment(*, primary_key: bool = False) -> Column[str]:
    """Return of which deployment it is; it goes with it."""
    return Column(
        "deployment_id",
        String(40),
        ForeignKey("deployments.id", ondelete="CASCADE"),
        primary_key=primary_key,
        nullable=False,
    )
