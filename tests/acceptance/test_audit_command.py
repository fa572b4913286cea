"""``serinus audit verify`` as an auditor runs it: a database, a kept head, an exit code."""

from __future__ import annotations

import asyncio
import json
import sqlite3

import pytest

from serinus.drivers.store.sql import SqlStore
from serinus.ports.store import AuditEntry, Tenant
from shells import QuickShell
from stories import NOON


@pytest.fixture
def shell(tmp_path):
    """Return a shell beside a database with three entries, and a head that was kept."""

    async def furnish() -> None:
        store = SqlStore(f"sqlite:///{tmp_path}/serinus.db")
        await store.migrate()
        async with store.begin() as tx:
            await tx.tenants.add(Tenant(id="ten_1", name="default", created_at=NOON))
            for n in range(3):
                entry = AuditEntry(
                    tenant_id="ten_1", at=NOON, actor="ada", token_id="t", action="x", target=f"{n}"
                )
                await tx.audit.append(entry)
            head = await tx.audit.head("ten_1")
        kept = {"tenant": "default", "seq": head.seq, "hash": head.hash}
        (tmp_path / "head.json").write_text(json.dumps(kept))
        await store.close()

    asyncio.run(furnish())
    return QuickShell(tmp_path)


def test_a_log_that_fits_ends_with_0(shell):
    """With a kept head, and as JSON for a job that runs by itself."""
    assert shell("audit", "verify") == "✔ default: 3 entries fit.\n"
    said = shell("audit", "verify", "--head", "head.json")
    assert said == "✔ default: 3 entries fit, the kept head among them.\n"
    (told,) = json.loads(shell("audit", "verify", "--json"))
    assert (told["tenant"], told["entries"], told["broken"]) == ("default", 3, None)


def test_a_log_that_does_not_fit_ends_with_1_and_names_the_entry(shell):
    """Changed by hand."""
    with sqlite3.connect(shell.folder / "serinus.db") as db:
        db.execute("UPDATE audit_log SET actor = 'mallory' WHERE seq = 2")
    db.close()
    said = shell("audit", "verify", code=1)
    assert said == "✘ default: entry 2: it, or the hash before it, was changed after it was written.\n"
    assert json.loads(shell("audit", "verify", "--json", code=1))[0]["broken"]["seq"] == 2


def test_what_is_no_head_and_no_database_is_told(shell):
    """In words, without going over anything."""
    (shell.folder / "bad.json").write_text('{"seq": 1}')
    assert "bad.json is no head" in shell("audit", "verify", "--head", "bad.json", code=2)
    nowhere = {"DATABASE_URL": f"sqlite:///{shell.folder}/other.db"}
    assert "Start `serinus up` once" in shell("audit", "verify", code=1, **nowhere)
