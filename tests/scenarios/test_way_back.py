"""The way back: it wins in every state, and nobody is ever moved to a side that is down."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serinus.control.traffic import desired_split
from serinus.core.analysis.evidence import Evidence, Side, Window
from serinus.core.decide import decide
from serinus.core.errors import Conflict, InvalidInput, SerinusError
from serinus.core.health import Knocked, sides_down, with_health
from serinus.core.histogram import Histogram
from serinus.core.lifecycle import moves, scheduled
from serinus.core.lifecycle.back import go_back
from serinus.core.model import CanaryConfig, Service, Status
from serinus.core.policy.strategies import strategy_from
from stories import NOON, Story, draft

REFUSED = "10.0.0.1:80: Connection refused"
WALK = {
    "mode": "auto",
    "steps": [{"traffic_percentage": s, "hold_seconds": 20} for s in (5, 25, 100)],
}
SLOWLY = {
    **WALK,
    "rollback": {"mode": "gradual", "steps": [75, 50, 25], "seconds": 30, "while": "stable healthy"},
}
SERVICE = Service(id="svc_1", tenant_id="ten_1", name="checkout", stable_version="v1")


def at_full(strategy: dict) -> Story:
    """Return a rollout that has walked to 100 %."""
    story = Story(draft(strategy=strategy_from(strategy, CanaryConfig()))).run(ticks=4)
    assert story.d.traffic_bp == 10_000
    return story


def stable(story: Story, down: str = "") -> Story:
    """Let stable be down from now on, or up again."""
    story.d = replace(story.d, stable_down=down)
    return story


# -- held ----------------------------------------------------------------------------------------


def test_a_rollback_to_a_side_that_is_down_is_held_told_and_done_when_it_is_up():
    """Nobody is moved meanwhile; both the reason and what holds it are said, once."""
    story = stable(at_full(WALK), REFUSED).run(ticks=1, canary=(400, 40, 20.0))
    assert (story.d.status, story.d.weight_bp, story.d.phase) == (
        Status.CANARY,
        10_000,
        "holding:stable-down",
    )
    assert story.d.sentence.startswith(
        f"The rollback is held at 100 %: stable v1 cannot be sent traffic ({REFUSED}). It goes on by itself "
        "as soon as stable answers. Why back: error rate: canary"
    )
    lines = len(story.timeline)
    story.run(ticks=3)
    assert (len(story.timeline), story.told) == (lines, ["warning"])
    stable(story).tick()
    assert (story.d.status, story.d.weight_bp) == (Status.ROLLED_BACK, 0)
    assert story.timeline[-1].startswith("Rolled back automatically from 100 % to v1: error rate")


def test_an_open_breaker_moves_nobody_to_a_side_that_is_down():
    """Where it would have sent everyone to stable, they stay."""
    story = stable(at_full(WALK), REFUSED).serve("canary", 5, errors=5).tick(1)
    assert (story.d.breaker.state, story.d.weight_bp, story.d.phase) == (
        "open",
        10_000,
        "holding:stable-down",
    )
    assert desired_split(SERVICE, story.d).canary_bp == 10_000


def test_a_rollback_by_hand_is_held_as_well_and_force_goes_anyway():
    """A person may know better; it is written down."""
    story = stable(at_full(WALK), REFUSED).ask(go_back, "invoices are wrong")
    assert (story.d.phase, story.d.weight_bp) == ("holding:stable-down", 10_000)
    story.ask(go_back, "invoices are wrong", force=True)
    assert (story.d.status, story.d.weight_bp) == (Status.ROLLED_BACK, 0)


def test_nothing_else_is_done_while_it_goes_back():
    """The rollback wins over every other move, and over promotion."""
    story = stable(at_full(WALK), REFUSED).ask(go_back, "no")
    for move in (moves.promote, moves.pause, moves.approve, lambda d, now: moves.shift(d, now, 10_000)):
        with pytest.raises(Conflict, match="A rollback is under way"):
            story.ask(move)


def test_a_hand_moves_nobody_to_a_side_that_is_down_unless_forced():
    """Neither to stable nor to the canary."""
    story = stable(at_full(WALK), REFUSED)
    with pytest.raises(Conflict, match="Stable v1 cannot be sent traffic"):
        story.ask(moves.shift, 500)
    stable(story).ask(moves.shift, 500)
    story.d = replace(story.d, canary_down="10.0.0.2:80: Connection refused")
    with pytest.raises(Conflict, match="v2 cannot be sent traffic"):
        story.ask(moves.shift, 2500)
    assert story.ask(moves.shift, 2500, force=True).d.traffic_bp == 2500


# -- gradually -----------------------------------------------------------------------------------


def test_a_gradual_rollback_gives_stable_its_traffic_back_rung_by_rung():
    """75, 50, 25 %, half a minute each, then everyone; told at its beginning and at its end."""
    story = at_full(SLOWLY).run(ticks=1, canary=(400, 40, 20.0))
    shares = [story.d.traffic_bp]
    while story.d.status is Status.CANARY:
        story.tick()
        shares.append(story.d.traffic_bp)
    assert shares == [7500] * 3 + [5000] * 3 + [2500] * 3 + [0]
    assert [line.split(":")[0] for line in story.timeline[-4:]] == [
        "Going back, 100 % → 75 %, while v1 is healthy",
        "Going back, 75 % → 50 %, while v1 is healthy.",
        "Going back, 50 % → 25 %, while v1 is healthy.",
        "Rolled back automatically from 25 % to v1",
    ]
    assert story.told == ["warning", "rollback"]


def test_a_gradual_rollback_stops_while_stable_is_down():
    """It holds at its rung, and goes on from there."""
    story = at_full(SLOWLY).ask(go_back, "no").tick()
    stable(story, REFUSED)
    for _ in range(6):
        story.tick()
    assert (story.d.traffic_bp, story.d.phase) == (7500, "holding:stable-down")
    stable(story).tick()
    assert (story.d.traffic_bp, story.d.sentence) == (5000, "Going back at 50 %, then 25 %, 0 %: no")


def test_a_small_share_goes_back_at_once():
    """At 5 % stable serves nearly everyone already."""
    story = Story(draft(strategy=strategy_from(SLOWLY, CanaryConfig()))).ask(go_back, "no")
    assert story.d.status is Status.ROLLED_BACK


def test_a_promoted_version_goes_back_gradually_too():
    """It is a canary of everybody again, and stable its old version, from the first rung on."""
    story = at_full(SLOWLY).ask(moves.promote).ask(go_back, "invoices are wrong")
    assert (story.d.status, story.d.traffic_bp) == (Status.CANARY, 7500)
    assert "take_over" in [i.kind for i in story.last.intents]
    split = desired_split(SERVICE, story.d)
    assert (split.stable.version, split.canary.version, split.canary_bp) == ("v1", "v2", 7500)
    for _ in range(9):
        story.tick()
    assert (story.d.status, story.d.end_reason) == (Status.ROLLED_BACK, "invoices are wrong")


def test_a_clock_that_steps_does_not_stop_the_way_back():
    """Backwards by an hour: the rung ends all the same."""
    story = at_full(SLOWLY).ask(go_back, "no")
    story.now -= timedelta(hours=1)
    assert story.tick().d.traffic_bp == 5000


def test_going_back_needs_a_reason():
    """As ever."""
    with pytest.raises(InvalidInput, match="needs a reason"):
        at_full(SLOWLY).ask(go_back, "  ")


# -- who is down ---------------------------------------------------------------------------------


def window(side: str, requests: int, errors: int) -> Window:
    """Return what a side has just answered."""
    latency = Histogram()
    latency.record(20.0, requests)
    return Window(
        side=Side(side),
        start=int(NOON.timestamp()) - 10,
        seconds=10,
        requests=requests,
        errors=errors,
        latency=latency,
    )


@pytest.mark.parametrize(
    ("stable_seen", "canary_seen", "knocked", "found"),
    [
        (None, None, Knocked(), ("", "")),
        (None, None, Knocked(stable=REFUSED, canary=""), (REFUSED, "")),
        (None, None, Knocked(stable="", canary=REFUSED), ("", REFUSED)),
        # Nobody answers: that is our network, or nobody knows.
        (None, None, Knocked(stable=REFUSED, canary=REFUSED), ("", "")),
        # Who serves is up, whatever the knocking says.
        ((100, 1), None, Knocked(stable=REFUSED, canary=""), ("", "")),
        ((100, 90), (100, 10), Knocked(stable="", canary=""), ("90 of its last 100 requests failed", "")),
        # What fails on both sides is behind both.
        ((100, 90), (100, 90), Knocked(stable="", canary=""), ("", "")),
        # Few answers say nothing.
        ((5, 5), (100, 0), Knocked(stable="", canary=""), ("", "")),
    ],
)
def test_a_side_is_down_by_what_it_answers_or_by_knocking(stable_seen, canary_seen, knocked, found):
    """Never on a guess: wrongly down would keep people on a bad canary."""
    seen = [(s, n) for s, n in (("stable", stable_seen), ("canary", canary_seen)) if n]
    evidence = Evidence(windows=tuple(window(side, *numbers) for side, numbers in seen))
    assert sides_down(evidence, knocked, NOON.timestamp()) == found


def test_a_stable_side_that_was_never_reached_is_not_called_down():
    """It may serve well where we cannot knock; once it has answered us, its silence means something."""
    away, here = Knocked(stable=REFUSED, canary=""), Knocked(stable="", canary="")
    d = with_health(draft(), Evidence(), away, NOON.timestamp())
    assert (d.stable_reached, d.stable_down) == (False, "")
    d = with_health(d, Evidence(), here, NOON.timestamp())
    assert with_health(d, Evidence(), away, NOON.timestamp()).stable_down == REFUSED


# -- always --------------------------------------------------------------------------------------

PLANS = [
    WALK,
    SLOWLY,
    {"mode": "manual"},
    {"type": "blue_green", "warm_seconds": 10, "hold_seconds": 10, "keep_warm_seconds": 60},
    {**SLOWLY, "type": "blue_green", "steps": [], "mode": "auto", "hold_seconds": 10, "gate": True},
    {**SLOWLY, "mirror": {"percent": 10, "seconds": 10}, "auto_promote": True},
]
MOVES = {
    "pause": moves.pause,
    "resume": moves.resume,
    "approve": moves.approve,
    "promote": lambda d, now: moves.promote(d, now, force=True),
    "down": lambda d, now: moves.shift(d, now, 0),
    "half": lambda d, now: moves.shift(d, now, 5000),
    "all": lambda d, now: moves.shift(d, now, 10_000),
    "back": lambda d, now: go_back(d, now, "by hand"),
    "start": moves.start,
    "later": lambda d, now: scheduled.schedule(d, now, now + timedelta(hours=1)),
    "cancel": scheduled.cancel,
}
LOOKS = st.tuples(
    st.just("look"), st.sampled_from([(40, 0), (40, 0), (40, 40), (0, 0)]), st.booleans(), st.booleans()
)
STEPS = st.lists(st.one_of(LOOKS, LOOKS, st.sampled_from(sorted(MOVES)).map(lambda m: (m,))), max_size=14)


class Life:
    """A deployment through whatever happens, with what must hold at every change."""

    def __init__(self, plan: dict, *, breaker: bool) -> None:
        base = draft(strategy=strategy_from(plan, CanaryConfig()))
        self.d, self.now = replace(base, policy=replace(base.policy, breaker=breaker)), NOON

    def happen(self, what: tuple) -> None:
        """Make a move, if it is allowed, or look."""
        self.now += timedelta(seconds=10)
        if what[0] == "look":
            _, (requests, errors), stable_down, canary_down = what
            self.look(requests, errors, "down" if stable_down else "", "down" if canary_down else "")
            return
        try:
            self.take(MOVES[what[0]](self.d, self.now).next_state)
        except SerinusError:
            return  # refused: nothing has changed

    def look(self, requests: int, errors: int, stable_down: str, canary_down: str) -> None:
        """Look once, as the monitor does."""
        self.d = replace(self.d, stable_down=stable_down, canary_down=canary_down)
        seen = window("canary", requests, errors)
        moved = replace(seen, start=int(self.now.timestamp()) - 10)
        evidence = Evidence(windows=(moved,), fresh_errors=errors, fresh_successes=requests - errors)
        self.take(decide(self.d, evidence, self.now).next_state)

    def take(self, after) -> None:
        """Nobody is moved to a side that is known to be down."""
        before, share = self.d.weight_bp, after.weight_bp
        if self.d.status in (Status.CANARY, Status.ACTIVE):
            assert not (self.d.stable_down and share < before), after.sentence
            promoted = after.status is Status.ACTIVE  # forced by a person in these lives
            assert not (self.d.canary_down and share > before and not promoted), after.sentence
        self.d = after


@settings(max_examples=300, deadline=None)
@given(plan=st.sampled_from(PLANS), breaker=st.booleans(), lived=STEPS, down=st.booleans())
def test_from_every_state_a_rollback_ends_at_stable_or_is_held_and_says_so(plan, breaker, lived, down):
    """Whatever has happened before."""
    life = Life(plan, breaker=breaker)
    for what in [("start",), *lived]:
        life.happen(what)
    if life.d.status not in (Status.CANARY, Status.ACTIVE):
        return  # nobody is on it
    life.d = replace(life.d, stable_down=REFUSED if down else "")
    life.take(go_back(life.d, life.now, "the end").next_state)
    for _ in range(20):
        life.now += timedelta(seconds=10)
        life.look(0, 0, life.d.stable_down, "")
    if down:
        held = life.d
        assert held.status in (Status.CANARY, Status.ACTIVE)
        assert held.phase == "holding:stable-down"
        assert REFUSED in held.sentence
        life.look(0, 0, "", "")
        for _ in range(20):
            life.now += timedelta(seconds=10)
            life.look(0, 0, "", "")
    assert (life.d.status, life.d.weight_bp, life.d.going_back) == (Status.ROLLED_BACK, 0, None)
