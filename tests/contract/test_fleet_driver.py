"""What the agents driver must do, over both stores: orders are kept, reports are what is read back."""

from __future__ import annotations

import asyncio
import json

import pytest

from serinus.control.context import Caller, Context
from serinus.control.fleets.fleet import Fleet
from serinus.control.fleets.polls import Polls
from serinus.control.traffic import TrafficPool
from serinus.core.errors import Conflict, InvalidInput
from serinus.core.model import Role, Service, Upstream
from serinus.drivers.traffic.agents import AgentsDriver
from serinus.ports.fleet import FleetConfig, Order
from serinus.ports.polling import Ask
from serinus.ports.store import Tenant
from serinus.ports.traffic import Capability, Counters, DesiredSplit, Match, TrafficError
from stories import NOON

CONFIG = {"drivers": ["envoy"], "deadline_seconds": 10, "report_seconds": 2}
AGENT = Caller(tenant_id="ten_1", name="edges", role=Role.AGENT)


class Edges:
    """A driver on a real store, and agents that report what a test says."""

    def __init__(self, store, clock, **config) -> None:
        self.context = Context(store=store, clock=clock)
        self.fleet = Fleet(self.context)
        self.config = {**CONFIG, **config}
        self.driver = AgentsDriver.from_config(self.config, self.fleet)
        self._seqs: dict[tuple[str, str], int] = {}

    async def furnish(self) -> Edges:
        """Make the service."""
        service = Service(
            id="svc",
            tenant_id="ten_1",
            name="checkout",
            stable_version="v1",
            driver="agents",
            driver_config=self.config,
            created_at=NOON,
        )
        async with self.context.store.begin() as tx:
            await tx.tenants.add(Tenant(id="ten_1", name="one", created_at=NOON))
            await tx.services.add(service)
        return self

    async def reports(self, name: str, desired: DesiredSplit | None, run: str = "run-1", **more) -> str:
        """Let an agent report that it carries a split; return the revision that it is told."""
        seq = self._seqs[name, run] = self._seqs.get((name, run), 0) + 1
        carried = desired.canary_bp if desired else None
        known = revision(self, desired) if desired else ""
        said = {"ok": desired is not None, "revision": known, "carried_bp": carried, "driver": "envoy"}
        report = {"run": run, "seq": seq, **said, **more}
        return (await self.fleet.report(AGENT, "checkout", name, report))["revision"]


def split(bp: int, **more) -> DesiredSplit:
    """Return a split of checkout."""
    return DesiredSplit(
        service_id="svc",
        service="checkout",
        stable=Upstream(version="v1", addresses=("10.0.0.1:80",)),
        canary=Upstream(version="v2", addresses=("10.0.0.2:80",)),
        canary_bp=bp,
        salt="dep",
        **more,
    )


def revision(edges: Edges, desired: DesiredSplit) -> str:
    """Return what an agent acknowledges a split by."""
    return Order(split=desired, terms=FleetConfig.read(edges.config, ["envoy"]).terms).revision


@pytest.fixture
async def edges(store, clock):
    """Return a fleet without any instance."""
    return await Edges(store, clock).furnish()


def problems(carried) -> str:
    """Return what is wrong, as one text."""
    return "; ".join(carried.problems)


async def test_a_fleet_without_instances_carries_nothing(edges):
    """An empty fleet is a problem, never a success."""
    carried = await edges.driver.apply(split(500))
    assert not carried.acknowledged
    assert "no agent has reported; start `serinus agent --service checkout --instance NAME" in problems(
        carried
    )


async def test_applied_means_reported_by_every_instance(edges):
    """One that has not answered has until its deadline; then it is named, with since when."""
    await edges.reports("edge-1", None)
    await edges.reports("edge-2", None)
    carried = await edges.driver.apply(split(500))
    assert not carried.acknowledged
    assert carried.problems == ()
    assert {i.pending for i in carried.instances} == {True}
    await edges.reports("edge-1", split(500))
    edges.context.clock.pass_(8)
    await edges.reports("edge-1", split(500))
    await edges.reports("edge-2", split(0), problem="Envoy refused the change")
    assert problems(await edges.driver.read(split(500))) == ""
    edges.context.clock.pass_(4)
    late = await edges.driver.read(split(500))
    assert problems(late) == "edge-2: does not follow since 12:00:00 UTC: Envoy refused the change"
    await edges.reports("edge-2", split(500))
    assert (await edges.driver.read(split(500))).acknowledged
    assert (await edges.driver.read(split(500))).carried_bp == 500


async def test_what_an_instance_cannot_carry_is_told_at_once(edges):
    """Its own answer about this very order is no matter of a deadline."""
    await edges.driver.apply(split(500))
    await edges.reports("edge-1", split(500), ok=False, problem="cannot write /etc/envoy")
    assert problems(await edges.driver.read(split(500))) == (
        "edge-1: cannot write /etc/envoy (since 12:00:00 UTC)"
    )


async def test_a_silent_instance_is_named_and_delays_nobody(edges):
    """What it carried last is said, not taken for what it carries."""
    for name in ("edge-1", "edge-2"):
        await edges.reports(name, None)
    await edges.driver.apply(split(500))
    for name in ("edge-1", "edge-2"):
        await edges.reports(name, split(500))
    edges.context.clock.pass_(11)
    await edges.reports("edge-1", split(500))
    silent = await edges.driver.read(split(500))
    assert problems(silent).startswith("edge-2: silent since 12:00:00 UTC, when it carried 5 %;")
    assert [i.carried_bp for i in silent.instances] == [500, None]
    carried = await edges.driver.apply(split(0))  # a rollback: it is there for whoever asks
    assert "edge-2: silent since 12:00:00 UTC" in problems(carried)
    assert await edges.reports("edge-1", split(500)) == revision(edges, split(0))
    await edges.reports("edge-1", split(0))
    assert [i.ok for i in (await edges.driver.read(split(0))).instances] == [True, False]
    assert await edges.reports("edge-2", split(500)) == revision(edges, split(0))
    await edges.reports("edge-2", split(0))
    assert (await edges.driver.read(split(0))).acknowledged


async def test_applying_waits_a_moment_for_those_who_follow(edges):
    """The acknowledgement that comes meanwhile is in the answer."""
    await edges.reports("edge-1", None)
    applied = asyncio.create_task(edges.driver.apply(split(500)))
    while not (await edges.fleet.ordered("svc"))[0]:
        await asyncio.sleep(0)
    await edges.reports("edge-1", split(500))
    assert (await applied).acknowledged
    assert await edges.driver.apply(split(500)) == await applied


async def test_an_acknowledgement_that_reaches_another_replica_counts(edges):
    """No bell rings here for it; it is looked for."""
    await edges.reports("edge-1", None)
    applied = asyncio.create_task(edges.driver.apply(split(500)))
    while not (await edges.fleet.ordered("svc"))[0]:
        await asyncio.sleep(0)
    edges.fleet = Fleet(Context(store=edges.context.store, clock=edges.context.clock))
    await edges.reports("edge-1", split(500))
    assert (await applied).acknowledged


async def test_an_expected_instance_that_never_came_is_named(store, clock):
    """Others may join all the same."""
    edges = await Edges(store, clock, expect=["edge-1", "edge-2"]).furnish()
    await edges.driver.apply(split(500))
    await edges.reports("edge-1", split(500))
    await edges.reports("edge-9", split(500))
    carried = await edges.driver.read(split(500))
    assert [(i.name, i.ok) for i in carried.instances] == [
        ("edge-1", True),
        ("edge-2", False),
        ("edge-9", True),
    ]
    assert "edge-2: has never reported; start `serinus agent" in problems(carried)


async def test_statistics_are_what_was_reported(edges):
    """Per instance, and per proxy where an agent has several."""
    v2 = {"version": "v2", "requests": 9, "errors": 1, "latency_total_ms": 90.0}
    await edges.reports(
        "edge-1", split(0), counters=[{**v2, "buckets": {"5.0": 4, "inf": 9}}, {**v2, "proxy": "b"}]
    )
    found = await edges.driver.statistics(split(0))
    assert found[0] == Counters(
        instance="edge-1",
        version="v2",
        requests=9,
        errors=1,
        latency_total_ms=90.0,
        buckets={5.0: 4, float("inf"): 9},
    )
    assert found[1].instance == "edge-1/b"


async def test_a_killed_agent_takes_its_name_back_and_a_second_one_is_refused(edges):
    """The newest start has the name; nobody acknowledges for another's proxy."""
    await edges.driver.apply(split(500))
    await edges.reports("edge-1", split(500))
    await edges.reports("edge-1", None, run="run-2")
    assert not (await edges.driver.read(split(500))).acknowledged
    with pytest.raises(Conflict, match="Another agent reports as edge-1"):
        await edges.reports("edge-1", split(500))
    await edges.reports("edge-1", split(500), run="run-2")
    assert (await edges.driver.read(split(500))).acknowledged


async def test_a_report_that_comes_late_changes_nothing(edges):
    """Reports are numbered; an older one that was on its way is not the newest word."""
    await edges.driver.apply(split(500))
    await edges.reports("edge-1", split(0), seq=1)
    await edges.reports("edge-1", split(500), seq=3)
    await edges.reports("edge-1", split(0), seq=2)
    assert (await edges.driver.read(split(500))).acknowledged


async def test_what_the_drivers_beside_the_agents_lack_is_refused(store, clock):
    """The fleet can what all of its drivers can; nothing was ordered."""
    edges = await Edges(store, clock).furnish()
    assert Capability.MATCH in edges.driver.capabilities
    edges.driver.capabilities -= {Capability.MATCH}
    with pytest.raises(TrafficError, match="agents cannot pin requests by a header or a cookie"):
        await edges.driver.apply(split(500, matches=(Match(name="x-preview", value="v2"),)))
    assert await edges.fleet.ordered("svc") == ("", '{"revision":"","order":null}')


async def test_a_proxy_that_polls_is_an_instance_like_any_other(store, clock):
    """Its questions come at the same time, to any replica; none loses what another has told."""
    edges = await Edges(store, clock, polled={"envoy": {}}).furnish()
    pool = TrafficPool({"agents": lambda _: edges.driver})
    polls = Polls(edges.context, edges.fleet, pool)
    has = {"clusters": "", "routes": ""}

    async def asks(kind: str) -> None:
        body = await polls.answer(AGENT, "checkout", "edge-1", "envoy", Ask(kind=kind, version=has[kind]))
        has[kind] = json.loads(body)["version_info"] if body else has[kind]

    await edges.driver.apply(split(0))
    for desired in (split(0), split(500), split(0)):
        await edges.driver.apply(desired)
        await asks("clusters")
        for _ in range(4):
            await asyncio.gather(asks("routes"), asks("clusters"))
        carried = await edges.driver.read(desired)
        assert (carried.acknowledged, carried.carried_bp) == (True, desired.canary_bp)
    edges.context.clock.pass_(11)
    told = problems(await edges.driver.read(split(0)))
    assert told.startswith("edge-1: silent since 12:00:00 UTC, when it carried 0 %; look after its host")


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ({}, "drivers: missing"),
        ({"drivers": []}, "names no driver"),
        ({"drivers": ["in-process"]}, "names 'in-process', which carries no split"),
        ({"drivers": ["agents"]}, "names 'agents', which carries no split"),
        ({"drivers": ["envoy"], "deadline_seconds": 0}, "deadline_seconds must be above 0"),
        ({"drivers": ["envoy"], "report_seconds": 6}, "too long for a deadline of 10 s"),
        ({"drivers": ["envoy"], "on_lost": "panic"}, "on_lost: 'panic' is not one of hold, stable"),
        ({"drivers": ["envoy"], "expect": ["a/b"]}, "expect has a name that is none"),
        ({"drivers": ["haproxy"], "polled": {"haproxy": {}}}, "haproxy cannot poll"),
        ({"drivers": ["envoy"], "polled": {"traefik": {}}}, "'traefik', which is none of `drivers`"),
        ({"drivers": ["envoy"], "leese_seconds": 1}, "did you mean 'lease_seconds'"),
    ],
)
def test_settings_that_cannot_be_are_refused(config, told):
    """Before a rollout needs them; each with its place."""
    with pytest.raises(InvalidInput) as refusal:
        AgentsDriver.from_config(config)
    assert told in refusal.value.detail
    assert refusal.value.next_step
