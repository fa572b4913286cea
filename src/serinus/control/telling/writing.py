"""Writing messages into the outbox: to whom, in which language, and whether now or later."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from serinus.control.context import Context, new_id
from serinus.control.desk import Addressee, Subject
from serinus.control.telling import followups, messages
from serinus.core.model import Deployment
from serinus.ports.notify import Level, Notification
from serinus.ports.store import OutboxItem, OutboxState, Transaction

__all__ = ["READBACK_SECONDS", "over", "tell", "told_items", "write_told"]

#: A rollback's message waits so long for the read-back, which usually takes a few hundredths.
READBACK_SECONDS = 3.0

#: Makes the message from the parts that all have.
Maker = Callable[[dict[str, Any]], Notification]


async def tell(
    tx: Transaction,
    context: Context,
    d: Deployment,
    topic: str,
    level: Level,
    cause: str,
    make: Maker,
    *,
    wait: bool = False,
) -> list[str]:
    """Write one message for every channel that is to have it; return their names.

    ``wait``: hold it for the read-back of the split, at most ``READBACK_SECONDS``.
    """
    tenant = await tx.tenants.get(d.tenant_id)
    about = Subject(tenant=tenant.name if tenant else "", service=d.service, kind=topic, level=level)
    people = context.desk.addressees(about, context.channels, d.policy.notifications.channels)
    now = context.clock.now()
    for one in people:
        told = make(_about(context, d, one, cause, about.tenant))
        told = replace(told, level=one.level)
        item = _item(d, told, one.channel, now)
        if wait:
            waiting = messages.to_json(followups.with_took(told, None))
            item = replace(item, payload=waiting, next_attempt_at=now + timedelta(seconds=READBACK_SECONDS))
        await tx.outbox.add(await _scheduled(tx, context, d, item, told))
    return [one.channel for one in people]


async def write_told(
    tx: Transaction,
    context: Context,
    d: Deployment,
    topic: str,
    level: Level,
    make: Maker,
    *,
    only: Sequence[str] | None = None,
    due: datetime | None = None,
) -> None:
    """Write a follow-up: to channels of ``only``, not before ``due``; unless rollbacks are not told.

    What is over is only told where something bad was told before.
    """
    if "rollback" not in d.policy.notifications.on:
        return
    tenant = await tx.tenants.get(d.tenant_id)
    about = Subject(tenant=tenant.name if tenant else "", service=d.service, kind=topic, level=level)
    cause = f"{d.id}.{new_id(topic)}"
    channels = context.channels if only is None else tuple(c for c in context.channels if c in only)
    before = {i.channel for i in await tx.outbox.of(d.tenant_id, d.id) if _is_bad(i)}
    now = context.clock.now()
    wanted = d.policy.notifications.channels
    # What a channel is spared by its level (a resolved incident is mild) does not count for an end.
    asked = replace(about, level=Level.WARNING) if topic == "resolved" else about
    for one in context.desk.addressees(asked, channels, wanted):
        if topic == "resolved" and one.channel not in before:
            continue
        told = make(_about(context, d, one, cause, about.tenant))
        item = _item(d, told, one.channel, now)
        await tx.outbox.add(replace(item, next_attempt_at=due or now))


async def over(tx: Transaction, context: Context, d: Deployment, why: str) -> None:
    """Tell channels that keep incidents open that this deployment's is over: ``promoted``, ``going_on``."""
    open_ones = [name for name in context.channels if context.desk.of(name).resolves]
    await write_told(
        tx,
        context,
        d,
        "resolved",
        Level.INFO,
        lambda about: followups.resolved_alert(why=why, stable=d.stable_version, **about),
        only=open_ones,
    )


async def told_items(tx: Transaction, d: Deployment, kind: str) -> list[OutboxItem]:
    """Return a deployment's messages of one kind."""
    items = await tx.outbox.of(d.tenant_id, d.id)
    return [i for i in items if i.kind == "notify" and i.payload.get("kind") == kind]


def _is_bad(item: OutboxItem) -> bool:
    level = Level(item.payload.get("level", "info")) if item.kind == "notify" else Level.INFO
    return level.rank >= Level.WARNING.rank


def _about(context: Context, d: Deployment, to: Addressee, cause: str, tenant: str) -> dict[str, Any]:
    return {
        "id": f"{cause}.{to.channel}",
        "deployment_id": d.id,
        "service": d.service,
        "version": d.tested,
        "tenant_name": tenant,
        "link": context.link(d.id),
        "at": context.clock.now(),
        "language": to.language,
    }


def _item(d: Deployment, told: Notification, channel: str, now: datetime) -> OutboxItem:
    return OutboxItem(
        id=told.id,
        tenant_id=d.tenant_id,
        deployment_id=d.id,
        kind="notify",
        channel=channel,
        payload=messages.to_json(told),
        created_at=now,
    )


async def _scheduled(
    tx: Transaction, context: Context, d: Deployment, item: OutboxItem, told: Notification
) -> OutboxItem:
    """Hold a message back that is over the limit, or let it wait for its like; critical ones pass."""
    if told.level is Level.CRITICAL:
        return item
    plan = context.desk.plan
    since = item.created_at - timedelta(seconds=plan.limit.seconds)
    recent = [
        i
        for i in await told_items(tx, d, told.kind)
        if i.channel == item.channel and i.created_at > since and i.state is not OutboxState.HELD
    ]
    if len(recent) >= plan.limit.count:
        return await _held(tx, context, item, told, recent[-plan.limit.count])
    if told.kind == "warning" and recent:
        # The first is told at once; those that follow closely are told together.
        last = recent[-1]
        planned = last.next_attempt_at if last.state is OutboxState.PENDING else None
        due = max(planned or last.created_at, last.created_at + timedelta(seconds=plan.group_seconds))
        if due > item.created_at:
            return replace(item, next_attempt_at=planned if _after(planned, item) else due)
    return item


def _after(planned: datetime | None, item: OutboxItem) -> bool:
    return planned is not None and planned > item.created_at


async def _held(
    tx: Transaction, context: Context, item: OutboxItem, told: Notification, oldest: OutboxItem
) -> OutboxItem:
    """Return the item as held back, and make sure that a summary will tell it."""
    limit = context.desk.plan.limit
    due = oldest.created_at + timedelta(seconds=limit.seconds)
    summary = f"{item.deployment_id}.sum-{told.kind}-{int(oldest.created_at.timestamp())}.{item.channel}"
    note = replace(told, id=summary, kind="summary")
    payload = {**messages.to_json(note), "of": told.kind}
    await tx.outbox.add(replace(item, id=summary, payload=payload, next_attempt_at=due))
    return replace(
        item,
        state=OutboxState.HELD,
        payload={**item.payload, "summary": summary},
        done_at=item.created_at,
        error=f"over the limit of {limit.count} in {limit.seconds:g} s; summed up at {due:%H:%M} UTC",
    )
