"""Databases with the newest schema: migrated once in a process, then copied.

Migrating each test's own took longer than most tests. The migrations have tests of their own.
"""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path

from sqlalchemy import create_engine, event

from serinus.drivers.store.sql import SqlStore
from serinus.drivers.store.sql.migrations.run import upgrade

__all__ = ["migrate", "put_schema", "without_waiting"]


def migrate(url: str) -> None:
    """Bring the schema of a database to the newest revision."""
    engine = create_engine(url)
    with engine.begin() as connection:
        upgrade(connection)
    engine.dispose()


def put_schema(folder: Path) -> Path:
    """Put the embedded database, migrated and empty, into a folder without one; return its path."""
    path = folder / "serinus.db"
    if not path.exists():
        path.write_bytes(_embedded())
    return path


@cache
def _embedded() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "serinus.db"
        migrate(f"sqlite:///{path}")
        return path.read_bytes()


def without_waiting(store: SqlStore) -> SqlStore:
    """Let SQLite not wait for the disk at each commit: no test in one process cuts the power."""

    def hasten(connection, _) -> None:
        connection.execute("PRAGMA synchronous=OFF")

    if store.is_sqlite:
        event.listen(store._engine.sync_engine, "connect", hasten)
    return store
