"""Rollouts with an irreversible step, told without any I/O: what is held, who is asked, what follows."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serinus.core.decision import IntentKind
from serinus.core.errors import Conflict, InvalidInput
from serinus.core.hooks import Hook, Phase
from serinus.core.lifecycle import moves
from serinus.core.lifecycle.back import go_back
from serinus.core.lifecycle.saga import check_compensation, to_undo
from serinus.core.model import CompensationStrategy, Mode, Status, Step, Stickiness, Strategy, Waiting
from serinus.core.policy.confirm import started
from serinus.core.policy.parse import strategy_from
from stories import NOON, Story, draft


def undo(name: str) -> Hook:
    """Return a hook that undoes something."""
    return Hook(name=name, phase=Phase.COMPENSATE, command="undo")


def walk(*, stickiness: str = "persistent", mode: str = "auto", **more) -> Story:
    """Return a rollout of 5, 25 and 100 % whose second step is irreversible; each step has a hook."""
    steps = (
        Step(traffic_bp=500, hold_seconds=60, compensate=undo("step-1")),
        Step(traffic_bp=2500, hold_seconds=60, irreversible=True, compensate=undo("step-2")),
        Step(traffic_bp=10_000, hold_seconds=60, compensate=undo("step-3")),
    )
    strategy = Strategy(
        mode=Mode(mode), steps=steps, stickiness=Stickiness(stickiness), compensate=undo("deployment")
    )
    notify = CompensationStrategy.NOTIFY_AND_ROLLBACK
    return Story(draft(strategy=strategy, compensation_strategy=notify, **more))


def failing(story: Story, ticks: int = 60) -> Story:
    """Let the canary fail until something follows, or for so many looks."""
    for _ in range(ticks):
        if story.d.status is not Status.CANARY or story.d.blocked:
            break
        story.run(1, canary=(40, 20, 20.0))
    return story


def until(story: Story, bp: int) -> Story:
    """Let it walk well to a share."""
    while story.d.traffic_bp < bp:
        story.run(1)
        assert story.d.status is Status.CANARY
    return story


def undone(story: Story) -> list[str]:
    """Return what the last decision has undone, in order."""
    assert any(i.kind is IntentKind.COMPENSATE for i in story.last.intents)
    return [u.words for u in to_undo(story.last.next_state)]


def test_before_the_irreversible_step_is_completed_it_goes_back_by_itself():
    """And undoes what was completed, the last first, then the deployment."""
    story = failing(until(walk(), 2500))
    assert (story.d.status, story.d.passed) == (Status.ROLLED_BACK, 1)
    assert undone(story) == ["step 1 (5 %)", "the deployment"]
    story = failing(walk())
    assert undone(story) == ["the deployment"]


def test_once_it_is_completed_nothing_goes_back_across_it_and_a_person_is_asked():
    """No new unit is taken; those on the canary stay, an open breaker or not; it is told once."""
    story = failing(until(walk(), 10_000))
    d = story.d
    assert (d.status, d.traffic_bp, d.weight_bp, d.peak_bp) == (Status.CANARY, 0, 0, 10_000)
    assert d.sentence.startswith(
        "Not rolled back: step 2 (25 %) is irreversible and was completed. "
        "New units go to v1; those on v2 stay. Why back: "
    )
    assert d.sentence.endswith("Somebody has to decide: roll back across it, or approve to go on.")
    assert (story.timeline[-1], story.told.count("decision")) == (d.sentence, 1)
    story.open_breakers = ("proc-1",)
    story.run(30, canary=(40, 20, 20.0))
    assert (story.d.blocked, story.d.traffic_bp, story.d.tripped) == (d.blocked, 0, False)
    assert (story.told.count("decision"), story.timeline.count(d.sentence)) == (1, 1)


def test_the_breaker_is_held_as_well():
    """What asks for the rollback does not matter."""
    story = until(walk(), 10_000)
    story.open_breakers = ("proc-1",)
    story.tick(1)
    assert story.d.blocked.causes == ("breaker",)
    assert (story.d.weight_bp, story.d.tripped) == (0, False)


def test_while_somebody_has_to_decide_nothing_else_is_moved():
    """Neither by itself nor by hand."""
    story = failing(until(walk(), 10_000))
    for move in (moves.pause, moves.promote, lambda d, now: moves.shift(d, now, 5000)):
        with pytest.raises(Conflict) as refused:
            move(story.d, story.now)
        assert "`across_irreversible`" in refused.value.next_step
    with pytest.raises(InvalidInput):
        moves.approve(story.d, story.now, by="Kim")


def test_a_person_goes_back_across_it_when_they_say_so():
    """Without the flag it is refused and changes nothing; with it, what was completed is undone."""
    story = failing(until(walk(), 10_000))
    with pytest.raises(Conflict) as refused:
        go_back(story.d, story.now, "orders are lost", force=True)
    assert refused.value.detail == (
        "Step 2 (25 %) is irreversible and was completed: v1 may not be able to work with what v2 has done "
        "since."
    )
    story.ask(go_back, "orders are lost", across=True)
    assert story.timeline[-1] == (
        "Rolled back, across the irreversible step 2 (25 %), from 100 % to v1: orders are lost"
    )
    assert (story.d.status, story.d.blocked) == (Status.ROLLED_BACK, None)
    assert undone(story) == ["step 2 (25 %)", "step 1 (5 %)", "the deployment"]


def test_a_person_goes_on_and_is_not_asked_again_about_the_same():
    """At the share that it had; another cause asks anew."""
    story = failing(until(walk(), 10_000))
    story.ask(moves.approve, by="Kim", reason="the errors are the payment provider's")
    assert story.timeline[-1] == ("Goes on at 100 %, decided by Kim: the errors are the payment provider's")
    assert (story.d.traffic_bp, story.d.blocked, story.d.observed_seconds) == (10_000, None, 0.0)
    story.run(3, canary=(40, 20, 20.0))
    assert story.d.blocked is None
    story.open_breakers = ("proc-1",)
    story.tick(1)
    assert story.d.blocked.causes == ("breaker",)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"stickiness": "hash"}, "`stickiness: hash` cannot tell new units from those on v2"),
        ({"keeps_units": False}, "This data plane cannot keep units on v2 while its share shrinks"),
    ],
)
def test_where_new_units_cannot_be_told_apart_the_share_stays_and_that_is_said(change, why):
    """Rather than move units off the canary, or claim what is not so."""
    story = failing(until(walk(**change), 10_000))
    assert story.d.traffic_bp == 10_000
    assert f"{why}, so the share stays at 100 %, new units included." in story.d.sentence


def test_a_smaller_share_by_hand_is_no_way_around_it():
    """Where it would move units back; where they stay, it is allowed."""
    story = until(walk(stickiness="hash"), 10_000)
    with pytest.raises(Conflict) as refused:
        moves.shift(story.d, story.now, 2500)
    assert "would move units back to v1" in refused.value.detail
    assert moves.shift(until(walk(), 10_000).d, NOON, 2500).next_state.traffic_bp == 2500


def test_after_promotion_it_is_asked_too():
    """Everyone is on it: there are no new units to keep apart, and that is said."""
    story = failing(until(walk(), 10_000))
    story.d = replace(story.d, blocked=None, accepted=())
    story.ask(moves.promote)
    story.d = replace(story.d, phase="watching")
    story.open_breakers = ("proc-1",)
    story.tick(1)
    assert (story.d.status, story.d.traffic_bp) == (Status.ACTIVE, 10_000)
    assert "Everyone is on v2, new units too, and stays." in story.d.sentence
    story.ask(moves.approve, by="Kim", reason="we fix it forward")
    assert (story.d.status, story.d.phase) == (Status.ACTIVE, "watching")
    story.tick(1)
    assert story.d.blocked is None


def test_steps_by_hand_count_as_completed_when_the_share_goes_past_them():
    """In manual mode as well, by the share; a smaller one takes none of them back."""
    story = walk(mode="manual")
    story.ask(moves.shift, 2500)
    assert story.d.passed == 1
    story.ask(moves.shift, 5000).ask(moves.shift, 500)
    assert story.d.passed == 1
    story.ask(moves.shift, 10_000)
    assert story.d.passed == 2
    story.ask(moves.promote)
    assert story.d.passed == 3


def test_the_last_step_is_completed_when_it_waits_for_its_promotion():
    """Its time is over and its checks pass."""
    story = walk()
    for _ in range(60):
        story.run(1)
    assert (story.d.waiting, story.d.passed) == (Waiting.PROMOTION, 3)


def test_nothing_is_undone_of_what_never_had_traffic():
    """Its hooks had not let anything reach the canary."""
    hook = Hook(name="qa", phase=Phase.CONFIRM_ROLLOUT, command="qa")
    story = walk()
    story.d = replace(story.d, status=Status.DRAFT, strategy=replace(story.d.strategy, hooks=(hook,)))
    story._take(started(story.d, NOON))
    story.ask(go_back, "changed our minds")
    assert [i.kind for i in story.last.intents if i.kind is IntentKind.COMPENSATE] == []


def test_compensation_can_be_left_out_by_hand_and_that_is_said():
    """``apply_compensation: false``."""
    story = until(walk(), 2500).ask(go_back, "seen enough", compensate=False)
    assert [i for i in story.last.intents if i.kind is IntentKind.COMPENSATE] == []
    assert story.timeline[-1] == "Nothing is compensated, as was asked for."


def test_hooks_that_would_never_run_are_refused():
    """``rollback_only`` touches no data."""
    d = replace(walk().d, compensation_strategy=CompensationStrategy.ROLLBACK_ONLY)
    with pytest.raises(InvalidInput) as refused:
        check_compensation(d)
    assert refused.value.field == "compensation_strategy"


def test_a_strategy_is_read_with_its_markers():
    """As the API takes it; a mirror is a step before those that are written."""
    steps = [
        {"traffic_percentage": 5, "hold_seconds": 60, "compensate": {"command": "undo"}},
        {"traffic_percentage": 25, "hold_seconds": 60, "irreversible": True},
    ]
    whole = {"url": "https://undo.example", "secret_env": "SERINUS_HOOK_UNDO"}
    made = strategy_from({"mode": "auto", "steps": steps, "compensate": whole}, draft().config)
    assert (made.steps[0].compensate.name, made.steps[1].irreversible) == ("step-1", True)
    assert (made.compensate.name, made.compensate.phase) == ("deployment", Phase.COMPENSATE)
    mirrored = {"mode": "auto", "steps": steps, "mirror": {"percent": 10, "seconds": 60}}
    assert strategy_from(mirrored, draft().config).steps[1].compensate.name == "step-2"


@pytest.mark.parametrize(
    ("strategy", "field"),
    [
        ({"steps": [{"traffic_percentage": 5, "compensate": {}}]}, "strategy.steps[0].compensate.url"),
        ({"compensate": {"url": "https://x.example"}}, "strategy.compensate.secret_env"),
        ({"compensate": {"command": "a", "url": "https://x"}}, "strategy.compensate.url"),
        ({"hooks": [{"name": "a", "phase": "compensate", "command": "a"}]}, "strategy.hooks[0].phase"),
        ({"steps": [{"traffic_percentage": 5, "irreversible": "yes"}]}, "strategy.steps[0].irreversible"),
    ],
)
def test_what_is_wrong_is_refused_with_its_place(strategy, field):
    """Before anything is stored."""
    with pytest.raises(InvalidInput) as refused:
        strategy_from(strategy, draft().config)
    assert refused.value.field == field


@given(st.lists(st.sampled_from(["good", "bad", "breaker", "blind", "500", "2500", "10000"]), max_size=25))
def test_whatever_happens_nothing_goes_back_across_it_by_itself(happenings):
    """By itself it is either not completed when it is rolled back, or held until a person decides."""
    story = walk()
    for what in happenings:
        if story.d.status is not Status.CANARY:
            break
        behind = story.d.passed >= 2
        share = story.d.traffic_bp
        if what.isdigit():
            try:
                story.ask(moves.shift, int(what))
            except Conflict:
                assert story.d.traffic_bp == share
        elif what == "blind":
            story.tick(400)
        else:
            story.open_breakers = ("p",) if what == "breaker" else ()
            story.run(4, canary=(40, 20 if what == "bad" else 0, 20.0))
        if behind:
            assert story.d.status is Status.CANARY
            assert story.d.blocked is None or story.d.weight_bp == 0
