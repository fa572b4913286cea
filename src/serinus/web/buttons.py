"""Which buttons a page offers, and who may press them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from serinus.core.model import Role

__all__ = ["offered"]


def offered(role: Role, buttons: Iterable[tuple[str, str]], needs: Mapping[str, Role]) -> dict[str, Any]:
    """Return the buttons of a page, and which of them need which role.

    Args:
        role: The visitor's.
        buttons: Name and label of each, the way out first.
        needs: What more than an approver is needed for, by name.
    """
    listed, roles = [], dict[Role, list[str]]()
    for action, label in buttons:
        needed = needs.get(action, Role.APPROVER)
        roles.setdefault(needed, []).append(label)
        listed.append({"action": action, "label": label, "may": role.reaches(needed)})
    return {"buttons": listed, "roles": [(needed.value, labels) for needed, labels in roles.items()]}
