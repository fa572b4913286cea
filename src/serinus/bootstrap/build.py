"""Building a control plane from its settings, and running its loops."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from importlib.metadata import version
from typing import TYPE_CHECKING

from serinus.bootstrap.assignments import Elsewhere, assignments_from
from serinus.bootstrap.channels import desk_from, notifiers_from
from serinus.bootstrap.clock import SystemClock
from serinus.bootstrap.hooks import Hooks
from serinus.bootstrap.secrets import with_secrets
from serinus.bootstrap.sources import source_factory
from serinus.control.context import Context
from serinus.control.fleets.fleet import Fleet
from serinus.control.hooks import HookRelay
from serinus.control.monitor import MONITOR, Loop, Monitor
from serinus.control.outbox import Relay
from serinus.control.plane import Plane
from serinus.control.polling import Poller, SourcePool
from serinus.control.reconcile import Reconciler
from serinus.control.telling.journal import FileJournal
from serinus.control.traffic import DriverFactory, TrafficPool
from serinus.control.undoing.saga import SagaRelay
from serinus.core.analysis.flips import RECENT_SECONDS
from serinus.core.analysis.queries import Source
from serinus.drivers.catalog import RELAYED, TRAFFIC, capabilities, load, rule_engines
from serinus.drivers.probe.tcp import TcpProbe
from serinus.drivers.rules.sandbox.pool import WorkerPool
from serinus.ports.clock import Clock
from serinus.ports.metrics import MetricSource
from serinus.ports.notify import Notifier
from serinus.ports.store import Store
from serinus.settings import Settings

if TYPE_CHECKING:
    from fastapi import FastAPI

__all__ = [
    "Running",
    "build",
    "create_app",
    "notifiers_from",
    "open_store",
    "traffic_factories",
]

#: Evidence older than this is merged into windows of five minutes.
ROLL_UP_AFTER_SECONDS = 3600
ROLL_UP_INTO_SECONDS = 300
#: Answers by idempotency key are kept this long.
IDEMPOTENCY_HOURS = 24
#: Logged executions per ruleset; the oldest go first.
EXECUTIONS_KEPT = 20_000


@dataclass(kw_only=True, slots=True)
class Running:
    """A control plane whose loops can be started and stopped."""

    settings: Settings
    plane: Plane
    loops: tuple[Loop, ...]
    poller: Poller
    hooks: HookRelay
    sagas: SagaRelay
    relay: Relay
    #: Keeps assignments outside the database, where the settings say so.
    elsewhere: Elsewhere | None = None
    #: The first admin token, when this start has made it; shown once.
    first_token: str | None = None
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)

    async def start(self) -> None:
        """Bring the schema up, make the first tenant, and start the loops."""
        context = self.plane.context
        await context.store.migrate()
        self.first_token = await self.plane.access.bootstrap()
        async with context.store.begin() as tx:
            # Whatever this replica held when it was killed is free again, at once.
            await tx.leases.forget(context.replica)
        self._tasks = [asyncio.create_task(loop.run(), name=loop.name) for loop in self.loops]

    async def stop(self) -> None:
        """End the loops and release everything."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.relay.close()
        await self.poller.close()
        await self.sagas.close()
        await self.hooks.close()
        await self.plane.executor.close()
        await self.plane.traffic.close()
        if self.elsewhere:
            await self.elsewhere.close()
        await self.plane.context.store.close()


def build(
    settings: Settings,
    *,
    store: Store | None = None,
    clock: Clock | None = None,
    notifiers: Mapping[str, Notifier] | None = None,
    traffic: Mapping[str, DriverFactory] | None = None,
    sources: Callable[[Source], MetricSource] | None = None,
    environment: Mapping[str, str] | None = None,
) -> Running:
    """Build a control plane. What is not given comes from the settings and the environment.

    Raises:
        InvalidInput: A variable is unusable, or a stored secret cannot be opened.
        Unavailable: The database does not answer.
    """
    environment = with_secrets(settings, os.environ) if environment is None else environment
    channels = notifiers_from(environment)[0] if notifiers is None else dict(notifiers)
    hooks = Hooks(settings, environment)
    context = Context(
        store=store or open_store(settings),
        clock=clock or SystemClock(),
        channels=tuple(channels),
        desk=desk_from(environment, channels),
        public_url=settings.address,
        window_seconds=settings.window_seconds,
        replica=settings.replica or _replica_name(settings),
        hooks=hooks,
    )
    elsewhere = assignments_from(settings)
    if elsewhere:
        kept = elsewhere
        context.assignments = lambda _: kept
    factories = traffic_factories(context) if traffic is None else traffic
    pool = TrafficPool(factories, capabilities, TcpProbe())
    sandbox = WorkerPool(engines=rule_engines(), size=settings.rule_workers)
    plane = Plane.assemble(context, pool, sandbox, version=version("serinus"))
    poller = Poller(SourcePool(sources or source_factory(environment)))
    journal = FileJournal(settings.data_dir.expanduser(), context.replica)
    relay = Relay(context, channels, journal)
    calls = HookRelay(context, hooks, longest_seconds=settings.hook_seconds)
    sagas = SagaRelay(context, hooks, longest_seconds=settings.hook_seconds)
    loops = _loops(settings, plane, relay, poller, calls, sagas)
    return Running(
        settings=settings,
        plane=plane,
        loops=loops,
        poller=poller,
        hooks=calls,
        sagas=sagas,
        relay=relay,
        elsewhere=elsewhere,
    )


def _loops(
    settings: Settings, plane: Plane, relay: Relay, poller: Poller, hooks: HookRelay, sagas: SagaRelay
) -> tuple[Loop, ...]:
    context = plane.context
    reconciler = Reconciler(context, plane.traffic, tick=settings.tick_seconds, poller=poller)
    monitor = Monitor(context, reconciler)

    async def tidy() -> None:
        now = context.clock.now()
        await plane.access.tidy()
        await plane.audit.anchor()
        async with context.store.begin() as tx:
            await tx.evidence.roll_up(
                older_than=now.timestamp() - ROLL_UP_AFTER_SECONDS,
                into_seconds=ROLL_UP_INTO_SECONDS,
                delete_before=(now - timedelta(days=settings.retention_days)).timestamp(),
            )
            await tx.sightings.prune(now.timestamp() - RECENT_SECONDS)
            await tx.idempotency.prune(now - timedelta(hours=IDEMPOTENCY_HOURS))
            await tx.executions.prune(
                before=now - timedelta(days=settings.retention_days), most=EXECUTIONS_KEPT
            )

    # Services are due by their own times; the loop only has to look often enough for the shortest.
    pulse = min(1.0, settings.tick_seconds / 2)
    return (
        Loop(context=context, name=MONITOR, interval=pulse, work=monitor.tick, early=context.poke),
        Loop(context=context, name="notification_outbox", interval=1.0, work=relay.tick, early=context.post),
        Loop(context=context, name="evidence_roll_up", interval=60.0, work=tidy),
        Loop(context=context, name="hook_outbox", interval=1.0, work=hooks.tick, early=context.call),
        Loop(context=context, name="compensation", interval=1.0, work=sagas.tick),
        Loop(
            context=context,
            name="release_sets",
            interval=pulse,
            work=plane.coordinator.tick,
            early=plane.coordinator.early,
        ),
        Loop(
            context=context,
            name="rule_executions",
            interval=1.0,
            work=plane.executor.flush,
            early=plane.executor.early,
        ),
        Loop(context=context, name="assignment_sweep", interval=10.0, work=plane.assigning.sweep),
    )


def create_app(settings: Settings, running: Running | None = None) -> FastAPI:
    """Return the ASGI application: API, pages, and the loops in its lifespan."""
    from serinus import web
    from serinus.api import create_app as api_app

    control = running or build(settings)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await control.start()
        try:
            yield
        finally:
            await control.stop()

    app = api_app(control.plane, lifespan=lifespan)
    web.install(app, control.plane)
    return app


def open_store(settings: Settings) -> Store:
    """Open the store that the settings name."""
    from serinus.drivers.store.sql import SqlStore

    settings.data_dir.expanduser().mkdir(parents=True, exist_ok=True, mode=0o700)
    store: Store = SqlStore(settings.store_url)
    return store


def traffic_factories(context: Context | None = None) -> dict[str, DriverFactory]:
    """Return the traffic drivers by name; each is imported on first use.

    Those that relay orders need ``context``; without one only their settings can be checked.
    """

    def factory(target: str) -> DriverFactory:
        return lambda config: load(target).from_config(config)

    def relay(target: str) -> DriverFactory:
        return lambda config: load(target).from_config(config, Fleet(context) if context else None)

    return {name: (relay if name in RELAYED else factory)(target) for name, target in TRAFFIC.items()}


def _replica_name(settings: Settings) -> str:
    """One embedded process keeps its name over restarts; in a fleet every start has its own."""
    return "embedded" if settings.embedded else f"{socket.gethostname()}-{os.getpid()}"
