"""Members, and the server's sealed secrets."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Row, delete, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from serinus.core.errors import Conflict
from serinus.core.model import Role
from serinus.drivers.store.sql import tables as t
from serinus.drivers.store.sql.base import Group
from serinus.ports.people import Member, MemberKind
from serinus.ports.vault import SealedSecret

__all__ = ["SqlMembers", "SqlSecrets", "member_of"]


class SqlMembers(Group):
    """Members of tenants."""

    async def add(self, member: Member) -> None:
        """Store a new member."""
        values = {name: getattr(member, name) for name in Member.__dataclass_fields__}
        plain = {"role": member.role.value, "kind": member.kind.value}
        try:
            await self._run(insert(t.members).values(**{**values, **plain}))
        except IntegrityError as error:
            raise Conflict(
                f"There is a member {member.name!r} already.",
                next_step="Choose another name, or change the role of the one that is there.",
            ) from error

    async def get(self, tenant_id: str, id_or_name: str) -> Member | None:
        """Return a present member by id or name."""
        c = t.members.c
        named = or_(c.id == id_or_name, c.name == id_or_name)
        here = select(t.members).where(c.tenant_id == tenant_id, c.removed_at.is_(None), named)
        # Somebody may bear another's id as a name: the id goes first.
        row = await self._one(here.order_by((c.id == id_or_name).desc()))
        return member_of(row) if row else None

    async def all(self, tenant_id: str) -> Sequence[Member]:
        """Return a tenant's present members, by name."""
        c = t.members.c
        here = select(t.members).where(c.tenant_id == tenant_id, c.removed_at.is_(None))
        return [member_of(row) for row in await self._all(here.order_by(c.name))]

    async def set_role(self, tenant_id: str, member_id: str, role: Role) -> None:
        """Give a member another role."""
        mine = (t.members.c.tenant_id == tenant_id) & (t.members.c.id == member_id)
        await self._run(update(t.members).where(mine).values(role=role.value))

    async def remove(self, tenant_id: str, member_id: str, at: datetime) -> int:
        """Take a member out and revoke its tokens; return how many were live."""
        mine = (t.members.c.tenant_id == tenant_id) & (t.members.c.id == member_id)
        await self._run(update(t.members).where(mine).values(removed_at=at))
        c = t.tokens.c
        live = (c.tenant_id == tenant_id) & (c.member_id == member_id) & c.revoked_at.is_(None)
        return await self._run(update(t.tokens).where(live).values(revoked_at=at))


class SqlSecrets(Group):
    """Secrets of the server."""

    async def put(self, secret: SealedSecret) -> None:
        """Store a secret in place of the one of that name."""
        values = {name: getattr(secret, name) for name in SealedSecret.__dataclass_fields__}
        fresh = self._insert(t.secrets).values(**values)
        later = {name: fresh.excluded[name] for name in values if name != "name"}
        await self._run(fresh.on_conflict_do_update(index_elements=["name"], set_=later))

    async def all(self) -> Sequence[SealedSecret]:
        """Return every secret, by name."""
        rows = await self._all(select(t.secrets).order_by(t.secrets.c.name))
        return [SealedSecret(**row._mapping) for row in rows]

    async def drop(self, name: str) -> bool:
        """Delete a secret; ``False`` when there is none."""
        return await self._run(delete(t.secrets).where(t.secrets.c.name == name)) > 0


def member_of(row: Row[Any], prefix: str = "") -> Member:
    """Return the member in a row whose columns begin with ``prefix``."""
    values = {name: row._mapping[f"{prefix}{name}"] for name in Member.__dataclass_fields__}
    return Member(**{**values, "role": Role(values["role"]), "kind": MemberKind(values["kind"])})
