"""Tenants, tokens and dashboard sessions. A secret is shown once and kept only as its SHA-256."""

from __future__ import annotations

import hashlib
import secrets
from datetime import datetime, timedelta
from typing import Any

from serinus.control.context import Caller, Context, new_id, stamp
from serinus.control.unit import Answer, Call, execute
from serinus.core.errors import NotFound, Unauthenticated
from serinus.core.model import Role
from serinus.ports.store import Tenant, Token, Transaction

__all__ = ["Access", "digest"]

#: A token that was seen alive is taken for alive for so long by :meth:`Access.known_caller`.
KNOWN_SECONDS = 1.0
MAX_KNOWN = 1000
SESSION_HOURS = 12
CODE_MINUTES = 15


def digest(secret: str) -> str:
    """Return the hex SHA-256 of a secret. Secrets are 192 random bits, so no salt or stretching is needed."""
    return hashlib.sha256(secret.encode()).hexdigest()


class Access:
    """Who may come in."""

    def __init__(self, context: Context) -> None:
        """Keep what the calls share."""
        self._context = context
        #: Digest → caller, when it was looked up, and the tenant's bell then.
        self._known: dict[str, tuple[Caller, float, int]] = {}

    async def bootstrap(self, tenant_name: str = "default") -> str | None:
        """Make the first tenant and its admin token; return the token, or ``None`` if there is a tenant."""
        async with self._context.store.begin() as tx:
            if await tx.tenants.all():
                return None
            return await self.add_tenant(tx, tenant_name)

    async def add_tenant(self, tx: Transaction, name: str) -> str:
        """Make a tenant with an admin token; return the token."""
        now = self._context.clock.now()
        tenant = Tenant(id=new_id("ten"), name=name, created_at=now)
        await tx.tenants.add(tenant)
        secret, token = _fresh(tenant.id, "first admin", Role.ADMIN, now, "bootstrap", None)
        await tx.tokens.add(token)
        return secret

    async def caller(self, secret: str, request_id: str = "") -> Caller:
        """Return who holds this token.

        Raises:
            Unauthenticated: It is unknown, revoked or expired.
        """
        async with self._context.store.begin(write=False) as tx:
            token = await tx.tokens.by_digest(digest(secret))
        return self._live(token, request_id)

    async def known_caller(self, secret: str, request_id: str = "") -> Caller:
        """Return who holds this token, asking the store at most once a second per token.

        A token revoked in this process is refused at once; one revoked by another replica, or one that
        expires, within a second.

        Raises:
            Unauthenticated: It is unknown, revoked or expired.
        """
        key = digest(secret)
        now, bell = self._context.clock.monotonic(), self._context.bell
        known = self._known.get(key)
        if known is not None:
            caller, at, rung = known
            if now - at < KNOWN_SECONDS and bell.count(caller.tenant_id) == rung:
                return caller
            del self._known[key]
        caller = await self.caller(secret, request_id)
        if len(self._known) >= MAX_KNOWN:
            self._known.clear()
        self._known[key] = (caller, now, bell.count(caller.tenant_id))
        return caller

    def _live(self, token: Token | None, request_id: str) -> Caller:
        help_ = "Send `Authorization: Bearer TOKEN` with a live token; an admin can make one."
        if token is None:
            raise Unauthenticated("This token is not known.", next_step=help_)
        if token.revoked_at:
            raise Unauthenticated("This token was revoked.", next_step=help_)
        if token.expires_at and token.expires_at <= self._context.clock.now():
            raise Unauthenticated("This token has expired.", next_step=help_)
        return Caller(
            tenant_id=token.tenant_id,
            name=token.name,
            role=token.role,
            token_id=token.id,
            request_id=request_id,
        )

    async def create(self, call: Call, name: str, role: Role, expires_at: datetime | None) -> Answer:
        """Make a token; the answer is the only place where its secret is ever shown."""
        now = self._context.clock.now()
        secret, token = _fresh(call.caller.tenant_id, name, role, now, call.caller.name, expires_at)

        async def work(tx: Transaction) -> tuple[int, Any]:
            await tx.tokens.add(token)
            return 201, token_view(token)

        answer = await execute(self._context, call, work)
        if answer.replayed:  # the secret is not stored, so a replay cannot show it again
            return answer
        return Answer(status=answer.status, body={**answer.body, "token": secret})

    async def revoke(self, call: Call, token_id: str) -> Answer:
        """End a token at once."""

        async def work(tx: Transaction) -> tuple[int, Any]:
            if not await tx.tokens.revoke(call.caller.tenant_id, token_id, self._context.clock.now()):
                raise NotFound(
                    f"There is no token {token_id[:80]!r}.", next_step="GET /api/v1/tokens lists yours."
                )
            return 204, None

        return await execute(self._context, call, work)

    async def all(self, caller: Caller) -> list[dict[str, Any]]:
        """List the tenant's tokens, without secrets. Admins only."""
        caller.must_reach(Role.ADMIN)
        async with self._context.store.begin(write=False) as tx:
            return [token_view(t) for t in await tx.tokens.all(caller.tenant_id)]

    # -- dashboard ------------------------------------------------------------------------------

    async def login_code(self, caller: Caller) -> str:
        """Return a code that opens one dashboard session within minutes."""
        return await self._put(caller.token_id, timedelta(minutes=CODE_MINUTES), once=True)

    async def open_session(self, caller: Caller) -> str:
        """Return the secret of a new dashboard session."""
        return await self._put(caller.token_id, timedelta(hours=SESSION_HOURS), once=False)

    async def spend_code(self, code: str) -> str:
        """Turn a one-time code into a session's secret.

        Raises:
            Unauthenticated: The code is unknown, used or too old.
        """
        async with self._context.store.begin() as tx:
            token_id = await tx.sessions.spend(digest(code), self._context.clock.now())
        if token_id is None:
            raise Unauthenticated(
                "This login link was used already or is too old.", next_step="Sign in with your token."
            )
        return await self._put(token_id, timedelta(hours=SESSION_HOURS), once=False)

    async def session(self, secret: str, request_id: str = "") -> Caller:
        """Return who holds this session."""
        async with self._context.store.begin(write=False) as tx:
            token = await tx.sessions.find(digest(secret), self._context.clock.now())
        return self._live(token, request_id)

    async def close_session(self, secret: str) -> None:
        """End a session."""
        async with self._context.store.begin() as tx:
            await tx.sessions.drop(digest(secret))

    async def _put(self, token_id: str, lifetime: timedelta, *, once: bool) -> str:
        secret = secrets.token_urlsafe(24)
        until = self._context.clock.now() + lifetime
        async with self._context.store.begin() as tx:
            await tx.sessions.put(digest(secret), token_id, until, once=once)
        return secret


def token_view(token: Token) -> dict[str, Any]:
    """Return a token as the API shows it."""
    return {
        "token_id": token.id,
        "name": token.name,
        "role": token.role.value,
        "created_at": stamp(token.created_at),
        "created_by": token.created_by,
        "expires_at": stamp(token.expires_at),
        "revoked_at": stamp(token.revoked_at),
    }


def _fresh(
    tenant_id: str, name: str, role: Role, now: datetime, by: str, expires_at: datetime | None
) -> tuple[str, Token]:
    secret = f"srn_{secrets.token_urlsafe(24)}"
    token = Token(
        id=new_id("tok"),
        tenant_id=tenant_id,
        name=name,
        role=role,
        digest=digest(secret),
        created_at=now,
        created_by=by,
        expires_at=expires_at,
    )
    return secret, token
