"""A/B/n tests told tick by tick: each candidate for itself, one walk for all, and who wins."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contests import Contest, contest_of
from serinus.control.traffic import desired_split
from serinus.core.analysis.evidence import TrafficState
from serinus.core.analysis.sequential.answer import Answer, CheckAnswer
from serinus.core.analysis.sequential.estimate import Interval
from serinus.core.analysis.sequential.plan import Finding, MetricHarm, Plan
from serinus.core.bucketing import BUCKETS
from serinus.core.candidates import Candidate, even_parts, seats, version_at
from serinus.core.contest import chosen, drop, settled
from serinus.core.errors import Conflict, InvalidInput
from serinus.core.hooks import Hook, Phase, Said
from serinus.core.lifecycle import moves
from serinus.core.lifecycle.back import go_back
from serinus.core.model import Service, Status, Waiting
from serinus.core.policy import confirm
from serinus.core.policy.contests import default_steps
from serinus.core.winner import standing
from serinus.ports.needs import ensure_able
from serinus.ports.traffic import Capability

BAD = (100, 14, 50.0)
FAST = (100, 0, 33.0)
SERVICE = Service(
    id="svc_1",
    tenant_id="ten_1",
    name="checkout",
    stable_version="v1",
    upstreams=dict.fromkeys(("v1", "v2", "v3", "v4"), ("127.0.0.1:1",)),
)


def states(story: Contest) -> list[str]:
    """Return who is still under test."""
    return [c.version for c in story.d.candidates if c.live]


# -- buckets --------------------------------------------------------------------------------------


def owner(candidates: tuple[Candidate, ...], total: int, bucket: int) -> str:
    """Return whose a bucket is."""
    return next((s.version for s in seats(candidates, total) if s.begin <= bucket < s.end), "stable")


@settings(max_examples=60)
@given(
    parts=st.lists(st.integers(1, 100), min_size=2, max_size=8),
    shares=st.lists(st.integers(0, BUCKETS), min_size=2, max_size=2).map(sorted),
    out=st.sets(st.integers(0, 7)),
)
def test_nobody_moves_between_candidates_while_shares_grow_or_one_is_dropped(parts, shares, out):
    """Whatever the parts: growing only adds units, and a drop gives its own to stable alone."""
    whole = sum(parts)
    bps = [BUCKETS * p // whole for p in parts]
    bps[0] += BUCKETS - sum(bps)
    small, large = shares
    named = tuple(Candidate(version=f"c{n}", part_bp=bp) for n, bp in enumerate(bps))
    left = tuple(replace(c, dropped_at="now") if n in out else c for n, c in enumerate(named))
    for bucket in range(0, BUCKETS, 37):
        before, after = owner(named, small, bucket), owner(named, large, bucket)
        assert before in (after, "stable")
        kept = owner(left, large, bucket)
        assert kept == after or (kept == "stable" and int(after[1:]) in out)
        if after != "stable":
            assert version_at(named, bucket) == after


def test_the_data_plane_gets_the_same_ranges_with_gaps():
    """What a proxy is told is what the SDK's snapshot says; one that is out leaves a gap."""
    story = Contest(contest_of("v2", "v3", "v4"))
    split = desired_split(SERVICE, story.d)
    assert [(u.version, bp) for u, bp in split.ranges] == [
        ("v2", 667),
        ("v1", 2667),
        ("v3", 667),
        ("v1", 2666),
        ("v4", 667),
    ]
    ensure_able("any", frozenset(Capability), split)
    story.take(drop(story.d, {1: "seen enough"}, story.now))
    assert [(u.version, bp) for u, bp in desired_split(SERVICE, story.d).ranges] == [
        ("v2", 667),
        ("v1", 6000),
        ("v4", 667),
    ]
    story.take(drop(story.d, {0: "seen enough"}, story.now))
    assert [(u.version, bp) for u, bp in desired_split(SERVICE, story.d).ranges] == [
        ("v2", 0),
        ("v1", 6667),
        ("v4", 667),
    ]


def test_without_steps_it_walks_to_where_stable_has_as_much_as_each_candidate():
    """``canary_config``'s steps, as far as they leave stable its part."""
    d = contest_of("v2", "v3", steps=[])
    shares = [step.traffic_bp for step in default_steps(d.config, 2)]
    assert shares == [1000, 2000, 3000, 4000, 5000, 6000, 6666]
    assert [step.traffic_bp for step in d.strategy.steps] == shares
    assert even_parts(3) == (3334, 3333, 3333)


# -- the walk -------------------------------------------------------------------------------------


def test_healthy_candidates_walk_together_and_a_tie_is_asked_about():
    """Nobody is promoted by a coin; people are told once, with the intervals."""
    story = Contest(contest_of("v2", "v3", auto_promote=True)).run(140)
    assert (story.d.traffic_bp, story.d.waiting, states(story)) == (5000, Waiting.PROMOTION, ["v2", "v3"])
    assert story.timeline[-1].startswith("50 % passed. v2 and v3 cannot be told apart (latency ")
    assert story.d.sentence.startswith("Every step passed. v2 and v3 cannot be told apart")
    assert story.d.sentence.endswith("Somebody has to choose: promote one by its version.")
    assert [topic for topic, _ in story.told] == ["waiting"]


def test_a_tie_goes_to_the_first_named_where_the_strategy_says_so():
    """And the timeline says that it was no victory."""
    story = Contest(contest_of("v2", "v3", auto_promote=True, on_tie="first")).run(140)
    assert (story.d.status, story.d.version, story.d.winner) == (Status.ACTIVE, "v2", "v2")
    assert story.timeline[-2].endswith("; v2 was named first.")
    assert story.timeline[-1] == "v2 promoted: everyone is on it."


def test_the_best_candidate_is_promoted_by_itself():
    """Its interval lies wholly on the good side of the others'; the reason shows both."""
    story = Contest(contest_of("v2", "v3", "v4", auto_promote=True)).run(140, v3=FAST)
    assert (story.d.status, story.d.version, story.d.traffic_bp) == (Status.ACTIVE, "v3", BUCKETS)
    said = story.timeline[-2]
    assert said.startswith("v3 is best: surely better than v2 (latency 0.6")
    assert "surely better than v4" in said
    assert story.d.answer == story.d.candidates[1].answer
    assert not story.d.contested
    assert story.d.arm == 1


def test_without_auto_promote_the_best_is_named_and_waits():
    """A person promotes it, with or without saying which."""
    story = Contest(contest_of("v2", "v3")).run(140, v3=FAST)
    assert (story.d.status, story.d.waiting) == (Status.CANARY, Waiting.PROMOTION)
    assert story.d.sentence.endswith("v3 waits to be promoted.")
    story.take(settled(story.d, confirm.promoted(chosen(story.d, 1), story.now, force=True)))
    assert (story.d.status, story.d.version) == (Status.ACTIVE, "v3")


# -- dropping -------------------------------------------------------------------------------------


def test_a_harmful_candidate_is_dropped_alone_within_seconds():
    """Told like a rollback, with its numbers; the others finish their walk as if nothing had been."""
    story = Contest(contest_of("v2", "v3", "v4")).run(6, v3=BAD)
    assert states(story) == ["v2", "v4"]
    assert (story.d.status, story.d.traffic_bp) == (Status.CANARY, 2000)
    (message,) = [m for m in story.timeline if "dropped" in m]
    assert message.startswith("v3 dropped automatically: errors: 14 % at the canary against 0.5 % at stable")
    assert message.endswith("Its users are on v1; v2 and v4 go on.")
    assert [(topic, data["version"]) for topic, data in story.told] == [("dropped", "v3")]
    story.run(140)
    assert (story.d.waiting, story.d.traffic_bp) == (Waiting.PROMOTION, 5000)


def test_with_nobody_left_it_is_a_rollback():
    """One after the other, or both at once."""
    story = Contest(contest_of("v2", "v3")).run(6, v3=BAD).run(6, v2=BAD)
    assert story.d.status is Status.ROLLED_BACK
    assert story.d.end_reason.startswith("v2: errors: ")
    assert [topic for topic, _ in story.told] == ["dropped", "rollback"]
    story = Contest(contest_of("v2", "v3")).run(6, v2=BAD, v3=BAD)
    assert story.d.status is Status.ROLLED_BACK
    assert "v2: errors: 14 %" in story.d.end_reason
    assert "v3: errors: 14 %" in story.d.end_reason


def test_the_last_one_left_is_the_winner_without_a_contest():
    """And is promoted by itself where that was asked for."""
    story = Contest(contest_of("v2", "v3", auto_promote=True)).run(6, v2=BAD).run(140)
    assert (story.d.status, story.d.version) == (Status.ACTIVE, "v3")
    assert "v3 is the only candidate left." in story.timeline


def test_an_open_breaker_drops_its_candidate_at_once():
    """The other's breaker is its own."""
    story = Contest(contest_of("v2", "v3")).run(2)
    story.breakers["v2"] = "process 1"
    story.tick(1)
    assert states(story) == ["v3"]
    assert "v3" not in story.d.candidates[0].drop_reason
    assert "the circuit breaker opened" in story.d.candidates[0].drop_reason


def test_nobody_is_moved_to_a_stable_that_is_down():
    """The drop is held, said once, and done as soon as stable answers."""
    story = Contest(contest_of("v2", "v3")).run(2)
    story.d = replace(story.d, stable_down="connection refused")
    story.run(6, v3=BAD)
    assert states(story) == ["v2", "v3"]
    assert "nobody is moved to stable v1" in story.d.sentence
    assert [topic for topic, _ in story.told] == ["warning"]
    story.d = replace(story.d, stable_down="")
    story.tick()
    assert states(story) == ["v2"]


def test_one_that_is_not_measured_holds_the_walk_of_all():
    """Missing data is no pass for anybody; the sentence says whose."""
    story = Contest(contest_of("v2", "v3")).run(75, v3=(0, 0, 50.0))
    assert story.d.traffic_bp == 2000
    assert story.d.phase == "holding:no-data"
    assert "v3: " in story.d.sentence
    assert "v2: " not in story.d.sentence


def test_the_budget_and_the_confidence_are_shared():
    """Two candidates: twice the evidence for the same budget, and joint intervals."""
    one, two = Plan(), contest_of("v2", "v3").policy.judge
    assert (two.candidates, two.budget) == (2, one.budget)
    assert two.confidence == pytest.approx(1 - (1 - one.confidence) / 2)
    story = Contest(contest_of("v2", "v3")).run(3)
    assert {c.answer.needed for c in story.d.candidates} == {200.0}


# -- by hand --------------------------------------------------------------------------------------


def test_hands_move_it_and_a_rollback_takes_all_back():
    """Traffic up and down, pause, and back; never to 100 %."""
    story = Contest(contest_of("v2", "v3", mode="manual", steps=[]))
    assert story.d.sentence == "v2 and v3 started with 10 % of units; everyone else stays on v1."
    story.ask(moves.shift, 4000).ask(moves.pause).run(2)
    assert story.d.phase == "holding:paused"
    with pytest.raises(InvalidInput, match="no stable left"):
        moves.shift(story.d, story.now, BUCKETS)
    story.ask(go_back, "seen enough")
    assert (story.d.status, story.d.weight_bp) == (Status.ROLLED_BACK, 0)
    assert desired_split(SERVICE, story.d).canary is None


def test_a_rollback_under_way_is_not_disturbed_by_a_drop():
    """It goes down rung by rung with everybody."""
    rungs = {"mode": "gradual", "steps": [10], "seconds": 60}
    story = Contest(contest_of("v2", "v3", rollback=rungs)).run(2).ask(go_back, "seen enough")
    assert story.d.traffic_bp == 1000
    story.run(3, v3=BAD)
    assert (story.d.status, states(story)) == (Status.CANARY, ["v2", "v3"])
    with pytest.raises(Conflict):
        drop(story.d, {0: "now"}, story.now)
    story.run(6)
    assert story.d.status is Status.ROLLED_BACK


def test_hooks_are_asked_about_the_winner():
    """By its name; a no of theirs takes the test back as it would one canary."""
    hooks = [{"name": "qa", "phase": "confirm-promotion", "command": "qa"}]
    story = Contest(contest_of("v2", "v3", auto_promote=True, hooks=hooks)).run(140, v3=FAST)
    assert story.d.status is Status.CANARY
    assert story.d.sentence.startswith("Waiting for hook qa before v3 is promoted")
    asks = tuple(replace(a, said=Said.YES) for a in story.d.asks)
    story.d = replace(story.d, asks=asks)
    story.tick(1)
    assert (story.d.status, story.d.version) == (Status.ACTIVE, "v3")


def test_a_promotion_by_hand_waits_for_its_hook_and_keeps_its_version():
    """Also when another one would be best by then; a drop of it takes the wish along."""
    hook = Hook(name="qa", phase=Phase.CONFIRM_PROMOTION, command="qa")
    d = contest_of("v2", "v3", mode="manual", steps=[])
    story = Contest(replace(d, strategy=replace(d.strategy, hooks=(hook,)))).run(3)
    story.take(settled(story.d, confirm.promoted(chosen(story.d, 1), story.now)))
    assert (story.d.version, story.d.intended.version, story.d.winner) == ("v2", "v3", "")
    story.run(5, v3=BAD)
    assert (states(story), story.d.intended) == (["v2"], None)


def test_a_split_that_is_not_carried_holds_everybody():
    """Nothing is observed meanwhile."""
    story = Contest(contest_of("v2", "v3")).run(1)
    story.traffic = TrafficState(acknowledged=False, problems=("edge-1: no answer",))
    story.run(3)
    assert story.d.phase == "holding:not-carried"
    assert story.d.observed_seconds == pytest.approx(10)


# -- who is best ----------------------------------------------------------------------------------


def candidate(version: str, **checks: tuple[float, float, float]) -> Candidate:
    """Return a candidate whose answer has these estimates with bounds."""
    answers = tuple(
        CheckAnswer(
            check=name,
            finding=Finding.SAFE,
            sentence="",
            unit={"errors": "ratio", "latency": "ms"}.get(name, ""),
            interval=Interval(estimate=e, low=low, high=high),
        )
        for name, (e, low, high) in checks.items()
    )
    answer = Answer(finding=Finding.SAFE, sentence="", evidence=1, needed=200, budget_used=0, checks=answers)
    return Candidate(version=version, part_bp=5000, answer=answer)


def test_best_is_who_is_surely_better_somewhere_and_surely_worse_nowhere():
    """Against every other one; overlapping intervals say nothing."""
    slow = candidate("v2", errors=(1.0, 0.8, 1.2), latency=(1.0, 0.98, 1.02))
    fast = candidate("v3", errors=(1.0, 0.8, 1.2), latency=(0.8, 0.78, 0.82))
    near = candidate("v4", errors=(0.9, 0.7, 1.1), latency=(0.81, 0.79, 0.83))
    assert standing([slow, fast], None).best == "v3"
    found = standing([slow, fast, near], None)
    assert (found.best, found.leading) == ("", ("v3", "v4"))
    torn = candidate("v5", errors=(3.0, 2.0, 4.0), latency=(0.5, 0.4, 0.6))
    found = standing([slow, torn], None)
    assert (found.best, found.leading) == ("", ("v2", "v5"))
    assert found.sentence == (
        "v2 and v5 cannot be told apart (errors 1.00 × (0.80 to 1.20) and 3.00 × (2.00 to 4.00); "
        "latency 1.00 × (0.98 to 1.02) and 0.50 × (0.40 to 0.60))"
    )


def test_a_metric_wins_in_its_own_direction():
    """Conversion is better higher, cost lower."""
    plan = Plan(metrics=(MetricHarm(name="conversion", higher_is_better=True), MetricHarm(name="cost")))
    more = candidate("v2", conversion=(0.05, 0.03, 0.07))
    same = candidate("v3", conversion=(0.0, -0.01, 0.01))
    assert standing([more, same], plan).sentence == (
        "v2 is best: surely better than v3 (conversion +0.05 (+0.03 to +0.07) against +0 (-0.01 to +0.01), "
        "each compared with stable)"
    )
    dear, cheap = candidate("v2", cost=(3.0, 2.0, 4.0)), candidate("v3", cost=(0.0, -1.0, 1.0))
    assert standing([dear, cheap], plan).best == "v3"


def test_one_that_is_out_wins_nothing():
    """However good it was."""
    out = replace(candidate("v2", latency=(0.5, 0.4, 0.6)), dropped_at=Contest(contest_of("v2", "v3")).now)
    assert standing([out, candidate("v3", latency=(1.0, 0.9, 1.1))], None).best == "v3"
    assert standing([out], None).sentence == "No candidate is left"
