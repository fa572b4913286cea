"""Members, whose tokens they hold, and sealed secrets, over SQLite and PostgreSQL."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from serinus.core.errors import Conflict
from serinus.core.model import Role
from serinus.ports.people import Member, MemberKind
from serinus.ports.store import Tenant, Token
from serinus.ports.vault import SealedSecret
from stories import NOON

LATER = NOON + timedelta(hours=1)


def ada(**changes) -> Member:
    """Return a person."""
    made = Member(
        id="mem_1",
        tenant_id="ten_1",
        kind=MemberKind.PERSON,
        name="Ada",
        email="ada@example.com",
        role=Role.APPROVER,
        created_at=NOON,
        created_by="root",
    )
    return replace(made, **changes)


def token(**changes) -> Token:
    """Return a token of hers for one service."""
    made = Token(
        id="tok_1",
        tenant_id="ten_1",
        name="laptop",
        role=Role.VIEWER,
        digest="d",
        created_at=NOON,
        member_id="mem_1",
        services=("checkout",),
    )
    return replace(made, **changes)


async def furnish(store) -> None:
    """Make two tenants, the first with a member."""
    async with store.begin() as tx:
        for tenant in ("ten_1", "ten_2"):
            await tx.tenants.add(Tenant(id=tenant, name=tenant, created_at=NOON))
        await tx.members.add(ada())


async def test_members_belong_to_their_tenant(store):
    """Found by id and by name there, and nowhere else; names are unique among those who are present."""
    await furnish(store)
    async with store.begin() as tx:
        assert await tx.members.get("ten_1", "Ada") == await tx.members.get("ten_1", "mem_1") == ada()
        assert await tx.members.get("ten_2", "mem_1") is None
        assert (await tx.members.all("ten_1"), await tx.members.all("ten_2")) == ([ada()], [])
        await tx.members.set_role("ten_2", "mem_1", Role.ADMIN)
        assert await tx.members.remove("ten_2", "mem_1", NOON) == 0
        await tx.members.add(ada(id="mem_2", tenant_id="ten_2"))
        await tx.members.set_role("ten_1", "mem_1", Role.VIEWER)
        assert await tx.members.get("ten_1", "Ada") == ada(role=Role.VIEWER)
    with pytest.raises(Conflict, match="There is a member 'Ada' already"):
        async with store.begin() as tx:
            await tx.members.add(ada(id="mem_3"))


async def test_an_id_goes_before_a_name(store):
    """Somebody who calls themselves by another's id is not taken for the other."""
    await furnish(store)
    async with store.begin() as tx:
        await tx.members.add(ada(id="mem_2", name="mem_1"))
        assert (await tx.members.get("ten_1", "mem_1")).name == "Ada"


async def test_a_removed_member_takes_the_tokens_along(store):
    """Live ones end then; one that was revoked before keeps its time; the name is free again."""
    await furnish(store)
    async with store.begin() as tx:
        await tx.tokens.add(token())
        await tx.tokens.add(token(id="tok_2", digest="e", revoked_at=NOON))
        await tx.tokens.add(token(id="tok_3", digest="f", member_id=None))
        assert await tx.members.remove("ten_1", "mem_1", LATER) == 1
        gone = ada(removed_at=LATER)
        assert await tx.tokens.by_digest("d") == (token(revoked_at=LATER), gone)
        assert (await tx.tokens.by_digest("e"))[0].revoked_at == NOON
        assert await tx.tokens.by_digest("f") == (token(id="tok_3", digest="f", member_id=None), None)
        assert await tx.members.all("ten_1") == []
        await tx.members.add(ada(id="mem_2"))


async def test_tokens_remember_their_last_use_and_tell_when_they_end(store):
    """A later use counts, an earlier one does not; revoked and ended ones are not warned of."""
    await furnish(store)
    async with store.begin() as tx:
        await tx.tokens.add(token(expires_at=LATER))
        await tx.tokens.add(token(id="tok_2", digest="e", expires_at=LATER, revoked_at=NOON))
        await tx.tokens.add(token(id="tok_3", digest="f"))
        await tx.tokens.used({"tok_1": LATER, "tok_9": NOON})
        await tx.tokens.used({"tok_1": NOON})
        found, owner = await tx.tokens.get("ten_1", "tok_1")
        assert (found.last_used_at, owner) == (LATER, ada())
        assert await tx.tokens.get("ten_2", "tok_1") is None
        soon = await tx.tokens.ending(NOON, LATER)
        assert [(one.id, member.name) for one, member in soon] == [("tok_1", "Ada")]
        assert await tx.tokens.ending(LATER, LATER + timedelta(days=1)) == []


async def test_a_sealed_secret_takes_the_place_of_the_one_before(store):
    """By its name; what it says is not for the store to know."""
    first = SealedSecret(name="SLACK_WEBHOOK_URL", sealed="gAAA", key_id="1a2b3c4d", set_at=NOON)
    second = replace(first, sealed="gBBB", key_id="5e6f7a8b", set_at=LATER)
    other = replace(first, name="A")
    async with store.begin() as tx:
        for secret in (first, second, other):
            await tx.secrets.put(secret)
    async with store.begin() as tx:
        assert await tx.secrets.all() == [other, second]
        assert (await tx.secrets.drop("A"), await tx.secrets.drop("A")) == (True, False)
