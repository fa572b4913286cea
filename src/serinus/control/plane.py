"""The control plane as one object: what the API and the pages are given."""

from __future__ import annotations

from dataclasses import dataclass

from serinus.control.access.audit import AuditLog
from serinus.control.access.members import People
from serinus.control.access.tokens import Access
from serinus.control.assignments.assigning import Assigning
from serinus.control.commands import Commands
from serinus.control.context import Context
from serinus.control.fleets.fleet import Fleet
from serinus.control.fleets.polls import Polls
from serinus.control.freezes import FreezeCalendars
from serinus.control.ingest import Ingest
from serinus.control.queries import Queries
from serinus.control.rules.executing import Executor
from serinus.control.rules.rulesets import Rulesets
from serinus.control.rules.testing import RuleTests
from serinus.control.sets.commands import ReleaseSets
from serinus.control.sets.coordinator import Coordinator
from serinus.control.snapshot import Snapshots
from serinus.control.tools import Tools
from serinus.control.traffic import TrafficPool
from serinus.control.undoing.compensations import CompensationDesk
from serinus.ports.rules import Sandbox

__all__ = ["Plane"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Plane:
    """Everything that a request may ask for."""

    context: Context
    traffic: TrafficPool
    commands: Commands
    assigning: Assigning
    queries: Queries
    compensations: CompensationDesk
    tools: Tools
    access: Access
    people: People
    audit: AuditLog
    ingest: Ingest
    fleet: Fleet
    polls: Polls
    snapshots: Snapshots
    rulesets: Rulesets
    rule_tests: RuleTests
    coordinator: Coordinator
    release_sets: ReleaseSets
    freezes: FreezeCalendars
    executor: Executor
    version: str

    @classmethod
    def assemble(cls, context: Context, traffic: TrafficPool, sandbox: Sandbox, *, version: str) -> Plane:
        """Build the parts that only need the context and the drivers."""
        snapshots = Snapshots(context)
        ingest = Ingest(context, snapshots)
        rule_tests = RuleTests(context, sandbox)
        commands = Commands(context, traffic, rule_tests.guard)
        fleet = Fleet(context)
        coordinator = Coordinator(context, traffic, commands, rule_tests.guard)
        return cls(
            context=context,
            traffic=traffic,
            commands=commands,
            assigning=Assigning(context, traffic),
            queries=Queries(context),
            compensations=CompensationDesk(context),
            tools=Tools(context, commands),
            access=Access(context),
            people=People(context),
            audit=AuditLog(context),
            ingest=ingest,
            fleet=fleet,
            polls=Polls(context, fleet, traffic),
            snapshots=snapshots,
            rulesets=Rulesets(context, sandbox),
            rule_tests=rule_tests,
            coordinator=coordinator,
            release_sets=ReleaseSets(context, commands, coordinator),
            freezes=FreezeCalendars(context),
            executor=Executor(context, snapshots, ingest, sandbox),
            version=version,
        )
