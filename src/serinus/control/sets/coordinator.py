"""The coordinator of release sets: claims live sets with a lease, decides, and has their members moved.

What it decided is stored before any member moves, and each move is a transaction with its line on the
set's timeline: one that died between two of them is gone on with here, or on another replica.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from datetime import datetime

from serinus.control.commands import Commands, Guard
from serinus.control.context import Caller, Context
from serinus.control.moving.contest import knock_all, unmet, with_addresses
from serinus.control.moving.deciding import Deciding, StartGuard, freshened
from serinus.control.moving.drafts import NewDeployment
from serinus.control.record import write_decision, write_event
from serinus.control.sets.record import write_set, write_set_event
from serinus.control.traffic import TrafficPool
from serinus.control.unit import Call
from serinus.core.decision import Decision
from serinus.core.errors import InvalidInput, NotFound, SerinusError, StaleRevision, TransitionRefused
from serinus.core.health import Knocked
from serinus.core.model import Deployment, Role, Service, Status, Waiting
from serinus.core.policy.freezing import frozen_for
from serinus.core.release_sets import Member, Order, OrderKind, ReleaseSet, Standing
from serinus.core.sets.deciding import decide_set, noted, stage_words
from serinus.ports.store import Transaction

__all__ = ["ACTOR", "Coordinator", "draft_of", "standings"]

log = logging.getLogger("serinus.sets")

#: Who is on timelines.
ACTOR = "release set"
#: Outlasts a look at a set whose members do not answer a knock.
LEASE_SECONDS = 30.0
#: Sets looked at in one tick, the one longest not looked at first.
BATCH = 100


class Coordinator:
    """Looks at live release sets. Several replicas share them by leases."""

    def __init__(
        self, context: Context, traffic: TrafficPool, commands: Commands, guard: Guard | None
    ) -> None:
        """``guard`` looks at a draft before it starts, as for every start."""
        self._context = context
        self._traffic = traffic
        self._commands = commands
        self._guard = guard
        self._deciding = Deciding(context, traffic)
        #: Set to have it look at once.
        self.early = asyncio.Event()

    async def tick(self) -> None:
        """Look at every live set that no other replica holds."""
        now, owner = self._context.clock.now(), self._context.replica
        async with self._context.store.begin(write=False) as tx:
            live = await tx.release_sets.any_live()
        if not live:
            return
        async with self._context.store.begin() as tx:
            claimed = await tx.release_sets.claim(owner, now, LEASE_SECONDS, BATCH)
        await asyncio.gather(*(self._guarded(tenant, one) for tenant, one in claimed))
        async with self._context.store.begin() as tx:
            for _, set_id in claimed:
                await tx.release_sets.release(set_id, owner, self._context.clock.now())

    async def _guarded(self, tenant_id: str, set_id: str) -> None:
        try:
            await self.look(tenant_id, set_id)
        except StaleRevision:
            log.info("overtaken", extra={"action": "set.overtaken", "set": set_id})
        except Exception:  # one set's trouble must not stop the others
            log.exception("look failed", extra={"action": "set.failed", "set": set_id})

    async def look(self, tenant_id: str, set_id: str) -> None:
        """Decide on one set and carry out what was decided.

        Raises:
            StaleRevision: Somebody changed it meanwhile; the next look sees that.
        """
        s, orders, trouble = await self._decided(tenant_id, set_id)
        knocks = await asyncio.gather(*(self._knock(s, order) for order in orders))
        for order, knocked in zip(orders, knocks, strict=True):
            refusal = await self._carry_out(s, order, knocked)
            trouble = trouble or refusal
            if refusal and order.kind is not OrderKind.ROLL_BACK:
                break  # what cannot be moved holds the rest; a rollback holds no other
        await self._note(s, trouble)

    async def _decided(self, tenant_id: str, set_id: str) -> tuple[ReleaseSet, tuple[Order, ...], str]:
        """Decide and store it; return the set, what is to be done, and what kept a stage from beginning."""
        while True:  # the drafts of a stage that begins are made first
            async with self._context.store.begin(write=False) as tx:
                s = await tx.release_sets.get(tenant_id, set_id)
            if s is None:
                raise NotFound
            try:
                async with self._context.store.begin() as tx:
                    s, orders, again = await self._decide(tx, s)
            except (InvalidInput, NotFound) as refusal:
                return s, (), f"{stage_words(s)} cannot go on: {refusal.detail}"
            self._woken(tenant_id)
            if not again:
                return s, orders, ""

    async def _decide(self, tx: Transaction, s: ReleaseSet) -> tuple[ReleaseSet, tuple[Order, ...], bool]:
        found = await standings(tx, s, self._context.clock.now())
        decision = decide_set(s, found, self._context.clock.now())
        if decision.create:
            decision = replace(decision, next_state=await self._created(tx, decision.next_state))
        saved = await write_set(tx, self._context, s, decision, ACTOR)
        return saved, decision.orders, decision.create

    async def _created(self, tx: Transaction, s: ReleaseSet) -> ReleaseSet:
        """Make the deployments of the present stage."""
        for member in s.present.members:
            if member.deployment_id or member.lost:
                continue
            draft = replace(await draft_of(tx, self._commands, s, member), release_set=s.id)
            await tx.deployments.add(draft)
            message = f"Draft of {member.words} made for {s.name}."
            await write_event(tx, self._context, draft, "created", message, ACTOR, {"release_set": s.id})
            s = s.with_member(replace(member, deployment_id=draft.id))
        return s

    async def _knock(self, s: ReleaseSet, order: Order) -> tuple[Knocked, ...]:
        """Knock at all sides of what goes back, before anything is decided on it."""
        if order.kind is not OrderKind.ROLL_BACK:
            return ()
        async with self._context.store.begin(write=False) as tx:
            d = await tx.deployments.get(s.tenant_id, order.member.deployment_id)
            service = await tx.services.get(s.tenant_id, d.service_id) if d else None
        return await knock_all(self._traffic, service, d) if d and service else ()

    async def _carry_out(self, s: ReleaseSet, order: Order, knocked: tuple[Knocked, ...]) -> str:
        """Make one move; return why it was refused, empty when it was made, or somebody had made it."""
        found = StartGuard()
        if order.kind is OrderKind.START and self._guard:
            found = await self._guard(_call(s, order), order.member.deployment_id)
        try:
            async with self._context.store.begin() as tx:
                await self._move(tx, s, order, knocked, found)
        except (StaleRevision, TransitionRefused):
            return ""  # a person or the monitor moved it at the same moment: the next look sees how
        except SerinusError as refusal:
            return f"{order.member.words} cannot be {_PAST[order.kind]}: {refusal.detail}"
        self._woken(s.tenant_id)
        return ""

    async def _move(
        self,
        tx: Transaction,
        s: ReleaseSet,
        order: Order,
        knocked: tuple[Knocked, ...],
        found: StartGuard,
    ) -> None:
        d = await tx.deployments.get(s.tenant_id, order.member.deployment_id)
        if d is None:
            return  # the next look sees that it is gone
        service = await tx.services.get(s.tenant_id, d.service_id)
        assert service is not None
        decision = await self._decision(tx, service, await freshened(tx, d), order, knocked, found)
        saved = await write_decision(tx, self._context, service, decision, ACTOR)
        data = {"deployment_id": saved.id, "service": saved.service}
        message = f"{order.member.words}: {saved.sentence}"
        await write_set_event(tx, self._context, s, order.kind.value, message, ACTOR, data)

    async def _decision(
        self,
        tx: Transaction,
        service: Service,
        d: Deployment,
        order: Order,
        knocked: tuple[Knocked, ...],
        found: StartGuard,
    ) -> Decision:
        if order.kind is OrderKind.START:
            return await self._deciding.start(tx, service, d, found, ACTOR)
        if order.kind is OrderKind.PROMOTE:
            return await self._deciding.promotion(tx, d)
        return await self._deciding.rollback(tx, d, order.reason, knocked)

    async def _note(self, s: ReleaseSet, trouble: str) -> None:
        decision = noted(s, trouble)
        if decision.next_state == s:
            return
        async with self._context.store.begin() as tx:
            await write_set(tx, self._context, s, decision, ACTOR)
        self._woken(s.tenant_id)

    def _woken(self, tenant_id: str) -> None:
        """Wake whoever waits for what was just stored."""
        self._context.bell.ring(tenant_id)
        self._context.poke.set()
        self._context.post.set()
        self._context.call.set()


_PAST = {
    OrderKind.START: "started",
    OrderKind.PROMOTE: "promoted",
    OrderKind.ROLL_BACK: "rolled back",
}


def _call(s: ReleaseSet, order: Order) -> Call:
    """Return the coordinator's call as a guard takes it."""
    caller = Caller(tenant_id=s.tenant_id, name=ACTOR, role=Role.ADMIN)
    return Call(
        caller=caller, action="deployment.start", target=order.member.deployment_id, needs=Role.APPROVER
    )


async def draft_of(tx: Transaction, commands: Commands, s: ReleaseSet, member: Member) -> Deployment:
    """Return a member's draft as it would be stored.

    Raises:
        InvalidInput: Something in it is wrong.
        NotFound: There is no such service.
    """
    service = await tx.services.get(s.tenant_id, member.service)
    if service is None:
        raise NotFound(
            f"There is no service {member.service!r}.",
            next_step=f"Make it: serinus service create {member.service} --stable V1",
        )
    service = await with_addresses(tx, service, member.version, member.addresses, member.strategy)
    caller = Caller(tenant_id=s.tenant_id, name=s.created_by, role=Role.ADMIN)
    call = Call(caller=caller, action="deployment.create", target=member.service, needs=Role.APPROVER)
    walked = {"mode": "auto"} if (member.strategy or {}).get("type") != "blue_green" else {}
    new = NewDeployment(
        service=member.service,
        version=member.version,
        changelog=member.changelog,
        canary_config=member.canary_config,
        compensation_strategy=member.compensation_strategy,
        strategy={**walked, **(member.strategy or {})},
        analysis=member.analysis,
        addresses=member.addresses,
    )
    return commands.draft(call, service, new)


async def standings(tx: Transaction, s: ReleaseSet, now: datetime) -> dict[str, Standing]:
    """Return how the members' deployments stand, by their ids; the gate only of those that could pass it."""
    found = {}
    for member in s.members:
        d = await tx.deployments.get(s.tenant_id, member.deployment_id) if member.deployment_id else None
        if d is None:
            continue
        d = await freshened(tx, d)
        lacks: tuple[str, ...] = ()
        stopped = d.status is Status.DRAFT or d.waiting is Waiting.PROMOTION
        frozen = frozen_for(d, now) if stopped else None
        if d.waiting is Waiting.PROMOTION:
            lacks = await unmet(tx, d, now)
        found[d.id] = Standing(d=d, unmet=lacks, frozen=frozen.sentence if frozen else "")
    return found
