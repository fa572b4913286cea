"""What a token may do."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["Role"]


class Role(StrEnum):
    """What a token may do.

    SDK tokens read snapshots and send measurements, agent tokens read a service's split and report what
    a proxy carries; neither can anything else.
    """

    SDK = "sdk"
    AGENT = "agent"
    VIEWER = "viewer"
    APPROVER = "approver"
    ADMIN = "admin"

    def reaches(self, needed: Role) -> bool:
        """Tell whether this role includes ``needed``: admin ⊃ approver ⊃ viewer; the others stand alone."""
        alone = (Role.SDK, Role.AGENT)
        if self in alone or needed in alone:
            return self is needed or self is Role.ADMIN
        order = (Role.VIEWER, Role.APPROVER, Role.ADMIN)
        return order.index(self) >= order.index(needed)

    def within(self, owner: Role) -> Role | None:
        """Return what is left of a token's role when its owner has ``owner``; ``None``: nothing."""
        return self if owner.reaches(self) else owner if self.reaches(owner) else None
