"""What people ask about compensation: what is left undone; retry it; say that it was done by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from serinus.control.context import Caller, Context, stamp
from serinus.control.finding import find_deployment
from serinus.control.undoing.saga import write_line
from serinus.control.unit import Answer, Call, execute
from serinus.core.errors import Conflict, InvalidInput, NotFound
from serinus.core.model import Role
from serinus.ports.compensation import Compensation, CompensationState
from serinus.ports.store import Transaction

__all__ = ["CompensationDesk", "compensation_view", "left_undone"]


def compensation_view(items: Sequence[Compensation]) -> dict[str, Any] | None:
    """Return a deployment's compensation as the API shows it; ``None`` when there is none."""
    if not items:
        return None
    failed = any(i.state is CompensationState.FAILED for i in items)
    running = any(i.is_open and not i.by_hand for i in items)
    waits = any(i.is_open for i in items)
    state = "failed" if failed else "running" if running else "waiting" if waits else "done"
    return {"state": state, "items": [_item_view(i) for i in items]}


def _item_view(i: Compensation) -> dict[str, Any]:
    return {
        "name": i.name,
        "key": i.id,
        "what": i.what,
        "by_hand": i.by_hand,
        "state": i.state.value,
        "attempts": i.attempts,
        "error": i.error,
        "next_attempt_at": stamp(i.next_attempt_at) if i.state is CompensationState.PENDING else None,
        "created_at": stamp(i.created_at),
        "done_at": stamp(i.done_at),
        "done_by": i.done_by,
        "note": i.note,
    }


def left_undone(items: Sequence[Compensation]) -> list[str]:
    """Return a sentence for each that needs somebody."""
    found = []
    for i in items:
        if i.state is CompensationState.FAILED:
            what = f"Compensation of {i.what} was given up after {i.attempts} tries"
            found.append(f"{what} ({i.error}): retry it, or put it right by hand.")
        elif i.is_open and i.by_hand:
            found.append("A compensation task is open: somebody has to complete it.")
    return found


class CompensationDesk:
    """The calls about compensation."""

    def __init__(self, context: Context) -> None:
        """Keep what the calls share."""
        self._context = context

    async def unfinished(self, caller: Caller) -> dict[str, Any]:
        """List the tenant's that are not done, the oldest first."""
        caller.must_reach(Role.VIEWER)
        async with self._context.store.begin(write=False) as tx:
            items = await tx.compensations.unfinished(caller.tenant_id)
            of = {i.deployment_id: await tx.deployments.get(i.tenant_id, i.deployment_id) for i in items}
        shown = [
            {
                "deployment_id": d.id,
                "service": d.service,
                "version": d.version,
                **_item_view(i),
            }
            for i in items
            if (d := of[i.deployment_id]) is not None and caller.sees(d.service)
        ]
        return {"compensations": shown, "total": len(shown)}

    async def of(self, caller: Caller, deployment_id: str) -> dict[str, Any]:
        """Return a deployment's compensation; without items when it has none."""
        caller.must_reach(Role.VIEWER)
        async with self._context.store.begin(write=False) as tx:
            d = await tx.deployments.get(caller.tenant_id, deployment_id)
            if d is None or not caller.sees(d.service):
                raise caller.missing(
                    NotFound(
                        f"There is no deployment {deployment_id[:80]!r}.",
                        next_step="GET /api/v1/deployments lists yours.",
                    )
                )
            items = await tx.compensations.of(d.tenant_id, d.id)
        return {"deployment_id": d.id, **(compensation_view(items) or {"state": "none", "items": []})}

    async def retry(self, call: Call, deployment_id: str, name: str) -> Answer:
        """Have one that was given up tried again, under the same key; what waits for it follows."""
        call = replace(call, data={**call.data, "name": name[:60]})

        async def work(tx: Transaction) -> tuple[int, Any]:
            item = await _find(tx, call, deployment_id, name)
            if item.state is not CompensationState.FAILED:
                raise Conflict(
                    f"{_named(item)} was not given up: it is {_standing(item)}.",
                    next_step=_next_step(item),
                )
            now = self._context.clock.now()
            again = replace(item, state=CompensationState.PENDING, attempts=0, next_attempt_at=now)
            words = f"Compensation of {item.what} is tried again, by {call.caller.name}."
            return await self._stored(tx, call, again, words)

        return await execute(self._context, call, work)

    async def complete(self, call: Call, deployment_id: str, name: str, note: str) -> Answer:
        """Take down that a task, or what a hook could not do, was done by hand, with a note of how.

        Also of one that still waits, for its turn or for a proxy; not while its hook is called.
        """
        if not note.strip():
            raise InvalidInput(
                "A note is needed.", field="note", next_step="Say in one sentence what was done."
            )
        call = replace(call, data={**call.data, "name": name[:60], "note": note})

        async def work(tx: Transaction) -> tuple[int, Any]:
            item = await _find(tx, call, deployment_id, name)
            if not item.is_open:
                raise Conflict(
                    f"{_named(item)} cannot be completed by hand: it is {_standing(item)}.",
                    next_step=_next_step(item),
                )
            done = replace(
                item,
                state=CompensationState.DONE,
                done_at=self._context.clock.now(),
                done_by=call.caller.name,
                note=note.strip(),
            )
            words = f"{_named(item)} was completed by {call.caller.name}: {note.strip()}"
            return await self._stored(tx, call, done, words)

        return await execute(self._context, call, work)

    async def _stored(self, tx: Transaction, call: Call, item: Compensation, words: str) -> tuple[int, Any]:
        if not await tx.compensations.settle(item, self._context.clock.now()):
            raise Conflict(
                f"{_named(item)} is under way, or was changed at the same moment.",
                next_step="Look at it again, then decide.",
            )
        await write_line(
            tx,
            self._context,
            item,
            words,
            actor=call.caller.name,
            name=item.name,
            key=item.id,
            state=item.state.value,
        )
        items = await tx.compensations.of(item.tenant_id, item.deployment_id)
        if not any(i.is_open for i in items):
            await write_line(tx, self._context, item, "Everything is compensated.", state="done")
        return 200, {"deployment_id": item.deployment_id, **(compensation_view(items) or {})}


async def _find(tx: Transaction, call: Call, deployment_id: str, name: str) -> Compensation:
    d = await find_deployment(tx, call, deployment_id)
    items = await tx.compensations.of(d.tenant_id, d.id)
    found = next((i for i in items if i.name == name), None)
    if found is None:
        known = ", ".join(i.name for i in items)
        raise NotFound(
            f"{d.id} has no compensation {name[:60]!r}.",
            next_step=f"Use one of: {known}." if known else "Nothing of it is compensated.",
        )
    return found


def _named(item: Compensation) -> str:
    return "The compensation task" if item.by_hand else f"Compensation of {item.what}"


def _standing(item: Compensation) -> str:
    if item.state is CompensationState.DONE:
        return f"done{f' by {item.done_by}' if item.done_by else ''}"
    return "a task for a person" if item.by_hand else "waiting for its turn or its next try"


def _next_step(item: Compensation) -> str:
    if item.state is CompensationState.DONE:
        return "Nothing to do."
    return "Complete it with a note." if item.by_hand else "Wait: it is tried by itself."
