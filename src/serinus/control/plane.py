"""The control plane as one object: what the API and the pages are given."""

from __future__ import annotations

from dataclasses import dataclass

from serinus.control.commands import Commands
from serinus.control.compensations import CompensationDesk
from serinus.control.context import Context
from serinus.control.executing import Executor
from serinus.control.fleet import Fleet
from serinus.control.ingest import Ingest
from serinus.control.queries import Queries
from serinus.control.rule_tests import RuleTests
from serinus.control.rulesets import Rulesets
from serinus.control.snapshot import Snapshots
from serinus.control.tokens import Access
from serinus.control.tools import Tools
from serinus.control.traffic import TrafficPool
from serinus.ports.rules import Sandbox

__all__ = ["Plane"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Plane:
    """Everything that a request may ask for."""

    context: Context
    traffic: TrafficPool
    commands: Commands
    queries: Queries
    compensations: CompensationDesk
    tools: Tools
    access: Access
    ingest: Ingest
    fleet: Fleet
    snapshots: Snapshots
    rulesets: Rulesets
    rule_tests: RuleTests
    executor: Executor
    version: str

    @classmethod
    def assemble(cls, context: Context, traffic: TrafficPool, sandbox: Sandbox, *, version: str) -> Plane:
        """Build the parts that only need the context and the drivers."""
        snapshots = Snapshots(context)
        ingest = Ingest(context, snapshots)
        rule_tests = RuleTests(context, sandbox)
        commands = Commands(context, traffic, rule_tests.guard)
        return cls(
            context=context,
            traffic=traffic,
            commands=commands,
            queries=Queries(context),
            compensations=CompensationDesk(context),
            tools=Tools(context, commands),
            access=Access(context),
            ingest=ingest,
            fleet=Fleet(context),
            snapshots=snapshots,
            rulesets=Rulesets(context, sandbox),
            rule_tests=rule_tests,
            executor=Executor(context, snapshots, ingest, sandbox),
            version=version,
        )
