"""What a rollback has to undo, as it is stored: one row a piece, kept until it is done.

The rows of a deployment run one after the other, in the order of their positions: none begins before
the one ahead of it is done. A row that a person does (a task) waits for nobody.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol

__all__ = ["Compensation", "CompensationState", "Compensations"]


class CompensationState(StrEnum):
    """Where a compensation stands."""

    PENDING = "pending"  #: to be done: by its hook, or by a person
    DONE = "done"
    FAILED = "failed"  #: every try failed; somebody has to retry it, or to do it by hand


@dataclass(frozen=True, kw_only=True, slots=True)
class Compensation:
    """One thing to be undone. ``id`` is also its idempotency key: the same over all tries."""

    id: str
    tenant_id: str
    deployment_id: str
    #: ``step-2``, ``deployment``, or ``task`` for what a person does.
    name: str
    #: What it undoes, in words: ``step 2 (25 %)``.
    what: str
    #: Lower ones come first.
    position: int
    created_at: datetime
    #: The hook and its message; empty for a task.
    payload: Mapping[str, Any] = field(default_factory=dict)
    state: CompensationState = CompensationState.PENDING
    #: Tries since it was opened, or since somebody had it retried.
    attempts: int = 0
    next_attempt_at: datetime | None = None
    #: What the last try said.
    error: str = ""
    done_at: datetime | None = None
    #: Who did it by hand, and what they said of it.
    done_by: str = ""
    note: str = ""
    #: Of a claimed one: the replica that held it before and has not said what became of it.
    lease_owner: str | None = None

    @property
    def by_hand(self) -> bool:
        """Tell whether it is a task, which only a person completes."""
        return not self.payload

    @property
    def is_open(self) -> bool:
        """Tell whether it is still to be done."""
        return self.state is not CompensationState.DONE


class Compensations(Protocol):
    """What rollbacks have to undo."""

    async def add(self, item: Compensation) -> None:
        """Store one; a known id is left as it is."""
        ...

    async def claim(
        self, owner: str, now: datetime, lease_seconds: float, limit: int
    ) -> Sequence[Compensation]:
        """Lease pending hooks that are due and have nothing open ahead of them, oldest first."""
        ...

    async def settle(self, item: Compensation, now: datetime, *, owner: str = "") -> bool:
        """Store state, attempts, next attempt, error and who did it; end its lease.

        ``owner`` is the replica that has claimed it; without one it must be free. ``False``: somebody
        else holds it, or it is done already, and nothing is stored.
        """
        ...

    async def of(self, tenant_id: str, deployment_id: str) -> Sequence[Compensation]:
        """Return a deployment's, in their order."""
        ...

    async def unfinished(self, tenant_id: str) -> Sequence[Compensation]:
        """Return a tenant's that are not done, the oldest first."""
        ...
