"""A number from a database by a SELECT that cannot write.

Four fences, each enough against an accident: the statement runs as a subquery of ours, so it can
only be one SELECT; it is sent with a parameter, so the server takes one statement; the transaction
(PostgreSQL) or the file and connection (SQLite) are read-only; and it is rolled back. A function
with effects outside the transaction is stopped by none of them: give it a role that may only read.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import event, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from serinus.core.errors import InvalidInput
from serinus.ports.metrics import Increases, Reading, number

__all__ = ["SqlSource"]

#: What ``instant`` gives as ``:since``, before its own time.
WINDOW_SECONDS = 300.0
MAX_WORDS = 200
#: SQLite looks at the clock after this many of its steps: well under a millisecond.
STEPS_BETWEEN_LOOKS = 10_000
#: Text and names in quotes: a colon in them begins no parameter.
_QUOTED = re.compile(r"""'(?:[^']|'')*'|"(?:[^"]|"")*\"""")


class SqlSource:
    """One database by URL: ``sqlite:///file.db``, ``postgresql://reader@host/name``."""

    name = "sql"

    def __init__(
        self,
        url: str,
        *,
        timeout_seconds: float = 5.0,
        window_seconds: float = WINDOW_SECONDS,
        version: str = "",
        side: str = "",
    ) -> None:
        """Keep where to ask; nothing is connected yet.

        Args:
            url: Which database.
            timeout_seconds: A statement is stopped after this.
            window_seconds: What ``instant`` looks back over.
            version: What ``instant`` gives as ``:version``.
            side: What ``instant`` gives as ``:side``: ``stable`` or ``canary``.

        Raises:
            InvalidInput: The URL names no database that we can read.
        """
        self._url, self._file = _reading_url(url)
        self._seconds, self._window = timeout_seconds, window_seconds
        self._version, self._side = version, side
        self._engine = self._open()

    def __repr__(self) -> str:
        """Name the database without its password."""
        return f"SqlSource({self._url.render_as_string(hide_password=True)!r})"

    async def close(self) -> None:
        """Release connections."""
        await self._engine.dispose()

    async def instant(self, expression: str, at: float) -> tuple[Reading, ...]:
        """Return the first column of the one row that a SELECT gives for the window before ``at``."""
        since = at - self._window
        return (await self.select(expression, since=since, until=at, version=self._version, side=self._side),)

    async def select(
        self, statement: str, *, since: float, until: float, version: str = "", side: str = ""
    ) -> Reading:
        """Run a SELECT; it may use ``:since`` and ``:until`` (Unix seconds), ``:version`` and ``:side``."""
        given = {"since": since, "until": until, "version": version, "side": side}
        if self._file and not self._file.is_file():
            return _none("the database file is not there", until)
        try:
            rows = await self._rows(statement, given)
        except TimeoutError:
            return _none(f"timed out after {self._seconds:g} s", until)
        except (SQLAlchemyError, OSError) as error:
            return _none(self._why(error), until)
        if len(rows) != 1:
            return _none("the query gave no row" if not rows else "more than 1 row, 1 expected", until)
        return _reading(rows[0][0], until)

    async def increases(
        self,
        selector: str,  # noqa: ARG002
        start: float,  # noqa: ARG002
        end: float,  # noqa: ARG002
        width: int,  # noqa: ARG002
        by: tuple[str, ...] = (),  # noqa: ARG002
    ) -> Increases:
        """Say that a SELECT gives one number."""
        return Increases(problem="a SELECT gives one number: read counters from Prometheus")

    async def _rows(self, statement: str, given: Mapping[str, Any]) -> list[Any]:
        inner = _QUOTED.sub(lambda found: found[0].replace(":", "\\:"), statement.strip().rstrip(";"))
        # The statement is the user's own; what it may do is fenced in above.
        wrapped = text(f"SELECT * FROM (\n{inner}\n) AS answer LIMIT :serinus_rows")  # noqa: S608
        known = {name: value for name, value in given.items() if re.search(rf"(?<![:\w\\]):{name}\b", inner)}
        # The server's own limit comes first; this one also bounds connecting.
        async with asyncio.timeout(self._seconds + 0.5), self._reading() as connection:
            result = await connection.execute(wrapped, {**known, "serinus_rows": 2})
            return list(result.fetchall())

    @asynccontextmanager
    async def _reading(self) -> AsyncIterator[AsyncConnection]:
        """Open a transaction that cannot write, and roll it back whatever happens."""
        async with self._engine.connect() as connection:
            if connection.dialect.name == "postgresql":
                await connection.execute(text("SET TRANSACTION READ ONLY"))
                limit = max(1, int(self._seconds * 1000))
                await connection.execute(text(f"SET LOCAL statement_timeout = {limit}"))
            yield connection

    def _open(self) -> AsyncEngine:
        # A connection per question: nothing that one leaves behind (a lock, a setting) meets the next.
        if self._url.get_backend_name() == "postgresql":
            waits = {"connect_timeout": max(2, round(self._seconds))}
            try:
                return create_async_engine(self._url, poolclass=NullPool, connect_args=waits)
            except ModuleNotFoundError as error:
                raise InvalidInput(
                    "PostgreSQL needs its driver.", field="url", next_step="pip install 'serinus[postgres]'"
                ) from error
        engine = create_async_engine(self._url, poolclass=NullPool)
        event.listen(engine.sync_engine, "connect", self._on_sqlite_connect)
        return engine

    def _on_sqlite_connect(self, connection: Any, _: Any) -> None:
        """Refuse writes on this connection, and stop a statement that runs too long."""
        cursor = connection.cursor()
        cursor.execute("PRAGMA query_only = ON")
        cursor.execute(f"PRAGMA busy_timeout = {int(self._seconds * 1000)}")
        cursor.close()
        until = time.monotonic() + self._seconds
        connection.run_async(
            lambda raw: raw.set_progress_handler(lambda: time.monotonic() > until, STEPS_BETWEEN_LOOKS)
        )

    def _why(self, error: Exception) -> str:
        """Return the database's words, short and without the password."""
        said = str(error.orig if isinstance(error, DBAPIError) else error).strip() or type(error).__name__
        if "interrupted" in said or "statement timeout" in said:
            return f"timed out after {self._seconds:g} s"
        if "bind parameter" in said:
            return "the query uses a parameter that is not given: known are :since, :until, :version, :side"
        if self._url.password:
            said = said.replace(str(self._url.password), "…")
        return f"the database refused: {' '.join(said.split())[:MAX_WORDS]}"


def _reading_url(url: str) -> tuple[URL, Path | None]:
    """Return the URL with an async driver, and SQLite's file, which it opens for reading only.

    Raises:
        InvalidInput: It is neither SQLite's with a file, nor PostgreSQL's.
    """
    try:
        made = make_url(url)
        backend = made.get_backend_name()
    except (ArgumentError, ValueError):
        backend = ""
    if backend == "postgresql":
        return made.set(drivername="postgresql+psycopg"), None
    file = made.database if backend == "sqlite" else None
    if not file or file == ":memory:" or file.startswith("file:"):
        raise InvalidInput(
            "The URL names no database that can be read.",
            field="url",
            next_step="Use sqlite:///path/to/file.db or postgresql://reader:…@host/name.",
        )
    path = Path(file).absolute()
    place = f"file:{quote(str(path))}"
    return URL.create("sqlite+aiosqlite", database=place, query={"mode": "ro", "uri": "true"}), path


def _reading(value: Any, at: float) -> Reading:
    if isinstance(value, int | float | Decimal) and not isinstance(value, bool):
        try:
            return number(float(value), at)
        except OverflowError:
            return _none("the answer is too big", at)
    if value is None:
        return _none("the answer is NULL", at)
    return _none("the first column is not a number", at)


def _none(problem: str, at: float) -> Reading:
    return Reading(value=None, problem=problem, at=at)
