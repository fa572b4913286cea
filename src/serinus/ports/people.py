"""Members of a tenant: people and service accounts, each with tokens of their own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from serinus.core.model import Role

__all__ = ["Member", "MemberKind", "Members"]


class MemberKind(StrEnum):
    """Who it is."""

    PERSON = "person"
    SERVICE_ACCOUNT = "service_account"  #: a program: a pipeline, an application


@dataclass(frozen=True, kw_only=True, slots=True)
class Member:
    """Who belongs to a tenant. One that was removed stays, for what it did."""

    id: str
    tenant_id: str
    kind: MemberKind
    #: Unique among the tenant's present members; timeline and audit log name it.
    name: str
    #: No token of this member can do more.
    role: Role
    created_at: datetime
    #: Empty for a service account.
    email: str = ""
    created_by: str = ""
    removed_at: datetime | None = None


class Members(Protocol):
    """Members of tenants."""

    async def add(self, member: Member) -> None:
        """Store a new member.

        Raises:
            Conflict: A present member has this name.
        """
        ...

    async def get(self, tenant_id: str, id_or_name: str) -> Member | None:
        """Return a present member by id or name."""
        ...

    async def all(self, tenant_id: str) -> Sequence[Member]:
        """Return a tenant's present members, by name."""
        ...

    async def set_role(self, tenant_id: str, member_id: str, role: Role) -> None:
        """Give a member another role."""
        ...

    async def remove(self, tenant_id: str, member_id: str, at: datetime) -> int:
        """Take a member out and revoke its tokens; return how many were live."""
        ...
