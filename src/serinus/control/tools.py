"""What the operator's tools ask of the control plane besides moving deployments.

A plan (everything but the traffic change), notes on a timeline, a service's health, and its error budgets.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from serinus.control.commands import Commands
from serinus.control.context import Caller, Context, stamp
from serinus.control.evidence import every_window
from serinus.control.finding import find_deployment, find_service
from serinus.control.freezes import freezes_on
from serinus.control.monitor import MONITOR
from serinus.control.moving.contest import reaching
from serinus.control.moving.drafts import NewDeployment
from serinus.control.queries import Queries
from serinus.control.record import write_event
from serinus.control.showing import views
from serinus.control.unit import Answer, Call, execute
from serinus.core.analysis.evidence import Arm, Side, Window
from serinus.core.errors import NotFound
from serinus.core.lifecycle.moves import under_watch
from serinus.core.model import Deployment, Role, Service, Status, TargetFilter, parse_percentage
from serinus.core.policy.budget import CONTRACT, Counts, budget_of, budget_view
from serinus.core.policy.slos import Slo
from serinus.ports.store import Page, Transaction

__all__ = ["Tools"]

#: Stable's numbers are those of the last five minutes: as long as the contracts' checks look back.
RECENT_SECONDS = 300.0
#: So many deployments of a service are looked at for its budgets, newest first.
MOST_DEPLOYMENTS = 200


class Tools:
    """Calls of the operator's tools."""

    def __init__(self, context: Context, commands: Commands) -> None:
        """Keep what the calls share."""
        self._context = context
        self._commands = commands

    async def plan(
        self,
        call: Call,
        new: NewDeployment,
        percentage: object = None,
        target: TargetFilter | None = None,
    ) -> Answer:
        """Check everything that making and starting a deployment would check; store nothing of it."""
        if percentage is not None:
            parse_percentage(percentage, "canary_pct")

        async def work(tx: Transaction) -> tuple[int, Any]:
            service = await find_service(tx, call, new.service, field=new.named_in)
            service = reaching(service, new.version, new.addresses, new.strategy)
            draft = self._commands.draft(call, service, new)
            await self._commands.may_start(tx, service, draft, target)
            return 200, {**views.deployment_view(draft), "deployment_id": "", "driver": service.driver}

        return await execute(self._context, call, work)

    async def note(
        self, call: Call, deployment_id: str, kind: str, message: str, data: Mapping[str, Any]
    ) -> Answer:
        """Put a line on a deployment's timeline."""

        async def work(tx: Transaction) -> tuple[int, Any]:
            d = await find_deployment(tx, call, deployment_id)
            event = await write_event(tx, self._context, d, kind, message, call.caller.name, dict(data))
            return 201, views.event_view(event)

        return await execute(self._context, call, work)

    async def health(self, caller: Caller, service_id: str) -> dict[str, Any]:
        """Return how a service's stable version is: its proxies, its numbers, what is in the way."""
        caller.must_reach(Role.VIEWER)
        now = self._context.clock.now()
        async with self._context.store.begin(write=False) as tx:
            service = await _find(tx, caller, service_id)
            proxy = await tx.sources.cursor(f"carried:{service.id}")
            current = await tx.deployments.current(service.tenant_id, service.id)
            stable = await _stable_arm(tx, service, current, now)
            freezes = await tx.freezes.all(service.tenant_id)
        jobs = (await Queries(self._context).jobs(caller))["jobs"]
        monitor = any(j["name"] == MONITOR and j["state"] == "running" for j in jobs)
        running = next((d for d in current if d.status is Status.CANARY), None)
        warnings = _warnings(service, proxy, monitor=monitor)
        return {
            "service_id": service.id,
            "service": service.name,
            "stable_version": service.stable_version,
            "health_status": "degraded" if warnings else "healthy",
            "warnings": warnings,
            "monitor": "running" if monitor else "not running",
            "proxy": proxy,
            "rollout": views.deployment_view(running) if running else None,
            "stable_metrics": views.arm_metrics(stable),
            "over_seconds": RECENT_SECONDS,
            "freezes": freezes_on(freezes, service.name, now),
            "at": stamp(now),
        }

    async def budgets(
        self, caller: Caller, service_id: str, objectives: Sequence[Slo] = CONTRACT
    ) -> dict[str, Any]:
        """Return error budgets from what was recorded while versions of the service were compared."""
        caller.must_reach(Role.VIEWER)
        now = self._context.clock.now().timestamp()
        period = max((slo.period for slo in objectives), default=0.0)
        async with self._context.store.begin(write=False) as tx:
            service = await _find(tx, caller, service_id)
            found, _ = await tx.deployments.page(
                service.tenant_id, Page(size=MOST_DEPLOYMENTS), service_id=service.id
            )
            windows: list[Window] = []
            for d in found:
                windows += await every_window(tx, d, now - period, now + 60)

        def counter(slo: Slo) -> Callable[[float], Counts]:
            return lambda back: _counted(windows, slo, now - back)

        made = [budget_of(slo, counter(slo)) for slo in objectives]
        return {
            "service": service.name,
            "source": "what was recorded while versions were compared",
            "measured_seconds": _covered(windows),
            "slos": [budget_view(budget) for budget in made],
        }


async def _find(tx: Transaction, caller: Caller, service_id: str) -> Service:
    service = await tx.services.get(caller.tenant_id, service_id)
    if service is None or not caller.sees(service.name):
        raise caller.missing(
            NotFound(
                f"There is no service {service_id[:80]!r}.", next_step="GET /api/v1/services lists yours."
            )
        )
    return service


async def _stable_arm(tx: Transaction, service: Service, current: Sequence[Deployment], now: datetime) -> Arm:
    """Add up what the stable version answered lately, on whichever side it was."""
    arm, moment = Arm(), now.timestamp()
    for d in current:
        if d.status is not Status.CANARY and not under_watch(d):
            continue
        side = Side.CANARY if d.version == service.stable_version else Side.STABLE
        windows, _ = await tx.evidence.read(d.tenant_id, d.id, moment - RECENT_SECONDS, moment + 60, d.arm)
        for window in windows:
            if window.side is side:
                arm.add(window)
    return arm


def _warnings(service: Service, proxy: Mapping[str, Any] | None, *, monitor: bool) -> list[str]:
    said = []
    if not service.stable_version:
        said.append(f"{service.name} has no stable version.")
    if not monitor:
        said.append("The monitor is not running: nothing would be rolled back automatically.")
    if proxy and not proxy["acknowledged"]:
        said += [f"{i['name']}: {i['problem']}" for i in proxy["instances"] if not i["ok"]]
    return said


def _counted(windows: Sequence[Window], slo: Slo, since: float) -> Counts:
    """Count requests since then, and the bad ones: failed, or slower than the objective allows."""
    taken = [w for w in windows if w.start >= since]
    if not slo.under:
        return Counts(sum(w.requests for w in taken), sum(w.errors for w in taken))
    total = sum(w.latency.count for w in taken)
    fast = sum(w.latency.cumulative([slo.under * 1000])[0] for w in taken)
    return Counts(total, total - fast)


def _covered(windows: Sequence[Window]) -> int:
    """Return how many seconds have measurements."""
    return sum({w.start: w.seconds for w in windows}.values())
