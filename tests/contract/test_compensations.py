"""What every store must do with what rollbacks have to undo, over SQLite and PostgreSQL."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from serinus.core.model import Service
from serinus.ports.compensation import Compensation, CompensationState
from serinus.ports.store import Tenant
from stories import NOON, draft

LATER = NOON + timedelta(seconds=100)


def one(name: str, position: int, deployment: str = "dep_1", **changes) -> Compensation:
    """Return one hook's; ``payload={}`` makes it a task."""
    base = Compensation(
        id=f"{deployment}.undo.{name}",
        tenant_id="ten_1",
        deployment_id=deployment,
        name=name,
        what=name.replace("-", " "),
        position=position,
        created_at=NOON,
        payload={"hook": {"name": name}, "body": {"type": "serinus.compensate"}},
    )
    return replace(base, **changes)


@pytest.fixture
async def saga(store):
    """Return a store with two deployments: one has two hooks and a task, the other one hook."""
    async with store.begin() as tx:
        await tx.tenants.add(Tenant(id="ten_1", name="one", created_at=NOON))
        await tx.tenants.add(Tenant(id="ten_2", name="two", created_at=NOON))
        await tx.services.add(Service(id="svc_1", tenant_id="ten_1", name="checkout", created_at=NOON))
        for identity in ("dep_1", "dep_2"):
            await tx.deployments.add(
                draft(id=identity, tenant_id="ten_1", service_id="svc_1", created_at=NOON)
            )
        for item in (
            one("step-2", 0),
            one("step-1", 1),
            one("task", 2, payload={}),
            one("deployment", 0, "dep_2", created_at=NOON + timedelta(seconds=1)),
        ):
            await tx.compensations.add(item)
    return store


async def claimed(store, owner: str = "a", at=LATER) -> list[str]:
    """Return the ids that a replica gets."""
    async with store.begin() as tx:
        return [i.id for i in await tx.compensations.claim(owner, at, 60, 10)]


async def settled(store, item: Compensation, owner: str = "", at=LATER) -> bool:
    """Store what became of one."""
    async with store.begin() as tx:
        return await tx.compensations.settle(item, at, owner=owner)


async def test_of_each_deployment_only_the_first_that_is_open_is_taken(saga):
    """None overtakes, however long the one ahead takes; tasks are no hook's business."""
    assert await claimed(saga) == ["dep_1.undo.step-2", "dep_2.undo.deployment"]
    assert await claimed(saga, "b") == []
    tried = one("step-2", 0, attempts=1, next_attempt_at=LATER + timedelta(hours=1), error="no")
    assert await settled(saga, tried, "a")
    assert await claimed(saga) == []
    given_up = replace(tried, state=CompensationState.FAILED)
    assert await settled(saga, given_up)
    assert await claimed(saga, at=LATER + timedelta(hours=2)) == ["dep_2.undo.deployment"]
    done = replace(tried, state=CompensationState.DONE, done_at=LATER, done_by="Kim", note="by hand")
    assert await settled(saga, done)
    assert await claimed(saga, at=LATER + timedelta(hours=3)) == [
        "dep_1.undo.step-1",
        "dep_2.undo.deployment",
    ]
    async with saga.begin(write=False) as tx:
        assert (await tx.compensations.of("ten_1", "dep_1"))[0] == replace(done, lease_owner=None)


async def test_what_is_due_later_is_taken_later(saga):
    """Not before its time."""
    assert await settled(saga, one("step-2", 0, next_attempt_at=LATER + timedelta(seconds=1)))
    assert await claimed(saga) == ["dep_2.undo.deployment"]


async def test_only_who_holds_it_settles_it_and_what_is_done_stays_done(saga):
    """A replica that was held up for so long that another one took over changes nothing."""
    await claimed(saga)
    done = one("step-2", 0, state=CompensationState.DONE, done_at=LATER)
    assert not await settled(saga, done, "b")
    assert not await settled(saga, done)
    after = LATER + timedelta(seconds=61)
    async with saga.begin() as tx:
        taken = await tx.compensations.claim("b", after, 60, 10)
    assert [i.lease_owner for i in taken] == ["a", "a"]
    assert not await settled(saga, done, "a", after)
    assert await settled(saga, done, "b", after)
    assert not await settled(saga, replace(done, state=CompensationState.FAILED), at=after)


async def test_a_replica_that_starts_anew_frees_what_it_held(saga):
    """And whoever takes it is told that somebody had it before."""
    await claimed(saga)
    async with saga.begin() as tx:
        await tx.leases.forget("a")
        again = await tx.compensations.claim("a", LATER, 60, 10)
    assert [(i.name, i.lease_owner) for i in again] == [("step-2", "a"), ("deployment", "a")]


async def test_two_replicas_at_the_same_moment_share(saga):
    """Each is taken by one."""
    async with saga.begin() as tx:
        for n in range(20):
            await tx.deployments.add(
                draft(id=f"dep_x{n}", tenant_id="ten_1", service_id="svc_1", created_at=NOON)
            )
            await tx.compensations.add(one("deployment", 0, f"dep_x{n}"))
    both = await asyncio.gather(*(claimed(saga, owner) for owner in ("a", "b", "a", "b")))
    listed = [identity for part in both for identity in part]
    assert len(listed) == len(set(listed))


async def test_a_tenant_sees_its_own_and_a_known_key_is_left_as_it_is(saga):
    """Stored once, whatever is written twice."""
    async with saga.begin() as tx:
        await tx.compensations.add(one("step-2", 0, what="something else"))
        assert await tx.compensations.of("ten_2", "dep_1") == []
        assert await tx.compensations.unfinished("ten_2") == []
        assert [i.name for i in await tx.compensations.of("ten_1", "dep_1")] == ["step-2", "step-1", "task"]
        open_ones = await tx.compensations.unfinished("ten_1")
    assert [(i.name, i.what, i.by_hand) for i in open_ones] == [
        ("step-2", "step 2", False),
        ("step-1", "step 1", False),
        ("task", "task", True),
        ("deployment", "deployment", False),
    ]
