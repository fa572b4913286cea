"""The audit log: read, its head kept elsewhere, its chain gone over."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from serinus.control.context import Caller, Context, stamp
from serinus.core.chain import GENESIS, link
from serinus.core.model import Role
from serinus.ports.store import AuditEntry, AuditHead, Page, Store

__all__ = ["AuditLog", "Broken", "Verified", "verify"]

log = logging.getLogger("serinus.audit")

#: The head is written to the server's log this often, if it has moved: logs are kept elsewhere.
ANCHOR_EVERY = timedelta(hours=1)
#: Entries read at once while the chain is gone over.
CHUNK = 5000
#: Below every number: entries that somebody put before the first one are found, too.
LOWEST = -(2**62)


class AuditLog:
    """Who did what. Admins read it."""

    def __init__(self, context: Context) -> None:
        """Keep what the calls share."""
        self._context = context
        #: Tenant → the head that was written to the log last, and when.
        self._anchored: dict[str, tuple[int, datetime]] = {}

    async def page(self, caller: Caller, page: Page) -> dict[str, Any]:
        """Return who did what, newest first."""
        caller.must_reach(Role.ADMIN)
        async with self._context.store.begin(write=False) as tx:
            found, total = await tx.audit.page(caller.tenant_id, page)
        entries = [_view(entry) for entry in found]
        return {"audit": entries, "total": total, "page": page.number, "page_size": page.size}

    async def head(self, caller: Caller) -> dict[str, Any]:
        """Return the last entry's number and hash, to be kept where nobody who can change the log can."""
        caller.must_reach(Role.ADMIN)
        async with self._context.store.begin(write=False) as tx:
            tenant = await tx.tenants.get(caller.tenant_id)
            head = await tx.audit.head(caller.tenant_id)
        name = tenant.name if tenant else ""
        return {"tenant": name, "seq": head.seq, "hash": head.hash, "at": stamp(self._context.clock.now())}

    async def anchor(self) -> None:
        """Write each tenant's head to the server's log, once an hour and only when it has moved."""
        now = self._context.clock.now()
        async with self._context.store.begin(write=False) as tx:
            heads = [(t, await tx.audit.head(t.id)) for t in await tx.tenants.all()]
        for tenant, head in heads:
            seq, at = self._anchored.get(tenant.id, (0, now - ANCHOR_EVERY))
            if head.seq != seq and now - at >= ANCHOR_EVERY:
                self._anchored[tenant.id] = (head.seq, now)
                told = {"action": "audit.head", "tenant": tenant.name, "seq": head.seq, "hash": head.hash}
                log.info("head of the audit log", extra=told)


def _view(e: AuditEntry) -> dict[str, Any]:
    return {
        "audit_id": e.id,
        "seq": e.seq,
        "at": stamp(e.at),
        "actor": e.actor,
        "token_id": e.token_id,
        "action": e.action,
        "target": e.target,
        "outcome": e.outcome,
        "request_id": e.request_id,
        "data": dict(e.data),
        "hash": e.hash,
    }


@dataclass(frozen=True, kw_only=True, slots=True)
class Broken:
    """Where the log first does not fit."""

    #: Number of the entry.
    seq: int
    why: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Verified:
    """What going over one tenant's log has found."""

    tenant: str
    head: AuditHead
    broken: Broken | None = None


async def verify(store: Store, kept: Mapping[str, AuditHead] | None = None) -> Sequence[Verified]:
    """Go over every tenant's chain.

    Args:
        store: Where the log is; it may be written to meanwhile.
        kept: Heads that were kept elsewhere, by the tenant's name: the log must still lead to them.
    """
    heads = dict(kept or {})
    async with store.begin(write=False) as tx:
        tenants = await tx.tenants.all()
    found = [await _verified(store, t.id, t.name, heads.pop(t.name, None)) for t in tenants]
    gone = Broken(seq=1, why="the tenant is gone, and its whole log with it")
    return [
        *found,
        *(Verified(tenant=name, head=head, broken=gone) for name, head in heads.items() if head.seq),
    ]


async def _verified(store: Store, tenant_id: str, name: str, kept: AuditHead | None) -> Verified:
    last = AuditHead(seq=0, hash=GENESIS)

    def broken(seq: int, why: str) -> Verified:
        return Verified(tenant=name, head=last, broken=Broken(seq=seq, why=why))

    while True:
        async with store.begin(write=False) as tx:
            entries = await tx.audit.after(tenant_id, last.seq or LOWEST, CHUNK)
        for entry in entries:
            why = _misfit(last, entry)
            if not why and kept and entry.seq == kept.seq and entry.hash != kept.hash:
                why = f"its hash is {entry.hash[:12]}…, and {kept.hash[:12]}… was kept elsewhere"
            if why:
                return broken(last.seq + 1, why)
            last = AuditHead(seq=entry.seq, hash=entry.hash)
        if entries:
            continue
        # Read after the entries, so that entries which were added meanwhile cannot seem to be missing.
        async with store.begin(write=False) as tx:
            head = await tx.audit.head(tenant_id)
            more = await tx.audit.after(tenant_id, last.seq, 1)
        if not more:
            break
    if kept and kept.seq > last.seq:
        return broken(
            last.seq + 1, f"missing: the log ends here, and a head of {kept.seq} was kept elsewhere"
        )
    if head.seq > last.seq:
        return broken(last.seq + 1, f"missing: the log ends here, and has had {head.seq} entries")
    if head != last:
        return broken(last.seq, f"it is not the {head.seq}th and last entry that the tenant's row tells of")
    return Verified(tenant=name, head=last)


def _misfit(last: AuditHead, entry: AuditEntry) -> str:
    """Return why an entry does not follow the one before; nothing when it does."""
    if entry.seq <= last.seq:
        return f"entry {entry.seq}, which the log never had, was put before it"
    if entry.seq != last.seq + 1:
        return f"missing: after {last.seq} comes {entry.seq}"
    if link(last.hash, entry.seq, entry.at, entry.said) != entry.hash:
        return "it, or the hash before it, was changed after it was written"
    return ""
