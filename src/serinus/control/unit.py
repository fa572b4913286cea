"""One call, one transaction: the work, its audit entry and its answer by idempotency key.

A call that fails leaves nothing but an audit entry that says so.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from serinus.control.context import Caller, Context
from serinus.core.errors import InvalidInput, SerinusError, StaleRevision
from serinus.core.model import Role
from serinus.ports.store import AuditEntry, StoredAnswer, Transaction

__all__ = ["Answer", "Call", "execute"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Call:
    """What is asked, by whom, on what."""

    caller: Caller
    #: ``deployment.promote`` and the like.
    action: str
    target: str
    needs: Role
    #: The client's ``Idempotency-Key``, if it sent one, and a digest of what it asked.
    key: str = ""
    fingerprint: str = ""
    #: What goes into the audit log; never a secret.
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """The answer's status and body. ``replayed``: it was given before under the same key."""

    status: int
    body: Any
    replayed: bool = False


Work = Callable[[Transaction], Awaitable[tuple[int, Any]]]


async def execute(context: Context, call: Call, work: Work) -> Answer:
    """Check the role, do the work in one transaction, and remember the answer.

    Raises:
        SerinusError: Whatever the work refuses; the refusal itself is in the audit log.
    """
    try:
        call.caller.must_reach(call.needs)
        return await _once(context, call, work)
    except StaleRevision:
        replayed = await _replay(context, call)
        if replayed:  # the same key, sent twice at once: the other one won
            return replayed
        await _refused(context, call, StaleRevision.kind)
        raise
    except SerinusError as error:
        await _refused(context, call, error.kind)
        raise


async def _once(context: Context, call: Call, work: Work) -> Answer:
    replayed = await _replay(context, call)
    if replayed:
        return replayed
    async with context.store.begin() as tx:
        status, body = await work(tx)
        now = context.clock.now()
        await tx.audit.append(_entry(context, call, "ok"))
        if call.key:
            stored = StoredAnswer(fingerprint=call.fingerprint, status=status, body=body)
            await tx.idempotency.put(call.caller.tenant_id, call.key, stored, now)
    context.bell.ring(call.caller.tenant_id)
    context.poke.set()
    context.post.set()
    context.call.set()
    return Answer(status=status, body=body)


async def _replay(context: Context, call: Call) -> Answer | None:
    if not call.key:
        return None
    async with context.store.begin(write=False) as tx:
        stored = await tx.idempotency.get(call.caller.tenant_id, call.key)
    if stored is None:
        return None
    if stored.fingerprint != call.fingerprint:
        raise InvalidInput(
            "This Idempotency-Key was used for a different call.",
            field="Idempotency-Key",
            next_step="Use a fresh key for each new call.",
        )
    return Answer(status=stored.status, body=stored.body, replayed=True)


async def _refused(context: Context, call: Call, outcome: str) -> None:
    try:
        async with context.store.begin() as tx:
            await tx.audit.append(_entry(context, call, outcome))
    except SerinusError:
        # The store is what failed: the caller gets that error, and there is nowhere to write to.
        return


def _entry(context: Context, call: Call, outcome: str) -> AuditEntry:
    return AuditEntry(
        tenant_id=call.caller.tenant_id,
        at=context.clock.now(),
        actor=call.caller.name,
        token_id=call.caller.token_id,
        action=call.action,
        target=call.target,
        outcome=outcome,
        request_id=call.caller.request_id,
        data=call.data,
    )
