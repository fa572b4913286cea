"""The assignments port: SQLite, PostgreSQL and Redis keep who has been on the canary alike."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from fixtures_redis import RedisServer
from needs import free_port
from serinus.core.bucketing import bucket_of, unit_hash
from serinus.core.errors import InvalidInput, Unavailable
from serinus.core.lifecycle.placing import PlacedOn
from serinus.core.model import Deployment, Service
from serinus.drivers.assignments.redis import RedisAssignments
from serinus.drivers.store.sql import SqlStore
from serinus.ports.assignments import Assignment, Placement, slice_of
from serinus.ports.store import Tenant

NOON = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)


class InStore:
    """Assignments of a database: each use is a transaction."""

    def __init__(self, store: SqlStore) -> None:
        self.store = store

    @asynccontextmanager
    async def open(self):
        """Yield the port."""
        async with self.store.begin() as tx:
            yield tx.assignments


class Apart:
    """Assignments that are no part of any transaction."""

    def __init__(self, driver: RedisAssignments) -> None:
        self.driver = driver

    @asynccontextmanager
    async def open(self):
        """Yield the port."""
        yield self.driver


async def furnished(url: str) -> SqlStore:
    """Return a store with two tenants, and a deployment of the first."""
    store = SqlStore(url)
    await store.migrate()
    await furnish(store)
    return store


async def furnish(store: SqlStore) -> None:
    """Add the tenants and the deployment."""
    async with store.begin() as tx:
        for tenant in ("ten_1", "ten_2"):
            await tx.tenants.add(Tenant(id=tenant, name=tenant, created_at=NOON))
        await tx.services.add(Service(id="svc_1", tenant_id="ten_1", name="shop", stable_version="v1"))
        await tx.deployments.add(deployment())


def deployment() -> Deployment:
    """Return a draft."""
    return Deployment(
        id="dep_1",
        tenant_id="ten_1",
        service_id="svc_1",
        service="shop",
        version="v2",
        stable_version="v1",
        created_at=NOON,
    )


@pytest.fixture(params=["sqlite", "postgresql", "redis"])
async def kept(request, tmp_path):
    """Return each kind, empty."""
    if request.param == "redis":
        driver = RedisAssignments(request.getfixturevalue("redis_url"))
        yield Apart(driver)
        await driver.close()
        return
    url = f"sqlite:///{tmp_path}/serinus.db"
    if request.param == "postgresql":
        url = request.getfixturevalue("postgres").fresh()
    store = await furnished(url)
    yield InStore(store)
    await store.close()


def assigned(key: str, at: int = 0, **changes) -> Assignment:
    """Return a unit that came ``at`` seconds after noon."""
    made = Assignment(
        tenant_id="ten_1",
        book="dep_1",
        unit_hash=f"{unit_hash('dep_1', key):016x}",
        priority="user_id",
        key=key,
        assigned_at=NOON + timedelta(seconds=at, milliseconds=1),
    )
    return replace(made, **changes)


async def test_a_unit_is_kept_once_and_the_first_time_counts(kept):
    """However many processes report it, in one batch or in several."""
    async with kept.open() as assignments:
        assert await assignments.add([assigned("ada"), assigned("bob", 1), assigned("ada", 5)]) == 2
        assert await assignments.add([assigned("ada", 9, priority="workflow_id")]) == 0
    async with kept.open() as assignments:
        assert await assignments.page("ten_1", "dep_1", limit=9) == [assigned("ada"), assigned("bob", 1)]


async def test_they_are_counted_by_slices_whose_versions_grow(kept):
    """A total reads at most a hundred numbers, and a version says whether a slice must be read again."""
    units = [assigned(f"u{n}", n) for n in range(1_000)]
    async with kept.open() as assignments:
        assert await assignments.slices("ten_1", "dep_1") == {}
        await assignments.add(units[:500])
    async with kept.open() as assignments:
        before = await assignments.slices("ten_1", "dep_1")
        await assignments.add(units[500:501])
    async with kept.open() as assignments:
        after = await assignments.slices("ten_1", "dep_1")
        changed = slice_of(units[500].unit_hash)
        assert {n for n in after if after[n] != before.get(n)} == {changed}
        assert sum(s.units for s in after.values()) == 501
        version, hashes = await assignments.units("ten_1", "dep_1", changed)
        assert version == after[changed].version
        assert sorted(hashes) == sorted(
            u.unit_hash for u in units[:501] if bucket_of("dep_1", u.key) // 100 == changed
        )
        assert await assignments.units("ten_1", "dep_1", 99 if changed != 99 else 98) is not None


async def test_a_page_is_oldest_first_and_one_unit_is_found(kept):
    """Whatever order they were stored in."""
    units = [assigned(f"u{n}", n) for n in range(30)]
    async with kept.open() as assignments:
        await assignments.add(units[::-1])
    async with kept.open() as assignments:
        assert await assignments.page("ten_1", "dep_1", limit=10, offset=20) == units[20:]
        one = units[7]
        assert await assignments.page("ten_1", "dep_1", limit=1, unit_hash=one.unit_hash) == [one]
        assert await assignments.page("ten_1", "dep_1", limit=1, unit_hash="0" * 16) == []


async def test_one_some_or_all_are_forgotten(kept):
    """Versions go on growing, so that nobody takes an old slice for the new one."""
    units = [assigned(f"u{n}", n) for n in range(50)]
    async with kept.open() as assignments:
        await assignments.add(units)
        before = await assignments.slices("ten_1", "dep_1")
        assert await assignments.held() == [("ten_1", "dep_1")]
    async with kept.open() as assignments:
        assert await assignments.forget("ten_1", "dep_1", units[3].unit_hash) == 1
        assert await assignments.forget("ten_1", "dep_1", units[3].unit_hash) == 0
        assert await assignments.forget("ten_1", "dep_1", most=20) == 20
        assert await assignments.forget("ten_1", "dep_1") == 29
        assert await assignments.forget("ten_1", "dep_1") == 0
        assert await assignments.held() == []
    async with kept.open() as assignments:
        after = await assignments.slices("ten_1", "dep_1")
        assert sum(s.units for s in after.values()) == 0
        assert all(after[n].version > before[n].version for n in before)
        await assignments.add(units[:1])
        again = (await assignments.slices("ten_1", "dep_1"))[slice_of(units[0].unit_hash)]
        assert (again.units, again.version > after[slice_of(units[0].unit_hash)].version) == (1, True)


async def test_no_call_reaches_another_tenants_units(kept):
    """Tried from next door."""
    async with kept.open() as assignments:
        await assignments.add([assigned("ada")])
    async with kept.open() as assignments:
        one = assigned("ada").unit_hash
        assert await assignments.slices("ten_2", "dep_1") == {}
        assert await assignments.units("ten_2", "dep_1", slice_of(one)) == (0, [])
        assert await assignments.page("ten_2", "dep_1", limit=9) == []
        assert await assignments.page("ten_2", "dep_1", limit=1, unit_hash=one) == []
        assert await assignments.forget("ten_2", "dep_1", one) == 0
        assert await assignments.forget("ten_2", "dep_1") == 0
        assert len(await assignments.page("ten_1", "dep_1", limit=9)) == 1


async def test_processes_that_report_the_same_units_at_once_neither_lose_nor_double_any(kept):
    """Four at a time, overlapping, each in another order."""
    units = [assigned(f"u{n}", n) for n in range(400)]

    async def report(first: int) -> int:
        mine = units[first : first + 250]
        new = 0
        for at in range(0, 250, 50):
            async with kept.open() as assignments:
                new += await assignments.add(mine[at : at + 50][:: -1 if first % 100 else 1])
        return new

    new = await asyncio.gather(*(report(first) for first in (0, 50, 100, 150)))
    assert sum(new) == 400
    async with kept.open() as assignments:
        assert sum(s.units for s in (await assignments.slices("ten_1", "dep_1")).values()) == 400
        assert await assignments.page("ten_1", "dep_1", limit=500) == units


async def test_what_a_key_may_hold_comes_back_as_it_was(kept):
    """Separators, quotes and other scripts."""
    odd = [assigned(key, n) for n, key in enumerate(("a|b|c", "x'; DROP", "김철수", "a b\tc"))]
    async with kept.open() as assignments:
        await assignments.add(odd)
    async with kept.open() as assignments:
        assert await assignments.page("ten_1", "dep_1", limit=9) == odd


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
async def test_units_of_an_older_schema_stay_assigned(kind, request, tmp_path):
    """A rollout that runs during the upgrade keeps its units, and they are counted."""
    from alembic import command
    from sqlalchemy import text

    from serinus.drivers.store.sql.migrations.run import config

    url = f"sqlite:///{tmp_path}/old.db" if kind == "sqlite" else request.getfixturevalue("postgres").fresh()
    store = SqlStore(url)
    async with store._engine.begin() as connection:
        await connection.run_sync(lambda c: command.upgrade(config(c), "0003"))
    await furnish(store)
    units = [assigned(f"u{n}", n) for n in range(20)]
    async with store._engine.begin() as connection:
        for unit in units:
            bucket, at = bucket_of("dep_1", unit.key), unit.assigned_at
            when = at.replace(tzinfo=None).isoformat(" ") if kind == "sqlite" else at
            await connection.execute(
                text(
                    "INSERT INTO assignments (id, tenant_id, deployment_id, unit_hash, bucket, version,"
                    " priority, key, assigned_at)"
                    " VALUES (:id, 'ten_1', 'dep_1', :hash, :bucket, '', 'user_id', :key, :at)"
                ),
                {"id": unit.key, "hash": unit.unit_hash, "bucket": bucket, "key": unit.key, "at": when},
            )
    await store.migrate()
    async with store.begin() as tx:
        assert await tx.assignments.page("ten_1", "dep_1", limit=99) == units
        assert sum(s.units for s in (await tx.assignments.slices("ten_1", "dep_1")).values()) == 20
        assert await tx.assignments.add(units) == 0
    await store.close()


# -- Redis alone ------------------------------------------------------------------------------------


async def test_a_redis_that_is_away_is_said_without_its_password():
    """And nothing was stored: the same call may be made again."""
    gone = RedisAssignments("redis://:s3cret-pw@127.0.0.1:9/0")
    with pytest.raises(Unavailable) as refused:
        await gone.add([assigned("ada")])
    assert "s3cret" not in f"{refused.value.detail} {refused.value.next_step}"
    assert "SERINUS_ASSIGNMENTS_URL" in refused.value.next_step
    (finding,) = await gone.check()
    assert (finding.ok, "s3cret" in str(finding)) == (False, False)
    await gone.close()


async def test_what_is_no_url_of_a_redis_is_refused():
    """With the setting's name."""
    with pytest.raises(InvalidInput, match="SERINUS_ASSIGNMENTS_URL"):
        RedisAssignments("postgresql://elsewhere/x")


async def test_doctor_warns_of_a_redis_that_forgets(redis_server, redis_url):
    """Over a restart, or when its memory is short."""
    import redis

    driver = RedisAssignments(redis_url)
    with redis.Redis.from_url(redis_url) as server:
        assert [f.ok for f in await driver.check()] == [True]
        server.config_set("maxmemory", "100mb")
        server.config_set("maxmemory-policy", "allkeys-lru")
        assert "noeviction" in (await driver.check())[0].remedy
        server.config_set("appendonly", "no")
        assert "appendonly" in (await driver.check())[0].remedy
        server.config_set("appendonly", "yes")
        server.config_set("maxmemory", "0")
    await driver.close()


async def test_what_redis_acknowledged_is_there_after_kill_nine(tmp_path):
    """The operating system has it, as it has SQLite's log."""
    redis_server = RedisServer(tmp_path, free_port())
    redis_server.start()
    driver = RedisAssignments(redis_server.url)
    await driver.add([assigned(f"u{n}", n) for n in range(500)])
    redis_server.stop()
    with pytest.raises(Unavailable):
        await driver.slices("ten_1", "dep_1")
    redis_server.start()
    assert len(await driver.page("ten_1", "dep_1", limit=900)) == 500
    await driver.close()
    redis_server.stop()


# -- placements, in the database alone --------------------------------------------------------------


def placed(key: str, side: PlacedOn, at: int = 0, **changes) -> Placement:
    """Return a unit that ada has put on a side."""
    made = Placement(
        tenant_id="ten_1",
        deployment_id="dep_1",
        unit_hash=f"{unit_hash('dep_1', key):016x}",
        side=side,
        priority="user_id",
        key=key,
        epoch=0,
        actor="ada",
        reason="asked for it",
        at=NOON + timedelta(seconds=at),
    )
    return replace(made, **changes)


async def test_the_last_placement_of_a_unit_counts(store):
    """Resets are told for as long as a late report may come; another tenant sees none."""
    await store.close()
    store = await furnished(str(store._url.render_as_string(hide_password=False)))
    async with store.begin() as tx:
        await tx.placements.put(placed("u1", PlacedOn.CANARY))
        await tx.placements.put(placed("u2", PlacedOn.STABLE, 1))
        await tx.placements.put(placed("u1", PlacedOn.STABLE, 2))
        await tx.placements.put(placed("u3", PlacedOn.HASH, 3, epoch=1))
    async with store.begin() as tx:
        found = await tx.placements.of("ten_1", "dep_1", resets_since=NOON)
        assert found == [
            placed("u2", PlacedOn.STABLE, 1),
            placed("u1", PlacedOn.STABLE, 2),
            placed("u3", PlacedOn.HASH, 3, epoch=1),
        ]
        later = NOON + timedelta(seconds=9)
        assert len(await tx.placements.of("ten_1", "dep_1", resets_since=later)) == 2
        assert await tx.placements.of("ten_2", "dep_1", resets_since=NOON) == []
        assert await tx.placements.clear("ten_2", "dep_1") == 0
        assert await tx.placements.clear("ten_1", "dep_1") == 3
    await store.close()
