"""Moves of deployments as they are decided inside a transaction: by a person's call, or by a release set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from serinus.control.context import Context
from serinus.control.moving.contest import dropped, gather_all, promoted, with_sides
from serinus.control.moving.starts import ensure_may_start
from serinus.control.record import write_event
from serinus.control.traffic import TrafficPool
from serinus.core.contest import arms
from serinus.core.decision import Decision
from serinus.core.errors import SerinusError
from serinus.core.health import Knocked
from serinus.core.lifecycle import scheduled
from serinus.core.lifecycle.back import go_back
from serinus.core.lifecycle.transitions import Action, follow
from serinus.core.model import Deployment, Role, Service, Status, TargetFilter
from serinus.core.policy import confirm
from serinus.core.policy.freezing import ensure_not_frozen, start_later, with_freezes
from serinus.ports.store import Transaction

__all__ = ["Deciding", "StartGuard", "freshened"]


@dataclass(frozen=True, kw_only=True, slots=True)
class StartGuard:
    """What a check before a start found: why to refuse it, or a line for the timeline."""

    refusal: SerinusError | None = None
    note: str = ""


async def freshened(tx: Transaction, d: Deployment) -> Deployment:
    """Return ``d`` with the tenant's freezes as they are now."""
    return with_freezes(d, await tx.freezes.all(d.tenant_id))


class Deciding:
    """Decides on a start, a promotion or a rollback; who asked writes it down."""

    def __init__(self, context: Context, traffic: TrafficPool) -> None:
        """Keep what the decisions need."""
        self._context = context
        self._traffic = traffic

    async def start(
        self,
        tx: Transaction,
        service: Service,
        d: Deployment,
        found: StartGuard,
        actor: str,
        *,
        bp: int | None = None,
        target: TargetFilter | None = None,
    ) -> Decision:
        """Start it, or have it start later: at its time, or after a freeze.

        Raises:
            SerinusError: What is in the way.
        """
        follow(d.status, Action.START)
        await self.heed(tx, d, found, actor)
        now = self._context.clock.now()
        wanted = (bp, target)
        if d.scheduled and wanted == (None, None):
            wanted = (d.scheduled.bp, d.scheduled.target or None)
        await ensure_may_start(self._traffic, tx, service, d, wanted[1])
        later = start_later(d, now)
        if later:
            return scheduled.schedule(d, now, later[0], bp=wanted[0], target=wanted[1], why=later[1])
        fresh = replace(d, stable_version=service.stable_version)
        return confirm.started(fresh, now, bp=wanted[0], target=wanted[1])

    async def heed(self, tx: Transaction, d: Deployment, found: StartGuard, actor: str) -> None:
        """Refuse a start that a check before it refuses, or write down what the check found.

        Raises:
            SerinusError: What the check found is in the way.
        """
        if found.refusal:
            raise found.refusal
        if found.note:
            await write_event(tx, self._context, d, "guard", found.note, actor)

    async def promotion(
        self,
        tx: Transaction,
        d: Deployment,
        *,
        force: bool = False,
        role: Role = Role.ADMIN,
        version: str = "",
    ) -> Decision:
        """Promote it, if its gate is met or ``force`` is given.

        ``version`` says which of several candidates; without it the best one, if there is one.

        Raises:
            SerinusError: What is in the way.
        """
        follow(d.status, Action.PROMOTE)
        now = self._context.clock.now()
        ensure_not_frozen(d, now, "The promotion")
        return await promoted(tx, d, version, now, force=force, role=role)

    async def rollback(
        self,
        tx: Transaction,
        d: Deployment,
        reason: str,
        knocked: Sequence[Knocked],
        *,
        compensate: bool = True,
        force: bool = False,
        across: bool = False,
        version: str = "",
    ) -> Decision:
        """Roll it back, or hold that while stable cannot be sent traffic.

        ``knocked`` says whether it can, of each candidate; empty: nobody has knocked. ``version``: only this
        one of several candidates is dropped, and the others go on.

        Raises:
            SerinusError: There is nothing to go back from.
        """
        now = self._context.clock.now()
        if d.status in (Status.CANARY, Status.ACTIVE):
            sides = knocked or (Knocked(),) * len(arms(d))
            d = with_sides(d, await gather_all(tx, d, now), sides, now)
        if version and (d.contested or version != d.version):
            return dropped(d, version, reason, now, compensate=compensate, force=force, across=across)
        current = await tx.deployments.current(d.tenant_id, d.service_id)
        alone = all(o.id == d.id or o.status is not Status.CANARY for o in current)
        return go_back(d, now, reason, compensate=compensate, force=force, across=across, gradual=alone)
