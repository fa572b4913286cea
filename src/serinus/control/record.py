"""Writing a decision down: state, timeline and outbox rows in the caller's transaction."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from serinus.control import messages
from serinus.control.context import Context
from serinus.core.decision import Decision, Intent, IntentKind
from serinus.core.lifecycle.moves import deprecate
from serinus.core.model import Deployment, Service, Status
from serinus.ports.notify import Notification
from serinus.ports.store import Event, OutboxItem, Transaction

__all__ = ["write_decision", "write_event"]


async def write_event(
    tx: Transaction, context: Context, d: Deployment, kind: str, message: str, actor: str, data: Any = None
) -> Event:
    """Append one line to a deployment's timeline."""
    event = Event(
        tenant_id=d.tenant_id,
        deployment_id=d.id,
        at=context.clock.now(),
        kind=kind,
        message=message,
        actor=actor,
        data=data or {},
    )
    return await tx.timeline.append(event)


async def write_decision(
    tx: Transaction, context: Context, service: Service, decision: Decision, actor: str, *, bump: bool = True
) -> Deployment:
    """Store a decision whole. Nothing of it has an effect before the commit.

    Raises:
        StaleRevision: Somebody else changed the deployment first.
    """
    saved = await tx.deployments.save(decision.next_state, bump=bump)
    for reason in decision.reasons:
        await write_event(tx, context, saved, reason.kind, reason.message, actor, dict(reason.data))
    for at, intent in enumerate(decision.intents):
        await _intend(tx, context, service, saved, intent, f"{saved.id}.{saved.revision}.{at}")
    return saved


async def _intend(
    tx: Transaction, context: Context, service: Service, d: Deployment, intent: Intent, cause: str
) -> None:
    match intent.kind:
        case IntentKind.SET_TRAFFIC:
            await tx.leases.wake(service.id, context.clock.now())
        case IntentKind.CLEAR_ASSIGNMENTS:
            await tx.assignments.clear(d.id)
        case IntentKind.TAKE_OVER:
            await _take_over(tx, context, service, d, str(intent.data["version"]))
        case IntentKind.TELL:
            await _tell(tx, context, d, intent, cause)
        case IntentKind.COMPENSATE:
            await _compensate(tx, context, d, str(intent.data["strategy"]))


async def _take_over(
    tx: Transaction, context: Context, service: Service, d: Deployment, version: str
) -> None:
    """Make a version the stable one; retire the deployments that were active before."""
    await tx.services.save(replace(service, stable_version=version))
    for other in await tx.deployments.current(d.tenant_id, service.id):
        if other.id != d.id and other.status is Status.ACTIVE:
            retired = deprecate(other, context.clock.now())
            saved = await tx.deployments.save(retired.next_state)
            message = f"{other.version} deprecated: {version} took over."
            await write_event(tx, context, saved, "deprecated", message, "serinus")


async def _compensate(tx: Transaction, context: Context, d: Deployment, strategy: str) -> None:
    """Put the open compensation task on the timeline, where somebody has to see it."""
    if strategy == "manual":
        message = "Compensation task opened: check what the canary wrote, and put it right by hand."
        await write_event(tx, context, d, "compensation", message, "serinus", {"state": "open"})


async def _tell(tx: Transaction, context: Context, d: Deployment, intent: Intent, cause: str) -> None:
    tenant = await tx.tenants.get(d.tenant_id)
    told = _message(context, d, intent, cause, tenant.name if tenant else "")
    if not context.channels:
        message = f"Nobody was told ({told.title}): no notification channel is configured."
        await write_event(tx, context, d, "notification", message, "serinus")
    for channel in context.channels:
        item = OutboxItem(
            id=f"{cause}.{channel}",
            tenant_id=d.tenant_id,
            deployment_id=d.id,
            kind="notify",
            channel=channel,
            payload=messages.to_json(replace(told, id=f"{cause}.{channel}")),
            created_at=context.clock.now(),
        )
        await tx.outbox.add(item)


def _message(context: Context, d: Deployment, intent: Intent, cause: str, tenant: str) -> Notification:
    common: dict[str, Any] = {
        "id": cause,
        "deployment_id": d.id,
        "service": d.service,
        "version": d.version,
        "tenant_name": tenant,
        "link": context.link(d.id),
        "at": context.clock.now(),
    }
    if intent.topic == "rollback":
        checks = tuple(v.message for v in d.verdicts)
        return messages.rollback_alert(
            **common, reason=str(intent.data["reason"]), rollback_version=d.stable_version, checks=checks
        )
    if intent.topic == "promoted":
        return messages.promoted_alert(**common)
    if intent.topic == "waiting":
        return messages.waiting_alert(**common, what=d.sentence)
    warnings = tuple(intent.data.get("warnings", ()))
    return messages.warning_alert(**common, warnings=warnings)
