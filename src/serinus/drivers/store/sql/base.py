"""What every group of calls shares: its connection, and inserts that know what is there already."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row, Table
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.expression import Executable

__all__ = ["Group"]


class Group:
    """Calls on one transaction's connection."""

    def __init__(self, connection: AsyncConnection) -> None:
        """Bind to a connection."""
        self._connection = connection

    @property
    def _writes(self) -> bool:
        """Whether the transaction was opened to write: what it reads to change it must be locked."""
        connection = self._connection.sync_connection
        return bool(connection and connection.get_execution_options().get("serinus_write"))

    async def _run(self, statement: Executable, values: Any = None) -> int:
        """Execute; return how many rows it touched."""
        return (await self._connection.execute(statement, values)).rowcount

    async def _one(self, statement: Executable) -> Row[Any] | None:
        return (await self._connection.execute(statement)).first()

    async def _all(self, statement: Executable) -> Sequence[Row[Any]]:
        return (await self._connection.execute(statement)).all()

    async def _value(self, statement: Executable) -> Any:
        return (await self._connection.execute(statement)).scalar()

    async def _added(self, table: Table, **values: Any) -> bool:
        """Insert a row; ``False`` when one with its key is there already.

        Asked by RETURNING: drivers do not agree on the row count of an insert that did nothing.
        """
        fresh = self._insert(table).values(**values).on_conflict_do_nothing()
        return await self._one(fresh.returning(*table.primary_key.columns)) is not None

    def _insert(self, table: Table) -> Any:
        """Return an INSERT of the dialect, for its ``on_conflict`` forms."""
        name = self._connection.dialect.name
        return postgresql.insert(table) if name == "postgresql" else sqlite.insert(table)
