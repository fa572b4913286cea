"""Starts: what must hold before one, and those that were asked for a later time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from serinus.control.context import Context
from serinus.control.record import write_decision
from serinus.control.traffic import TrafficPool, desired_split
from serinus.core.decision import Decision
from serinus.core.errors import InvalidInput, StaleRevision, Unavailable
from serinus.core.lifecycle import scheduled
from serinus.core.model import Deployment, Service, Status, TargetFilter
from serinus.core.policy import confirm
from serinus.core.policy.freezing import frozen_for, with_freezes
from serinus.ports.store import Page, Transaction

__all__ = ["Starts", "ensure_may_start", "ensure_reachable", "ensure_still_reachable", "ensure_stored"]

#: So many scheduled starts of one service are looked at, the newest first.
MOST_SCHEDULED = 100


async def ensure_may_start(
    traffic: TrafficPool, tx: Transaction, service: Service, d: Deployment, target: TargetFilter | None
) -> None:
    """Refuse a start that could not work.

    Raises:
        InvalidInput: What is in the way, and what to do about it.
    """
    for other in await tx.deployments.current(service.tenant_id, service.id):
        if other.status is Status.CANARY:
            raise InvalidInput(
                f"{service.name} already has an active canary: {other.version} ({other.id}).",
                next_step=f"Promote or roll back {other.id} first.",
                extra={"in_the_way": other.id, "kind": "already-has-active-canary"},
            )
    if not service.stable_version:
        raise InvalidInput(
            f"{service.name} has no stable version to compare with.",
            field="stable_version",
            next_step="Set `stable_version` on the service first.",
        )
    tested = [c.version for c in d.candidates] or [d.version]
    if service.stable_version in tested:
        raise InvalidInput(
            f"{service.stable_version} is {service.name}'s stable version by now: everyone is on it.",
            field="version",
            next_step="Release another version; this draft is not needed any more.",
        )
    running = replace(d, status=Status.CANARY, target_filter=target or TargetFilter())
    if target and d.candidates:
        raise InvalidInput(
            "An A/B/n test takes its units by their hash.",
            field="canary_target_filter",
            next_step="Leave the filter out, or start one version as a canary.",
        )
    traffic.ensure_able(service, desired_split(service, running))
    ensure_reachable(service, (service.stable_version, *tested))


def ensure_reachable(service: Service, versions: Sequence[str]) -> None:
    """Refuse versions that the service's proxies would not find.

    Raises:
        InvalidInput: Which have no address, and where to give one.
    """
    missing = [v for v in versions if not service.upstreams.get(v)]
    if missing and service.driver != "in-process":
        raise InvalidInput(
            f"No address is known for {service.name} {' and '.join(missing)}.",
            field="upstreams",
            next_step="Give `addresses` with the deployment (--address host:port), "
            "or `upstreams` on the service.",
        )


def ensure_still_reachable(before: Service, after: Service, current: Sequence[Deployment]) -> None:
    """Refuse to forget where versions answer that the service's proxies send requests to.

    Raises:
        InvalidInput: Which ones.
    """
    used = {after.stable_version: None}
    for d in current:
        if d.status is Status.CANARY or d.warm_until:
            used |= dict.fromkeys((d.stable_version, d.version, *(c.version for c in d.candidates)))
    gone = [v for v in used if before.upstreams.get(v) and not after.upstreams.get(v)]
    if gone and after.driver != "in-process":
        raise InvalidInput(
            f"{after.name} {' and '.join(gone)} would have no address any more.",
            field="upstreams",
            next_step="`upstreams` takes the place of what was there: give these versions' addresses, too.",
        )


async def ensure_stored(tx: Transaction, service: Service) -> None:
    """Refuse a stable version whose rules are not here, where those of others are.

    Raises:
        InvalidInput: It is not stored.
    """
    _, total = await tx.rulesets.page(service.tenant_id, service.id, Page(size=1))
    if total and await tx.rulesets.get(service.tenant_id, service.id, service.stable_version) is None:
        raise InvalidInput(
            f"{service.name} has no version {service.stable_version}.",
            field="stable_version",
            next_step=f"POST /api/v1/rulesets/{service.id}/versions with its rules first.",
        )


class Starts:
    """Begins scheduled deployments at their time, or says why they wait."""

    def __init__(self, context: Context, traffic: TrafficPool, *, tick: float, idle: float) -> None:
        """``tick`` and ``idle``: seconds until the next look while one is due and waits, and otherwise."""
        self._context = context
        self._traffic = traffic
        self._tick = tick
        self._idle = idle

    async def look(self, tenant_id: str, service_id: str) -> float:
        """Begin what is due; return the seconds until the next look is needed."""
        async with self._context.store.begin(write=False) as tx:
            planned = await _scheduled(tx, tenant_id, service_id)
        now = self._context.clock.now()
        due = [d for d in planned if scheduled.is_due(d, now)]
        for d in due:
            try:
                async with self._context.store.begin() as tx:
                    await self._begin(tx, d, now)
            except StaleRevision:
                continue  # a person changed it meanwhile: the next look sees what it is now
            self._context.bell.ring(tenant_id)
            self._context.post.set()
            self._context.call.set()
        coming = [d.scheduled.at for d in planned if d.scheduled and d.scheduled.at > now]
        if due:
            return self._tick
        return min([self._idle, *((at - now).total_seconds() for at in coming)])

    async def _begin(self, tx: Transaction, seen: Deployment, now: datetime) -> None:
        d = await tx.deployments.get(seen.tenant_id, seen.id)
        service = await tx.services.get(seen.tenant_id, seen.service_id)
        if d is None or service is None or not scheduled.is_due(d, now) or d.scheduled is None:
            return
        d = with_freezes(d, await tx.freezes.all(d.tenant_id))
        decision = await self._decision(tx, service, d, now)
        if decision.reasons:
            await write_decision(tx, self._context, service, decision, "schedule")

    async def _decision(self, tx: Transaction, service: Service, d: Deployment, now: datetime) -> Decision:
        assert d.scheduled is not None
        freeze = frozen_for(d, now)
        if freeze is not None:
            return scheduled.put_off(d, f"{freeze.sentence}.")
        target = d.scheduled.target or None
        try:
            await ensure_may_start(self._traffic, tx, service, d, target)
        except (InvalidInput, Unavailable) as refusal:
            return scheduled.put_off(d, refusal.detail)
        fresh = replace(d, stable_version=service.stable_version)
        return confirm.started(fresh, now, bp=d.scheduled.bp, target=target)


async def _scheduled(tx: Transaction, tenant_id: str, service_id: str) -> Sequence[Deployment]:
    """Return the service's scheduled deployments, the earliest first."""
    found, _ = await tx.deployments.page(
        tenant_id, Page(size=MOST_SCHEDULED), service_id=service_id, status=Status.SCHEDULED
    )
    timed = [(d.scheduled.at, d.id, d) for d in found if d.scheduled is not None]
    return [d for _, _, d in sorted(timed, key=lambda one: one[:2])]
