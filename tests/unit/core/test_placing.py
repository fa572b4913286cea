"""Putting units on a side by hand, and resets."""

from __future__ import annotations

from dataclasses import replace

import pytest

from serinus.core.errors import Conflict, TransitionRefused
from serinus.core.lifecycle import moves
from serinus.core.lifecycle.placing import MAX_PLACED, PlacedOn, place, reset
from serinus.core.model import Status, Strategy
from serinus.core.strategy import GoingBack
from stories import NOON, draft


def running():
    """Return a canary at 10 % in manual mode."""
    return moves.start(draft(strategy=Strategy()), NOON, bp=1000).next_state


def test_a_unit_put_on_a_side_is_on_the_timeline_with_who_and_why():
    """The deployment itself does not change."""
    d = running()
    decision = place(d, PlacedOn.CANARY, "user ada", placed=0, keeps_units=True, reason="a pilot customer")
    assert decision.next_state == d
    (reason,) = decision.reasons
    assert (reason.kind, reason.message) == (
        "assigned",
        "user ada put on the canary side (v2): a pilot customer",
    )
    back = place(d, PlacedOn.STABLE, "user ada", placed=0, keeps_units=True).reasons[0]
    assert back.message == "user ada put on the stable side (v1)."


def test_each_reset_has_a_number_and_one_for_everybody_ends_what_was_before():
    """What a process saw before that number is out of date."""
    one = reset(running(), "user ada", keeps_units=True).next_state
    assert (one.reset_epoch, one.all_reset_epoch) == (1, 0)
    decision = reset(one, "", keeps_units=True, reason="fresh start")
    assert (decision.next_state.reset_epoch, decision.next_state.all_reset_epoch) == (2, 2)
    assert decision.reasons[0].message == "All units reset: the hash decides again: fresh start"


@pytest.mark.parametrize("status", [s for s in Status if s is not Status.CANARY])
def test_only_what_is_rolling_out_has_units(status):
    """Everything else is refused, and changes nothing."""
    d = replace(running(), status=status)
    with pytest.raises(TransitionRefused):
        place(d, PlacedOn.CANARY, "user ada", placed=0, keeps_units=True)
    with pytest.raises(TransitionRefused):
        reset(d, "", keeps_units=True)


def test_a_proxy_that_cannot_look_units_up_refuses():
    """With the ways out."""
    with pytest.raises(Conflict, match="cannot look a unit up") as refused:
        place(running(), PlacedOn.STABLE, "user ada", placed=0, keeps_units=False)
    assert "canary_target_filter" in refused.value.next_step
    with pytest.raises(Conflict, match="cannot look a unit up"):
        reset(running(), "user ada", keeps_units=False)


def test_units_by_hand_are_few_because_every_process_holds_them():
    """One more than fits is refused."""
    d = running()
    place(d, PlacedOn.CANARY, "user ada", placed=MAX_PLACED - 1, keeps_units=True)
    with pytest.raises(Conflict, match="1,000 units"):
        place(d, PlacedOn.CANARY, "user ada", placed=MAX_PLACED, keeps_units=True)


def test_nobody_is_put_on_a_canary_that_is_going_back():
    """The rollback wins."""
    back = replace(running(), going_back=GoingBack(reason="worse"))
    with pytest.raises(Conflict, match="A rollback is under way"):
        place(back, PlacedOn.CANARY, "user ada", placed=0, keeps_units=True)
