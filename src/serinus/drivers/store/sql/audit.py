"""The audit log: a chain of entries per tenant, with its head kept in the tenant's row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row, insert, select, update

from serinus.core.chain import link
from serinus.drivers.store.sql import tables as t
from serinus.drivers.store.sql.base import Group
from serinus.ports.store import AuditEntry, AuditHead, Page

__all__ = ["SqlAudit"]


class SqlAudit(Group):
    """Who did what."""

    async def append(self, entry: AuditEntry) -> None:
        """Store an entry as the next of its tenant's chain, and move the head.

        Raising the total first locks the tenant's row until the transaction ends: of two writers, on
        whichever replicas, the second sees the first one's head.
        """
        mine, c = t.tenants.c.id == entry.tenant_id, t.tenants.c
        raised = update(t.tenants).where(mine).values(audit_total=c.audit_total + 1)
        row = await self._one(raised.returning(c.audit_total, c.audit_head))
        assert row is not None, "an entry's tenant is stored before it"
        made = link(row.audit_head, row.audit_total, entry.at, entry.said)
        await self._run(insert(t.audit).values(**entry.said, at=entry.at, seq=row.audit_total, hash=made))
        await self._run(update(t.tenants).where(mine).values(audit_head=made))

    async def page(self, tenant_id: str, page: Page) -> tuple[Sequence[AuditEntry], int]:
        """Return a page, newest first, and the total: by number, so nothing is counted or skipped over."""
        total = (await self.head(tenant_id)).seq
        upto = (t.audit.c.tenant_id == tenant_id) & (t.audit.c.seq <= total - page.offset)
        newest = select(t.audit).where(upto).order_by(t.audit.c.seq.desc()).limit(page.size)
        return [_entry(row) for row in await self._all(newest)], total

    async def head(self, tenant_id: str) -> AuditHead:
        """Return the last entry's number and hash, as kept beside the log."""
        c = t.tenants.c
        row = await self._one(select(c.audit_total, c.audit_head).where(c.id == tenant_id))
        return AuditHead(seq=row.audit_total, hash=row.audit_head) if row else AuditHead(seq=0, hash="")

    async def after(self, tenant_id: str, seq: int, limit: int) -> Sequence[AuditEntry]:
        """Return entries with numbers above ``seq``, oldest first."""
        later = (t.audit.c.tenant_id == tenant_id) & (t.audit.c.seq > seq)
        rows = await self._all(select(t.audit).where(later).order_by(t.audit.c.seq).limit(limit))
        return [_entry(row) for row in rows]


def _entry(row: Row[Any]) -> AuditEntry:
    return AuditEntry(**row._mapping)
