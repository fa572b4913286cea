"""Who calls, and what everything in the control plane shares."""

from __future__ import annotations

import asyncio
import secrets
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from serinus.control.desk import Desk
from serinus.core.errors import Forbidden, NotFound, SerinusError
from serinus.core.model import Role
from serinus.ports.assignments import Assignments
from serinus.ports.clock import Clock
from serinus.ports.hooks import HookCaller
from serinus.ports.store import Store, Transaction

__all__ = ["Bell", "Caller", "Context", "new_id", "page_of", "stamp"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Caller:
    """Who makes a call: a token, seen through its tenant and role."""

    tenant_id: str
    name: str
    role: Role
    token_id: str = ""
    request_id: str = ""
    #: Names of the only services that the token is for; none: every one.
    services: frozenset[str] = frozenset()
    #: When the token ends.
    expires_at: datetime | None = None
    member_id: str | None = None

    def must_reach(self, needed: Role) -> None:
        """Refuse a role that does not reach.

        Raises:
            Forbidden: The error names both roles.
        """
        if not self.role.reaches(needed):
            raise Forbidden(
                f"This needs the role {needed.value}; your token has {self.role.value}.",
                next_step="Ask an admin for a token with that role.",
                extra={"role": self.role.value, "needed": needed.value},
            )

    def sees(self, service: str) -> bool:
        """Tell whether the token is for the service of this name."""
        return not self.services or service in self.services

    def must_see(self, service: str) -> None:
        """Refuse what is of another service than the token is for.

        Raises:
            Forbidden: The error names the services that it is for.
        """
        if not self.sees(service):
            raise self.missing(NotFound())

    def missing(self, refusal: NotFound) -> SerinusError:
        """Return what to say of something that is not there, or not for this token: the same of both."""
        if not self.services:
            return refusal
        names = ", ".join(sorted(self.services))
        return Forbidden(
            f"Your token is for {names} only, and this is not of {names}.",
            next_step="Ask an admin for a token for that service.",
            extra={"services": sorted(self.services)},
        )


def new_id(prefix: str) -> str:
    """Return a fresh id like ``dep_3f9a61b2c04d``."""
    return f"{prefix}_{secrets.token_hex(6)}"


def stamp(moment: datetime | None) -> str | None:
    """Return a time as the API writes it: RFC 3339 in UTC, or ``None``."""
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z") if moment else None


class Bell:
    """Wakes whoever waits for a tenant's changes inside this process."""

    def __init__(self) -> None:
        """Start with nothing rung."""
        self._counts: dict[str, int] = defaultdict(int)
        self._events: dict[str, asyncio.Event] = {}

    def ring(self, tenant_id: str) -> None:
        """Tell everybody who waits that something of this tenant changed."""
        self._counts[tenant_id] += 1
        event = self._events.pop(tenant_id, None)
        if event:
            event.set()

    def count(self, tenant_id: str) -> int:
        """Return how often it rang."""
        return self._counts[tenant_id]

    async def wait(self, tenant_id: str, seen: int, timeout: float) -> int:
        """Return the count as soon as it is above ``seen``, or after ``timeout`` seconds."""
        if self._counts[tenant_id] <= seen:
            event = self._events.setdefault(tenant_id, asyncio.Event())
            try:
                async with asyncio.timeout(timeout):
                    await event.wait()
            except TimeoutError:
                pass  # other replicas ring elsewhere: the caller looks again
        return self._counts[tenant_id]


def _in_the_store(tx: Transaction) -> Assignments:
    return tx.assignments


def page_of(public_url: str, deployment_id: str) -> str:
    """Return the page of a deployment, or nothing when the dashboard's address is unknown."""
    return f"{public_url.rstrip('/')}/deployments/{deployment_id}" if public_url else ""


@dataclass(kw_only=True, slots=True)
class Context:
    """What commands, the monitor and the views share."""

    store: Store
    clock: Clock
    bell: Bell = field(default_factory=Bell)
    #: Set to make the monitor look at once.
    poke: asyncio.Event = field(default_factory=asyncio.Event)
    #: Set to make the outbox relay look at once.
    post: asyncio.Event = field(default_factory=asyncio.Event)
    #: Set to make the relay of hooks look at once.
    call: asyncio.Event = field(default_factory=asyncio.Event)
    #: Names of the notification channels that are configured.
    channels: tuple[str, ...] = ()
    #: Which of them are told what, where and when.
    desk: Desk = field(default_factory=Desk)
    #: Where people reach the dashboard, for links in messages; empty when unknown.
    public_url: str = ""
    #: Width of evidence windows in seconds.
    window_seconds: int = 10
    replica: str = "embedded"
    #: Calls hooks; ``None`` where nothing does.
    hooks: HookCaller | None = None
    #: Who has been on the canary, as a transaction sees it; elsewhere it is no part of the transaction.
    assignments: Callable[[Transaction], Assignments] = _in_the_store

    def link(self, deployment_id: str) -> str:
        """Return the page of a deployment, or nothing when our address is unknown."""
        return page_of(self.public_url, deployment_id)
