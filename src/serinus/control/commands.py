"""What people ask of deployments and services. Each call is one transaction (:mod:`.unit`)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from serinus.control.context import Context, new_id
from serinus.control.finding import expect_revision, find_deployment, find_service
from serinus.control.hooks import check_hooks
from serinus.control.moving.contest import knock_all, with_addresses
from serinus.control.moving.deciding import Deciding, StartGuard, freshened
from serinus.control.moving.drafts import NewDeployment, configured, draft_of
from serinus.control.moving.starts import (
    ensure_may_start,
    ensure_reachable,
    ensure_still_reachable,
    ensure_stored,
)
from serinus.control.record import retire, write_decision, write_event
from serinus.control.showing import views
from serinus.control.traffic import TrafficPool
from serinus.control.undoing.saga import check_compensations
from serinus.control.unit import Answer, Call, execute
from serinus.core.address import ensure_addresses
from serinus.core.decision import Decision
from serinus.core.errors import Conflict, StaleRevision
from serinus.core.health import Knocked
from serinus.core.lifecycle import moves, scheduled
from serinus.core.lifecycle.guards import not_promoted_by_its_set, not_started_by_its_set
from serinus.core.lifecycle.irreversible import foretold
from serinus.core.lifecycle.transitions import Action, follow
from serinus.core.model import (
    Deployment,
    Service,
    ServiceKind,
    Status,
    TargetFilter,
    parse_percentage,
)
from serinus.core.policy import confirm
from serinus.core.policy.freezing import ensure_not_frozen
from serinus.core.policy.parse import salt_from
from serinus.ports.store import Transaction
from serinus.ports.traffic import Capability

__all__ = ["Commands", "Guard", "NewDeployment", "NewService", "StartGuard"]

#: How often a rollback tries again when the monitor changed the deployment at the same moment.
ROLLBACK_TRIES = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class NewService:
    """What a service is made from."""

    name: str
    kind: ServiceKind = ServiceKind.APPLICATION
    stable_version: str = ""
    driver: str = "in-process"
    driver_config: Mapping[str, Any] | None = None
    upstreams: Mapping[str, tuple[str, ...]] | None = None


#: Looks at a draft before it starts, outside the transaction: it may take its time.
Guard = Callable[[Call, str], Awaitable[StartGuard]]


class Commands:
    """The calls that change something."""

    def __init__(self, context: Context, traffic: TrafficPool, guard: Guard | None = None) -> None:
        """Keep what the calls share; ``guard`` looks at every draft before it starts."""
        self._context = context
        self._traffic = traffic
        self._guard = guard
        self._deciding = Deciding(context, traffic)

    # -- services -----------------------------------------------------------------------------

    async def create_service(self, call: Call, new: NewService) -> Answer:
        """Make a service; its driver's settings are checked now, not when a rollout needs them."""

        async def work(tx: Transaction) -> tuple[int, Any]:
            call.caller.must_see(new.name)
            service = Service(
                id=new_id("svc"),
                tenant_id=call.caller.tenant_id,
                name=new.name,
                kind=new.kind,
                stable_version=new.stable_version,
                driver=new.driver,
                driver_config=dict(new.driver_config or {}),
                upstreams={v: tuple(a) for v, a in (new.upstreams or {}).items()},
                created_at=self._context.clock.now(),
            )
            ensure_addresses(service.upstreams)
            self._traffic.of(service)
            await tx.services.add(service)
            await tx.leases.wake(service.id, self._context.clock.now())
            return 201, views.service_view(service)

        return await execute(self._context, call, work)

    async def update_service(self, call: Call, id_or_name: str, changes: Mapping[str, Any]) -> Answer:
        """Change a service's stable version, upstreams or driver settings while nothing rolls out."""

        async def work(tx: Transaction) -> tuple[int, Any]:
            service = await find_service(tx, call, id_or_name)
            current = await tx.deployments.current(service.tenant_id, service.id)
            running = [d for d in current if d.ended_at is None]
            if running and set(changes) - {"upstreams"}:
                raise Conflict(
                    f"{service.name} is rolling out {running[0].version} ({running[0].id}).",
                    next_step="Promote it or roll it back first; `upstreams` may be added at any time.",
                )
            changed = replace(service, **changes)
            given = changes.get("upstreams") or {}
            ensure_addresses({v: a for v, a in given.items() if a != service.upstreams.get(v)})
            if changes.get("stable_version"):
                ensure_reachable(changed, (changed.stable_version,))
                await ensure_stored(tx, changed)
            ensure_still_reachable(service, changed, current)
            self._traffic.of(changed)
            await tx.services.save(changed)
            for d in current:
                if d.status is Status.ACTIVE and d.version != changed.stable_version:
                    await retire(tx, self._context, d, changed.stable_version, call.caller.name)
            await tx.leases.wake(service.id, self._context.clock.now())
            return 200, views.service_view(changed)

        return await execute(self._context, call, work)

    # -- drafts -------------------------------------------------------------------------------

    async def create(self, call: Call, new: NewDeployment) -> Answer:
        """Make a draft."""

        async def work(tx: Transaction) -> tuple[int, Any]:
            service = await find_service(tx, call, new.service, field=new.named_in)
            service = await with_addresses(tx, service, new.version, new.addresses, new.strategy)
            draft = self.draft(call, service, new)
            await tx.deployments.add(draft)
            message = f"Draft of {service.name} {draft.tested} made. {foretold(draft)}".strip()
            await write_event(tx, self._context, draft, "created", message, call.caller.name)
            return 201, views.deployment_view(draft)

        return await execute(self._context, call, work)

    def draft(self, call: Call, service: Service, new: NewDeployment) -> Deployment:
        """Return a draft as it would be stored.

        Raises:
            InvalidInput: Something in it is wrong.
        """
        return draft_of(self._context, self._traffic, service, new, call.caller.name)

    async def update(self, call: Call, deployment_id: str, changes: Mapping[str, Any]) -> Answer:
        """Change a draft: changelog, canary_config, strategy, analysis, compensation_strategy."""

        async def work(tx: Transaction) -> tuple[int, Any]:
            d = await find_deployment(tx, call, deployment_id)
            expect_revision(call, d)
            follow(d.status, Action.UPDATE)
            plain = {k: v for k, v in changes.items() if k in ("changelog", "compensation_strategy")}
            d = replace(d, **plain)
            given = {k: changes[k] for k in ("canary_config", "strategy", "analysis") if k in changes}
            if given:
                d = configured(d, **given)
                d = replace(d, salt=salt_from(given.get("strategy"), d.salt))
                check_hooks(self._context, d.strategy.hooks)
                service = await find_service(tx, call, d.service_id)
                service = await with_addresses(tx, service, d.version, (), given.get("strategy"))
                self._traffic.ensure_strategy(service, d)
            check_compensations(self._context, d)
            saved = await tx.deployments.save(d)
            await write_event(tx, self._context, saved, "updated", "Draft changed.", call.caller.name)
            return 200, views.deployment_view(saved)

        return await execute(self._context, call, work)

    async def delete(self, call: Call, deployment_id: str) -> Answer:
        """Delete a draft and what hangs on it."""

        async def work(tx: Transaction) -> tuple[int, Any]:
            d = await find_deployment(tx, call, deployment_id)
            expect_revision(call, d)
            follow(d.status, Action.DELETE)
            await tx.deployments.delete(d.tenant_id, d.id)
            return 204, None

        return await execute(self._context, call, work)

    # -- moves --------------------------------------------------------------------------------

    async def start(
        self, call: Call, deployment_id: str, percentage: object = None, target: TargetFilter | None = None
    ) -> Answer:
        """Put the canary under traffic, after everything that could refuse it was asked.

        Before the strategy's ``start_at``, and in a freeze that only delays, it is scheduled instead;
        asked again while it is scheduled, it starts at once.
        """
        bp = None if percentage is None else parse_percentage(percentage, "canary_pct")
        found = await self._guard(call, deployment_id) if self._guard else StartGuard()

        async def decide(tx: Transaction, service: Service, d: Deployment) -> Decision:
            not_started_by_its_set(d)
            who = call.caller.name
            return await self._deciding.start(tx, service, d, found, who, bp=bp, target=target)

        return await self._move(call, deployment_id, decide)

    async def may_start(
        self, tx: Transaction, service: Service, d: Deployment, target: TargetFilter | None
    ) -> None:
        """Refuse a start that could not work.

        Raises:
            InvalidInput: What is in the way, and what to do about it.
        """
        await ensure_may_start(self._traffic, tx, service, d, target)

    async def schedule(
        self,
        call: Call,
        deployment_id: str,
        at: datetime,
        percentage: object = None,
        target: TargetFilter | None = None,
    ) -> Answer:
        """Have it start by itself at a later time; what guards a start is asked now, and does not change."""
        bp = None if percentage is None else parse_percentage(percentage, "canary_pct")
        found = await self._guard(call, deployment_id) if self._guard else StartGuard()

        async def decide(tx: Transaction, _: Service, d: Deployment) -> Decision:
            not_started_by_its_set(d)
            follow(d.status, Action.SCHEDULE)
            await self._deciding.heed(tx, d, found, call.caller.name)
            return scheduled.schedule(d, self._context.clock.now(), at, bp=bp, target=target)

        return await self._move(call, deployment_id, decide)

    async def cancel(self, call: Call, deployment_id: str) -> Answer:
        """Take a scheduled start back."""
        return await self._simple(call, deployment_id, scheduled.cancel)

    async def override_freeze(self, call: Call, deployment_id: str, reason: str) -> Answer:
        """Let it start and grow in a freeze. Admins only; who and why is written down."""

        def move(d: Deployment, now: datetime) -> Decision:
            return scheduled.override_freeze(d, now, reason)

        return await self._simple(_because(call, reason), deployment_id, move)

    async def traffic(
        self, call: Call, deployment_id: str, percentage: object, *, force: bool = False
    ) -> Answer:
        """Change the share, up or down; ``force`` past a minimum time, or to a side that does not answer."""
        bp = parse_percentage(percentage)

        async def decide(_: Transaction, service: Service, d: Deployment) -> Decision:
            keeps, now = self._traffic.can(service, Capability.PERSISTENT), self._context.clock.now()
            if d.status is Status.CANARY and bp > d.traffic_bp:
                ensure_not_frozen(d, now, "More traffic")
            return confirm.shifted(d, now, bp, keeps_units=keeps, role=call.caller.role, force=force)

        return await self._move(call, deployment_id, decide)

    async def pause(self, call: Call, deployment_id: str) -> Answer:
        """Hold the share where it is."""
        return await self._simple(call, deployment_id, moves.pause)

    async def resume(self, call: Call, deployment_id: str) -> Answer:
        """Go on where it was paused."""
        return await self._simple(call, deployment_id, moves.resume)

    async def approve(self, call: Call, deployment_id: str, reason: str = "") -> Answer:
        """Pass the gate that the deployment waits at; who did and why is written down."""

        def move(d: Deployment, now: datetime) -> Decision:
            return moves.approve(d, now, role=call.caller.role, by=call.caller.name, reason=reason)

        return await self._simple(_because(call, reason), deployment_id, move)

    async def deprecate(self, call: Call, deployment_id: str) -> Answer:
        """Retire an active deployment by hand."""
        return await self._simple(call, deployment_id, moves.deprecate)

    async def _simple(
        self, call: Call, deployment_id: str, move: Callable[[Deployment, Any], Decision]
    ) -> Answer:
        async def decide(_: Transaction, __: Service, d: Deployment) -> Decision:
            return move(d, self._context.clock.now())

        return await self._move(call, deployment_id, decide)

    async def promote(
        self, call: Call, deployment_id: str, *, force: bool = False, version: str = ""
    ) -> Answer:
        """Make the canary the version for everyone, if its gate is met or ``force`` is given.

        ``version`` says which of several candidates; without it the best one, if there is one.
        """

        async def decide(tx: Transaction, _: Service, d: Deployment) -> Decision:
            not_promoted_by_its_set(d, force=force)
            role = call.caller.role
            return await self._deciding.promotion(tx, d, force=force, role=role, version=version)

        return await self._move(call, deployment_id, decide)

    async def roll_back(
        self,
        call: Call,
        deployment_id: str,
        reason: str,
        *,
        compensate: bool = True,
        force: bool = False,
        version: str = "",
        across: bool = False,
    ) -> Answer:
        """Put everyone on stable. The monitor's own writes never make it fail.

        ``version``: only this one of several candidates; the others go on.

        While stable cannot be sent traffic it is held and goes on by itself; ``force`` does it anyway.
        ``across`` also goes back across an irreversible step that was completed.
        """
        call = _because(call, reason)
        call = replace(call, data={**call.data, "across_irreversible": True}) if across else call
        knocked = () if force else await self._knock(call, deployment_id)

        async def decide(tx: Transaction, _: Service, d: Deployment) -> Decision:
            return await self._deciding.rollback(
                tx, d, reason, knocked, compensate=compensate, force=force, across=across, version=version
            )

        for _ in range(ROLLBACK_TRIES - 1):
            try:
                return await self._move(call, deployment_id, decide)
            except StaleRevision:
                continue  # the table refuses it if somebody else has rolled back meanwhile
        return await self._move(call, deployment_id, decide)

    async def _knock(self, call: Call, deployment_id: str) -> tuple[Knocked, ...]:
        """Knock at both sides before the transaction begins; what is not there is refused within it."""
        async with self._context.store.begin(write=False) as tx:
            d = await tx.deployments.get(call.caller.tenant_id, deployment_id)
            service = await tx.services.get(d.tenant_id, d.service_id) if d else None
        allowed = d is not None and call.caller.role.reaches(call.needs) and call.caller.sees(d.service)
        if d is None or service is None or not allowed:
            return ()
        return await knock_all(self._traffic, service, d)

    async def _move(
        self,
        call: Call,
        deployment_id: str,
        decide: Callable[[Transaction, Service, Deployment], Awaitable[Decision]],
    ) -> Answer:
        async def work(tx: Transaction) -> tuple[int, Any]:
            d = await find_deployment(tx, call, deployment_id)
            service = await find_service(tx, call, d.service_id)
            expect_revision(call, d)
            decision = await decide(tx, service, await freshened(tx, d))
            saved = await write_decision(tx, self._context, service, decision, call.caller.name)
            return 200, views.deployment_view(saved)

        return await execute(self._context, call, work)


def _because(call: Call, reason: str) -> Call:
    """Put a person's reason into the audit log."""
    return replace(call, data={**call.data, "reason": reason}) if reason else call
