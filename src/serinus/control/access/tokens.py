"""Tenants, tokens and dashboard sessions. A secret is shown once and kept only as its SHA-256."""

from __future__ import annotations

import hashlib
import logging
import re
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from serinus.control.access.members import find_member
from serinus.control.context import Caller, Context, new_id, stamp
from serinus.control.unit import Answer, Call, execute
from serinus.core.errors import InvalidInput, NotFound, Unauthenticated
from serinus.core.model import Role
from serinus.ports.people import Member
from serinus.ports.store import Tenant, Token, Transaction

__all__ = ["Access", "NewToken", "digest"]

log = logging.getLogger("serinus.access")

#: A token that was seen alive is taken for alive for so long by :meth:`Access.known_caller`.
KNOWN_SECONDS = 1.0
MAX_KNOWN = 1000
SESSION_HOURS = 12
CODE_MINUTES = 15
NAME = re.compile(r"(?=.{1,120}\Z)[A-Za-z0-9][A-Za-z0-9_. /:@+-]*")
#: A token that ends sooner is warned of.
WARN_DAYS = 7


def digest(secret: str) -> str:
    """Return the hex SHA-256 of a secret. Secrets are 192 random bits, so no salt or stretching is needed."""
    return hashlib.sha256(secret.encode()).hexdigest()


@dataclass(frozen=True, kw_only=True, slots=True)
class NewToken:
    """What a token is to be."""

    name: str
    role: Role
    #: ``None``: it never ends.
    expires_at: datetime | None = None
    #: Id or name of the member whose it is; empty: nobody's.
    member: str = ""
    #: Ids or names of the only services that it is for; none: every one.
    services: tuple[str, ...] = ()


class Access:
    """Who may come in."""

    def __init__(self, context: Context) -> None:
        """Keep what the calls share."""
        self._context = context
        #: Digest → caller, when it was looked up, and the tenant's bell then.
        self._known: dict[str, tuple[Caller, float, int]] = {}
        #: Token id → when it was last seen to be live, and the tenant's bell then.
        self._checked: dict[str, tuple[float, int]] = {}
        #: Token id → when it was last used, as far as the store does not know yet.
        self._used: dict[str, datetime] = {}
        #: Token id → when its end was last warned of.
        self._warned: dict[str, datetime] = {}

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
        secret, token = _fresh(tenant.id, NewToken(name="first admin", role=Role.ADMIN), now, "bootstrap")
        await tx.tokens.add(token)
        return secret

    async def caller(self, secret: str, request_id: str = "") -> Caller:
        """Return who holds this token.

        Raises:
            Unauthenticated: It is unknown, revoked or expired.
        """
        async with self._context.store.begin(write=False) as tx:
            found = await tx.tokens.by_digest(digest(secret))
        return self._live(found, request_id)

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

    async def ensure_live(self, caller: Caller) -> None:
        """Refuse a caller whose token has ended since; asks the store at most once a second per token.

        Raises:
            Unauthenticated: It was revoked, or has expired.
        """
        now, rung = self._context.clock.monotonic(), self._context.bell.count(caller.tenant_id)
        at, heard = self._checked.get(caller.token_id, (-KNOWN_SECONDS, -1))
        if now - at < KNOWN_SECONDS and heard == rung:
            return
        async with self._context.store.begin(write=False) as tx:
            self._live(await tx.tokens.get(caller.tenant_id, caller.token_id), caller.request_id)
        if len(self._checked) >= MAX_KNOWN:
            self._checked.clear()
        self._checked[caller.token_id] = (now, rung)

    def _live(self, found: tuple[Token, Member | None] | None, request_id: str) -> Caller:
        """Return who that is. Which check failed is nobody's business who has no live token."""
        now = self._context.clock.now()
        token, owner = found or (None, None)
        role = token.role.within(owner.role) if token and owner else token.role if token else None
        # An owner who was removed in the instant in which the token was made counts, too.
        ended = token is None or token.revoked_at or (token.expires_at and token.expires_at <= now)
        if token is None or ended or role is None or (owner and owner.removed_at):
            raise Unauthenticated(
                "This token is not known here, or no longer live.",
                next_step="Send `Authorization: Bearer TOKEN` with a live token; an admin can make one.",
            )
        self._used[token.id] = now
        return Caller(
            tenant_id=token.tenant_id,
            name=owner.name if owner else token.name,
            role=role,
            token_id=token.id,
            request_id=request_id,
            services=frozenset(token.services),
            expires_at=token.expires_at,
            member_id=token.member_id,
        )

    def warning(self, caller: Caller) -> str:
        """Return when a caller's token ends, if that is soon."""
        soon = self._context.clock.now() + timedelta(days=WARN_DAYS)
        return (stamp(caller.expires_at) or "") if caller.expires_at and caller.expires_at <= soon else ""

    async def create(self, call: Call, new: NewToken) -> Answer:
        """Make a token; the answer is the only place where its secret is ever shown.

        Raises:
            InvalidInput: Its name is none, its owner may not do so much, or there is no such service.
            NotFound: There is no such member.
        """
        if not NAME.fullmatch(new.name):
            raise InvalidInput(
                "A token's name begins with a letter or digit and has 1 to 120 of A-Z a-z 0-9 _ . / : @ + - "
                "and spaces.",
                field="name",
                next_step="Name it by what it is for, such as laptop or pipeline.",
            )
        shown: list[str] = []

        async def work(tx: Transaction) -> tuple[int, Any]:
            owner = await find_member(tx, call.caller.tenant_id, new.member) if new.member else None
            if owner and not owner.role.reaches(new.role):
                raise InvalidInput(
                    f"{owner.name} is {owner.role.value}: no token of theirs can be {new.role.value}.",
                    field="role",
                    next_step="Give the token a lower role, or first the member a higher one.",
                )
            services = await _scope(tx, call, new)
            secret, token = _fresh(
                call.caller.tenant_id, new, self._context.clock.now(), call.caller.name, owner, services
            )
            await tx.tokens.add(token)
            shown.append(secret)
            return 201, self._view(token, owner)

        answer = await execute(self._context, call, work)
        if answer.replayed:  # the secret is not stored, so a replay cannot show it again
            return answer
        return Answer(status=answer.status, body={**answer.body, "token": shown[-1]})

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
            return [self._view(*found) for found in await tx.tokens.all(caller.tenant_id)]

    def _view(self, token: Token, owner: Member | None) -> dict[str, Any]:
        """Return a token as the API shows it."""
        used = [at for at in (self._used.get(token.id), token.last_used_at) if at]
        return {
            "token_id": token.id,
            "name": token.name,
            "role": token.role.value,
            "member_id": token.member_id,
            "member": owner.name if owner else None,
            "services": list(token.services),
            "state": _state(token, self._context.clock.now()),
            "created_at": stamp(token.created_at),
            "created_by": token.created_by,
            "expires_at": stamp(token.expires_at),
            "last_used_at": stamp(max(used, default=None)),
            "revoked_at": stamp(token.revoked_at),
        }

    async def tidy(self) -> None:
        """Write down when tokens were last used, and warn in the log of those that end soon."""
        used, self._used = self._used, {}
        now = self._context.clock.now()
        try:
            async with self._context.store.begin() as tx:
                await tx.tokens.used(used)
        except BaseException:
            self._used = {**used, **self._used}  # written the next time
            raise
        async with self._context.store.begin(write=False) as tx:
            ending = await tx.tokens.ending(now, now + timedelta(days=WARN_DAYS))
        for token, owner in ending:
            told = self._warned.get(token.id)
            if told is None or now - told >= timedelta(days=1):
                self._warned[token.id] = now
                log.warning(
                    "a token ends soon",
                    extra={
                        "action": "token.expiring",
                        "token": token.id,
                        "token_name": token.name,
                        "member": owner.name if owner else "",
                        "expires_at": stamp(token.expires_at),
                    },
                )

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
            found = await tx.sessions.find(digest(secret), self._context.clock.now())
        return self._live(found, request_id)

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


def _state(token: Token, now: datetime) -> str:
    ends = token.expires_at
    if token.revoked_at:
        return "revoked"
    if ends and ends <= now:
        return "expired"
    return "expiring" if ends and ends <= now + timedelta(days=WARN_DAYS) else "live"


def _fresh(
    tenant_id: str,
    new: NewToken,
    now: datetime,
    by: str,
    owner: Member | None = None,
    services: tuple[str, ...] = (),
) -> tuple[str, Token]:
    secret = f"srn_{secrets.token_urlsafe(24)}"
    token = Token(
        id=new_id("tok"),
        tenant_id=tenant_id,
        name=new.name,
        role=new.role,
        digest=digest(secret),
        created_at=now,
        created_by=by,
        expires_at=new.expires_at,
        member_id=owner.id if owner else None,
        services=services,
    )
    return secret, token


async def _scope(tx: Transaction, call: Call, new: NewToken) -> tuple[str, ...]:
    """Return the names of the services that a token is for.

    Raises:
        InvalidInput: There is no such service, or the role manages all of them.
    """
    if new.services and new.role is Role.ADMIN:
        raise InvalidInput(
            "An admin manages the whole tenant: such a token cannot be for some services only.",
            field="services",
            next_step="Leave `services` out, or choose a lower role.",
        )
    names = []
    for given in new.services:
        service = await tx.services.get(call.caller.tenant_id, given)
        if service is None:
            raise InvalidInput(
                f"There is no service {given[:80]!r}.",
                field="services",
                next_step="GET /api/v1/services lists yours.",
            )
        names.append(service.name)
    return tuple(sorted(set(names)))
