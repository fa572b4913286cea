"""How long a rollback took: from its decision until every proxy was read back, and who is told.

A rollback's message waits a moment for that. Where proxies follow later, a second message says when;
where they do not, a critical one says which.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from serinus.control.context import Context
from serinus.control.telling import followups, messages
from serinus.control.telling.writing import told_items, write_told
from serinus.core.model import Deployment, Service
from serinus.ports.notify import Level
from serinus.ports.store import Transaction
from serinus.ports.traffic import Carried

__all__ = ["OVERDUE_SECONDS", "awaited", "expect", "settle"]

#: After so long without a read-back, users may still be on a bad version: that is critical.
OVERDUE_SECONDS = 15.0


def _key(service_id: str) -> str:
    return f"readback:{service_id}"


async def expect(tx: Transaction, service: Service, d: Deployment) -> None:
    """Note that a rollback has been decided and has to be read back."""
    await tx.sources.set_cursor(_key(service.id), {"deployment_id": d.id, "warned": False})


async def awaited(tx: Transaction, d: Deployment) -> bool:
    """Tell whether a rollback has not been read back from every proxy yet."""
    noted = await tx.sources.cursor(_key(d.service_id)) or {}
    return noted.get("deployment_id") == d.id


async def settle(
    tx: Transaction, context: Context, service: Service, carried: Carried, asked_at: datetime
) -> float | None:
    """Take a read-back into account that was asked for at ``asked_at``.

    Returns:
        The seconds that the rollback took, when this read-back is the one that ends it.
    """
    noted = await tx.sources.cursor(_key(service.id)) or {}
    if not noted.get("deployment_id"):
        return None
    d = await tx.deployments.get(service.tenant_id, noted["deployment_id"])
    if d is None or d.ended_at is None:
        await tx.sources.set_cursor(_key(service.id), {})
        return None
    if asked_at < d.ended_at:
        return None  # it was asked before the decision
    took = max(0.0, (context.clock.now() - d.ended_at).total_seconds())
    if carried.acknowledged:
        await tx.sources.set_cursor(_key(service.id), {})
        await _tell_took(tx, context, d, took)
        return took
    if took >= OVERDUE_SECONDS and not noted.get("warned"):
        await tx.sources.set_cursor(_key(service.id), {**noted, "warned": True})
        await write_told(
            tx,
            context,
            d,
            "not_carried",
            Level.CRITICAL,
            lambda about: followups.not_carried_alert(problems=carried.problems, since=took, **about),
        )
    return None


async def _tell_took(tx: Transaction, context: Context, d: Deployment, took: float) -> None:
    """Put the seconds into messages that wait; follow up those that did not."""
    now = context.clock.now()
    late = []
    for item in await told_items(tx, d, "rollback"):
        told = followups.with_took(messages.from_json(item.payload), took)
        payload: dict[str, Any] = {**item.payload, **messages.to_json(told)}
        waits = item.next_attempt_at is not None and item.next_attempt_at > now and not item.attempts
        changed = replace(item, payload=payload, next_attempt_at=now if waits else item.next_attempt_at)
        if not await tx.outbox.amend(changed):
            late.append(item.channel)
    desk = context.desk
    if late:
        await write_told(
            tx,
            context,
            d,
            "carried",
            Level.INFO,
            lambda about: followups.carried_alert(stable=d.stable_version, took=took, **about),
            only=[name for name in late if not desk.of(name).resolves],
        )
    await write_told(
        tx,
        context,
        d,
        "resolved",
        Level.INFO,
        lambda about: followups.resolved_alert(why="rollback", stable=d.stable_version, **about),
        only=[name for name in context.channels if desk.of(name).resolves],
        due=now + timedelta(seconds=desk.plan.resolve_seconds),
    )
    context.post.set()
