"""Members of a tenant: people and service accounts. Their tokens are made in :mod:`.tokens`."""

from __future__ import annotations

import re
from typing import Any

from serinus.control.context import Caller, Context, new_id, stamp
from serinus.control.unit import Answer, Call, execute
from serinus.core.errors import Conflict, InvalidInput, NotFound
from serinus.core.model import Role
from serinus.ports.people import Member, MemberKind
from serinus.ports.store import Transaction

__all__ = ["People", "find_member"]

#: As its bearer writes it, in any script: no control characters, no space at either end.
NAME = re.compile(r"(?=.{1,120}\Z)[^\x00-\x20\x7f]([^\x00-\x1f\x7f]*[^\x00-\x20\x7f])?")
EMAIL = re.compile(r"(?=.{3,254}\Z)[^\s@\x00-\x1f\x7f]+@[^\s@\x00-\x1f\x7f]+")


class People:
    """Who belongs to a tenant. Admins manage them."""

    def __init__(self, context: Context) -> None:
        """Keep what the calls share."""
        self._context = context

    async def all(self, caller: Caller) -> dict[str, Any]:
        """List the tenant's members, by name."""
        caller.must_reach(Role.ADMIN)
        async with self._context.store.begin(write=False) as tx:
            found = await tx.members.all(caller.tenant_id)
        return {"members": [member_view(m) for m in found], "total": len(found)}

    async def add(self, call: Call, kind: MemberKind, name: str, role: Role, email: str) -> Answer:
        """Make a member; it can do nothing until it has a token.

        Raises:
            InvalidInput: The name is none, or the e-mail address does not go with the kind.
        """
        _check(kind, name, email)
        member = Member(
            id=new_id("mem"),
            tenant_id=call.caller.tenant_id,
            kind=kind,
            name=name,
            role=role,
            email=email,
            created_at=self._context.clock.now(),
            created_by=call.caller.name,
        )

        async def work(tx: Transaction) -> tuple[int, Any]:
            await tx.members.add(member)
            return 201, member_view(member)

        return await execute(self._context, call, work)

    async def set_role(self, call: Call, id_or_name: str, role: Role) -> Answer:
        """Give a member another role; its tokens can do no more than that from now on."""

        async def work(tx: Transaction) -> tuple[int, Any]:
            member = await self._another(tx, call, id_or_name)
            await tx.members.set_role(member.tenant_id, member.id, role)
            return 200, {**member_view(member), "role": role.value}

        return await execute(self._context, call, work)

    async def remove(self, call: Call, id_or_name: str) -> Answer:
        """Take a member out; its tokens and sessions end at once."""

        async def work(tx: Transaction) -> tuple[int, Any]:
            member = await self._another(tx, call, id_or_name)
            ended = await tx.members.remove(member.tenant_id, member.id, self._context.clock.now())
            return 200, {"member_id": member.id, "name": member.name, "revoked_tokens": ended}

        return await execute(self._context, call, work)

    async def _another(self, tx: Transaction, call: Call, id_or_name: str) -> Member:
        """Return another member than the caller: so the last admin cannot lock everybody out."""
        member = await find_member(tx, call.caller.tenant_id, id_or_name)
        if member.id == call.caller.member_id:
            raise Conflict(
                "Nobody removes themselves or changes their own role.", next_step="Ask another admin."
            )
        return member


def _check(kind: MemberKind, name: str, email: str) -> None:
    if not NAME.fullmatch(name):
        raise InvalidInput(
            "A name has 1 to 120 characters, none of them a control character.",
            field="name",
            next_step="Give the name as its bearer writes it.",
        )
    if (kind is MemberKind.PERSON) != bool(email):
        raise InvalidInput(
            "A person needs an e-mail address." if kind is MemberKind.PERSON else "A program has no e-mail.",
            field="email",
            next_step='For a program, give `"kind": "service_account"` and no `email`.',
        )
    if email and not EMAIL.fullmatch(email):
        raise InvalidInput(
            f"{email[:80]!r} is no e-mail address.", field="email", next_step="Give one like ada@example.com."
        )


async def find_member(tx: Transaction, tenant_id: str, id_or_name: str) -> Member:
    """Return a present member by id or name.

    Raises:
        NotFound: The tenant has no such one.
    """
    member = await tx.members.get(tenant_id, id_or_name)
    if member is None:
        raise NotFound(
            f"There is no member {id_or_name[:80]!r}.",
            field="member",
            next_step="GET /api/v1/members lists yours; POST there adds one.",
        )
    return member


def member_view(member: Member) -> dict[str, Any]:
    """Return a member as the API shows it."""
    return {
        "member_id": member.id,
        "kind": member.kind.value,
        "name": member.name,
        "email": member.email or None,
        "role": member.role.value,
        "created_at": stamp(member.created_at),
        "created_by": member.created_by,
    }
