"""Reading the sealed secrets once, before anything that needs them is built."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sqlalchemy import create_engine, select

from serinus.drivers.store.sql import tables as t
from serinus.drivers.store.sql.errors import explained
from serinus.drivers.store.sql.store import normalised
from serinus.ports.vault import SealedSecret

__all__ = ["read_sealed"]


def read_sealed(url: str) -> Sequence[SealedSecret]:
    """Return every secret in the database, by name; none while it has no table of them yet.

    Raises:
        Unavailable: The database does not answer.
    """
    parsed = normalised(url)
    if parsed.get_backend_name() == "sqlite":
        if not parsed.database or not Path(parsed.database).exists():
            return []  # looking would make the file
        parsed = parsed.set(drivername="sqlite")
    engine = create_engine(parsed)
    try:
        with explained(), engine.connect() as connection:
            if not connection.dialect.has_table(connection, t.secrets.name):
                return []
            rows = connection.execute(select(t.secrets).order_by(t.secrets.c.name)).all()
            return [SealedSecret(**row._mapping) for row in rows]
    finally:
        engine.dispose()
