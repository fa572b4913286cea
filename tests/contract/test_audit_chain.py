"""The audit log's chain, over SQLite and PostgreSQL: written by many at once, gone over, tampered with."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from serinus.control.access.audit import verify
from serinus.core.chain import GENESIS, link
from serinus.drivers.store.sql import SqlStore
from serinus.drivers.store.sql.store import HEAD
from serinus.ports.store import AuditEntry, AuditHead, Page, Tenant
from stories import NOON


def entry(target: str = "checkout", tenant: str = "ten_1", **changes) -> AuditEntry:
    """Return an entry that has something of everything in it."""
    made = AuditEntry(
        tenant_id=tenant,
        at=NOON.replace(microsecond=123456),
        actor="김하늘",
        token_id="tok_1",
        action="deployment.rollback",
        target=target,
        request_id="req_1",
        data={"reason": "error rate 8 %, limit 5 %", "share": 0.1, "nested": [None, {"a": 1}]},
    )
    return replace(made, **changes)


async def written(store, entries: int = 5, tenant: str = "ten_1") -> None:
    """Make a tenant with a log."""
    async with store.begin() as tx:
        await tx.tenants.add(Tenant(id=tenant, name=tenant, created_at=NOON))
    for n in range(entries):
        async with store.begin() as tx:
            await tx.audit.append(entry(f"service {n}", tenant))


async def tampered(store, statement: str) -> None:
    """Change the database behind our back."""
    async with store._engine.begin() as connection:
        await connection.execute(text(statement))


async def verdicts(store, **kept: AuditHead) -> list[tuple[int, int | None, str]]:
    """Return per tenant how many entries fit, and where the first one does not and why."""
    found = await verify(store, kept)
    return [(v.head.seq, v.broken and v.broken.seq, v.broken.why if v.broken else "") for v in found]


async def test_a_log_that_nobody_touched_fits(store):
    """Numbered from 1 without gaps, each hash over the entry and the hash before; tenants apart."""
    await written(store, 3)
    await written(store, 2, "ten_2")
    async with store.begin(write=False) as tx:
        entries = await tx.audit.after("ten_1", 0, 10)
        head = await tx.audit.head("ten_1")
    assert [e.seq for e in entries] == [1, 2, 3]
    assert entries[0].hash == link(GENESIS, 1, entries[0].at, entries[0].said)
    assert (head.seq, head.hash) == (3, entries[-1].hash)
    assert await verdicts(store, ten_1=head) == [(3, None, ""), (2, None, "")]


@pytest.mark.parametrize(
    ("statement", "first", "why"),
    [
        ("UPDATE audit_log SET actor = 'mallory' WHERE seq = 3", 3, "was changed"),
        ("UPDATE audit_log SET outcome = 'ok ' WHERE seq = 1", 1, "was changed"),
        ("DELETE FROM audit_log WHERE seq = 2", 2, "missing: after 1 comes 3"),
        ("DELETE FROM audit_log WHERE seq = 5", 5, "missing: the log ends here, and has had 5"),
        ("DELETE FROM audit_log", 1, "missing: the log ends here, and has had 5"),
        ("UPDATE audit_log SET hash = '' WHERE seq = 4", 4, "was changed"),
        ("UPDATE audit_log SET seq = seq + 1 WHERE seq = 5", 5, "missing: after 4 comes 6"),
        ("UPDATE tenants SET audit_head = 'x'", 5, "not the 5th and last"),
        ("UPDATE audit_log SET seq = 0 WHERE seq = 3", 1, "entry 0, which the log never had"),
    ],
)
async def test_the_first_entry_that_does_not_fit_is_named(store, statement, first, why):
    """Changed, taken out in the middle, taken off the end."""
    await written(store)
    await tampered(store, statement)
    ((_, seq, said),) = await verdicts(store)
    assert seq == first
    assert why in said


async def test_taking_off_the_end_and_the_stored_head_with_it_shows_against_a_kept_head(store):
    """Inside the database nothing is wrong then: only a head that was kept elsewhere tells."""
    await written(store)
    async with store.begin(write=False) as tx:
        kept = await tx.audit.head("ten_1")
        (third,) = await tx.audit.after("ten_1", 2, 1)
    await tampered(store, "DELETE FROM audit_log WHERE seq > 3")
    await tampered(store, f"UPDATE tenants SET audit_total = 3, audit_head = '{third.hash}'")
    assert await verdicts(store) == [(3, None, "")]
    ((_, seq, why),) = await verdicts(store, ten_1=kept)
    assert (seq, why) == (4, "missing: the log ends here, and a head of 5 was kept elsewhere")


async def test_a_log_written_anew_shows_against_a_kept_head(store):
    """Whoever changes an entry and every hash after it cannot change what was kept elsewhere."""
    await written(store)
    async with store.begin(write=False) as tx:
        kept = await tx.audit.head("ten_1")
        entries = await tx.audit.after("ten_1", 0, 10)
    before = GENESIS
    for e in entries:
        forged = replace(e, actor="mallory")
        before = link(before, e.seq, e.at, forged.said)
        await tampered(
            store, f"UPDATE audit_log SET actor = 'mallory', hash = '{before}' WHERE seq = {e.seq}"
        )
    await tampered(store, f"UPDATE tenants SET audit_head = '{before}'")
    assert await verdicts(store) == [(5, None, "")]
    ((_, seq, why),) = await verdicts(store, ten_1=kept)
    assert seq == 5
    assert "was kept elsewhere" in why
    assert (await verdicts(store, gone=AuditHead(seq=2, hash="x")))[1][1:] == (
        1,
        "the tenant is gone, and its whole log with it",
    )


async def test_two_replicas_that_write_at_once_write_one_chain(store):
    """Each writer waits for the one before; what fails on the way leaves neither entry nor gap."""
    await written(store, 0)
    other = SqlStore(store._url.render_as_string(hide_password=False))

    async def write(replica, n: int) -> None:
        for k in range(5):
            try:
                async with replica.begin() as tx:
                    await tx.audit.append(entry(f"{n}.{k}"))
                    await asyncio.sleep(0)
                    if k == 3:
                        raise RuntimeError("killed before its commit")
            except RuntimeError:
                continue

    await asyncio.gather(*(write(store if n % 2 else other, n) for n in range(8)))
    await other.close()
    async with store.begin(write=False) as tx:
        found, total = await tx.audit.page("ten_1", Page(size=100))
    assert (len(found), total) == (32, 32)
    assert not any(e.target.endswith(".3") for e in found)
    assert await verdicts(store) == [(32, None, "")]


async def test_pages_are_the_same_as_if_they_were_counted_off(store):
    """Newest first, whatever the size; beyond the end there is nothing."""
    await written(store, 7)
    async with store.begin(write=False) as tx:
        pages = [(await tx.audit.page("ten_1", Page(number=n, size=3)))[0] for n in (1, 2, 3, 4)]
    assert [[e.seq for e in page] for page in pages] == [[7, 6, 5], [4, 3, 2], [1], []]


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
async def test_a_log_from_before_there_was_a_chain_is_chained_by_the_migration(kind, request, tmp_path):
    """Old entries are numbered and hashed in their order; old tokens and sessions go on living."""
    from alembic import command

    from serinus.drivers.store.sql.migrations.run import config

    url = f"sqlite:///{tmp_path}/old.db" if kind == "sqlite" else request.getfixturevalue("postgres").fresh()
    store = SqlStore(url)
    async with store._engine.begin() as connection:
        await connection.run_sync(lambda c: command.upgrade(config(c), "0003"))
    at = "2026-01-31 12:00:00.123456" + ("" if kind == "sqlite" else "+00")
    for tenant in ("ten_1", "ten_2"):
        await tampered(
            store,
            "INSERT INTO tenants (id, name, created_at, audit_total) "
            f"VALUES ('{tenant}', '{tenant}', '{at}', 2)",
        )
    for n in range(4):
        await tampered(
            store,
            "INSERT INTO audit_log "
            "(tenant_id, at, actor, token_id, action, target, outcome, request_id, data)"
            f" VALUES ('ten_{n % 2 + 1}', '{at}', 'ada', 'tok_1', 'x', '{n}', 'ok', 'r', "
            '\'{"reason"\\:"\\u00e9 %", "n"\\: 1.5}\')',
        )
    await tampered(
        store,
        "INSERT INTO tokens (id, tenant_id, name, role, digest, created_at, created_by) "
        f"VALUES ('tok_1', 'ten_1', 'ci', 'viewer', 'd', '{at}', 'x')",
    )
    await tampered(
        store, f"INSERT INTO sessions VALUES ('s', 'tok_1', '{at.replace('2026', '2036')}', false)"
    )
    await store.migrate()
    assert await store._revision() == HEAD
    async with store.begin() as tx:
        await tx.audit.append(entry())
        token, owner = await tx.tokens.by_digest("d")
        assert await tx.sessions.find("s", NOON) == (token, owner)
    assert (token.name, token.services, owner) == ("ci", (), None)
    assert await verdicts(store) == [(3, None, ""), (2, None, "")]
    await store.close()


TEXTS = st.text(max_size=20)
SAID = st.dictionaries(TEXTS, st.none() | st.booleans() | st.integers() | TEXTS | st.lists(TEXTS), max_size=4)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(SAID, min_size=1, max_size=8), st.data())
def test_whatever_is_changed_changes_the_last_hash(entries, data):
    """Any entry replaced, dropped, repeated or moved."""

    def last(items) -> str:
        head = GENESIS
        for seq, said in enumerate(items, 1):
            head = link(head, seq, NOON, {"data": said})
        return head

    other = list(entries)
    at = data.draw(st.integers(0, len(other) - 1))
    how = data.draw(st.sampled_from(["replace", "drop", "repeat", "reverse"]))
    if how == "replace":
        other[at] = data.draw(SAID)
    elif how == "drop":
        del other[at]
    elif how == "repeat":
        other.insert(at, other[at])
    else:
        other.reverse()
    same = json.dumps(other, sort_keys=True) == json.dumps(entries, sort_keys=True)  # True is not 1 there
    assert (last(other) == last(entries)) == same
