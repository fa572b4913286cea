"""The read side: lists, one deployment with everything around it, health, jobs, and ``/metrics``."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from serinus.control.context import Caller, Context, stamp
from serinus.control.evidence import every_total, every_window, gather
from serinus.control.monitor import MONITOR
from serinus.control.rules.failures import events_of, failing_executions
from serinus.control.showing import views
from serinus.control.showing.contests import comparisons, front
from serinus.control.showing.judgement import flips_view, judge_view, watch_view
from serinus.control.undoing.compensations import compensation_view, left_undone
from serinus.core.analysis.evidence import Side, Window
from serinus.core.analysis.verdict import Outcome, Verdict
from serinus.core.breaker import CLOSED
from serinus.core.contest import arms
from serinus.core.errors import NotFound
from serinus.core.lifecycle.moves import under_watch
from serinus.core.model import Deployment, Role, Status
from serinus.core.policy.gate import promotion_gate
from serinus.ports.store import Page, Transaction

__all__ = ["Queries"]

#: A job whose last beat is older than this many of its intervals does not run.
MISSED_BEATS = 5
#: The observed split is taken over this many evidence windows.
OBSERVED_WINDOWS = 6
#: The page's sparkline covers this many seconds.
SPARK_SECONDS = 1800


class Queries:
    """Everything that is read. Each call is scoped to the caller's tenant and checks its role."""

    def __init__(self, context: Context) -> None:
        """Keep what the calls share."""
        self._context = context

    async def services(self, caller: Caller) -> dict[str, Any]:
        """List the tenant's services."""
        caller.must_reach(Role.VIEWER)
        async with self._context.store.begin(write=False) as tx:
            found = [s for s in await tx.services.all(caller.tenant_id) if caller.sees(s.name)]
        return {"services": [views.service_view(s) for s in found], "total": len(found)}

    async def service(self, caller: Caller, id_or_name: str) -> dict[str, Any]:
        """Return one service."""
        caller.must_reach(Role.VIEWER)
        async with self._context.store.begin(write=False) as tx:
            found = await tx.services.get(caller.tenant_id, id_or_name)
            if found is None or not caller.sees(found.name):
                raise caller.missing(
                    NotFound(
                        f"There is no service {id_or_name[:80]!r}.",
                        next_step="`serinus service list`, or GET /api/v1/services, shows yours.",
                    )
                )
            carried = await tx.sources.cursor(f"carried:{found.id}")
        return {**views.service_view(found), "proxy": carried}

    async def deployments(
        self, caller: Caller, page: Page, service: str | None = None, status: Status | None = None
    ) -> dict[str, Any]:
        """List deployments, newest first; ``service`` is an id or a name."""
        caller.must_reach(Role.VIEWER)
        async with self._context.store.begin(write=False) as tx:
            service_id = service
            if service:
                known = await tx.services.get(caller.tenant_id, service)
                service_id = known.id if known else service
            among = await self._among(tx, caller)
            found, total = await tx.deployments.page(
                caller.tenant_id, page, service_id=service_id, status=status, among=among
            )
        items = [views.deployment_view(d) for d in found]
        return {"deployments": items, "total": total, "page": page.number, "page_size": page.size}

    async def deployment(self, caller: Caller, deployment_id: str) -> dict[str, Any]:
        """Return one deployment with the split that the data plane carries."""
        async with self._context.store.begin(write=False) as tx:
            d = await self._find(tx, caller, deployment_id)
            return {**views.deployment_view(d), **await self._around(tx, d)}

    async def _around(self, tx: Transaction, d: Deployment) -> dict[str, Any]:
        moment = self._context.clock.now()
        now, span = moment.timestamp(), OBSERVED_WINDOWS * self._context.window_seconds
        windows = await every_window(tx, d, now - span, now + 60)
        stable = views.totals(windows, Side.STABLE).requests
        canary = views.totals(windows, Side.CANARY).requests
        observed = round(100 * canary / (stable + canary), 2) if stable + canary else None
        return {
            "observed_traffic_percentage": observed,
            "watch": watch_view(d, moment),
            "proxy": await tx.sources.cursor(f"carried:{d.service_id}"),
            "compensation": compensation_view(await tx.compensations.of(d.tenant_id, d.id)),
        }

    async def metrics(self, caller: Caller, deployment_id: str) -> dict[str, Any]:
        """Return contract 1's numbers of both versions, and the same per endpoint."""
        async with self._context.store.begin(write=False) as tx:
            d = await self._find(tx, caller, deployment_id)
            windows = await tx.evidence.totals(d.tenant_id, d.id, d.arm)
            each = [await tx.evidence.totals(d.tenant_id, d.id, at) for at in range(len(d.candidates))]
        body = {"deployment_id": d.id, **_both(windows)}
        if body["v2_metrics"] is None:
            body["note"] = "Nobody was served by the canary yet: raise the percentage, or wait for traffic."
        names = sorted({w.endpoint for w in windows if w.endpoint})
        body["endpoints"] = {name: _both(windows, name) for name in names}
        body["judge"] = judge_view(d)
        if d.candidates:
            named = zip(d.candidates, each, strict=True)
            body["candidates"] = {c.version: _both(taken)["v2_metrics"] for c, taken in named}
        return body

    async def comparison(self, caller: Caller, deployment_id: str) -> dict[str, Any]:
        """Return contract 1's comparison and recommendation."""
        async with self._context.store.begin(write=False) as tx:
            d = await self._find(tx, caller, deployment_id)
            now = self._context.clock.now()
            found = [await _compared(tx, seen, now) for seen in arms(d)]
        if d.contested:
            whole = comparisons(d, [view for view, _ in found], [gate for _, gate in found])
            return {**whole, "gate": [views.verdict_view(v) for v in found[front(d)][1]]}
        ((view, gate),) = found
        return {**view, "gate": [views.verdict_view(v) for v in gate]}

    async def health(self, caller: Caller, deployment_id: str) -> dict[str, Any]:
        """Return contract 1's health with its warnings."""
        async with self._context.store.begin(write=False) as tx:
            d = await self._find(tx, caller, deployment_id)
            now = self._context.clock.now().timestamp()
            recent = await every_window(tx, d, now - d.policy.horizon_seconds, now + 60)
            proxy = await tx.sources.cursor(f"carried:{d.service_id}")
            failing = await failing_executions(tx, self._context, d)
            undone = left_undone(await tx.compensations.of(d.tenant_id, d.id))
        canary = views.totals(recent, Side.CANARY)
        warnings = [v.message for v in d.verdicts if v.outcome is Outcome.FAIL]
        if failing and d.breaker.state != CLOSED:
            warnings.append(failing["sentence"])
        bad = bool(warnings) or d.breaker.state != CLOSED or d.status is Status.ROLLED_BACK
        if proxy and not proxy["acknowledged"]:
            warnings += [f"{i['name']}: {i['problem']}" for i in proxy["instances"] if not i["ok"]]
        if d.phase.startswith("holding"):
            warnings.append(d.sentence)
        elif d.stable_down and d.status is Status.CANARY:
            words = f"Stable {d.stable_version} cannot be sent traffic ({d.stable_down}): "
            warnings.append(f"{words}a rollback would be held until it can.")
        if d.answer and (d.status is Status.CANARY or under_watch(d)):
            warnings += [w for w in d.answer.warnings if not any(w in said for said in warnings)]
        flips = flips_view(d)
        warnings += [flips["sentence"]] if flips and flips["sentence"] else []
        if d.contested:
            out = (c for c in d.candidates if not c.live)
            warnings += [f"{c.version} was dropped: {c.drop_reason}" for c in out]
        warnings += undone
        if not await self._monitor_runs():
            warnings.append("The monitor is not running: nothing is rolled back automatically.")
        return {
            "deployment_id": d.id,
            "health_status": "unhealthy" if bad else "degraded" if warnings else "healthy",
            "circuit_breaker_state": d.breaker.state.upper(),
            "current_error_rate": canary.error_rate,
            "current_success_rate": canary.success_rate,
            "last_check_at": stamp(d.last_tick_at),
            "warnings": warnings,
            "failing_executions": failing,
        }

    async def events(
        self, caller: Caller, deployment_id: str, after: int = 0, limit: int = 200
    ) -> dict[str, Any]:
        """Return the timeline from ``after`` on, oldest first."""
        async with self._context.store.begin(write=False) as tx:
            d = await self._find(tx, caller, deployment_id)
            found = await tx.timeline.read(d.tenant_id, d.id, after=after, limit=limit)
            failing = await failing_executions(tx, self._context, d)
        return {"events": events_of(found, failing), "deployment_id": d.id}

    async def notifications(self, caller: Caller, deployment_id: str) -> dict[str, Any]:
        """Return every notification of a deployment with its delivery."""
        async with self._context.store.begin(write=False) as tx:
            d = await self._find(tx, caller, deployment_id)
            items = await tx.outbox.of(d.tenant_id, d.id)
        return {
            "notifications": [views.notification_view(i) for i in items if i.kind == "notify"],
            "deployment_id": d.id,
        }

    async def notification(self, caller: Caller, deployment_id: str, item_id: str) -> dict[str, Any]:
        """Return one notification with what it says.

        Raises:
            NotFound: The deployment has no such one.
        """
        async with self._context.store.begin(write=False) as tx:
            d = await self._find(tx, caller, deployment_id)
            item = await tx.outbox.get(d.tenant_id, item_id)
        if item is None or item.deployment_id != d.id:
            raise NotFound(
                f"{d.id} has no notification {item_id!r}.",
                next_step=f"`serinus notify list {d.id}` lists them.",
            )
        return views.message_view(item)

    async def page(self, caller: Caller, deployment_id: str) -> dict[str, Any]:
        """Return the view model that the page and ``serinus watch`` share."""
        deployment = await self.deployment(caller, deployment_id)
        numbers = await self.metrics(caller, deployment_id)
        async with self._context.store.begin(write=False) as tx:
            newest = await tx.timeline.latest(caller.tenant_id, deployment_id, 100)
            items = await tx.outbox.of(caller.tenant_id, deployment_id)
            service = await tx.services.get(caller.tenant_id, deployment["service_id"])
            now = self._context.clock.now().timestamp()
            d = await self._find(tx, caller, deployment_id)
            windows = await every_window(tx, d, now - SPARK_SECONDS, now + 60)
        health = await self.health(caller, deployment_id)
        return {
            "deployment": deployment,
            "kind": service.kind.value if service else None,
            "metrics": numbers,
            "health": health,
            "events": events_of(newest, health["failing_executions"]),
            "notifications": [views.notification_view(i) for i in items if i.kind == "notify"],
            "series": _series(windows),
            "may": {"act": caller.role.reaches(Role.APPROVER), "role": caller.role.value},
        }

    async def jobs(self, caller: Caller) -> dict[str, Any]:
        """List the background jobs; the monitor is always among them."""
        caller.must_reach(Role.VIEWER)
        async with self._context.store.begin(write=False) as tx:
            found = await tx.jobs.all()
        now = self._context.clock.now()
        jobs = []
        for job in found:
            late = timedelta(seconds=max(10.0, job.interval_seconds * MISSED_BEATS))
            dead = job.last_run_at is None or now - job.last_run_at > late
            jobs.append(
                {
                    "name": job.name,
                    "replica": job.replica,
                    "state": "not running" if dead else job.state,
                    "interval_seconds": job.interval_seconds,
                    "last_run_at": stamp(job.last_run_at),
                    "next_run_at": stamp(job.next_run_at),
                    "error": job.error,
                }
            )
        if not any(j["name"] == MONITOR for j in jobs):
            jobs.insert(0, _no_monitor())
        return {"jobs": jobs}

    async def _monitor_runs(self) -> bool:
        system = Caller(tenant_id="", name="serinus", role=Role.VIEWER)
        jobs = (await self.jobs(system))["jobs"]
        return any(j["name"] == MONITOR and j["state"] == "running" for j in jobs)

    async def running(self, caller: Caller) -> list[tuple[Deployment, tuple[Window, ...]]]:
        """Return the newest deployments with their totals, for ``/metrics``."""
        caller.must_reach(Role.VIEWER)
        async with self._context.store.begin(write=False) as tx:
            among = await self._among(tx, caller)
            found, _ = await tx.deployments.page(caller.tenant_id, Page(size=200), among=among)
            return [(d, await every_total(tx, d)) for d in found]

    @staticmethod
    async def _among(tx: Transaction, caller: Caller) -> list[str] | None:
        """Return the ids of the only services that the caller's token is for; ``None``: every one."""
        if not caller.services:
            return None
        return [s.id for s in await tx.services.all(caller.tenant_id) if caller.sees(s.name)]

    @staticmethod
    async def _find(tx: Transaction, caller: Caller, deployment_id: str) -> Deployment:
        caller.must_reach(Role.VIEWER)
        d = await tx.deployments.get(caller.tenant_id, deployment_id)
        if d is None or not caller.sees(d.service):
            raise caller.missing(
                NotFound(
                    f"There is no deployment {deployment_id[:80]!r}.",
                    next_step="GET /api/v1/deployments lists yours.",
                )
            )
        return d


def _no_monitor() -> dict[str, Any]:
    return {
        "name": MONITOR,
        "replica": "",
        "state": "not running",
        "interval_seconds": None,
        "last_run_at": None,
        "next_run_at": None,
        "error": "It has never run against this database. Start `serinus up`.",
    }


async def _compared(
    tx: Transaction, d: Deployment, now: datetime
) -> tuple[dict[str, Any], tuple[Verdict, ...]]:
    """Return the comparison of one canary with stable, and its promotion gate."""
    windows = await tx.evidence.totals(d.tenant_id, d.id, d.arm)
    gate = promotion_gate(d, await gather(tx, d, now), now)
    stable, canary = views.totals(windows, Side.STABLE), views.totals(windows, Side.CANARY)
    return views.comparison_view(d, stable, canary, gate), gate


def _both(windows: Iterable[Window], endpoint: str = "") -> dict[str, Any]:
    taken = list(windows)
    return {
        "v1_metrics": views.arm_metrics(views.totals(taken, Side.STABLE, endpoint)),
        "v2_metrics": views.arm_metrics(views.totals(taken, Side.CANARY, endpoint)),
    }


def _series(windows: Iterable[Window]) -> list[dict[str, Any]]:
    """Return per window start both sides' requests, errors and p95, oldest first."""
    by_start: dict[int, list[Window]] = {}
    for window in windows:
        by_start.setdefault(window.start, []).append(window)
    series = []
    for start in sorted(by_start):
        row: dict[str, Any] = {"start": start}
        for side in Side:
            arm = views.totals(by_start[start], side)
            row[side.value] = {
                "requests": arm.requests,
                "errors": arm.errors,
                "p95_ms": arm.latency.quantile(0.95),
            }
        series.append(row)
    return series
