"""Writing a decision down: state, timeline and outbox rows in the caller's transaction."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from serinus.control.context import Context
from serinus.control.hooks import hook_item
from serinus.control.telling import messages, saga_messages
from serinus.control.telling.facts import harm_facts, sentence_facts, watch_words
from serinus.control.telling.writing import over, tell
from serinus.control.undoing.readback import expect
from serinus.control.undoing.saga import open_saga
from serinus.core.contest import seen_as
from serinus.core.decision import Decision, Intent, IntentKind, Reason
from serinus.core.errors import Unavailable
from serinus.core.lifecycle.moves import WATCHING, deprecate
from serinus.core.model import CompensationStrategy, Deployment, Service, Status, Stickiness
from serinus.ports.notify import Level, Notification
from serinus.ports.store import AuditEntry, Event, Transaction

__all__ = ["retire", "write_decision", "write_event"]

#: SDKs carry the split of this driver by themselves: there is nothing to read back.
IN_PROCESS = "in-process"
_LEVELS = {
    "rollback": Level.ERROR,
    "dropped": Level.ERROR,
    "warning": Level.WARNING,
    "waiting": Level.INFO,
    "promoted": Level.INFO,
    "decision": Level.ERROR,
}

#: A candidate that is dropped is a rollback of its own, for who wants to be told of those.
_ASKED_AS = {"dropped": "rollback"}


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
        if reason.kind == "blocked":
            await _audit_blocked(tx, context, saved, reason, actor)
    exposed = await _exposed(tx, context, saved) if _tells_of_rollback(decision) else None
    for at, intent in enumerate(decision.intents):
        cause = f"{saved.id}.{saved.revision}.{at}"
        await _intend(tx, context, service, saved, intent, cause, exposed)
    if any(reason.kind == "going_on" for reason in decision.reasons):
        await over(tx, context, saved, "going_on")
    return saved


async def _audit_blocked(
    tx: Transaction, context: Context, d: Deployment, reason: Reason, actor: str
) -> None:
    """Put into the audit log that a rollback was not made; what people decide then is there by itself."""
    await tx.audit.append(
        AuditEntry(
            tenant_id=d.tenant_id,
            at=context.clock.now(),
            actor=actor,
            token_id="",
            action="deployment.blocked",
            target=d.id,
            data={"reason": d.blocked.reason if d.blocked else "", "step": reason.data["irreversible"]},
        )
    )


def _tells_of_rollback(decision: Decision) -> bool:
    return any(i.kind is IntentKind.TELL and i.topic == "rollback" for i in decision.intents)


async def _exposed(tx: Transaction, context: Context, d: Deployment) -> int | None:
    """Count the units on the canary before they are cleared; ``None`` when the hash alone decides."""
    if d.phase == WATCHING or d.strategy.stickiness is not Stickiness.PERSISTENT:
        return None
    try:
        slices = await context.assignments(tx).slices(d.tenant_id, d.book)
    except Unavailable:  # kept elsewhere, and that is away: a rollback waits for nobody
        return None
    return sum(s.units for s in slices.values()) or None


async def _intend(
    tx: Transaction,
    context: Context,
    service: Service,
    d: Deployment,
    intent: Intent,
    cause: str,
    exposed: int | None,
) -> None:
    match intent.kind:
        case IntentKind.SET_TRAFFIC:
            await tx.leases.wake(service.id, context.clock.now())
        case IntentKind.CLEAR_ASSIGNMENTS:
            # The others are many: nobody reads them any more, and the sweep takes them.
            await tx.placements.clear(d.tenant_id, d.id)
        case IntentKind.TAKE_OVER:
            await _take_over(tx, context, service, d, str(intent.data["version"]))
        case IntentKind.TELL:
            await _tell(tx, context, service, d, intent, cause, exposed)
        case IntentKind.HOOK:
            await tx.outbox.add(hook_item(context, d, intent, cause))
        case IntentKind.COMPENSATE:
            await open_saga(tx, context, service, d)


async def _take_over(
    tx: Transaction, context: Context, service: Service, d: Deployment, version: str
) -> None:
    """Make a version the stable one; retire what was active before, and tell what rolls out meanwhile."""
    # Read again: the monitor has asked proxies since, and somebody may have changed it meanwhile.
    fresh = await tx.services.get(service.tenant_id, service.id) or service
    await tx.services.save(replace(fresh, stable_version=version))
    for other in await tx.deployments.current(d.tenant_id, service.id):
        if other.id != d.id and other.status is Status.CANARY:
            # An older version was taken back: this one is compared with, and goes back to, what is stable.
            saved = await tx.deployments.save(replace(other, stable_version=version))
            message = f"{version} is stable now: {other.stable_version} was taken back."
            await write_event(tx, context, saved, "stable", message, "serinus")
        elif other.id != d.id:
            await retire(tx, context, other, version, "serinus")


async def retire(tx: Transaction, context: Context, d: Deployment, version: str, actor: str) -> None:
    """Deprecate what was active, because another version is stable now."""
    retired = deprecate(d, context.clock.now())
    saved = await tx.deployments.save(retired.next_state)
    message = f"{d.version} deprecated: {version} took over."
    await write_event(tx, context, saved, "deprecated", message, actor)


async def _tell(
    tx: Transaction,
    context: Context,
    service: Service,
    d: Deployment,
    intent: Intent,
    cause: str,
    exposed: int | None,
) -> None:
    """Write what people are told. A rollback's message waits for the read-back where there are proxies."""
    wait = intent.topic == "rollback" and service.driver != IN_PROCESS
    if wait:
        await expect(tx, service, d)
    # ``notify_and_rollback`` tells at once, whatever the policy keeps; so does what needs a decision.
    at_once = d.compensation_strategy is CompensationStrategy.NOTIFY_AND_ROLLBACK
    must = intent.topic == "decision" or (intent.topic == "rollback" and at_once)
    if must or _ASKED_AS.get(intent.topic, intent.topic) in d.policy.notifications.on:
        level = _LEVELS[intent.topic]
        told = await tell(
            tx,
            context,
            d,
            intent.topic,
            level,
            cause,
            lambda about: _message(d, intent, about, exposed),
            wait=wait and not at_once,
        )
        if not told:
            title = _message(d, intent, _plain(context, d), exposed).title
            why = "is configured" if not context.channels else "is meant for it by policy and routes"
            message = f"Nobody was told ({title}): no notification channel {why}."
            await write_event(tx, context, d, "notification", message, "serinus")
    if intent.topic == "promoted":
        await over(tx, context, d, "promoted")


def _plain(context: Context, d: Deployment) -> dict[str, Any]:
    now = context.clock.now()
    return {"id": d.id, "deployment_id": d.id, "service": d.service, "version": d.tested, "at": now}


def _message(d: Deployment, intent: Intent, about: dict[str, Any], exposed: int | None) -> Notification:
    language = about.get("language", "en")
    if intent.topic == "rollback":
        return messages.rollback_alert(
            **about,
            reason=str(intent.data["reason"]),
            rollback_version=d.stable_version,
            exposed_units=exposed,
            seconds=(about["at"] - d.started_at).total_seconds() if d.started_at else None,
            checks=tuple(v.message for v in d.verdicts),
            facts=harm_facts(d, language),
            done=True,
        )
    if intent.topic == "dropped":
        version, rest = str(intent.data["version"]), str(intent.data["rest"])
        return messages.dropped_alert(
            **{**about, "version": version},
            reason=str(intent.data["reason"]),
            stable=d.stable_version,
            rest=rest,
            facts=harm_facts(seen_as(d, [c.version for c in d.candidates].index(version)), language),
        )
    if intent.topic == "promoted":
        return messages.promoted_alert(**about, watched=watch_words(d))
    if intent.topic == "decision":
        return saga_messages.decision_alert(**about, sentence=d.sentence, reason=str(intent.data["reason"]))
    if intent.topic == "waiting":
        return messages.waiting_alert(**about, what=d.sentence, facts=sentence_facts(d))
    warnings = tuple(intent.data.get("warnings", ()))
    return messages.warning_alert(**about, warnings=warnings, facts=sentence_facts(d))
