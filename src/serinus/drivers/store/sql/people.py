"""Tenants, tokens, sessions, answers by idempotency key."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Row, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from serinus.core.errors import Conflict, StaleRevision
from serinus.core.model import Role
from serinus.drivers.store.sql import tables as t
from serinus.drivers.store.sql.base import Group
from serinus.drivers.store.sql.members import member_of
from serinus.ports.people import Member
from serinus.ports.store import StoredAnswer, Tenant, Token

__all__ = ["SqlIdempotency", "SqlSessions", "SqlTenants", "SqlTokens"]

#: Tokens, each with its member's columns under names of their own.
_OWNED = select(t.tokens, *(c.label(f"member_{c.name}") for c in t.members.c if c.name != "id")).join(
    t.members, t.members.c.id == t.tokens.c.member_id, isouter=True
)


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
        plain = {"role": token.role.value, "services": list(token.services)}
        await self._run(insert(t.tokens).values(**{**values, **plain}))

    async def by_digest(self, digest: str) -> tuple[Token, Member | None] | None:
        """Return the token with this digest and whose it is, whatever its tenant."""
        row = await self._one(_OWNED.where(t.tokens.c.digest == digest))
        return _owned(row) if row else None

    async def get(self, tenant_id: str, token_id: str) -> tuple[Token, Member | None] | None:
        """Return a token and whose it is."""
        mine = (t.tokens.c.tenant_id == tenant_id) & (t.tokens.c.id == token_id)
        row = await self._one(_OWNED.where(mine))
        return _owned(row) if row else None

    async def used(self, at: Mapping[str, datetime]) -> None:
        """Remember by id when tokens were last used."""
        c = t.tokens.c
        for token_id, when in at.items():
            older = (c.id == token_id) & (c.last_used_at.is_(None) | (c.last_used_at < when))
            await self._run(update(t.tokens).where(older).values(last_used_at=when))

    async def all(self, tenant_id: str) -> Sequence[tuple[Token, Member | None]]:
        """Return a tenant's tokens, newest first, and whose they are."""
        mine = _OWNED.where(t.tokens.c.tenant_id == tenant_id)
        return [_owned(row) for row in await self._all(mine.order_by(t.tokens.c.created_at.desc()))]

    async def ending(self, after: datetime, before: datetime) -> Sequence[tuple[Token, Member | None]]:
        """Return every tenant's tokens that end in this time, and whose they are, but for revoked ones."""
        c = t.tokens.c
        soon = (c.expires_at > after) & (c.expires_at <= before) & c.revoked_at.is_(None)
        return [_owned(row) for row in await self._all(_OWNED.where(soon))]

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

    async def find(self, digest: str, now: datetime) -> tuple[Token, Member | None] | None:
        """Return the token behind a live session, and whose it is."""
        live = (t.sessions.c.digest == digest) & (t.sessions.c.expires_at > now) & ~t.sessions.c.once
        joined = _OWNED.join(t.sessions, t.sessions.c.token_id == t.tokens.c.id)
        row = await self._one(joined.where(live))
        return _owned(row) if row else None

    async def spend(self, digest: str, now: datetime) -> str | None:
        """Use up a one-time code: its token's id."""
        live = (t.sessions.c.digest == digest) & (t.sessions.c.expires_at > now) & t.sessions.c.once
        row = await self._one(delete(t.sessions).where(live).returning(t.sessions.c.token_id))
        await self._run(delete(t.sessions).where(t.sessions.c.expires_at <= now))
        return str(row[0]) if row else None

    async def drop(self, digest: str) -> None:
        """End a session."""
        await self._run(delete(t.sessions).where(t.sessions.c.digest == digest))


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
    values = {name: row._mapping[name] for name in Token.__dataclass_fields__}
    return Token(**{**values, "role": Role(row.role), "services": tuple(row.services)})


def _owned(row: Row[Any]) -> tuple[Token, Member | None]:
    return _token(row), member_of(row, "member_") if row.member_id else None
