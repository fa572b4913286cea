"""One look at one service: carry the split, take the counters over, decide, write down, carry again.

Level-triggered: nothing here assumes that an earlier look succeeded. A look that dies anywhere is
repeated by the next one, here or on another replica.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from serinus.control.context import Context, stamp
from serinus.control.evidence import breaker_key, delta_windows, gather, remember
from serinus.control.hooks import heard
from serinus.control.moving.contest import knock_all, with_sides
from serinus.control.moving.starts import Starts
from serinus.control.polling import Polled, Poller
from serinus.control.record import write_decision, write_event
from serinus.control.traffic import TrafficPool, desired_split
from serinus.control.undoing.readback import settle
from serinus.core.analysis.evidence import Evidence, Side, TrafficState, Window
from serinus.core.contest import arms
from serinus.core.decide import decide
from serinus.core.decision import Decision
from serinus.core.errors import InvalidInput, StaleRevision, Unavailable
from serinus.core.health import Knocked
from serinus.core.lifecycle.moves import looked_after
from serinus.core.model import Deployment, Service, Status
from serinus.core.policy.freezing import with_freezes
from serinus.ports.store import Transaction
from serinus.ports.traffic import (
    Capability,
    Carried,
    Counters,
    DesiredSplit,
    InstanceState,
    TrafficDriver,
    TrafficError,
)

__all__ = ["Reconciler"]

log = logging.getLogger("serinus.reconcile")


@dataclass(frozen=True, kw_only=True, slots=True)
class _Look:
    """What one look has found out about the data plane."""

    desired: DesiredSplit
    carried: Carried
    counters: tuple[Counters, ...]
    #: When the data plane was asked.
    asked_at: datetime
    #: In words, when somebody else had changed the split.
    drift: str = ""
    #: Whether both sides answer, for each candidate.
    knocked: tuple[Knocked, ...] = (Knocked(),)


class Reconciler:
    """Looks at services one at a time."""

    def __init__(
        self,
        context: Context,
        traffic: TrafficPool,
        *,
        tick: float,
        idle: float = 30.0,
        poller: Poller | None = None,
    ) -> None:
        """``tick`` and ``idle``: seconds between looks while something rolls out, and otherwise.

        ``poller`` asks the metric sources that policies name; without one there are none.
        """
        self._poller = poller
        self._starts = Starts(context, traffic, tick=tick, idle=idle)
        self._context = context
        self._traffic = traffic
        self._tick = tick
        self._idle = idle
        #: service id → the split that was last acknowledged here.
        self._settled: dict[str, DesiredSplit] = {}

    async def look(self, tenant_id: str, service_id: str) -> float:
        """Reconcile a service; return the seconds until its next look."""
        pause = await self._starts.look(tenant_id, service_id)
        return min(pause, await self._look(tenant_id, service_id))

    async def _look(self, tenant_id: str, service_id: str) -> float:
        async with self._context.store.begin(write=False) as tx:
            service = await tx.services.get(tenant_id, service_id)
            running = await self._running(tx, tenant_id, service_id)
        if service is None:
            return self._idle
        if running and running.status is Status.ACTIVE and running.version != service.stable_version:
            running = None  # another version has taken over: there is nothing to go back from
        try:
            driver = self._traffic.of(service)
            desired = desired_split(service, running)
        except (InvalidInput, Unavailable) as error:
            await self._report(service, running, _broken(str(error)))
            return self._tick if running else self._idle
        if running is None:
            look = await self._carry(driver, desired)
            await self._report(service, None, look.carried, look.asked_at)
            return self._idle if look.carried.acknowledged else self._tick
        look, knocked = await asyncio.gather(
            self._carry(driver, desired), knock_all(self._traffic, service, running)
        )
        look = replace(look, knocked=knocked)
        return await self._decide(service, driver, running, look)

    @staticmethod
    async def _running(tx: Transaction, tenant_id: str, service_id: str) -> Deployment | None:
        """Return what rolls out, or else what was promoted and is still watched."""
        current = await tx.deployments.current(tenant_id, service_id)
        canary = next((d for d in current if d.status is Status.CANARY), None)
        return canary or next((d for d in current if looked_after(d)), None)

    async def _carry(self, driver: TrafficDriver, desired: DesiredSplit) -> _Look:
        """Make the data plane carry ``desired``; find out whether somebody had changed it."""
        drift, asked_at = "", self._context.clock.now()
        try:
            carried = await driver.read(desired)
            if not carried.acknowledged:
                if self._settled.get(desired.service_id) == desired:
                    drift = _drift(carried)
                carried = await driver.apply(desired)
            counters = await driver.statistics(desired)
        except (TrafficError, InvalidInput) as error:
            carried, counters = _broken(str(error)), ()
        if carried.acknowledged:
            self._settled[desired.service_id] = desired
        return _Look(desired=desired, carried=carried, counters=counters, asked_at=asked_at, drift=drift)

    async def _decide(
        self, service: Service, driver: TrafficDriver, before: Deployment, look: _Look
    ) -> float:
        """Decide on fresh evidence and write it down; carry a changed split at once."""
        try:
            async with self._context.store.begin() as tx:
                decision, after = await self._decide_within(tx, service, before, look)
        except StaleRevision:
            log.info("overtaken", extra={"action": "reconcile.overtaken", "deployment": before.id})
            return 0.0  # a person changed it meanwhile: look again at once
        if decision.reasons:
            self._context.bell.ring(service.tenant_id)
            self._context.post.set()
            self._context.call.set()
        if self._poller and after.status is not Status.CANARY and not looked_after(after):
            self._poller.drop(after.id)
        if look.desired == self._wanted(service, before, after):
            return self._tick
        await self._carry_decision(service, driver, after)
        return self._tick

    async def _decide_within(
        self, tx: Transaction, service: Service, before: Deployment, look: _Look
    ) -> tuple[Decision, Deployment]:
        d = await tx.deployments.get(before.tenant_id, before.id)
        if d is None or d.revision != before.revision:
            raise StaleRevision
        now = self._context.clock.now()
        first, *others = await self._evidences(tx, d, look, now)
        if look.drift:
            await write_event(tx, self._context, d, "drift", look.drift, "monitor")
        # What an earlier deployment's rollback waits for; this one's own is read back after its commit.
        await settle(tx, self._context, service, look.carried, look.asked_at)
        keeps = self._traffic.can(service, Capability.PERSISTENT)
        held = with_freezes(await heard(tx, d), await tx.freezes.all(d.tenant_id))
        asked = replace(held, keeps_units=keeps)
        known = with_sides(asked, (first, *others), look.knocked, now)
        decision = decide(known, first, now, others)
        changed = bool(decision.reasons)
        saved = await write_decision(tx, self._context, service, decision, "monitor", bump=changed)
        await _store_carried(tx, service, look.carried, now)
        return decision, saved

    async def _evidences(self, tx: Transaction, d: Deployment, look: _Look, now: datetime) -> list[Evidence]:
        """Take the proxies' counters over and read everything back, for each candidate."""
        key = f"proxy:{d.id}"
        last = await tx.sources.cursor(key) or {}
        polled = await self._polled(tx, d, now)
        found = [await self._evidence(tx, seen, look, now, last, polled) for seen in arms(d)]
        if look.counters:
            await tx.sources.set_cursor(key, remember(look.counters, last))
        return found

    async def _evidence(
        self,
        tx: Transaction,
        d: Deployment,
        look: _Look,
        now: datetime,
        last: Mapping[str, Any],
        polled: Polled | None,
    ) -> Evidence:
        """Take one candidate's counters over, with stable's for the first, and read both back."""
        fresh = delta_windows(d, look.counters, last, now.timestamp(), self._context.window_seconds)
        if look.counters and d.policy.requests is None:
            own = [w for w in fresh if w.side is Side.CANARY] if d.contested and d.arm else fresh
            await tx.evidence.merge(d.tenant_id, d.id, own, (), d.arm)
        traffic = TrafficState(
            acknowledged=look.carried.acknowledged,
            carried_bp=look.carried.carried_bp,
            problems=look.carried.problems,
        )
        return await gather(
            tx,
            d,
            now,
            traffic=traffic,
            fresh=_outcomes(fresh),
            open_breakers=await _open_breakers(tx, d, look.counters),
            notes=polled.notes if polled else (),
            problems=polled.problems if polled else {},
        )

    async def _polled(self, tx: Transaction, d: Deployment, now: datetime) -> Polled | None:
        """Take over what the policy's sources have answered, each window once on all replicas."""
        if self._poller is None or not d.policy.sources:
            return None
        key = f"polled:{d.id}"
        begun = d.started_at.timestamp() if d.started_at else now.timestamp()
        mark = await tx.sources.cursor(key) or {"at": 0.0, "until": begun}
        polled = self._poller.take(d, now.timestamp(), self._context.clock.monotonic(), mark["until"])
        if polled is not None and polled.at > mark["at"]:
            fresh = [w for w in polled.windows if w.start >= mark["until"]]
            await tx.evidence.merge(d.tenant_id, d.id, fresh, polled.samples)
            until = max((float(w.end) for w in fresh), default=mark["until"])
            await tx.sources.set_cursor(key, {"at": polled.at, "until": until})
        return polled

    @staticmethod
    def _wanted(service: Service, before: Deployment, after: Deployment) -> DesiredSplit | None:
        if before.status is not after.status:
            return None  # the service's stable version may have changed with it
        return desired_split(service, after)

    async def _carry_decision(self, service: Service, driver: TrafficDriver, after: Deployment) -> None:
        """Carry what was just decided, and put on the timeline how long that took."""
        began = self._context.clock.monotonic()
        async with self._context.store.begin(write=False) as tx:
            fresh = await tx.services.get(service.tenant_id, service.id) or service
        look = await self._carry(driver, desired_split(fresh, after))
        took = (self._context.clock.monotonic() - began) * 1000
        async with self._context.store.begin() as tx:
            await _store_carried(tx, fresh, look.carried, self._context.clock.now())
            if look.carried.instances:
                await write_event(tx, self._context, after, *_carried_words(look, took))
            await settle(tx, self._context, fresh, look.carried, look.asked_at)
        self._context.bell.ring(service.tenant_id)

    async def _report(
        self, service: Service, d: Deployment | None, carried: Carried, asked_at: datetime | None = None
    ) -> None:
        """Store what the data plane carries while nothing is decided."""
        now = self._context.clock.now()
        async with self._context.store.begin() as tx:
            await _store_carried(tx, service, carried, now)
            if asked_at is not None:
                await settle(tx, self._context, service, carried, asked_at)
            if d is not None and d.phase != "holding:not-carried":
                evidence = Evidence(traffic=TrafficState(acknowledged=False, problems=carried.problems))
                others = [evidence] * (len(arms(d)) - 1)
                decision = decide(d, evidence, now, others)
                await write_decision(tx, self._context, service, decision, "monitor")


async def _store_carried(tx: Transaction, service: Service, carried: Carried, now: datetime) -> None:
    state: dict[str, Any] = {
        "acknowledged": carried.acknowledged,
        "carried_bp": carried.carried_bp,
        "at": stamp(now),
        "instances": [
            {
                "name": i.name,
                "ok": i.ok,
                "carried_bp": i.carried_bp,
                "problem": i.problem,
                "since": stamp(i.since),
            }
            for i in carried.instances
        ],
    }
    await tx.sources.set_cursor(f"carried:{service.id}", state)


async def _open_breakers(tx: Transaction, d: Deployment, counters: tuple[Counters, ...]) -> tuple[str, ...]:
    """Name the breakers that are open: in SDK processes, and at proxies that took the canary out."""
    reported = await tx.sources.cursor(breaker_key(d.id, d.arm)) or {}
    sdk = tuple(sorted(name for name, state in reported.items() if state == "open"))
    proxies = tuple(c.instance for c in counters if c.ejected and c.version == d.version)
    return sdk + proxies


def _outcomes(windows: list[Window]) -> tuple[int, int]:
    canary = [w for w in windows if w.side is Side.CANARY]
    errors = sum(w.errors for w in canary)
    return errors, sum(w.requests for w in canary) - errors


def _broken(why: str) -> Carried:
    return Carried(instances=(InstanceState(name="configuration", ok=False, problem=why),))


def _drift(carried: Carried) -> str:
    found = [
        f"{i.name} carried {i.carried_bp / 100:g} %" for i in carried.instances if i.carried_bp is not None
    ]
    if not found:
        return ""  # it does not answer: that is no change behind our back
    return f"The split was changed behind our back ({'; '.join(found)}); it is put right."


def _carried_words(look: _Look, took_ms: float) -> tuple[str, str, str, dict[str, Any]]:
    share = f"{look.desired.canary_bp / 100:g} %"
    data = {"ms": round(took_ms, 1), "canary_bp": look.desired.canary_bp}
    if look.carried.acknowledged:
        return (
            "carried",
            f"Every proxy carries {share}, {took_ms:.0f} ms after the decision.",
            "monitor",
            data,
        )
    problems = "; ".join(f"{i.name} {i.problem}" for i in look.carried.instances if not i.ok)
    return "not_carried", f"{share} is not carried yet: {problems}.", "monitor", data
