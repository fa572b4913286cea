"""Tenants, tokens, sessions, the audit log, answers by idempotency key."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Row, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from serinus.core.errors import Conflict, StaleRevision
from serinus.core.model import Role
from serinus.drivers.store.sql import tables as t
from serinus.drivers.store.sql.base import Group
from serinus.ports.store import AuditEntry, Page, StoredAnswer, Tenant, Token

__all__ = ["SqlAudit", "SqlIdempotency", "SqlSessions", "SqlTenants", "SqlTokens"]


class SqlTenants(Group):
    """Tenants."""

    async def add(self, tenant: Tenant) -> None:
        """Store a new tenant."""
        values = {"id": tenant.id, "name": tenant.name, "created_at": tenant.created_at}
        try:
            await self._run(insert(t.tenants).values(**values))
        except IntegrityError as error:
            raise Conflict(f"There is a tenant {tenant.name!r} already.") from error

    async def get(self, tenant_id: str) -> Tenant | None:
        """Return a tenant by id."""
        row = await self._one(select(t.tenants).where(t.tenants.c.id == tenant_id))
        return _tenant(row) if row else None

    async def all(self) -> Sequence[Tenant]:
        """Return every tenant, by name."""
        return [_tenant(row) for row in await self._all(select(t.tenants).order_by(t.tenants.c.name))]


class SqlTokens(Group):
    """API tokens."""

    async def add(self, token: Token) -> None:
        """Store a new token."""
        values = {name: getattr(token, name) for name in Token.__dataclass_fields__}
        await self._run(insert(t.tokens).values(**{**values, "role": token.role.value}))

    async def by_digest(self, digest: str) -> Token | None:
        """Return the token with this digest, whatever its tenant."""
        row = await self._one(select(t.tokens).where(t.tokens.c.digest == digest))
        return _token(row) if row else None

    async def all(self, tenant_id: str) -> Sequence[Token]:
        """Return a tenant's tokens, newest first."""
        mine = select(t.tokens).where(t.tokens.c.tenant_id == tenant_id)
        return [_token(row) for row in await self._all(mine.order_by(t.tokens.c.created_at.desc()))]

    async def revoke(self, tenant_id: str, token_id: str, at: datetime) -> bool:
        """Revoke a token; ``False`` when the tenant has no such one."""
        mine = (t.tokens.c.tenant_id == tenant_id) & (t.tokens.c.id == token_id)
        await self._run(update(t.tokens).where(mine, t.tokens.c.revoked_at.is_(None)).values(revoked_at=at))
        return await self._one(select(t.tokens.c.id).where(mine)) is not None


class SqlSessions(Group):
    """Dashboard sessions and one-time login codes."""

    async def put(self, digest: str, token_id: str, expires_at: datetime, *, once: bool = False) -> None:
        """Store a session, or a code that works once."""
        values = {"digest": digest, "token_id": token_id, "expires_at": expires_at, "once": once}
        await self._run(insert(t.sessions).values(**values))

    async def find(self, digest: str, now: datetime) -> Token | None:
        """Return the token behind a live session."""
        live = (t.sessions.c.digest == digest) & (t.sessions.c.expires_at > now) & ~t.sessions.c.once
        joined = select(t.tokens).join(t.sessions, t.sessions.c.token_id == t.tokens.c.id)
        row = await self._one(joined.where(live))
        return _token(row) if row else None

    async def spend(self, digest: str, now: datetime) -> str | None:
        """Use up a one-time code: its token's id."""
        live = (t.sessions.c.digest == digest) & (t.sessions.c.expires_at > now) & t.sessions.c.once
        row = await self._one(delete(t.sessions).where(live).returning(t.sessions.c.token_id))
        await self._run(delete(t.sessions).where(t.sessions.c.expires_at <= now))
        return str(row[0]) if row else None

    async def drop(self, digest: str) -> None:
        """End a session."""
        await self._run(delete(t.sessions).where(t.sessions.c.digest == digest))


class SqlAudit(Group):
    """Who did what."""

    async def append(self, entry: AuditEntry) -> None:
        """Store an entry, and count it."""
        values = {name: getattr(entry, name) for name in AuditEntry.__dataclass_fields__ if name != "id"}
        await self._run(insert(t.audit).values(**{**values, "data": dict(entry.data)}))
        mine = t.tenants.c.id == entry.tenant_id
        await self._run(update(t.tenants).where(mine).values(audit_total=t.tenants.c.audit_total + 1))

    async def page(self, tenant_id: str, page: Page) -> tuple[Sequence[AuditEntry], int]:
        """Return a page, newest first, and the total."""
        mine = select(t.audit).where(t.audit.c.tenant_id == tenant_id).order_by(t.audit.c.id.desc())
        rows = await self._all(mine.limit(page.size).offset(page.offset))
        total = await self._value(select(t.tenants.c.audit_total).where(t.tenants.c.id == tenant_id))
        return [AuditEntry(**row._mapping) for row in rows], total or 0


class SqlIdempotency(Group):
    """Answers by idempotency key."""

    async def get(self, tenant_id: str, key: str) -> StoredAnswer | None:
        """Return the stored answer."""
        c = t.idempotency.c
        row = await self._one(select(t.idempotency).where(c.tenant_id == tenant_id, c.key == key))
        return StoredAnswer(fingerprint=row.fingerprint, status=row.status, body=row.body) if row else None

    async def put(self, tenant_id: str, key: str, answer: StoredAnswer, at: datetime) -> None:
        """Store an answer."""
        values = {
            "tenant_id": tenant_id,
            "key": key,
            "fingerprint": answer.fingerprint,
            "status": answer.status,
            "body": answer.body,
            "at": at,
        }
        if not await self._added(t.idempotency, **values):
            raise StaleRevision("The same Idempotency-Key was used at the same moment.")

    async def prune(self, before: datetime) -> int:
        """Forget old ones."""
        return await self._run(delete(t.idempotency).where(t.idempotency.c.at < before))


def _tenant(row: Row[Any]) -> Tenant:
    return Tenant(id=row.id, name=row.name, created_at=row.created_at)


def _token(row: Row[Any]) -> Token:
    return Token(**{**row._mapping, "role": Role(row.role)})
