"""Running what a rollback has to undo: after commit, in order, with retries, by one replica at a time.

A row is the hook, its message, its number of tries and what came of them. A process that is killed
leaves it as it was, and whoever claims it next calls again under the same key.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

from serinus.control.calls import Calls
from serinus.control.context import Context, stamp
from serinus.control.outbox import backoff_seconds
from serinus.control.telling import saga_messages
from serinus.control.telling.writing import tell
from serinus.control.undoing.readback import awaited
from serinus.core.codec import from_json, to_json
from serinus.core.errors import InvalidInput, SerinusError
from serinus.core.hooks import Hook, Said
from serinus.core.lifecycle.saga import Undo, check_compensation, declared, to_undo
from serinus.core.model import CompensationStrategy, Deployment, Service
from serinus.ports.compensation import Compensation, CompensationState
from serinus.ports.hooks import HookCall, HookCaller, HookReply
from serinus.ports.notify import Level
from serinus.ports.store import AuditEntry, Event, Transaction

__all__ = ["MOST_TRIES", "TASK", "SagaRelay", "check_compensations", "open_saga", "write_line"]

log = logging.getLogger("serinus.compensation")

#: Tries before somebody has to look: with the backoff, about eight and a half minutes.
MOST_TRIES = 10
#: SDKs follow a rollback within about a second; nothing is undone while they may still write.
HEAD_START_SECONDS = 2.0
#: Where proxies do not follow yet, it is looked again after this.
LOOK_AGAIN_SECONDS = 1.0
#: Calls under way at the same time in one process.
PARALLEL = 16
#: The name of what a person does.
TASK = "task"
TASK_WORDS = "Compensation task opened: check what the canary wrote, and put it right by hand."


def check_compensations(context: Context, d: Deployment) -> None:
    """Refuse `compensate` hooks that would never run, or could never be called.

    Raises:
        InvalidInput: With the place of the hook.
    """
    check_compensation(d)
    # A mirror is a step that nobody has written.
    mirrors = sum(1 for step in d.strategy.steps if step.mirror_bp)
    for undo in declared(d):
        where = (
            f"strategy.steps[{undo.number - 1 - mirrors}].compensate" if undo.step else "strategy.compensate"
        )
        if context.hooks is None:
            raise InvalidInput("Nothing calls hooks here.", field=where, next_step="Leave `compensate` out.")
        try:
            context.hooks.check(undo.hook)
        except InvalidInput as error:
            field = f"{where}.{error.field}" if error.field else where
            raise InvalidInput(error.detail, field=field, next_step=error.next_step) from error


async def open_saga(tx: Transaction, context: Context, service: Service, d: Deployment) -> None:
    """Store what a rollback has to undo, in the rollback's own transaction."""
    undos, now = to_undo(d), context.clock.now()
    due = now + timedelta(seconds=HEAD_START_SECONDS) if service.driver == "in-process" else now
    for position, undo in enumerate(undos):
        await tx.compensations.add(
            replace(
                _row(d, undo.hook.name, undo.words, position, now),
                next_attempt_at=due,
                payload={"hook": to_json(undo.hook), "body": _body(context, d, undo, stamp(now))},
            )
        )
    if undos:
        listed = ", then ".join(undo.words for undo in undos)
        await write_line(tx, context, d, f"Compensation begins: {listed}.", state="open")
    if d.compensation_strategy is CompensationStrategy.MANUAL:
        await tx.compensations.add(_row(d, TASK, "by hand", len(undos), now))
        await write_line(tx, context, d, TASK_WORDS, state="open", name=TASK)
    opened = await tx.compensations.of(d.tenant_id, d.id)
    if opened:
        await _audit(tx, context, d, "compensation.open", "ok", {"items": [i.name for i in opened]})


def _row(d: Deployment, name: str, what: str, position: int, now: Any) -> Compensation:
    # A deployment is rolled back once, so its id and the name make a key for ever.
    return Compensation(
        id=f"{d.id}.undo.{name}",
        tenant_id=d.tenant_id,
        deployment_id=d.id,
        name=name,
        what=what,
        position=position,
        created_at=now,
    )


def _body(context: Context, d: Deployment, undo: Undo, at: str | None) -> dict[str, Any]:
    """Return the message, in the form of every hook's; the same over all tries."""
    share = undo.step.traffic_bp / 100 if undo.step else None
    return {
        "type": f"serinus.{undo.hook.phase.value}",
        "timestamp": at,
        "data": {
            "hook": undo.hook.name,
            "phase": undo.hook.phase.value,
            "key": f"{d.id}.undo.{undo.hook.name}",
            "step": undo.number or None,
            "step_percentage": share,
            "reason": d.end_reason,
            "deployment_id": d.id,
            "service": d.service,
            "version": d.version,
            "stable_version": d.stable_version,
            "status": d.status.value,
            "traffic_percentage": 0.0,
            "to_percentage": 0.0,
            "sentence": d.sentence,
            "link": context.link(d.id),
        },
    }


async def write_line(
    tx: Transaction, context: Context, d: Deployment | Compensation, message: str, **data: Any
) -> None:
    """Append a line about compensation to a deployment's timeline."""
    await tx.timeline.append(
        Event(
            tenant_id=d.tenant_id,
            deployment_id=d.deployment_id if isinstance(d, Compensation) else d.id,
            at=context.clock.now(),
            kind=str(data.pop("kind", "compensation")),
            message=message,
            actor=str(data.pop("actor", "serinus")),
            data=data,
        )
    )


async def _audit(
    tx: Transaction,
    context: Context,
    d: Deployment | Compensation,
    action: str,
    outcome: str,
    data: dict[str, Any],
) -> None:
    await tx.audit.append(
        AuditEntry(
            tenant_id=d.tenant_id,
            at=context.clock.now(),
            actor="serinus",
            token_id="",
            action=action,
            target=d.deployment_id if isinstance(d, Compensation) else d.id,
            outcome=outcome,
            data=data,
        )
    )


class SagaRelay:
    """Calls what is due, each by itself: a slow one holds up no other deployment's."""

    def __init__(self, context: Context, caller: HookCaller, *, longest_seconds: float) -> None:
        """``longest_seconds``: no call takes longer, so that a lease can outlast it."""
        self._context = context
        self._caller = caller
        self._lease = longest_seconds + 30
        self._calls = Calls(PARALLEL)

    async def tick(self) -> None:
        """Begin every call that is due; none is waited for."""
        free = self._calls.free
        if not free:
            return
        now = self._context.clock.now()
        async with self._context.store.begin() as tx:
            items = await tx.compensations.claim(self._context.replica, now, self._lease, free)
            for item in items:
                if item.lease_owner is not None:
                    words = f"Compensation of {item.what}: a try was cut off, as its process ended."
                    await write_line(tx, self._context, item, words, name=item.name, key=item.id)
        for item in items:
            self._calls.begin(self._call(item), name=f"compensation {item.id}")

    async def settled(self) -> None:
        """Wait until no call is under way."""
        await self._calls.settled()

    async def close(self) -> None:
        """Break off what is under way: it stays due, and is called again under its key."""
        await self._calls.close()

    async def _call(self, item: Compensation) -> None:
        try:
            if await self._put_off(item):
                return
            began = self._context.clock.monotonic()
            reply = await self._reply(item)
            took = (self._context.clock.monotonic() - began) * 1000
            await self._settle(_after(item, reply, self._context.clock.now()), reply, took)
        except SerinusError as problem:
            # The lease runs out by itself; the same call is made again, under the same key.
            log.warning(
                "not settled: %s", problem, extra={"action": "compensation.unsettled", "item": item.id}
            )

    async def _put_off(self, item: Compensation) -> bool:
        """Wait while a proxy may still send requests to the canary: they would be undone half."""
        now = self._context.clock.now()
        async with self._context.store.begin() as tx:
            d = await tx.deployments.get(item.tenant_id, item.deployment_id)
            if d is None or not await awaited(tx, d):
                return False
            later = replace(
                item,
                next_attempt_at=now + timedelta(seconds=LOOK_AGAIN_SECONDS),
                error="waits until every proxy sends everyone to stable",
            )
            await tx.compensations.settle(later, now, owner=self._context.replica)
        return True

    async def _reply(self, item: Compensation) -> HookReply:
        at = int(self._context.clock.now().timestamp())
        hook = from_json(Hook, item.payload["hook"])
        try:
            return await self._caller.call(HookCall(id=item.id, hook=hook, at=at, body=item.payload["body"]))
        except Exception as problem:  # a broken hook must not stop the others
            log.exception("hook broke", extra={"action": "compensation.broke", "item": item.id})
            return HookReply(said=Said.NOTHING, words=f"it broke: {type(problem).__name__}")

    async def _settle(self, after: Compensation, reply: HookReply, took_ms: float) -> None:
        now, context = self._context.clock.now(), self._context
        async with context.store.begin() as tx:
            if not await tx.compensations.settle(after, now, owner=context.replica):
                log.warning("overtaken", extra={"action": "compensation.overtaken", "item": after.id})
                return
            rows = await tx.compensations.of(after.tenant_id, after.deployment_id)
            shown = {"name": after.name, "key": after.id, "attempt": after.attempts}
            words = _told(after, reply, took_ms, [r.what for r in rows if _behind(r, after)])
            await write_line(
                tx, context, after, words, **shown, state=after.state.value, ms=round(took_ms, 1)
            )
            outcome = "ok" if after.state is CompensationState.DONE else "failed"
            await _audit(tx, context, after, "compensation.try", outcome, {**shown, "said": reply.words})
            d = await tx.deployments.get(after.tenant_id, after.deployment_id)
            if d is not None and after.state is CompensationState.FAILED:
                await _tell_failed(tx, context, d, after)
            if after.state is CompensationState.DONE and not any(r.is_open for r in rows):
                await write_line(tx, context, after, "Everything is compensated.", state="done")
        context.bell.ring(after.tenant_id)
        context.post.set()


def _after(item: Compensation, reply: HookReply, now: Any) -> Compensation:
    """Return the row after a try: done, to be tried again, or given up. A "no" is a failure like any."""
    tried = replace(item, attempts=item.attempts + 1, error=reply.words)
    if reply.said is Said.YES:
        return replace(tried, state=CompensationState.DONE, done_at=now)
    if tried.attempts >= MOST_TRIES:
        return replace(tried, state=CompensationState.FAILED)
    pause = timedelta(seconds=backoff_seconds(tried.attempts))
    return replace(tried, next_attempt_at=now + pause)


def _behind(row: Compensation, item: Compensation) -> bool:
    return row.is_open and not row.by_hand and row.position > item.position


def _told(item: Compensation, reply: HookReply, took_ms: float, behind: Sequence[str]) -> str:
    """Return the timeline's line of a try."""
    words, took = f": {reply.words}" if reply.words else "", f"after {took_ms:.0f} ms"
    if item.state is CompensationState.DONE:
        return f"Compensated {item.what} at try {item.attempts} {took}{words}"
    tried = f"Compensation of {item.what}: try {item.attempts} of {MOST_TRIES} failed {took}{words}"
    if item.state is CompensationState.PENDING:
        return f"{tried}; the next in {backoff_seconds(item.attempts):g} s."
    return f"{tried}. Given up until somebody retries it{_waiting(behind)}."


def _waiting(behind: Iterable[str]) -> str:
    listed = " and ".join(behind)
    return f"; until it is done, {listed} {'wait' if ' and ' in listed else 'waits'}" if listed else ""


async def _tell_failed(tx: Transaction, context: Context, d: Deployment, item: Compensation) -> None:
    """Tell people that something is left undone, whatever else the policy keeps from them."""
    cause = f"{item.id}.{int(context.clock.now().timestamp())}"
    told = await tell(
        tx,
        context,
        d,
        "compensation",
        Level.ERROR,
        cause,
        lambda about: saga_messages.failed_alert(what=item.what, name=item.name, error=item.error, **about),
    )
    if not told:
        message = "Nobody was told: no notification channel is there for it."
        await write_line(tx, context, d, message, kind="notification")
