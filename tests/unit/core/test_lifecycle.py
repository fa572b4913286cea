"""The lifecycle table: every status with every action."""

from __future__ import annotations

from itertools import product

import pytest

from serinus.core.errors import TransitionRefused
from serinus.core.lifecycle.transitions import TABLE, Action, allowed, follow
from serinus.core.model import Status

#: Contract 1's table of what a status allows, in its words; and beside it a start at a later time.
CONTRACT = {
    Status.DRAFT: {"start-canary", "schedule", "update", "delete"},
    Status.SCHEDULED: {"start-canary", "schedule", "cancel", "rollback"},
    Status.CANARY: {"traffic", "pause", "resume", "approve", "promote", "rollback"},
    Status.ACTIVE: {"rollback", "deprecate"},
    Status.ROLLED_BACK: set(),
    Status.DEPRECATED: set(),
}


@pytest.mark.parametrize("status", list(Status))
def test_the_table_is_the_contracts(status):
    """What a status allows is exactly what contract 1 lists (plus passing a gate)."""
    assert {a.value for a in allowed(status)} == CONTRACT[status]


@pytest.mark.parametrize(("status", "action"), list(product(Status, Action)))
def test_what_is_not_in_the_table_is_refused_with_the_way_out(status, action):
    """A refusal names the status and what it allows."""
    if (status, action) in TABLE:
        assert follow(status, action) is TABLE[status, action]
        return
    with pytest.raises(TransitionRefused) as refusal:
        follow(status, action)
    assert refusal.value.extra == {
        "current_status": status.value,
        "allowed": [a.value for a in allowed(status)],
    }
    assert status.value in refusal.value.detail
    assert refusal.value.next_step
