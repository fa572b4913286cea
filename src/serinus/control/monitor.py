"""The monitor: claims due services with a lease and has each looked at, on any number of replicas."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from serinus.control.context import Context
from serinus.control.reconcile import Reconciler
from serinus.core.errors import SerinusError
from serinus.ports.store import Job

__all__ = ["MONITOR", "Loop", "Monitor"]

log = logging.getLogger("serinus.monitor")

#: The monitor's name in ``/scheduler/jobs`` (contract 1).
MONITOR = "canary_monitor_task"
#: A wall clock that moves by more than this against the monotonic one was stepped.
STEP_SECONDS = 2.0
#: Services looked at side by side.
PARALLEL = 32
#: A look that takes longer is given up; the lease outlives it.
LOOK_SECONDS = 20.0


@dataclass(kw_only=True, slots=True)
class Loop:
    """Runs one job again and again until it is cancelled, and leaves its heartbeat in the store."""

    context: Context
    name: str
    interval: float
    work: Callable[[], Awaitable[None]]
    #: Wakes it before its time.
    early: asyncio.Event | None = None
    #: Wall and monotonic time of the last run, for telling a stepped clock from a slow one.
    _last: tuple[datetime, float] | None = None

    async def run(self) -> None:
        """Work, beat, wait; an error is shown as the job's state and tried again."""
        while True:
            error = ""
            if self.early:
                self.early.clear()
            try:
                await self.work()
            except Exception as problem:  # the loop's edge: it must outlive any error
                error = str(problem) if isinstance(problem, SerinusError) else type(problem).__name__
                log.exception("job failed", extra={"action": "job.failed", "job": self.name})
            await self._beat("failing" if error else "running", error or self._stepped())
            await self._pause()

    def _stepped(self) -> str:
        """Say it when the wall clock moved by another span than the monotonic one."""
        now, mono = self.context.clock.now(), self.context.clock.monotonic()
        last, self._last = self._last, (now, mono)
        if last is None:
            return ""
        step = (now - last[0]).total_seconds() - (mono - last[1])
        if abs(step) < STEP_SECONDS:
            return ""
        log.warning("the clock stepped", extra={"action": "clock.stepped", "seconds": round(step, 1)})
        return f"The machine's clock stepped by {step:+.0f} s; a rollout's time is not counted across it."

    async def _beat(self, state: str, error: str) -> None:
        now = self.context.clock.now()
        job = Job(
            name=self.name,
            replica=self.context.replica,
            state=state,
            interval_seconds=self.interval,
            last_run_at=now,
            next_run_at=now + timedelta(seconds=self.interval),
            error=error,
        )
        try:
            async with self.context.store.begin() as tx:
                await tx.jobs.beat(job)
        except SerinusError as problem:
            log.warning("no heartbeat: %s", problem, extra={"action": "job.beat", "job": self.name})

    async def _pause(self) -> None:
        if self.early is None:
            await self.context.clock.sleep(self.interval)
            return
        try:
            async with asyncio.timeout(self.interval):
                await self.early.wait()
        except TimeoutError:
            return  # nobody called: the interval is over


class Monitor:
    """The loop that reconciles every running deployment."""

    def __init__(self, context: Context, reconciler: Reconciler, *, lease_seconds: float = 30.0) -> None:
        """``lease_seconds`` must outlast a look, so that a slow look is not done twice."""
        self._context = context
        self._reconciler = reconciler
        self._lease = max(lease_seconds, LOOK_SECONDS + 5)

    async def tick(self) -> None:
        """Look at every due service."""
        while True:
            async with self._context.store.begin() as tx:
                now = self._context.clock.now()
                due = await tx.leases.claim(self._context.replica, now, self._lease, PARALLEL)
            await asyncio.gather(*(self._look(tenant, service) for tenant, service in due))
            if len(due) < PARALLEL:
                return

    async def _look(self, tenant_id: str, service_id: str) -> None:
        pause = 2.0
        try:
            async with asyncio.timeout(LOOK_SECONDS):
                pause = await self._reconciler.look(tenant_id, service_id)
        except TimeoutError:
            log.warning("look took too long", extra={"action": "look.timeout", "service": service_id})
        except Exception:  # one service's trouble must not stop the others
            log.exception("look failed", extra={"action": "look.failed", "service": service_id})
        finally:
            await self._release(service_id, pause)

    async def _release(self, service_id: str, pause: float) -> None:
        due = self._context.clock.now() + timedelta(seconds=pause)
        try:
            async with self._context.store.begin() as tx:
                await tx.leases.release(service_id, self._context.replica, due)
        except SerinusError as problem:
            # The lease runs out by itself; until then nobody looks, and doctor shows the database.
            log.warning("lease kept: %s", problem, extra={"action": "lease.kept", "service": service_id})
