"""What people ask of release sets. Each call is one transaction (:mod:`serinus.control.unit`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from serinus.control.commands import Commands
from serinus.control.context import Caller, Context, new_id
from serinus.control.sets.coordinator import Coordinator, draft_of, standings
from serinus.control.sets.record import write_set, write_set_event
from serinus.control.sets.views import set_view
from serinus.control.showing.views import event_view
from serinus.control.unit import Answer, Call, execute
from serinus.core.errors import InvalidInput, NotFound, SerinusError, StaleRevision
from serinus.core.model import Mode, Role
from serinus.core.policy.release_sets import release_set_from
from serinus.core.release_sets import Member, ReleaseSet, SetDecision, SetState, Standing
from serinus.core.sets import moves
from serinus.ports.store import Page, Transaction

__all__ = ["ReleaseSets"]

#: Newest lines of the timeline on a set's page.
LINES = 100


class ReleaseSets:
    """Calls on release sets, and what is read of them."""

    def __init__(self, context: Context, commands: Commands, coordinator: Coordinator) -> None:
        """Keep what the calls share."""
        self._context = context
        self._commands = commands
        self._coordinator = coordinator

    async def create(self, call: Call, data: Mapping[str, Any]) -> Answer:
        """Check a set whole and start it; nothing of it is stored when one member could not be made."""

        async def work(tx: Transaction) -> tuple[int, Any]:
            tenant, now = call.caller.tenant_id, self._context.clock.now()
            s = release_set_from(data, identity=new_id("set"), tenant_id=tenant)
            names = ", ".join(m.words for m in s.members)
            s = replace(s, created_at=now, created_by=call.caller.name, sentence=f"{s.name} starts: {names}.")
            for member in s.members:
                call.caller.must_see(member.service)
                await self._check(tx, s, member)
            await tx.release_sets.add(s)
            await write_set_event(tx, self._context, s, "created", s.sentence, call.caller.name)
            return 201, set_view(s)

        return await self._asked(call, work)

    async def _check(self, tx: Transaction, s: ReleaseSet, member: Member) -> None:
        try:
            draft = await draft_of(tx, self._commands, s, member)
        except SerinusError as error:
            raise InvalidInput(
                f"{member.words}: {error.detail}",
                field=f"{member.service}.{error.field}" if error.field else member.service,
                next_step=error.next_step,
                extra=error.extra,
            ) from error
        if draft.strategy.mode is not Mode.AUTO:
            raise InvalidInput(
                f"{member.words}: members of a release set walk their steps by themselves.",
                field=f"{member.service}.strategy.mode",
                next_step="Give `mode: auto`, or leave it out; single steps may be `manual: true`.",
            )
        if draft.strategy.auto_promote:
            raise InvalidInput(
                f"{member.words}: a member is promoted by its release set, with the others.",
                field=f"{member.service}.strategy.auto_promote",
                next_step="Leave it out; the set has an `auto_promote` of its own.",
            )

    async def approve(self, call: Call, set_id: str, reason: str = "") -> Answer:
        """Let the next stage begin."""
        caller = call.caller

        def move(s: ReleaseSet, _: Mapping[str, Standing]) -> SetDecision:
            return moves.approve(s, role=caller.role, by=caller.name, reason=reason)

        return await self._move(_because(call, reason), set_id, move)

    async def promote(self, call: Call, set_id: str, reason: str = "") -> Answer:
        """Have the present stage promoted."""

        def move(s: ReleaseSet, _: Mapping[str, Standing]) -> SetDecision:
            return moves.promote(s, by=call.caller.name, reason=reason)

        return await self._move(_because(call, reason), set_id, move)

    async def pause(self, call: Call, set_id: str) -> Answer:
        """Begin and promote nothing more."""
        return await self._move(call, set_id, lambda s, _: moves.pause(s, by=call.caller.name))

    async def resume(self, call: Call, set_id: str) -> Answer:
        """Go on where it was paused or held."""
        return await self._move(call, set_id, lambda s, _: moves.resume(s, by=call.caller.name))

    async def roll_back(self, call: Call, set_id: str, reason: str) -> Answer:
        """Roll back every member, the last first."""

        def move(s: ReleaseSet, found: Mapping[str, Standing]) -> SetDecision:
            now = self._context.clock.now()
            return moves.roll_back(s, found, now, reason, by=call.caller.name)

        return await self._move(_because(call, reason), set_id, move)

    async def _move(
        self, call: Call, set_id: str, move: Callable[[ReleaseSet, Mapping[str, Standing]], SetDecision]
    ) -> Answer:
        async def work(tx: Transaction) -> tuple[int, Any]:
            s = await _find(tx, call.caller, set_id)
            expected = call.data.get("expected_revision")
            if expected is not None and expected != s.revision:
                raise StaleRevision(
                    f"You looked at revision {expected}; it is {s.revision} now: {s.sentence}",
                    next_step="Read the release set again, then decide.",
                )
            decision = move(s, await standings(tx, s, self._context.clock.now()))
            saved = await write_set(tx, self._context, s, decision, call.caller.name)
            return 200, await _seen(tx, saved)

        return await self._asked(call, work)

    async def _asked(self, call: Call, work: Any) -> Answer:
        done = await execute(self._context, call, work)
        self._coordinator.early.set()
        return done

    # -- reading ------------------------------------------------------------------------------

    async def list(self, caller: Caller, page: Page, state: SetState | None = None) -> dict[str, Any]:
        """List sets, newest first."""
        caller.must_reach(Role.VIEWER)
        async with self._context.store.begin(write=False) as tx:
            found, total = await tx.release_sets.list(
                caller.tenant_id, limit=page.size, offset=page.offset, state=state
            )
        items = [set_view(s) for s in found if _sees(caller, s)]
        hidden = len(found) - len(items)
        return {"release_sets": items, "total": total - hidden, "page": page.number, "page_size": page.size}

    async def get(self, caller: Caller, set_id: str) -> dict[str, Any]:
        """Return one set with its members as they stand."""
        caller.must_reach(Role.VIEWER)
        async with self._context.store.begin(write=False) as tx:
            return await _seen(tx, await _find(tx, caller, set_id))

    async def events(self, caller: Caller, set_id: str, after: int = 0, limit: int = 200) -> dict[str, Any]:
        """Return a set's timeline from ``after`` on, oldest first."""
        caller.must_reach(Role.VIEWER)
        async with self._context.store.begin(write=False) as tx:
            s = await _find(tx, caller, set_id)
            found = await tx.set_timeline.read(s.tenant_id, s.id, after=after, limit=limit)
        return {"events": [event_view(e) for e in found], "release_set_id": s.id}


def _because(call: Call, reason: str) -> Call:
    """Put a person's reason into the audit log."""
    return replace(call, data={**call.data, "reason": reason}) if reason else call


async def _seen(tx: Transaction, s: ReleaseSet) -> dict[str, Any]:
    deployments = [
        await tx.deployments.get(s.tenant_id, m.deployment_id) for m in s.members if m.deployment_id
    ]
    return set_view(s, {d.id: d for d in deployments if d is not None})


async def _find(tx: Transaction, caller: Caller, set_id: str) -> ReleaseSet:
    s = await tx.release_sets.get(caller.tenant_id, set_id)
    if s is None or not _sees(caller, s):
        nothing = NotFound(
            f"There is no release set {set_id[:80]!r}.", next_step="GET /api/v1/release-sets lists yours."
        )
        raise caller.missing(nothing)
    return s


def _sees(caller: Caller, s: ReleaseSet) -> bool:
    """Tell whether a token is for every member's service: a set moves all of them."""
    return all(caller.sees(m.service) for m in s.members)
