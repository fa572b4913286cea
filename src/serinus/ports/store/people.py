"""Tenants, and who may come in: tokens and sessions; and calls that may be repeated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from serinus.core.model import Role
from serinus.ports.people import Member

__all__ = ["Idempotency", "Sessions", "StoredAnswer", "Tenant", "Tenants", "Token", "Tokens"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Tenant:
    """Whose rows these are."""

    id: str
    name: str
    created_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Token:
    """An API token. Only the SHA-256 of its secret is kept."""

    id: str
    tenant_id: str
    name: str
    role: Role
    #: Hex SHA-256 of the whole token.
    digest: str
    created_at: datetime
    created_by: str = ""
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    #: Whose it is; a tenant's first token, and those from before there were members, are nobody's.
    member_id: str | None = None
    #: Names of the only services that it is for; none: every one.
    services: tuple[str, ...] = ()
    #: To the minute or so.
    last_used_at: datetime | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredAnswer:
    """The answer to an earlier call with the same idempotency key."""

    fingerprint: str
    status: int
    body: Any


class Tenants(Protocol):
    """Tenants."""

    async def add(self, tenant: Tenant) -> None:
        """Store a new tenant."""
        ...

    async def get(self, tenant_id: str) -> Tenant | None:
        """Return a tenant by id."""
        ...

    async def all(self) -> Sequence[Tenant]:
        """Return every tenant, by name."""
        ...


class Tokens(Protocol):
    """API tokens."""

    async def add(self, token: Token) -> None:
        """Store a new token."""
        ...

    async def by_digest(self, digest: str) -> tuple[Token, Member | None] | None:
        """Return the token with this digest and whose it is, whatever its tenant: so a caller is found."""
        ...

    async def get(self, tenant_id: str, token_id: str) -> tuple[Token, Member | None] | None:
        """Return a token and whose it is."""
        ...

    async def used(self, at: Mapping[str, datetime]) -> None:
        """Remember by id when tokens were last used."""
        ...

    async def ending(self, after: datetime, before: datetime) -> Sequence[tuple[Token, Member | None]]:
        """Return every tenant's tokens that end in this time, and whose they are, but for revoked ones."""
        ...

    async def all(self, tenant_id: str) -> Sequence[tuple[Token, Member | None]]:
        """Return a tenant's tokens, newest first, and whose they are."""
        ...

    async def revoke(self, tenant_id: str, token_id: str, at: datetime) -> bool:
        """Revoke a token; ``False`` when the tenant has no such one."""
        ...


class Sessions(Protocol):
    """Dashboard sessions and one-time login codes, by the digest of their secret."""

    async def put(self, digest: str, token_id: str, expires_at: datetime, *, once: bool = False) -> None:
        """Store a session, or a code that works once."""
        ...

    async def find(self, digest: str, now: datetime) -> tuple[Token, Member | None] | None:
        """Return the token behind a live session, and whose it is."""
        ...

    async def spend(self, digest: str, now: datetime) -> str | None:
        """Use up a one-time code: its token's id, or ``None`` if it is unknown, used or expired."""
        ...

    async def drop(self, digest: str) -> None:
        """End a session."""
        ...


class Idempotency(Protocol):
    """Answers by idempotency key."""

    async def get(self, tenant_id: str, key: str) -> StoredAnswer | None:
        """Return the stored answer."""
        ...

    async def put(self, tenant_id: str, key: str, answer: StoredAnswer, at: datetime) -> None:
        """Store an answer. Raises ``StaleRevision`` when the key was used meanwhile."""
        ...

    async def prune(self, before: datetime) -> int:
        """Forget old ones."""
        ...
