"""The tenant's freezes: times in which none of its services, or some of them, are rolled out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from serinus.control.context import Caller, Context, stamp
from serinus.control.unit import Answer, Call, execute
from serinus.core.errors import NotFound
from serinus.core.freeze import frozen
from serinus.core.model import Role
from serinus.core.policy.freezing import holds_service
from serinus.core.policy.tenant_freezes import tenant_freeze_from, window_words, windows_on
from serinus.core.strategy import TenantFreeze
from serinus.ports.store import Transaction

__all__ = ["FreezeCalendars", "freezes_on"]


class FreezeCalendars:
    """Set, list and remove a tenant's freezes. The monitor asks for them at every look."""

    def __init__(self, context: Context) -> None:
        """Keep what the calls share."""
        self._context = context

    async def put(self, call: Call, name: str, data: Mapping[str, Any]) -> Answer:
        """Set a freeze, in place of one of that name."""

        async def work(tx: Transaction) -> tuple[int, Any]:
            now = self._context.clock.now()
            freeze = tenant_freeze_from(name, data, by=call.caller.name, at=now)
            known = await tx.freezes.put(call.caller.tenant_id, freeze)
            return 200 if known else 201, _view(freeze, now)

        return await execute(self._context, replace(call, data={**call.data, **data}), work)

    async def remove(self, call: Call, name: str) -> Answer:
        """Take a freeze out."""

        async def work(tx: Transaction) -> tuple[int, Any]:
            if not await tx.freezes.remove(call.caller.tenant_id, name):
                raise NotFound(
                    f"There is no freeze {name[:80]!r}.", next_step="`serinus freeze list` lists yours."
                )
            return 204, None

        return await execute(self._context, call, work)

    async def list(self, caller: Caller) -> dict[str, Any]:
        """List the tenant's freezes, by name, and which is on."""
        caller.must_reach(Role.VIEWER)
        now = self._context.clock.now()
        async with self._context.store.begin(write=False) as tx:
            found = await tx.freezes.all(caller.tenant_id)
        return {"freezes": [_view(freeze, now) for freeze in found], "total": len(found)}


def freezes_on(freezes: Iterable[TenantFreeze], service: str, now: datetime) -> list[dict[str, Any]]:
    """Return the freezes that hold a service now."""
    meant = [f for f in freezes if holds_service(f, service)]
    on = [one for f in meant if (one := frozen(windows_on(f), now)) is not None]
    return [{"name": f.name, "frozen_until": stamp(f.until), "sentence": f.sentence} for f in on]


def _view(freeze: TenantFreeze, now: datetime) -> dict[str, Any]:
    on = frozen(windows_on(freeze), now)
    window = freeze.calendar.windows[0]
    return {
        "name": freeze.name,
        "from": window.begins,
        "until": window.ends,
        "days": list(window.days),
        "zone": freeze.calendar.zone,
        "services": list(freeze.services),
        "reason": freeze.reason,
        "words": window_words(freeze),
        "on": on is not None,
        "frozen_until": stamp(on.until) if on else None,
        "created_by": freeze.created_by,
        "created_at": stamp(freeze.created_at),
    }
