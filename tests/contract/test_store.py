"""What every store must do, over SQLite and PostgreSQL."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from fixtures_store import FakeClock
from serinus.core.analysis.evidence import Sample, SampleKind, Side, Window
from serinus.core.analysis.flips import Sighting
from serinus.core.errors import Conflict, InvalidInput, StaleRevision, Unavailable
from serinus.core.histogram import Histogram
from serinus.core.lifecycle import moves
from serinus.core.model import Role, Service, Status, Upstream
from serinus.core.policy.release_sets import release_set_from
from serinus.core.policy.tenant_freezes import tenant_freeze_from
from serinus.core.release_sets import SetState
from serinus.core.rules import Case, RuleVersion
from serinus.drivers.store.sql import SqlStore
from serinus.drivers.store.sql.store import HEAD
from serinus.ports.fleet import Counted, Instance, OnLost, Order, Report, Terms
from serinus.ports.release_sets import SetEvent
from serinus.ports.store import (
    AuditEntry,
    Event,
    Execution,
    Job,
    NewestVersion,
    OutboxItem,
    OutboxState,
    Page,
    StoredAnswer,
    Tenant,
    Token,
)
from serinus.ports.traffic import DesiredSplit
from stories import NOON, draft


async def furnish(store, tenant: str = "ten_1") -> Service:
    """Make a tenant with a service."""
    service = Service(
        id=f"svc_{tenant}", tenant_id=tenant, name="checkout", stable_version="v1", created_at=NOON
    )
    async with store.begin() as tx:
        await tx.tenants.add(Tenant(id=tenant, name=f"tenant {tenant}", created_at=NOON))
        await tx.services.add(service)
    return service


def deployment(identity: str = "dep_1", tenant: str = "ten_1", **changes):
    """Return a draft that belongs to a furnished tenant."""
    return draft(id=identity, tenant_id=tenant, service_id=f"svc_{tenant}", created_at=NOON, **changes)


def window(start: int = 1000, requests: int = 10, errors: int = 1, **more) -> Window:
    """Return a window of equally slow requests."""
    latency = Histogram()
    latency.record(20.0, requests)
    return Window(
        side=more.pop("side", Side.CANARY),
        start=start,
        seconds=10,
        requests=requests,
        errors=errors,
        latency=latency,
        **more,
    )


async def test_a_deployment_comes_back_whole(store):
    """Everything that a decision reads is stored."""
    await furnish(store)
    d = moves.start(deployment(), NOON).next_state
    async with store.begin() as tx:
        await tx.deployments.add(d)
    async with store.begin(write=False) as tx:
        assert await tx.deployments.get("ten_1", "dep_1") == d
        assert await tx.deployments.current("ten_1", "svc_ten_1") == [d]
        assert await tx.deployments.page("ten_1", Page(), status=Status.CANARY) == ([d], 1)
        assert await tx.deployments.page("ten_1", Page(), status=Status.DRAFT) == ([], 0)


async def test_a_failed_transaction_leaves_nothing(store):
    """All of it or none."""
    await furnish(store)
    with pytest.raises(RuntimeError, match="on the way"):
        async with store.begin() as tx:
            await tx.deployments.add(deployment())
            raise RuntimeError("on the way")
    async with store.begin(write=False) as tx:
        assert await tx.deployments.get("ten_1", "dep_1") is None


async def test_the_one_who_saves_second_is_told_what_happened(store):
    """Optimistic locking: the loser learns who changed what."""
    await furnish(store)
    async with store.begin() as tx:
        await tx.deployments.add(deployment())
    async with store.begin() as tx:
        read = await tx.deployments.get("ten_1", "dep_1")
        await tx.deployments.save(replace(read, traffic_bp=5000))
        await tx.timeline.append(
            Event(
                tenant_id="ten_1",
                deployment_id="dep_1",
                at=NOON,
                kind="traffic",
                message="Traffic → 50 %",
                actor="ada",
            )
        )
    with pytest.raises(StaleRevision, match=r"ada at 12:00:00 UTC: Traffic → 50 %"):
        async with store.begin() as tx:
            await tx.deployments.save(replace(read, traffic_bp=1000))
    async with store.begin() as tx:
        now = await tx.deployments.get("ten_1", "dep_1")
        assert (now.traffic_bp, now.revision) == (5000, 1)
        assert (await tx.deployments.save(now, bump=False)).revision == 1


async def test_two_canaries_of_one_service_cannot_be(store):
    """Whatever two replicas decide at the same moment."""
    await furnish(store)
    one, two = deployment("dep_1"), deployment("dep_2", version="v3")
    async with store.begin() as tx:
        await tx.deployments.add(one)
        await tx.deployments.add(two)
        await tx.deployments.save(moves.start(one, NOON).next_state)
    with pytest.raises(Conflict, match=r"checkout already has an active canary: v2 \(dep_1\)"):
        async with store.begin() as tx:
            await tx.deployments.save(moves.start(two, NOON).next_state)


async def test_two_services_cannot_have_one_name(store):
    """Names are unique per tenant, not over tenants."""
    service = await furnish(store)
    await furnish(store, "ten_2")
    with pytest.raises(Conflict, match="already"):
        async with store.begin() as tx:
            await tx.services.add(replace(service, id="svc_other"))


async def test_no_call_reaches_another_tenants_rows(store):
    """Every tenant-scoped read and write, tried from next door."""
    await furnish(store)
    await furnish(store, "ten_2")
    d = deployment()
    async with store.begin() as tx:
        await tx.deployments.add(d)
        await tx.timeline.append(
            Event(tenant_id="ten_1", deployment_id="dep_1", at=NOON, kind="k", message="m", actor="a")
        )
        await tx.evidence.merge("ten_1", "dep_1", [window()], [])
        await tx.outbox.add(item())
        await tx.audit.append(audited())
        await tx.idempotency.put("ten_1", "k", StoredAnswer(fingerprint="f", status=200, body=1), NOON)
        await tx.tokens.add(token())
    async with store.begin() as tx:
        assert await tx.deployments.get("ten_2", "dep_1") is None
        assert await tx.deployments.page("ten_2", Page()) == ([], 0)
        assert await tx.deployments.current("ten_2", "svc_ten_1") == []
        assert await tx.services.get("ten_2", "svc_ten_1") is None
        assert await tx.timeline.read("ten_2", "dep_1") == []
        assert await tx.timeline.latest("ten_2", "dep_1") == []
        assert await tx.evidence.read("ten_2", "dep_1", 0, 9e9) == ((), ())
        assert await tx.evidence.totals("ten_2", "dep_1") == ()
        assert await tx.outbox.of("ten_2", "dep_1") == []
        assert await tx.audit.page("ten_2", Page()) == ([], 0)
        assert await tx.idempotency.get("ten_2", "k") is None
        assert await tx.tokens.all("ten_2") == []
        assert not await tx.tokens.revoke("ten_2", "tok_1", NOON)
        assert not await tx.deployments.delete("ten_2", "dep_1")
        with pytest.raises(StaleRevision):
            await tx.deployments.save(replace(d, tenant_id="ten_2"))


async def test_a_lease_is_held_by_one(store):
    """Two replicas claim at once: each due service goes to one of them."""
    for n in range(6):
        service = await furnish(store, f"ten_{n}")
        async with store.begin() as tx:
            await tx.leases.wake(service.id, NOON)

    async def claim(owner):
        async with store.begin() as tx:
            return await tx.leases.claim(owner, NOON, 30, 4)

    one, two = await asyncio.gather(claim("a"), claim("b"))
    assert len(one) + len(two) == 6
    assert not set(one) & set(two)


async def test_a_dead_replicas_lease_runs_out(store):
    """Nobody has to clean up after ``kill -9``; and who restarts gives its own back at once."""
    service = await furnish(store)
    later = NOON + timedelta(seconds=31)

    async def claim(owner, now):
        async with store.begin() as tx:
            return len(await tx.leases.claim(owner, now, 30, 9))

    async with store.begin() as tx:
        await tx.leases.wake(service.id, NOON)
    assert [await claim("a", NOON), await claim("b", NOON), await claim("b", later)] == [1, 0, 1]
    async with store.begin() as tx:
        await tx.leases.forget("b")
    assert await claim("a", later) == 1


async def test_a_wake_up_during_a_look_is_heard(store):
    """Releasing does not put off what was asked for meanwhile."""
    service = await furnish(store)
    async with store.begin() as tx:
        await tx.leases.wake(service.id, NOON)
        await tx.leases.claim("a", NOON, 30, 9)
    async with store.begin() as tx:
        await tx.leases.wake(service.id, NOON)
    async with store.begin() as tx:
        await tx.leases.release(service.id, "a", NOON + timedelta(hours=1))
        assert await tx.leases.claim("a", NOON, 30, 9) == [("ten_1", service.id)]
        await tx.leases.release(service.id, "a", NOON + timedelta(hours=1))
        assert await tx.leases.claim("a", NOON, 30, 9) == []


async def test_evidence_adds_up(store):
    """Counts and histograms merge exactly; totals outlive the windows."""
    await furnish(store)
    async with store.begin() as tx:
        await tx.deployments.add(deployment())
        for _ in range(3):
            await tx.evidence.merge("ten_1", "dep_1", [window(), window(2000, endpoint="/pay")], [])
    async with store.begin() as tx:
        found, _ = await tx.evidence.read("ten_1", "dep_1", 0, 9e9)
        assert [(w.start, w.endpoint, w.requests, w.errors, w.latency.count) for w in found] == [
            (1000, "", 30, 3, 30),
            (2000, "/pay", 30, 3, 30),
        ]
        assert [w.requests for w in (await tx.evidence.read("ten_1", "dep_1", 1010, 9e9))[0]] == [30]
        gone = await tx.evidence.roll_up(older_than=9000, into_seconds=3000, delete_before=1500)
        assert gone == 2
        found, _ = await tx.evidence.read("ten_1", "dep_1", 0, 9e9)
        assert [(w.start, w.seconds, w.requests) for w in found] == [(0, 3000, 30)]
        assert sum(w.requests for w in await tx.evidence.totals("ten_1", "dep_1")) == 60


async def test_several_candidates_have_their_own_evidence_and_stable_is_everybodys(store):
    """Reads, totals and rolled up windows alike; what names no candidate is the first one's."""
    await furnish(store)
    async with store.begin() as tx:
        await tx.deployments.add(deployment())
        await tx.evidence.merge("ten_1", "dep_1", [window(), window(side=Side.STABLE)], [])
        for _ in range(2):
            samples = [Sample(side=Side.CANARY, name="orders", start=1000, value=1)]
            await tx.evidence.merge("ten_1", "dep_1", [window(side=Side.CANARY)], samples, 2)

    async def seen(tx, arm: int) -> dict:
        windows, samples = await tx.evidence.read("ten_1", "dep_1", 0, 9e9, arm)
        totals = await tx.evidence.totals("ten_1", "dep_1", arm)
        for found in (windows, totals):
            assert len({w.side for w in found}) == len(found)
        return {w.side.value: w.requests for w in windows} | {"orders": sum(s.value for s in samples)}

    async with store.begin() as tx:
        for _ in range(2):
            assert await seen(tx, 0) == {"canary": 10, "stable": 10, "orders": 0}
            assert await seen(tx, 1) == {"stable": 10, "orders": 0}
            assert await seen(tx, 2) == {"canary": 20, "stable": 10, "orders": 2}
            await tx.evidence.roll_up(older_than=9000, into_seconds=3000, delete_before=0)
        windows, _ = await tx.evidence.read("ten_1", "dep_1", 0, 9e9, 2)
        assert {w.seconds for w in windows} == {3000}


async def test_two_writers_of_one_window_lose_nothing(store):
    """Concurrent merges of the same window add up."""
    await furnish(store)
    async with store.begin() as tx:
        await tx.deployments.add(deployment())

    async def merge():
        async with store.begin() as tx:
            await tx.evidence.merge("ten_1", "dep_1", [window(), window(side=Side.STABLE)], [])

    await asyncio.gather(*(merge() for _ in range(8)))
    async with store.begin(write=False) as tx:
        found, _ = await tx.evidence.read("ten_1", "dep_1", 0, 9e9)
    assert [w.requests for w in found] == [80, 80]


async def test_samples_count_up_or_keep_the_newest(store):
    """Counters add, gauges replace."""
    await furnish(store)
    async with store.begin() as tx:
        await tx.deployments.add(deployment())
        for value in (1.0, 2.5):
            samples = [
                Sample(side=Side.CANARY, name=k.value, start=5, value=value, kind=k) for k in SampleKind
            ]
            await tx.evidence.merge("ten_1", "dep_1", [], samples)
        _, found = await tx.evidence.read("ten_1", "dep_1", 0, 9e9)
        names = [k.value for k in SampleKind]
        assert await tx.evidence.counted("ten_1", "dep_1", [*names, "other"]) == {"counter": 3.5}
        assert await tx.evidence.counted("ten_1", "dep_1", ["other"]) == {}
        assert await tx.evidence.counted("ten_2", "dep_1", names) == {}
    assert {s.name: s.value for s in found} == {"counter": 3.5, "gauge": 2.5}


async def test_a_batch_number_is_taken_once(store):
    """Sent again it is known; another source has its own numbers."""
    await furnish(store)
    async with store.begin() as tx:
        taken = [
            await tx.sources.advance("ten_1", s, n, NOON, "r")
            for s, n in (("a", 1), ("a", 1), ("b", 1), ("a", 3), ("a", 2))
        ]
        assert taken == [True, False, True, True, False]
        assert [s for s, *_ in await tx.sources.seen_since("ten_1", NOON)] in (["a", "b"], ["b", "a"])
        await tx.sources.set_cursor("k", {"n": 1})
        await tx.sources.set_cursor("k", {"n": 2})
        assert (await tx.sources.cursor("k"), await tx.sources.cursor("other")) == ({"n": 2}, None)


def item(identity: str = "m1", **changes) -> OutboxItem:
    """Return a pending message."""
    base = OutboxItem(
        id=identity,
        tenant_id="ten_1",
        deployment_id="dep_1",
        kind="notify",
        channel="slack",
        payload={"title": "t"},
        created_at=NOON,
    )
    return replace(base, **changes)


async def test_the_outbox_keeps_calls_of_hooks_apart_from_notifications(store):
    """Each relay claims its own kind; a slow hook is in nobody's way."""
    await furnish(store)
    async with store.begin() as tx:
        await tx.deployments.add(deployment())
        await tx.outbox.add(item())
        await tx.outbox.add(item("m2", channel="qa", kind="hook"))
    async with store.begin() as tx:
        (hook,) = await tx.outbox.claim("a", NOON, 60, 9, kind="hook")
        (told,) = await tx.outbox.claim("a", NOON, 60, 9)
        assert (hook.channel, told.channel) == ("qa", "slack")
        await tx.outbox.settle(
            replace(hook, state=OutboxState.REFUSED, error="3 orders were lost", done_at=NOON)
        )
        (kept,) = [i for i in await tx.outbox.of("ten_1", "dep_1") if i.kind == "hook"]
        assert (kept.state, kept.error) == (OutboxState.REFUSED, "3 orders were lost")


async def test_the_outbox_keeps_an_item_until_it_is_settled(store):
    """A known id is not added again; a failed try waits for its time."""
    await furnish(store)
    async with store.begin() as tx:
        await tx.deployments.add(deployment())
        await tx.outbox.add(item())
        await tx.outbox.add(item(channel="email"))
    async with store.begin() as tx:
        (claimed,) = await tx.outbox.claim("a", NOON, 60, 9)
        assert (claimed.channel, await tx.outbox.claim("b", NOON, 60, 9)) == ("slack", [])
        later = NOON + timedelta(seconds=10)
        await tx.outbox.settle(replace(claimed, attempts=1, error="down", next_attempt_at=later))
        assert await tx.outbox.claim("a", NOON, 60, 9) == []
        (again,) = await tx.outbox.claim("a", later, 60, 9)
        await tx.outbox.settle(replace(again, state=OutboxState.SENT, done_at=later))
        assert (await tx.outbox.backlog(), [i.state for i in await tx.outbox.of("ten_1", "dep_1")]) == (
            0,
            [OutboxState.SENT],
        )


async def test_of_a_deployments_messages_on_a_channel_only_the_oldest_can_be_taken(store):
    """What comes later waits until it is settled or put off; other channels do not."""
    await furnish(store)
    at = [NOON + timedelta(seconds=n) for n in range(4)]
    async with store.begin() as tx:
        await tx.deployments.add(deployment())
        for n in range(3):
            await tx.outbox.add(item(f"m{n}", created_at=at[n]))
        await tx.outbox.add(item("mail", channel="email", created_at=at[1]))
        await tx.outbox.add(item("hook", kind="hook", channel="other"))
    async with store.begin() as tx:
        (mail,) = await tx.outbox.claim("a", at[3], 60, 9, without=["slack"])
        (first,) = await tx.outbox.claim("a", at[3], 60, 9, channel="slack")
        assert (mail.id, first.id) == ("mail", "m0")
        assert await tx.outbox.claim("b", at[3], 60, 9) == []
        await tx.outbox.settle(replace(first, next_attempt_at=at[3] + timedelta(seconds=9)))
        (second,) = await tx.outbox.claim("b", at[3], 60, 9)
        assert second.id == "m1"
        assert [i.id for i in await tx.outbox.claim("b", at[3], 60, 9, kind="hook")] == ["hook"]


async def test_a_message_taken_over_says_who_had_it_before(store):
    """Also when that was this replica's own process before a restart."""
    await furnish(store)
    async with store.begin() as tx:
        await tx.deployments.add(deployment())
        await tx.outbox.add(item())
    async with store.begin() as tx:
        (fresh,) = await tx.outbox.claim("a", NOON, 60, 9)
        await tx.leases.forget("a")
        (again,) = await tx.outbox.claim("a", NOON, 60, 9)
        assert (fresh.lease_owner, again.lease_owner) == (None, "a")
        await tx.outbox.settle(replace(again, attempts=1))
        (settled,) = await tx.outbox.claim("b", NOON, 60, 9)
        assert settled.lease_owner is None


async def test_a_waiting_message_can_be_amended_until_somebody_has_taken_it(store):
    """And by the one who has."""
    await furnish(store)
    async with store.begin() as tx:
        await tx.deployments.add(deployment())
        await tx.outbox.add(item(next_attempt_at=NOON + timedelta(seconds=3)))
    async with store.begin() as tx:
        assert await tx.outbox.claim("a", NOON, 60, 9) == []
        assert await tx.outbox.amend(item(payload={"title": "new"}, next_attempt_at=NOON))
        (taken,) = await tx.outbox.claim("a", NOON, 60, 9)
        assert taken.payload == {"title": "new"}
        assert not await tx.outbox.amend(item(payload={"title": "late"}))
        assert await tx.outbox.amend(item(payload={"title": "mine"}), leased=True)
        found = await tx.outbox.get("ten_1", "m1")
        assert (found.payload, found.lease_owner) == ({"title": "mine"}, "a")
        assert await tx.outbox.get("ten_2", "m1") is None


def audited(**changes) -> AuditEntry:
    """Return an audit entry."""
    return replace(
        AuditEntry(tenant_id="ten_1", at=NOON, actor="ada", token_id="t", action="x", target="y"), **changes
    )


async def test_the_audit_log_is_paged_newest_first_with_its_total(store):
    """The total is kept, not counted."""
    await furnish(store)
    async with store.begin() as tx:
        for n in range(7):
            await tx.audit.append(audited(target=str(n)))
        found, total = await tx.audit.page("ten_1", Page(number=2, size=3))
    assert ([e.target for e in found], total) == (["3", "2", "1"], 7)


def token(**changes) -> Token:
    """Return a token."""
    return replace(
        Token(id="tok_1", tenant_id="ten_1", name="ci", role=Role.VIEWER, digest="d" * 64, created_at=NOON),
        **changes,
    )


async def test_tokens_and_sessions(store):
    """Found by digest; a session ends with its time; a login code works once."""
    await furnish(store)
    async with store.begin() as tx:
        await tx.tokens.add(token())
        assert await tx.tokens.by_digest("d" * 64) == (token(), None)
        later = NOON + timedelta(hours=1)
        await tx.sessions.put("s", "tok_1", later)
        await tx.sessions.put("c", "tok_1", later, once=True)
        assert (await tx.sessions.find("s", NOON), await tx.sessions.find("s", later)) == (
            (token(), None),
            None,
        )
        assert await tx.sessions.find("c", NOON) is None
        assert [await tx.sessions.spend("c", NOON), await tx.sessions.spend("c", NOON)] == ["tok_1", None]
        await tx.sessions.drop("s")
        assert await tx.sessions.find("s", NOON) is None
        assert await tx.tokens.revoke("ten_1", "tok_1", later)
        assert (await tx.tokens.by_digest("d" * 64))[0].revoked_at == later


async def test_an_idempotency_key_holds_one_answer(store):
    """The second one to put it is told."""
    await furnish(store)
    answer = StoredAnswer(fingerprint="f", status=201, body={"a": [1]})
    async with store.begin() as tx:
        await tx.idempotency.put("ten_1", "k", answer, NOON)
        assert await tx.idempotency.get("ten_1", "k") == answer
    with pytest.raises(StaleRevision):
        async with store.begin() as tx:
            await tx.idempotency.put("ten_1", "k", answer, NOON)
    async with store.begin() as tx:
        assert await tx.idempotency.prune(NOON + timedelta(days=1)) == 1


async def test_jobs_beat_and_deployments_are_deleted_with_what_hangs_on_them(store):
    """A heartbeat replaces the one before; a deleted draft leaves no rows."""
    await furnish(store)
    async with store.begin() as tx:
        await tx.jobs.beat(Job(name="m", replica="r", state="running", interval_seconds=2, last_run_at=NOON))
        await tx.jobs.beat(Job(name="m", replica="r", state="failing", interval_seconds=2, error="x"))
        assert [(j.state, j.error) for j in await tx.jobs.all()] == [("failing", "x")]
        await tx.deployments.add(deployment())
        await tx.outbox.add(item())
        await tx.evidence.merge("ten_1", "dep_1", [window()], [])
        assert await tx.deployments.delete("ten_1", "dep_1")
        assert await tx.outbox.of("ten_1", "dep_1") == []
        assert await tx.evidence.totals("ten_1", "dep_1") == ()


async def test_a_fleet_has_one_order_and_its_instances(store):
    """An order that is the same again changes nothing, its time least of all; instances are the tenant's."""
    service = await furnish(store)
    stable = Upstream(version="v1", addresses=("10.0.0.1:80",))
    first = Order(split=DesiredSplit(service_id=service.id, service="checkout", stable=stable))
    second = replace(first, terms=Terms(deadline_seconds=5.5, on_lost=OnLost.STABLE))
    report = Report(
        run="r",
        seq=7,
        counters=(Counted(version="v1", requests=3, errors=1, buckets={"inf": 3}),),
        memory={"given": {"version": "x"}},
    )
    one = Instance(name="edge-1", report=report, first_seen_at=NOON, seen_at=NOON, changed_at=NOON)
    later = NOON + timedelta(seconds=9)
    async with store.begin() as tx:
        assert await tx.fleet.ordered(service.id) is None
        assert await tx.fleet.order(first, NOON) == "ten_1"
        assert await tx.fleet.order(first, later) is None
        assert await tx.fleet.ordered(service.id) == (first, NOON)
        assert await tx.fleet.order(second, later) == "ten_1"
        for instance in (one, replace(one, name="edge-0"), replace(one, seen_at=later)):
            await tx.fleet.save("ten_1", service.id, instance)
    async with store.begin() as tx:
        found = await tx.fleet.ordered(service.id)
        assert found == (second, later)
        assert found[0].revision == second.revision != first.revision
        assert await tx.fleet.instances(service.id) == [
            replace(one, name="edge-0"),
            replace(one, seen_at=later),
        ]
        assert await tx.fleet.instance(service.id, "edge-0") == replace(one, name="edge-0")
        assert await tx.fleet.instance(service.id, "edge-9") is None
        assert not await tx.fleet.forget("ten_2", service.id, "edge-0")
        assert await tx.fleet.forget("ten_1", service.id, "edge-0")
        assert [i.name for i in await tx.fleet.instances(service.id)] == ["edge-1"]


async def test_the_schema_is_the_migrations_sum(store):
    """Tables and migrations cannot drift apart, and starting again is cheap."""
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext
    from alembic.script import ScriptDirectory

    from serinus.drivers.store.sql.migrations.run import config
    from serinus.drivers.store.sql.tables import metadata

    async with store._engine.connect() as connection:
        drift = await connection.run_sync(lambda c: compare_metadata(MigrationContext.configure(c), metadata))
    assert drift == []
    assert ScriptDirectory.from_config(config()).get_current_head() == HEAD
    await asyncio.gather(store.migrate(), store.migrate())
    assert all(f.ok for f in await store.check())


@pytest.mark.parametrize("url", ["nonsense", "mysql://u:hunter2@h/x", "postgresql://u:hunter2@h:notaport/x"])
def test_a_url_that_names_no_database_of_ours_is_refused_without_its_password(url):
    """In words, with what to write instead."""
    with pytest.raises(InvalidInput) as refusal:
        SqlStore(url)
    assert refusal.value.field == "DATABASE_URL"
    assert "hunter2" not in str(refusal.value) + refusal.value.next_step


def test_a_password_is_in_no_repr():
    """Logs may show the store."""
    assert "hunter2" not in repr(SqlStore("postgresql://u:hunter2@127.0.0.1:1/x"))


async def test_changes_of_a_service_at_the_same_moment_are_all_kept(store):
    """Each is made to what the one before has left, on whichever replica."""
    await furnish(store)

    async def add(version: str) -> None:
        async with store.begin() as tx:
            service = await tx.services.get("ten_1", "checkout")
            await asyncio.sleep(0.01)
            upstreams = {**service.upstreams, version: ("127.0.0.1:9",)}
            await tx.services.save(replace(service, upstreams=upstreams))

    versions = [f"v{n}" for n in range(5)]
    await asyncio.gather(*(add(version) for version in versions))
    async with store.begin(write=False) as tx:
        assert sorted((await tx.services.get("ten_1", "checkout")).upstreams) == versions


async def test_what_postgresql_cannot_hold_is_no_fault_of_its(postgres):
    """A NUL in a call's path: whoever called is told so, and nobody looks for a broken database."""
    store = SqlStore(postgres.migrated())
    with pytest.raises(InvalidInput, match="cannot hold"):
        async with store.begin(write=False) as tx:
            await tx.deployments.get("ten_1", "dep\0")
    await store.close()


async def test_no_value_is_in_an_errors_text(store):
    """A failed statement is logged with its places, without whose key or token it was about."""
    token = Token(
        id="tok_1", tenant_id="nobody", name="laptop", role=Role.ADMIN, digest="d1gest", created_at=NOON
    )
    with pytest.raises(Conflict) as refusal:
        async with store.begin() as tx:
            await tx.tokens.add(token)
    assert "INSERT INTO tokens" in str(refusal.value.__cause__)
    assert "d1gest" not in str(refusal.value.__cause__)


async def test_a_database_that_is_away_is_told_and_comes_back(postgres):
    """Unavailable in words; after a restart the same store works again."""
    store = SqlStore(postgres.fresh())
    await store.migrate()
    await furnish(store)
    postgres.stop()
    with pytest.raises(Unavailable) as refusal:
        await store.migrate()
    assert "s3cret-pw" not in str(refusal.value)
    assert [f.ok for f in await store.check()] == [False]
    postgres.start()
    async with store.begin(write=False) as tx:
        assert await tx.services.get("ten_1", "checkout")
    await store.close()


async def test_a_locked_sqlite_is_told(tmp_path):
    """Another writer holds it: Unavailable after the busy time, nothing half done."""
    import sqlite3

    store = SqlStore(f"sqlite:///{tmp_path}/s.db", busy_seconds=0.1)
    await store.migrate()
    other = sqlite3.connect(tmp_path / "s.db", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(Unavailable, match="locked"):
        await furnish(store)
    other.execute("ROLLBACK")
    other.close()
    await furnish(store)
    await store.close()


async def test_a_full_disk_is_told_and_nothing_half_done_is_kept(tmp_path):
    """SQLite's page limit stands in for the disk: the transaction is gone whole."""
    store = SqlStore(f"sqlite:///{tmp_path}/s.db")
    await store.migrate()
    await furnish(store)
    async with store._engine.connect() as connection:
        pages = (await connection.exec_driver_sql("PRAGMA page_count")).scalar()
    from sqlalchemy import event as listen

    def limit(connection, _):
        connection.execute(f"PRAGMA max_page_count={pages}")

    listen.listen(store._engine.sync_engine, "connect", limit)
    await store._engine.dispose()
    with pytest.raises(Unavailable, match="full"):
        async with store.begin() as tx:
            await tx.deployments.add(deployment())
            for n in range(500):
                await tx.audit.append(audited(target="x" * 150 + str(n)))
    async with store.begin(write=False) as tx:
        assert await tx.deployments.get("ten_1", "dep_1") is None
    await store.close()


async def test_a_file_that_is_no_database_is_told(tmp_path):
    """Instead of a traceback."""
    (tmp_path / "s.db").write_text("not a database at all, but long enough to be looked at as one" * 20)
    store = SqlStore(f"sqlite:///{tmp_path}/s.db")
    with pytest.raises(Unavailable, match="no SQLite database"):
        await store.migrate()
    await store.close()


def test_the_fake_clock_moves_when_told():
    """Stories depend on it."""
    clock = FakeClock()
    clock.pass_(5)
    assert (clock.now() - NOON).total_seconds() == clock.monotonic() == 5


async def test_versions_of_rulesets_are_added_and_never_changed(store):
    """Whole, newest first, for their tenant alone; a second one of the same name is refused."""
    service = await furnish(store)
    await furnish(store, "ten_2")
    case = Case(name="big", input={"amount": 200}, expected_output=None)
    first = RuleVersion(
        tenant_id="ten_1",
        service_id=service.id,
        version="v1",
        engine="starlark",
        source="x",
        digest="sha256:1",
        cases=(case,),
        created_at=NOON,
    )
    async with store.begin() as tx:
        await tx.rulesets.add(first)
        later = NOON + timedelta(seconds=1)
        await tx.rulesets.add(replace(first, version="v2", digest="sha256:2", created_at=later))
    with pytest.raises(Conflict, match="versions never change"):
        async with store.begin() as tx:
            await tx.rulesets.add(replace(first, source="y"))
    async with store.begin(write=False) as tx:
        assert await tx.rulesets.get("ten_1", service.id, "v1") == first
        assert await tx.rulesets.get("ten_2", service.id, "v1") is None
        page, total = await tx.rulesets.page("ten_1", service.id, Page(size=1))
        assert ([v.version for v in page], total) == (["v2"], 2)
        newest = NewestVersion(version="v2", author="", created_at=later, total=2)
        assert await tx.rulesets.newest("ten_1") == {service.id: newest}
        assert await tx.rulesets.newest("ten_2") == {}


async def test_the_execution_log_is_found_by_what_went_wrong_and_stays_bounded(store):
    """Newest first; the oldest go when there are too many, or after their time."""
    service = await furnish(store)
    entries = [
        Execution(
            id=f"exe_{n}",
            tenant_id="ten_1",
            service_id=service.id,
            deployment_id="dep_1",
            at=NOON + timedelta(seconds=n),
            kind="shadow" if n == 3 else "execute",
            version="v2",
            is_canary=n != 4,
            ok=n != 2,
            latency_ms=0.5,
            differs=n == 3,
            input={"n": n},
            differences=("$.a: expected 1, got 2",) if n == 3 else (),
        )
        for n in range(5)
    ]

    async def found(**wanted) -> list[str]:
        async with store.begin(write=False) as tx:
            page, total = await tx.executions.page("ten_1", service.id, Page(), **wanted)
            assert total == len(page)
            return [e.id for e in page]

    async with store.begin() as tx:
        await tx.executions.add(entries)
        await tx.executions.add(entries[:2])
    assert await found() == ["exe_4", "exe_3", "exe_2", "exe_1", "exe_0"]
    assert await found(failed=True) == await found(failed=True, canary=True) == ["exe_2"]
    assert await found(canary=True) == ["exe_3", "exe_2", "exe_1", "exe_0"]
    assert await found(differs=True) == await found(kind="shadow") == ["exe_3"]
    assert await found(deployment_id="dep_2") == []
    async with store.begin(write=False) as tx:
        page, _ = await tx.executions.page("ten_1", service.id, Page(), kind="shadow")
        assert page == [entries[3]]
        assert (await tx.executions.page("ten_2", service.id, Page()))[1] == 0
    async with store.begin() as tx:
        assert await tx.executions.prune(before=NOON + timedelta(seconds=1), most=2) == 3
    assert await found() == ["exe_4", "exe_3"]


async def test_release_sets_are_leased_saved_once_and_listed(store):
    """A live set is claimed by one; a stale save is refused; an ended one is claimed by nobody."""
    await furnish(store)
    await furnish(store, "ten_2")
    data = {"name": "shop", "members": [{"service": "checkout", "version": "v2"}]}
    s = replace(release_set_from(data, identity="set_1", tenant_id="ten_1"), created_at=NOON)
    async with store.begin() as tx:
        assert not await tx.release_sets.any_live()
        await tx.release_sets.add(s)
        assert await tx.release_sets.any_live()
        assert await tx.release_sets.claim("a", NOON, 60, 10) == [("ten_1", "set_1")]
        assert await tx.release_sets.claim("b", NOON, 60, 10) == []
    later = NOON + timedelta(seconds=61)
    async with store.begin() as tx:
        assert await tx.release_sets.claim("b", later, 60, 10) == [("ten_1", "set_1")]
        await tx.release_sets.release("set_1", "a", later)  # it is b's by now
        assert await tx.release_sets.claim("c", later, 60, 10) == []
        await tx.release_sets.release("set_1", "b", later)
    async with store.begin(write=False) as tx:
        assert await tx.release_sets.get("ten_1", "set_1") == s
        assert await tx.release_sets.get("ten_2", "set_1") is None
        assert await tx.release_sets.list("ten_1", limit=5) == ([s], 1)
        assert await tx.release_sets.list("ten_1", limit=5, state=SetState.DONE) == ([], 0)
        assert await tx.release_sets.list("ten_2", limit=5) == ([], 0)
    async with store.begin() as tx:
        saved = await tx.release_sets.save(replace(s, state=SetState.DONE))
        assert saved.revision == 1
        assert await tx.release_sets.claim("c", later, 60, 10) == []
    with pytest.raises(StaleRevision, match="Somebody else changed it first"):
        async with store.begin() as tx:
            await tx.release_sets.save(replace(s, sentence="too late"))


async def test_a_sets_timeline_is_read_in_order_by_its_tenant(store):
    """Ascending ids; another tenant reads nothing."""
    await furnish(store)
    data = {"name": "shop", "members": [{"service": "checkout", "version": "v2"}]}
    s = replace(release_set_from(data, identity="set_1", tenant_id="ten_1"), created_at=NOON)
    async with store.begin() as tx:
        await tx.release_sets.add(s)
        for n in range(3):
            event = SetEvent(
                tenant_id="ten_1",
                set_id="set_1",
                at=NOON,
                kind="k",
                message=f"m{n}",
                actor="a",
                data={"n": n},
            )
            await tx.set_timeline.append(event)
    async with store.begin(write=False) as tx:
        found = await tx.set_timeline.read("ten_1", "set_1")
        assert [(e.message, e.data, e.at) for e in found] == [(f"m{n}", {"n": n}, NOON) for n in range(3)]
        rest = await tx.set_timeline.read("ten_1", "set_1", after=found[0].id, limit=1)
        assert [e.message for e in rest] == ["m1"]
        assert await tx.set_timeline.read("ten_2", "set_1") == []


async def test_freezes_are_a_tenants_own_and_replaced_by_name(store):
    """Put, put again, removed; by name."""
    await furnish(store)
    await furnish(store, "ten_2")
    data = {"from": "sat 00:00", "until": "mon 08:00", "reason": "weekend"}
    one = tenant_freeze_from("weekend", data, by="ada", at=NOON)
    other = tenant_freeze_from("nights", {**data, "zone": "Asia/Seoul"}, by="ada", at=NOON)
    async with store.begin() as tx:
        assert not await tx.freezes.put("ten_1", other)
        assert not await tx.freezes.put("ten_1", one)
        assert await tx.freezes.put("ten_1", replace(one, reason="again"))
        assert not await tx.freezes.remove("ten_2", "weekend")
        assert await tx.freezes.all("ten_1") == [other, replace(one, reason="again")]
        assert await tx.freezes.all("ten_2") == []
        assert await tx.freezes.remove("ten_1", "nights")
        assert not await tx.freezes.remove("ten_1", "nights")


async def test_sightings_are_facts_that_come_in_any_order_and_fade(store):
    """A fact twice is one fact with the later time; old ones, and those of other tenants, are nobody's."""
    await furnish(store)
    await furnish(store, "ten_2")

    def seen(unit: int, version: str = "", share_bp: int = 500) -> Sighting:
        return Sighting(unit=f"{unit:016x}", version=version, share_bp=share_bp)

    async with store.begin() as tx:
        await tx.deployments.add(deployment())
        await tx.sightings.add("ten_1", "dep_1", [], 1000)
        await tx.sightings.add("ten_1", "dep_1", [seen(3), seen(1, "v2"), seen(1, "v2")], 1000)
        await tx.sightings.add("ten_1", "dep_1", [seen(1, "v2"), seen(1), seen(2, share_bp=9999)], 1300)
        await tx.sightings.add("ten_1", "dep_1", [seen(1, "v2")], 1100)
    async with store.begin() as tx:
        every = await tx.sightings.of("ten_1", "dep_1", 0, 512)
        assert {(int(s.unit, 16), s.version, s.share_bp) for s in every} == {
            (1, "v2", 500),
            (1, "", 500),
            (2, "", 9999),
            (3, "", 500),
        }
        assert {s.unit for s in await tx.sightings.of("ten_1", "dep_1", 0, 2)} == {seen(1).unit, seen(2).unit}
        assert seen(3) not in await tx.sightings.of("ten_1", "dep_1", 1200, 512)
        assert await tx.sightings.of("ten_2", "dep_1", 0, 512) == []
        assert await tx.sightings.prune(1200) == 1
        assert len(await tx.sightings.of("ten_1", "dep_1", 0, 512)) == 3
        assert await tx.deployments.delete("ten_1", "dep_1")
        assert await tx.sightings.of("ten_1", "dep_1", 0, 512) == []
