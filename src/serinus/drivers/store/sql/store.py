"""Opening the database, transactions, migrations, and its line in ``serinus doctor``."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import event, select, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from serinus.core.errors import Conflict, InvalidInput, SerinusError
from serinus.drivers.store.sql.assignments import SqlAssignments, SqlPlacements
from serinus.drivers.store.sql.audit import SqlAudit
from serinus.drivers.store.sql.compensation import SqlCompensations
from serinus.drivers.store.sql.deployments import SqlDeployments, SqlLeases, SqlServices, SqlTimeline
from serinus.drivers.store.sql.errors import explained
from serinus.drivers.store.sql.evidence import SqlEvidence, SqlSources
from serinus.drivers.store.sql.fleet import SqlFleet
from serinus.drivers.store.sql.members import SqlMembers, SqlSecrets
from serinus.drivers.store.sql.people import SqlIdempotency, SqlSessions, SqlTenants, SqlTokens
from serinus.drivers.store.sql.release_sets import SqlFreezes, SqlReleaseSets, SqlSetTimeline
from serinus.drivers.store.sql.rules import SqlExecutions, SqlRulesets
from serinus.drivers.store.sql.sightings import SqlSightings
from serinus.drivers.store.sql.work import SqlJobs, SqlOutbox
from serinus.ports.traffic import Finding

__all__ = ["HEAD", "SqlStore", "SqlTransaction"]

#: The newest migration; a test holds it against the folder, so that start-up needs no Alembic.
HEAD = "0009"
#: Warn in ``doctor`` below this much free disk.
LOW_DISK_BYTES = 200 * 1024 * 1024
#: Warn in ``doctor`` when our clock and the database's differ by more.
SKEW_SECONDS = 2.0
#: PostgreSQL advisory lock that two replicas starting at once take turns by.
MIGRATION_LOCK = 5_382_910


class SqlTransaction:
    """One transaction: every group of calls on the same connection."""

    def __init__(self, connection: AsyncConnection) -> None:
        """Bind the groups to ``connection``."""
        self.tenants = SqlTenants(connection)
        self.tokens = SqlTokens(connection)
        self.sessions = SqlSessions(connection)
        self.services = SqlServices(connection)
        self.leases = SqlLeases(connection)
        self.deployments = SqlDeployments(connection)
        self.timeline = SqlTimeline(connection)
        self.outbox = SqlOutbox(connection)
        self.compensations = SqlCompensations(connection)
        self.evidence = SqlEvidence(connection)
        self.sources = SqlSources(connection)
        self.assignments = SqlAssignments(connection)
        self.placements = SqlPlacements(connection)
        self.rulesets = SqlRulesets(connection)
        self.executions = SqlExecutions(connection)
        self.audit = SqlAudit(connection)
        self.idempotency = SqlIdempotency(connection)
        self.jobs = SqlJobs(connection)
        self.fleet = SqlFleet(connection)
        self.members = SqlMembers(connection)
        self.secrets = SqlSecrets(connection)
        self.release_sets = SqlReleaseSets(connection)
        self.set_timeline = SqlSetTimeline(connection)
        self.freezes = SqlFreezes(connection)
        self.sightings = SqlSightings(connection)


class SqlStore:
    """SQLite or PostgreSQL by URL: ``sqlite:///file.db``, ``postgresql://user@host/name``."""

    def __init__(self, url: str, *, busy_seconds: float = 5.0) -> None:
        """Open lazily; nothing is connected yet.

        Args:
            url: Which database.
            busy_seconds: How long SQLite waits for another writer.

        Raises:
            InvalidInput: The URL names no database that we can open.
        """
        self._url = normalised(url)
        self._busy_ms = int(busy_seconds * 1000)
        self._engine = self._open()

    def __repr__(self) -> str:
        """Name the database without its password."""
        return f"SqlStore({self._url.render_as_string(hide_password=True)!r})"

    @property
    def is_sqlite(self) -> bool:
        """Tell whether this is the embedded database."""
        return self._url.get_backend_name() == "sqlite"

    def _open(self) -> AsyncEngine:
        # Errors are logged: with parameters they would name users, and quote what calls had in them.
        if not self.is_sqlite:
            pool = {"pool_pre_ping": True, "pool_size": 10, "pool_timeout": 10}
            try:
                return create_async_engine(self._url, hide_parameters=True, **pool)
            except ModuleNotFoundError as error:
                raise InvalidInput(
                    "PostgreSQL needs its driver.",
                    field="DATABASE_URL",
                    next_step="pip install 'serinus[postgres]'",
                ) from error
        engine = create_async_engine(
            self._url, hide_parameters=True, connect_args={"timeout": self._busy_ms / 1000}
        )
        event.listen(engine.sync_engine, "connect", self._on_sqlite_connect)
        event.listen(engine.sync_engine, "begin", _on_sqlite_begin)
        return engine

    def _on_sqlite_connect(self, connection: Any, _: Any) -> None:
        """Prepare a connection; transactions are begun by us, not by the driver."""
        connection.isolation_level = None
        cursor = connection.cursor()
        # WAL lets readers go on beside the writer. With synchronous=NORMAL what was committed survives
        # kill -9 of the process; FULL also survives a power cut, and our few commits can pay for it.
        for pragma in (
            "journal_mode=WAL",
            "synchronous=FULL",
            "foreign_keys=ON",
            f"busy_timeout={self._busy_ms}",
        ):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    def begin(self, *, write: bool = True) -> AbstractAsyncContextManager[SqlTransaction]:
        """Open a transaction; leaving it without an error commits."""
        return self._begin(write)

    @asynccontextmanager
    async def _begin(self, write: bool) -> AsyncIterator[SqlTransaction]:
        with explained():
            connection = await self._engine.connect()
        try:
            # A write transaction takes the lock at once: upgrading a read one later can deadlock.
            await connection.execution_options(serinus_write=write)
            with explained():
                await connection.begin()
            try:
                with explained():
                    yield SqlTransaction(connection)
                    await connection.commit()
            except BaseException:
                with explained():
                    await connection.rollback()
                raise
        except IntegrityError as error:
            raise Conflict(
                "This contradicts something that was stored at the same moment.",
                next_step="Read it again, then decide.",
            ) from error
        finally:
            await connection.close()

    async def migrate(self) -> None:
        """Bring the schema to the newest revision; cheap when it is there already."""
        if await self._revision() == HEAD:
            return
        from serinus.drivers.store.sql.migrations.run import upgrade

        with explained():
            async with self._engine.begin() as connection:
                if not self.is_sqlite:
                    await connection.execute(text(f"SELECT pg_advisory_xact_lock({MIGRATION_LOCK})"))
                await connection.run_sync(upgrade)

    async def _revision(self) -> str | None:
        """Return the schema's revision, or ``None`` without a schema."""
        with explained():
            async with self._engine.connect() as connection:
                known = await connection.run_sync(lambda c: c.dialect.has_table(c, "alembic_version"))
                if not known:
                    return None
                found = await connection.execute(text("SELECT version_num FROM alembic_version"))
                return found.scalar_one_or_none()

    async def check(self) -> Sequence[Finding]:
        """Look the database over."""
        name = f"database ({self._url.get_backend_name()})"
        try:
            revision = await self._revision()
        except SerinusError as error:
            return [Finding(name=name, ok=False, detail=error.detail, remedy=error.next_step)]
        findings = [
            Finding(
                name=name,
                ok=revision == HEAD,
                detail=f"schema {revision or 'missing'}" + ("" if revision == HEAD else f", needs {HEAD}"),
                remedy="" if revision == HEAD else "Start `serinus up` once: it brings the schema up.",
            )
        ]
        return findings + ([self._disk()] if self.is_sqlite else [await self._clock()])

    def _disk(self) -> Finding:
        folder = Path(self._url.database or ".").absolute().parent
        free = shutil.disk_usage(folder).free
        return Finding(
            name="disk",
            ok=free > LOW_DISK_BYTES,
            detail=f"{free / 2**30:.1f} GiB free beside the database",
            remedy="" if free > LOW_DISK_BYTES else "Free some space: without it nothing can be stored.",
        )

    async def _clock(self) -> Finding:
        with explained():
            async with self._engine.connect() as connection:
                theirs = (await connection.execute(select(text("now()")))).scalar_one()
        skew = abs((datetime.now(UTC) - theirs).total_seconds())
        return Finding(
            name="clocks",
            ok=skew <= SKEW_SECONDS,
            detail=f"ours and the database's differ by {skew:.2f} s",
            remedy="" if skew <= SKEW_SECONDS else "Run a time service (chrony, systemd-timesyncd) on both.",
        )

    async def close(self) -> None:
        """Release connections."""
        await self._engine.dispose()


def _on_sqlite_begin(connection: Any) -> None:
    write = connection.get_execution_options().get("serinus_write", True)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")


def normalised(url: str) -> URL:
    help_ = "Use sqlite:///path/to/file.db or postgresql://user:password@host:5432/name."
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError) as error:
        raise InvalidInput("DATABASE_URL is no URL.", field="DATABASE_URL", next_step=help_) from error
    backend = parsed.drivername.split("+")[0]
    if backend == "sqlite":
        return parsed.set(drivername="sqlite+aiosqlite")
    if backend in ("postgresql", "postgres"):
        return parsed.set(drivername="postgresql+psycopg")
    raise InvalidInput(f"{backend} is no database that we know.", field="DATABASE_URL", next_step=help_)
