"""Calling hooks at the edge: from the outbox, after commit; their answers go back into the next look.

A hook's row in the outbox is the call, its number of tries and its answer in one: a process that is
killed leaves the row as it was, and another one calls again under the same id.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

from serinus.control.calls import Calls
from serinus.control.context import Context, stamp
from serinus.control.outbox import MAX_ATTEMPTS, backoff_seconds
from serinus.core.codec import from_json, to_json
from serinus.core.decision import Intent
from serinus.core.errors import InvalidInput, SerinusError
from serinus.core.hooks import Ask, Hook, Phase, Said
from serinus.core.lifecycle.hooked import open_asks
from serinus.core.model import Deployment
from serinus.ports.hooks import HookCall, HookCaller, HookReply
from serinus.ports.store import Event, OutboxItem, OutboxState, Transaction

__all__ = ["HOOK", "HookRelay", "check_hooks", "heard", "hook_item"]

log = logging.getLogger("serinus.hooks")

#: The kind of a hook's row in the outbox.
HOOK = "hook"
#: Calls under way at the same time in one process.
PARALLEL = 32
#: A hook that a rollout waits for is asked again at least this often.
LONGEST_PAUSE_SECONDS = 30.0


def check_hooks(context: Context, hooks: Sequence[Hook]) -> None:
    """Refuse hooks that could never be called, before anything waits for them.

    Raises:
        InvalidInput: With the place of the hook.
    """
    for at, hook in enumerate(hooks):
        where = f"strategy.hooks[{at}]"
        if context.hooks is None:
            raise InvalidInput("Nothing calls hooks here.", field=where, next_step="Leave `hooks` out.")
        try:
            context.hooks.check(hook)
        except InvalidInput as error:
            field = f"{where}.{error.field}" if error.field else where
            raise InvalidInput(error.detail, field=field, next_step=error.next_step) from error


def hook_item(context: Context, d: Deployment, intent: Intent, cause: str) -> OutboxItem:
    """Return the outbox row of a call."""
    hook = next(h for h in d.strategy.hooks if h.name == intent.data["hook"])
    now, identity = context.clock.now(), str(intent.data.get("id", cause))
    # Of several candidates it is the one that is to be promoted, or all of them.
    body = _body(context, d, hook, stamp(now))
    body["data"]["version"] = str(intent.data.get("version", d.tested))
    return OutboxItem(
        id=identity,
        tenant_id=d.tenant_id,
        deployment_id=d.id,
        kind=HOOK,
        channel=hook.name,
        payload={"hook": to_json(hook), "body": body},
        created_at=now,
    )


def _body(context: Context, d: Deployment, hook: Hook, at: str | None) -> dict[str, Any]:
    """Return the message as Standard Webhooks has it: a type, a time, and thin data."""
    following = d.strategy.steps[d.step_index + 1 :] if d.step else ()
    to: float | None = d.traffic_bp / 100
    if hook.phase is Phase.CONFIRM_ROLLOUT and d.step:
        to = d.strategy.steps[0].traffic_bp / 100
    elif d.intended is not None:
        to = None if d.intended.bp is None else d.intended.bp / 100
    elif hook.phase is Phase.CONFIRM_TRAFFIC and following:
        to = following[0].traffic_bp / 100
    return {
        "type": f"serinus.{hook.phase.value}",
        "timestamp": at,
        "data": {
            "hook": hook.name,
            "phase": hook.phase.value,
            "deployment_id": d.id,
            "service": d.service,
            "version": d.version,
            "stable_version": d.stable_version,
            "status": d.status.value,
            "traffic_percentage": d.traffic_bp / 100,
            "to_percentage": 100.0 if hook.phase is Phase.CONFIRM_PROMOTION else to,
            "sentence": d.sentence,
            "link": context.link(d.id),
        },
    }


async def heard(tx: Transaction, d: Deployment) -> Deployment:
    """Return ``d`` with what the hooks that it waits for have said meanwhile."""
    waiting = {a.id for a in open_asks(d)}
    if not waiting:
        return d
    rows = {i.id: i for i in await tx.outbox.of(d.tenant_id, d.id) if i.id in waiting}
    return replace(d, asks=tuple(_answered(a, rows.get(a.id)) for a in d.asks))


def _answered(ask: Ask, row: OutboxItem | None) -> Ask:
    if row is None:
        return ask
    said = {OutboxState.SENT: Said.YES, OutboxState.REFUSED: Said.NO, OutboxState.FAILED: Said.TIMEOUT}
    return replace(ask, said=said.get(row.state, Said.NOTHING), words=row.error)


class HookRelay:
    """Calls what is due, each call by itself: a slow one holds up neither others nor notifications."""

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
            items = await tx.outbox.claim(self._context.replica, now, self._lease, free, kind=HOOK)
        for item in items:
            self._calls.begin(self._call(item), name=f"hook {item.channel}")

    async def settled(self) -> None:
        """Wait until no call is under way."""
        await self._calls.settled()

    async def close(self) -> None:
        """Break off what is under way: it stays due, and is called again after the next start."""
        await self._calls.close()
        await self._caller.close()

    async def _call(self, item: OutboxItem) -> None:
        try:
            if not await self._is_wanted(item):
                await self._settle(
                    item, replace(item, state=OutboxState.OFF, error="not needed any more"), None
                )
                return
            began = self._context.clock.monotonic()
            reply = await self._reply(item)
            took = (self._context.clock.monotonic() - began) * 1000
            await self._settle(item, self._after(item, reply), took)
        except SerinusError as problem:
            # The lease runs out by itself; the same call is made again, under the same id.
            log.warning("hook not settled: %s", problem, extra={"action": "hook.unsettled", "item": item.id})

    async def _is_wanted(self, item: OutboxItem) -> bool:
        """Tell whether anything still waits for this: a rolled-back deployment asks nobody."""
        if not _hook(item).phase.blocks:
            return True
        async with self._context.store.begin(write=False) as tx:
            d = await tx.deployments.get(item.tenant_id, item.deployment_id)
        return d is not None and item.id in {a.id for a in open_asks(d)}

    async def _reply(self, item: OutboxItem) -> HookReply:
        at = int(self._context.clock.now().timestamp())
        call = HookCall(id=item.id, hook=_hook(item), at=at, body=item.payload["body"])
        try:
            return await self._caller.call(call)
        except Exception as problem:  # a broken hook must not stop the others
            log.exception("hook broke", extra={"action": "hook.broke", "item": item.id})
            return HookReply(said=Said.NOTHING, words=f"it broke: {type(problem).__name__}")

    def _after(self, item: OutboxItem, reply: HookReply) -> OutboxItem:
        now, hook = self._context.clock.now(), _hook(item)
        tried = replace(item, attempts=item.attempts + 1, error=reply.words)
        if reply.said is Said.YES:
            return replace(tried, state=OutboxState.SENT, done_at=now)
        if reply.said is Said.NO:
            return replace(tried, state=OutboxState.REFUSED, done_at=now)
        pause = backoff_seconds(tried.attempts)
        if hook.phase.blocks:
            left = hook.timeout_seconds - (now - item.created_at).total_seconds()
            pause = min(pause, LONGEST_PAUSE_SECONDS, left)
        if pause <= 0 or (not hook.phase.blocks and tried.attempts >= MAX_ATTEMPTS):
            return replace(tried, state=OutboxState.FAILED, done_at=now)
        return replace(tried, next_attempt_at=now + timedelta(seconds=pause))

    async def _settle(self, before: OutboxItem, after: OutboxItem, took_ms: float | None) -> None:
        news = after.state is not OutboxState.PENDING or after.error != before.error
        async with self._context.store.begin() as tx:
            await tx.outbox.settle(after)
            if news:
                await tx.timeline.append(_told(after, self._context.clock.now(), took_ms))
            if news and _hook(after).phase.blocks:
                d = await tx.deployments.get(after.tenant_id, after.deployment_id)
                if d is not None:
                    await tx.leases.wake(d.service_id, self._context.clock.now())
        self._context.bell.ring(after.tenant_id)
        self._context.poke.set()


def _hook(item: OutboxItem) -> Hook:
    return from_json(Hook, item.payload["hook"])


def _told(item: OutboxItem, now: Any, took_ms: float | None) -> Event:
    """Return the timeline's line: who said what, and how long it took."""
    hook = _hook(item)
    verb = {
        OutboxState.SENT: "said yes" if hook.phase.blocks else "was told",
        OutboxState.REFUSED: "said no",
        OutboxState.OFF: "was not asked",
        OutboxState.FAILED: "gave no answer",
        OutboxState.PENDING: "has no answer yet",
    }[item.state]
    took = f" after {took_ms:.0f} ms" if took_ms is not None else ""
    words = f": {item.error}" if item.error else ""
    return Event(
        tenant_id=item.tenant_id,
        deployment_id=item.deployment_id,
        at=now,
        kind="hook",
        message=f"Hook {hook.name} {verb}{took}{words}",
        actor="serinus",
        data={
            "hook": hook.name,
            "phase": hook.phase.value,
            "state": item.state.value,
            "ms": None if took_ms is None else round(took_ms, 1),
            "attempts": item.attempts,
            "id": item.id,
        },
    )
