"""Fleets: orders for agents, their reports, and what is known of each instance."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from serinus.control.context import Caller, Context, stamp
from serinus.control.fleets.reports import checked
from serinus.control.record import write_event
from serinus.control.unit import Answer, Call, execute
from serinus.core.codec import from_json
from serinus.core.errors import Conflict, InvalidInput, NotFound
from serinus.core.model import Role, Service, percent
from serinus.ports.fleet import AGENTS, FleetConfig, Instance, Order, Report, conditions
from serinus.ports.polling import POLLS
from serinus.ports.store import AuditEntry, Page, Transaction
from serinus.ports.traffic import Finding, InstanceState

__all__ = ["Fleet", "found"]

#: Instances of one service; a token that invents names cannot fill the database.
MAX_INSTANCES = 500


class Fleet:
    """What the agents driver, agents and people ask of a fleet. Implements ``FleetBook``."""

    def __init__(self, context: Context) -> None:
        """Keep what the calls share."""
        self._context = context

    # -- for the driver (FleetBook) -------------------------------------------------------------

    async def order(self, order: Order) -> bool:
        """Store what a service's instances should carry and push it; ``False`` when it was so already."""
        async with self._context.store.begin() as tx:
            tenant = await tx.fleet.order(order, self.now())
        if tenant is not None:
            self._context.bell.ring(self.bell(order.split.service_id))
        return tenant is not None

    async def ordered_at(self, service_id: str) -> datetime | None:
        """Return since when the present order is the present one; ``None`` before the first."""
        async with self._context.store.begin(write=False) as tx:
            known = await tx.fleet.ordered(service_id)
        return known[1] if known else None

    async def instances(self, service_id: str) -> Sequence[Instance]:
        """Return every instance, by name."""
        async with self._context.store.begin(write=False) as tx:
            return await tx.fleet.instances(service_id)

    def heard(self, service_id: str) -> int:
        """Return how often an instance said something new here."""
        return self._context.bell.count(_reports(service_id))

    async def news(self, service_id: str, heard: int, timeout: float) -> int:
        """Return that count as soon as it is above ``heard``, after ``timeout`` seconds at the latest."""
        return await self._context.bell.wait(_reports(service_id), heard, timeout)

    def now(self) -> datetime:
        """Return the time by which reports are stamped."""
        return self._context.clock.now()

    # -- for agents -----------------------------------------------------------------------------

    @staticmethod
    def bell(service_id: str) -> str:
        """Return the name of the bell that rings when a service's order changes.

        Not the tenant's: a fleet's reports would wake every stream of the tenant.
        """
        return f"fleet:{service_id}"

    async def service_for(self, caller: Caller, id_or_name: str) -> str:
        """Return the id of a service that this caller may carry.

        Raises:
            Forbidden: The role is not an agent's.
            NotFound: The tenant has no such service.
            Conflict: The service is not carried by agents.
        """
        caller.must_reach(Role.AGENT)
        async with self._context.store.begin(write=False) as tx:
            return (await found(tx, caller, id_or_name)).id

    async def ordered(self, service_id: str) -> tuple[str, str]:
        """Return the order's revision and, as JSON, what agents are sent; both for a known service."""
        async with self._context.store.begin(write=False) as tx:
            known = await tx.fleet.ordered(service_id)
        revision = known[0].revision if known else ""
        body = {"revision": revision, "order": known[0].to_json() if known else None}
        return revision, json.dumps(body, separators=(",", ":"))

    async def report(self, caller: Caller, id_or_name: str, name: str, data: Any) -> dict[str, Any]:
        """Take an agent's report; the first one registers it. Return the revision that is wanted now.

        Raises:
            InvalidInput: The report is malformed, or its driver is not one of the service's.
            Conflict: Another agent reports under this name.
        """
        caller.must_reach(Role.AGENT)
        report = checked(name, from_json(Report, data, "report"))
        async with self._context.store.begin() as tx:
            service = await found(tx, caller, id_or_name)
            _ensure_driver(service, report)
            before = await tx.fleet.instance(service.id, name)
            ordered = await tx.fleet.ordered(service.id)
            changed = False
            if _is_newer(name, before, report):
                changed = await self.take(tx, caller, service, before, name, report, ordered)
        if changed:
            self.tell(service.id)
        return {"revision": ordered[0].revision if ordered else ""}

    def tell(self, service_id: str) -> None:
        """After the commit: wake whoever waits for news of this service's instances."""
        self._context.bell.ring(_reports(service_id))
        self._context.poke.set()

    async def _register(self, tx: Transaction, caller: Caller, service: Service, name: str) -> None:
        there = len(await tx.fleet.instances(service.id))
        if there >= MAX_INSTANCES:
            raise Conflict(
                f"{service.name} has {there} instances already.",
                next_step="Forget those that are gone: `serinus fleet forget NAME`.",
            )
        entry = AuditEntry(
            tenant_id=service.tenant_id,
            at=self.now(),
            actor=caller.name,
            token_id=caller.token_id,
            action="fleet.join",
            target=f"{service.name}/{name}"[:200],
            request_id=caller.request_id,
        )
        await tx.audit.append(entry)

    async def take(
        self,
        tx: Transaction,
        caller: Caller,
        service: Service,
        before: Instance | None,
        name: str,
        report: Report,
        ordered: tuple[Order, datetime] | None,
    ) -> bool:
        """Store a report; tell the timeline and the monitor what is new. Return whether anything is.

        Raises:
            Conflict: The service has too many instances for a new one.
        """
        if before is None:
            await self._register(tx, caller, service, name)
        now = self.now()
        said = (report.revision, report.ok, report.problem, report.carried_bp)
        old = before.report if before else None
        same = old is not None and said == (old.revision, old.ok, old.problem, old.carried_bp)
        after = Instance(
            name=name,
            report=report,
            first_seen_at=before.first_seen_at if before else now,
            seen_at=now,
            changed_at=before.changed_at if before and same else now,
        )
        await tx.fleet.save(service.tenant_id, service.id, after)
        told = _news(ordered, before, after, now)
        if told:
            newest, _ = await tx.deployments.page(service.tenant_id, Page(size=1), service_id=service.id)
            for kind, message in told if newest else ():
                who = "proxy" if report.run == POLLS else "agent"
                await write_event(tx, self._context, newest[0], kind, message, f"{who} {name}")
        if same and not told:
            return False
        await tx.leases.wake(service.id, now)
        return True

    # -- for people -----------------------------------------------------------------------------

    async def all(self, caller: Caller, id_or_name: str) -> dict[str, Any]:
        """Return a service's instances with what each carries, since when, and what is wrong."""
        caller.must_reach(Role.VIEWER)
        async with self._context.store.begin(write=False) as tx:
            service = await found(tx, caller, id_or_name)
            return await self._listed(tx, service)

    async def _listed(self, tx: Transaction, service: Service) -> dict[str, Any]:
        ordered = await tx.fleet.ordered(service.id)
        instances = await tx.fleet.instances(service.id)
        known = {i.name: i for i in instances}
        states: Sequence[InstanceState]
        if ordered is None:
            states = [
                InstanceState(name=i.name, ok=False, pending=True, problem="nothing is wanted of it yet")
                for i in instances
            ]
        else:
            expect = from_json(FleetConfig, service.driver_config, "driver_config").expect
            states = conditions(*ordered, instances, expect, self.now())
        return {
            "service": service.name,
            "revision": ordered[0].revision if ordered else None,
            "ordered_at": stamp(ordered[1]) if ordered else None,
            "instances": [_view(state, known.get(state.name)) for state in states],
        }

    async def forget(self, call: Call, id_or_name: str, name: str) -> Answer:
        """Delete an instance. One that is still there registers anew by its next report."""

        async def work(tx: Transaction) -> tuple[int, Any]:
            service = await found(tx, call.caller, id_or_name)
            if not await tx.fleet.forget(service.tenant_id, service.id, name):
                raise NotFound(
                    f"{service.name} has no instance {name[:80]!r}.",
                    next_step=f"`serinus fleet list --service {service.name}` shows what there is.",
                )
            await tx.leases.wake(service.id, self.now())
            return 204, None

        return await execute(self._context, call, work)

    async def check(self, service: Service) -> list[Finding]:
        """Look a service's instances over for ``serinus doctor``."""
        async with self._context.store.begin(write=False) as tx:
            listed = await self._listed(tx, service)
        return [
            Finding(
                name=f"{'proxy' if i['polls'] else 'agent'} {i['name']} of {service.name}",
                ok=i["ok"],
                detail=i["problem"] or f"carries {i['carried_percentage']:g} %, {i['driver']}",
                remedy="" if i["ok"] else "docs/fleets.md says what to do at each failure.",
            )
            for i in listed["instances"]
        ]


def _reports(service_id: str) -> str:
    return f"reports:{service_id}"


async def found(tx: Transaction, caller: Caller, id_or_name: str) -> Service:
    """Return the caller's service that agents carry.

    Raises:
        NotFound: The tenant has no such service.
        Conflict: The service is not carried by agents.
    """
    service = await tx.services.get(caller.tenant_id, id_or_name)
    if service is None or not caller.sees(service.name):
        raise caller.missing(
            NotFound(
                f"There is no service {id_or_name[:80]!r}.",
                next_step="`serinus service list`, or GET /api/v1/services, shows yours.",
            )
        )
    if service.driver != AGENTS:
        raise Conflict(
            f"{service.name} is carried by {service.driver}, not by agents.",
            next_step='Give the service the driver "agents" (docs/fleets.md).',
        )
    return service


def _ensure_driver(service: Service, report: Report) -> None:
    drivers = from_json(FleetConfig, service.driver_config, "driver_config").drivers
    if report.driver not in drivers:
        raise InvalidInput(
            f"{service.name} is carried by {' or '.join(drivers)}, not by {report.driver or 'nothing'}.",
            field="report.driver",
            next_step="Start the agent with one of them, or add its driver to the service's `drivers`.",
        )


def _is_newer(name: str, before: Instance | None, report: Report) -> bool:
    """Tell whether a report says more than the one before; a second agent of that name is refused.

    The first report of a run takes the name over: an agent that was killed comes back as another run.
    """
    if before is None or before.report.run == report.run:
        return before is None or report.seq > before.report.seq
    if report.seq > 1:
        raise Conflict(
            f"Another agent reports as {name} since this one started.",
            next_step="Give each agent a name of its own (--instance), and restart this one.",
        )
    return True


def _news(
    ordered: tuple[Order, datetime] | None, before: Instance | None, after: Instance, now: datetime
) -> list[tuple[str, str]]:
    """Return what the timeline has to tell: an instance that follows again, a change that was put right."""
    told = []
    if after.report.correction:
        told.append(("drift", f"{after.name}: {after.report.correction}"))
    if ordered and before:
        (was,) = conditions(*ordered, [before], (), now)
        (now_,) = conditions(*ordered, [after], (), now)
        if not was.ok and not was.pending and now_.ok and was.since:
            away = (now - was.since).total_seconds()
            share = percent(now_.carried_bp) if now_.carried_bp is not None else "the split"
            told.append(("follows", f"{after.name} follows again after {away:.0f} s: it carries {share}."))
    return told


def _view(state: InstanceState, instance: Instance | None) -> dict[str, Any]:
    report = instance.report if instance else None
    silent = instance is not None and not state.ok and state.since == instance.seen_at
    condition = "follows" if state.ok else "pending" if state.pending else "silent" if silent else "late"
    bp = report.carried_bp if report else None
    return {
        "name": state.name,
        "ok": state.ok,
        "state": condition if instance else "missing",
        "carried_percentage": None if bp is None else bp / 100,
        "since": stamp(state.since),
        "problem": state.problem,
        "driver": report.driver if report else "",
        "polls": report is not None and report.run == POLLS,
        "release": report.release if report else "",
        "revision": report.revision if report else "",
        "first_seen_at": stamp(instance.first_seen_at) if instance else None,
        "seen_at": stamp(instance.seen_at) if instance else None,
    }
