"""The SQL store: SQLite embedded, PostgreSQL for fleets, through one code path."""

from __future__ import annotations

from serinus.drivers.store.sql.store import SqlStore

__all__ = ["SqlStore"]
