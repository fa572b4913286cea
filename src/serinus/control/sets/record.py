"""Writing a set's decision down: state, timeline and messages in the caller's transaction."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from serinus.control.context import Context
from serinus.control.telling import messages
from serinus.control.telling.writing import tell
from serinus.core.model import Deployment, Status
from serinus.core.release_sets import ReleaseSet, SetDecision, SetState, Told
from serinus.ports.notify import Level, Notification
from serinus.ports.release_sets import SetEvent
from serinus.ports.store import Transaction

__all__ = ["write_set", "write_set_event"]


async def write_set_event(
    tx: Transaction,
    context: Context,
    s: ReleaseSet,
    kind: str,
    message: str,
    actor: str,
    data: Mapping[str, Any] | None = None,
) -> None:
    """Append one line to a set's timeline."""
    event = SetEvent(
        tenant_id=s.tenant_id,
        set_id=s.id,
        at=context.clock.now(),
        kind=kind,
        message=message,
        actor=actor,
        data=data or {},
    )
    await tx.set_timeline.append(event)


async def write_set(
    tx: Transaction, context: Context, before: ReleaseSet, decision: SetDecision, actor: str
) -> ReleaseSet:
    """Store a decision whole; only what has a reason raises the revision.

    Raises:
        StaleRevision: Somebody else changed the set first.
    """
    if decision.next_state == before:
        return before
    saved = await tx.release_sets.save(decision.next_state, bump=bool(decision.reasons))
    if saved.state is SetState.ROLLED_BACK:
        for member in saved.members:  # what was never started is left to nobody
            d = await tx.deployments.get(saved.tenant_id, member.deployment_id)
            if d is not None and d.status is Status.DRAFT:
                await tx.deployments.delete(d.tenant_id, d.id)
    for reason in decision.reasons:
        await write_set_event(tx, context, saved, reason.kind, reason.message, actor, reason.data)
    for at, told in enumerate(decision.told):
        await _tell(tx, context, saved, told, f"{saved.id}.{saved.revision}.{at}")
    return saved


async def _tell(tx: Transaction, context: Context, s: ReleaseSet, told: Told, cause: str) -> None:
    """Tell people once, by the ways and wishes of the first member that is concerned."""
    d = await _spokesman(tx, s)
    if d is None or told.topic not in d.policy.notifications.on:
        return
    level = Level.ERROR if told.harm else Level.WARNING if told.topic == "warning" else Level.INFO
    channels = await tell(tx, context, d, told.topic, level, cause, lambda about: _message(s, told, about))
    if not channels:
        why = "is configured" if not context.channels else "is meant for it by policy and routes"
        message = f"Nobody was told: no notification channel {why}."
        await write_set_event(tx, context, s, "notification", message, "serinus")


async def _spokesman(tx: Transaction, s: ReleaseSet) -> Deployment | None:
    """Return the deployment that a message hangs on: of the present stage, or of the one before."""
    for stage in reversed(s.stages[: s.stage + 1]):
        for member in stage.members:
            d = await tx.deployments.get(s.tenant_id, member.deployment_id) if member.deployment_id else None
            if d is not None:
                return d
    return None


def _message(s: ReleaseSet, told: Told, about: dict[str, Any]) -> Notification:
    link = about["link"].replace(f"/deployments/{about['deployment_id']}", f"/release-sets/{s.id}")
    about = {**about, "service": s.name, "version": "", "link": link}
    if told.topic == "waiting":
        return messages.waiting_alert(**about, what=told.message)
    if told.topic == "promoted":
        return messages.set_promoted_alert(**about, what=told.message)
    return messages.warning_alert(**about, warnings=(told.message,))
