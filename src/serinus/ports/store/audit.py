"""The audit log: a chain that shows when it was changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from serinus.ports.store.paging import Page

__all__ = ["Audit", "AuditEntry", "AuditHead"]


@dataclass(frozen=True, kw_only=True, slots=True)
class AuditEntry:
    """Who did what. ``outcome`` is ``ok`` or the kind of the error that refused it."""

    tenant_id: str
    at: datetime
    actor: str
    token_id: str
    action: str
    target: str
    outcome: str = "ok"
    request_id: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)
    id: int = 0
    #: Its number within the tenant, from 1 without gaps, and its hash (:mod:`serinus.core.chain`);
    #: the store gives both.
    seq: int = 0
    hash: str = ""

    @property
    def said(self) -> dict[str, Any]:
        """What the hash covers besides the moment and the number."""
        names = ("tenant_id", "actor", "token_id", "action", "target", "outcome", "request_id")
        return {name: getattr(self, name) for name in names} | {"data": dict(self.data)}


@dataclass(frozen=True, kw_only=True, slots=True)
class AuditHead:
    """The last entry of a tenant's audit log, kept beside the log."""

    #: How many entries there are.
    seq: int
    hash: str


class Audit(Protocol):
    """Who did what."""

    async def append(self, entry: AuditEntry) -> None:
        """Store an entry as the next of its tenant's chain, and move the head; writers take turns."""
        ...

    async def page(self, tenant_id: str, page: Page) -> tuple[Sequence[AuditEntry], int]:
        """Return a page, newest first, and the total; as fast at the end of a long log as at its start."""
        ...

    async def head(self, tenant_id: str) -> AuditHead:
        """Return the last entry's number and hash, as kept beside the log."""
        ...

    async def after(self, tenant_id: str, seq: int, limit: int) -> Sequence[AuditEntry]:
        """Return entries with numbers above ``seq``, oldest first."""
        ...
