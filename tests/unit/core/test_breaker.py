"""The circuit breaker of contract 1."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from serinus.core.breaker import CLOSED, CLOSED_BREAKER, HALF_OPEN, OPEN, Breaker


def test_it_opens_after_five_failures_in_a_row():
    """Four are not enough; a success starts the count anew."""
    b = CLOSED_BREAKER
    for n in range(4):
        b = b.failed(n)
    assert (b.state, b.succeeded()) == (CLOSED, CLOSED_BREAKER)
    assert b.failed(9.0) == Breaker(OPEN, 5, 9.0)


def test_it_turns_half_open_after_sixty_seconds():
    """Then one success closes it, one failure opens it again."""
    b = Breaker(OPEN, 5, 100.0)
    assert (b.at(159.9).state, b.at(160.0).state) == (OPEN, HALF_OPEN)
    assert b.at(160.0).succeeded() == CLOSED_BREAKER
    assert b.at(160.0).failed(161.0) == Breaker(OPEN, 6, 161.0)


def test_success_does_not_close_an_open_one():
    """A late answer of before says nothing about now."""
    b = Breaker(OPEN, 5, 1.0)
    assert b.succeeded() is b


@given(st.lists(st.booleans(), max_size=60))
def test_batches_never_open_it_earlier_than_single_requests(outcomes):
    """A batch without order gives a lower bound on the run of failures."""
    single = batched = CLOSED_BREAKER
    for ok in outcomes:
        single = single.succeeded() if ok else single.failed(0.0)
    for at in range(0, len(outcomes), 7):
        part = outcomes[at : at + 7]
        batched = batched.observed(0.0, part.count(False), part.count(True))
    assert not (batched.state == OPEN and single.state != OPEN)
