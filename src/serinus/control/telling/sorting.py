"""What happens to a message between its claim and its delivery: grouped, summed up, or not needed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from serinus.control.context import Context
from serinus.control.telling import followups, messages
from serinus.ports.notify import Level
from serinus.ports.store import OutboxItem, OutboxState, Transaction

__all__ = ["sorted_out"]

#: An end waits for its beginning and looks again after so long.
AGAIN_SECONDS = 5.0


async def sorted_out(tx: Transaction, context: Context, item: OutboxItem) -> OutboxItem:
    """Return a claimed message as it is to be delivered. In another state than pending, or later, it is not.

    A message that somebody may have sent before is left as it is: a second copy must be the same.
    """
    kind = item.payload.get("kind")
    if item.lease_owner is not None or item.attempts or kind not in ("warning", "summary", "resolved"):
        return item
    others = [
        i
        for i in await tx.outbox.of(item.tenant_id, item.deployment_id)
        if (i.kind, i.channel) == (item.kind, item.channel) and i.id != item.id
    ]
    if kind == "warning":
        return await _grouped(tx, context, item, others)
    if kind == "summary":
        return await _summed_up(tx, context, item, others)
    undoing = await tx.compensations.of(item.tenant_id, item.deployment_id)
    if any(one.is_open and not one.by_hand for one in undoing):
        # What is left undone is not over.
        later = context.clock.now() + timedelta(seconds=context.desk.plan.resolve_seconds)
        return replace(item, next_attempt_at=later)
    return _needed(context, item, others)


async def _grouped(
    tx: Transaction, context: Context, item: OutboxItem, others: Sequence[OutboxItem]
) -> OutboxItem:
    """Take the other warnings in that are due: they are told by this one."""
    now = context.clock.now()
    due = [
        i
        for i in others
        if i.state is OutboxState.PENDING
        and i.payload.get("kind") == "warning"
        and i.lease_owner is None
        and not i.attempts
        and (i.next_attempt_at or i.created_at) <= now
    ]
    if not due:
        return item
    told = followups.together([messages.from_json(i.payload) for i in (item, *due)])
    for one in due:
        error = f"told together with {item.id}"
        await tx.outbox.settle(replace(one, state=OutboxState.GROUPED, error=error, done_at=now))
    return await _kept(tx, replace(item, payload={**item.payload, **messages.to_json(told)}))


async def _summed_up(
    tx: Transaction, context: Context, item: OutboxItem, others: Sequence[OutboxItem]
) -> OutboxItem:
    """Write what was held back into its summary."""
    held = [i for i in others if i.state is OutboxState.HELD and i.payload.get("summary") == item.id]
    if not held:
        return item
    limit = context.desk.plan.limit
    told = followups.held_summary(
        [messages.from_json(i.payload) for i in held],
        id=item.id,
        at=context.clock.now(),
        limit=limit.count,
        seconds=limit.seconds,
    )
    return await _kept(tx, replace(item, payload={**item.payload, **messages.to_json(told)}))


def _needed(context: Context, item: OutboxItem, others: Sequence[OutboxItem]) -> OutboxItem:
    """Let an end wait for its beginning; drop it where the beginning was never told."""
    now = context.clock.now()
    bad = [
        i
        for i in others
        if i.created_at <= item.created_at
        and Level(i.payload.get("level", "info")).rank >= Level.WARNING.rank
    ]
    if any(i.state is OutboxState.SENT for i in bad):
        return item
    if any(i.state is OutboxState.PENDING for i in bad):
        return replace(item, next_attempt_at=now + timedelta(seconds=AGAIN_SECONDS))
    error = "nothing to resolve: what it would end was never delivered"
    return replace(item, state=OutboxState.OFF, error=error, done_at=now)


async def _kept(tx: Transaction, item: OutboxItem) -> OutboxItem:
    """Store the payload that is sent from now on, and keep the lease."""
    await tx.outbox.amend(item, leased=True)
    return item
