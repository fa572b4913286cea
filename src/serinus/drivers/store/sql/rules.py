"""Versions of rulesets, and the log of their executions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Row, and_, delete, func, select

from serinus.core.codec import to_json
from serinus.core.errors import Conflict
from serinus.core.rules import Case, RuleVersion
from serinus.drivers.store.sql import tables as t
from serinus.drivers.store.sql.base import Group
from serinus.ports.store import Execution, NewestVersion, Page

__all__ = ["SqlExecutions", "SqlRulesets"]


class SqlRulesets(Group):
    """Versions: added, read, never changed."""

    async def add(self, version: RuleVersion) -> None:
        """Store a version."""
        values = {name: getattr(version, name) for name in RuleVersion.__dataclass_fields__}
        values["cases"] = [to_json(c) for c in version.cases]
        if not await self._added(t.ruleset_versions, **values):
            raise Conflict(
                f"There is a version {version.version!r} already, and versions never change.",
                field="version",
                next_step="Give the new rules a version of their own.",
            )

    async def get(self, tenant_id: str, service_id: str, version: str) -> RuleVersion | None:
        """Return one version, whole."""
        c = t.ruleset_versions.c
        mine = and_(c.tenant_id == tenant_id, c.service_id == service_id, c.version == version)
        row = await self._one(select(t.ruleset_versions).where(mine))
        return _version(row) if row else None

    async def page(self, tenant_id: str, service_id: str, page: Page) -> tuple[Sequence[RuleVersion], int]:
        """Return a page, newest first, and the total."""
        c = t.ruleset_versions.c
        mine = and_(c.tenant_id == tenant_id, c.service_id == service_id)
        total = await self._value(select(func.count()).select_from(t.ruleset_versions).where(mine))
        newest = select(t.ruleset_versions).where(mine).order_by(c.created_at.desc(), c.version.desc())
        rows = await self._all(newest.limit(page.size).offset(page.offset))
        return [_version(row) for row in rows], int(total)

    async def newest(self, tenant_id: str) -> Mapping[str, NewestVersion]:
        """Return of each ruleset how many versions it has and which is the newest, without their rules."""
        c = t.ruleset_versions.c
        order = (c.created_at.desc(), c.version.desc())
        place = func.row_number().over(partition_by=c.service_id, order_by=order)
        total = func.count().over(partition_by=c.service_id).label("total")
        ranked = select(c.service_id, c.version, c.author, c.created_at, total, place.label("place"))
        mine = ranked.where(c.tenant_id == tenant_id).subquery()
        rows = await self._all(select(mine).where(mine.c.place == 1))
        return {
            row.service_id: NewestVersion(
                version=row.version, author=row.author, created_at=row.created_at, total=row.total
            )
            for row in rows
        }


class SqlExecutions(Group):
    """The execution log."""

    async def add(self, items: Sequence[Execution]) -> None:
        """Store entries; known ids are left as they are."""
        rows = [{name: getattr(item, name) for name in Execution.__dataclass_fields__} for item in items]
        for row in rows:
            row["differences"] = list(row["differences"])
        if rows:
            await self._run(self._insert(t.executions).on_conflict_do_nothing(), rows)

    async def page(
        self,
        tenant_id: str,
        service_id: str,
        page: Page,
        *,
        deployment_id: str = "",
        kind: str = "",
        failed: bool = False,
        canary: bool = False,
        differs: bool = False,
    ) -> tuple[Sequence[Execution], int]:
        """Return a page, newest first, and the total; ``canary``: only those of the version under test."""
        c = t.executions.c
        wanted = [c.tenant_id == tenant_id, c.service_id == service_id]
        wanted += [c.deployment_id == deployment_id] if deployment_id else []
        wanted += [c.kind == kind] if kind else []
        wanted += [c.ok.is_(False)] if failed else []
        wanted += [c.is_canary.is_(True)] if canary else []
        wanted += [c.differs.is_(True)] if differs else []
        total = await self._value(select(func.count()).select_from(t.executions).where(*wanted))
        newest = select(t.executions).where(*wanted).order_by(c.at.desc(), c.id.desc())
        rows = await self._all(newest.limit(page.size).offset(page.offset))
        return [_execution(row) for row in rows], int(total)

    async def prune(self, *, before: datetime, most: int) -> int:
        """Forget what is older than ``before`` and all but the newest ``most`` per ruleset."""
        c = t.executions.c
        gone = await self._run(delete(t.executions).where(c.at < before))
        for service_id in [r.service_id for r in await self._all(select(c.service_id).distinct())]:
            mine = select(c.at).where(c.service_id == service_id).order_by(c.at.desc())
            oldest = await self._value(mine.offset(most).limit(1))
            if oldest is not None:
                gone += await self._run(
                    delete(t.executions).where(c.service_id == service_id, c.at <= oldest)
                )
        return gone


def _version(row: Row[Any]) -> RuleVersion:
    return RuleVersion(**{**row._mapping, "cases": tuple(Case(**c) for c in row.cases)})


def _execution(row: Row[Any]) -> Execution:
    return Execution(**{**row._mapping, "differences": tuple(row.differences)})
