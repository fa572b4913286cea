"""A million entries in the audit log: the total, pages at both ends, writing, and going over the chain."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import func, insert, select, update

from serinus.control.access.audit import verify
from serinus.core.chain import GENESIS, link
from serinus.drivers.store.sql import tables as t
from serinus.ports.store import AuditEntry, Page, Tenant
from stories import NOON

ENTRIES = 1_000_000
BATCH = 20_000


def rows() -> Iterator[dict]:
    """Yield entries as the store would have written them, one after the other."""
    head = GENESIS
    one = AuditEntry(
        tenant_id="ten_1", at=NOON, actor="ada", token_id="tok_1", action="deployment.traffic", target=""
    )
    for seq in range(1, ENTRIES + 1):
        entry = replace(one, at=NOON + timedelta(seconds=seq), target=f"dep_{seq}", data={"share": seq % 100})
        head = link(head, seq, entry.at, entry.said)
        yield {**entry.said, "at": entry.at, "seq": seq, "hash": head}


async def fill(store) -> None:
    """Store them in large transactions."""
    async with store.begin() as tx:
        await tx.tenants.add(Tenant(id="ten_1", name="ten_1", created_at=NOON))
    batch: list[dict] = []
    for row in rows():
        batch.append(row)
        if len(batch) == BATCH:
            async with store._engine.begin() as connection:
                await connection.execute(insert(t.audit), batch)
                kept = {"audit_total": row["seq"], "audit_head": row["hash"]}
                await connection.execute(update(t.tenants).values(**kept))
            batch.clear()


async def timed(what: str, work, times: int = 5) -> object:
    """Print the best time of a few; return the last answer."""
    best, answer = float("inf"), None
    for _ in range(times):
        begun = time.perf_counter()
        answer = await work()
        best = min(best, time.perf_counter() - begun)
    print(f"  {what:<42} {best * 1000:10.2f} ms")
    return answer


@pytest.mark.soak
@pytest.mark.timeout(1800)
async def test_a_million_entries(store, capsys):
    """The answers are right wherever one looks; the times are printed and promise nothing."""
    with capsys.disabled():
        print(f"\n{ENTRIES:,} audit entries on {store._url.get_backend_name()}")
        await timed("filled in", lambda: fill(store), 1)

        def page(number: int):
            async def read():
                async with store.begin(write=False) as tx:
                    return await tx.audit.page("ten_1", Page(number=number, size=50))

            return read

        async def counted():
            async with store._engine.connect() as connection:
                return (await connection.execute(select(func.count()).select_from(t.audit))).scalar()

        async def append():
            async with store.begin() as tx:
                await tx.audit.append(
                    AuditEntry(tenant_id="ten_1", at=NOON, actor="a", token_id="", action="x", target="")
                )

        async def total():
            async with store.begin(write=False) as tx:
                return (await tx.audit.head("ten_1")).seq

        assert await timed("the total", total) == ENTRIES
        assert await timed("(the same by counting, which nothing does)", counted, 1) == ENTRIES
        first, _ = await timed("the newest 50 and the total", page(1))
        middle, _ = await timed("50 from the middle", page(10_000))
        last, _ = await timed("the oldest 50", page(ENTRIES // 50))
        assert [found[0].seq for found in (first, middle, last)] == [ENTRIES, 500_050, 50]
        await timed("one more entry", append, 20)
        (found,) = await timed("the whole chain gone over", lambda: verify(store), 1)
        assert (found.head.seq, found.broken) == (ENTRIES + 20, None)
