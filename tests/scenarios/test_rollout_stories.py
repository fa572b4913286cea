"""Whole rollouts, tick by tick."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from serinus.core.analysis.checks import Check, Comparison, Measure, OnFail, OnNoData, Policy
from serinus.core.analysis.evidence import Sample, SampleKind, Side, TrafficState
from serinus.core.errors import Conflict, GateRefused, InvalidInput, TransitionRefused
from serinus.core.hooks import Hook, Phase
from serinus.core.lifecycle import moves
from serinus.core.model import Mode, Status, Step, Stickiness, Strategy, TargetFilter, Waiting
from serinus.core.policy import confirm
from serinus.core.policy.presets import IN_APP, RULESETS
from stories import NOON, Story, draft


def test_a_good_canary_walks_every_step_and_waits_to_be_promoted():
    """1 → 5 → 25 → 100 %, a minute each, then a person promotes it."""
    story = Story().run(ticks=24)
    assert story.d.waiting is Waiting.PROMOTION
    assert story.timeline == [
        "1 % passed: 1 of 1 checks pass. Traffic → 5 %.",
        "5 % passed: 1 of 1 checks pass. Traffic → 25 %.",
        "25 % passed: 1 of 1 checks pass. Traffic → 100 %.",
        "100 % passed: 1 of 1 checks pass. v2 waits at 100 % to be promoted.",
    ]
    story.ask(moves.promote)
    assert (story.d.status, story.d.weight_bp, story.told) == (Status.ACTIVE, 10_000, ["waiting", "promoted"])


def test_a_good_canary_is_promoted_by_itself_when_that_was_asked_for():
    """``auto_promote`` ends the walk without a person."""
    plan = draft()
    story = Story(replace(plan, strategy=replace(plan.strategy, auto_promote=True))).run(ticks=30)
    assert story.d.status is Status.ACTIVE
    assert story.timeline[-1] == "v2 promoted: everyone is on it."


def test_errors_roll_the_canary_back_with_their_numbers():
    """An error rate at the limit fails, and the reason has both sides' numbers."""
    story = Story().run(ticks=8).serve("canary", 200, errors=3).serve("stable", 2000).tick()
    assert (story.d.status, story.d.weight_bp) == (Status.ROLLED_BACK, 0)
    assert story.timeline[-1].startswith(
        "Rolled back automatically from 5 % to v1: error rate: canary 0.577 %, stable 0 % (below 0.5 %)"
    )
    assert story.told == ["rollback"]


def test_five_failures_in_a_row_open_the_breaker_and_roll_back_at_once():
    """The breaker does not wait for any check's minimum of requests."""
    story = Story().serve("canary", 5, errors=5).tick(1)
    assert story.d.status is Status.ROLLED_BACK
    assert story.timeline == [
        "Circuit breaker closed → open.",
        "Rolled back automatically from 1 % to v1: the circuit breaker opened after 5 failures in a row",
    ]


def test_a_breaker_open_in_one_process_rolls_the_fleet_back():
    """What one SDK process or proxy saw counts for all."""
    story = Story()
    story.open_breakers = ("edge-2",)
    story.tick(1)
    assert story.d.end_reason.endswith("5 failures in a row (edge-2)")


def test_without_traffic_a_step_never_passes():
    """Missing data is never a pass: the rollout holds and says what is missing, once."""
    story = Story()
    for _ in range(20):
        story.serve("stable", 400).tick()
    assert (story.d.traffic_bp, story.d.phase) == (100, "holding:no-data")
    assert story.d.sentence == (
        "Holding at 1 %: not enough measured: error rate: 0 of 20 canary requests so far."
    )
    assert (len(story.timeline), story.told) == (1, ["warning"])


def test_a_hold_ends_when_the_data_comes():
    """What held it is over: it goes on from the same step."""
    story = Story()
    for _ in range(8):
        story.tick()
    story.run(ticks=1)
    assert story.timeline[-1] == "1 % passed: 1 of 1 checks pass. Traffic → 5 %."


def test_no_data_rolls_back_after_its_deadline_where_the_policy_says_so():
    """``on_no_data: rollback`` is the other choice."""
    plan = draft()
    policy = replace(plan.policy, on_no_data=OnNoData.ROLLBACK, no_data_deadline_seconds=60)
    story = Story(replace(plan, policy=policy))
    for _ in range(6):
        story.tick()
    assert story.d.status is Status.ROLLED_BACK
    assert "no usable measurement for 60 s" in story.d.end_reason


def test_a_proxy_that_does_not_follow_holds_the_rollout():
    """Time does not count while the split is not carried, and people are warned once."""
    story = Story()
    story.traffic = TrafficState(acknowledged=False, problems=("edge-1: does not answer",))
    story.run(ticks=12)
    assert (story.d.observed_seconds, story.d.phase) == (0, "holding:not-carried")
    assert story.told == ["warning"]
    story.traffic = TrafficState()
    story.run(ticks=1)
    assert story.timeline[-1] == "Going on at 1 %: what held it is over."


def test_rollback_wins_while_the_proxy_does_not_follow():
    """Safety is asked before holding."""
    story = Story()
    story.traffic = TrafficState(acknowledged=False, problems=("edge-1: does not answer",))
    story.serve("canary", 40, errors=40).tick()
    assert story.d.status is Status.ROLLED_BACK


def test_a_paused_rollout_stays_but_still_rolls_back():
    """Pause stops the walk, not the watch."""
    story = Story().run(ticks=2).ask(moves.pause).run(ticks=20)
    assert (story.d.traffic_bp, story.d.observed_seconds) == (100, 20.0)
    story.serve("canary", 40, errors=40).tick()
    assert story.d.status is Status.ROLLED_BACK


def test_resume_goes_on_where_it_was():
    """The time already observed still counts."""
    story = Story().run(ticks=5).ask(moves.pause).run(ticks=5).ask(moves.resume).run(ticks=1)
    assert story.d.traffic_bp == 500


def test_a_gate_waits_for_a_person():
    """A step with a gate passes, then waits for its approval."""
    steps = (Step(traffic_bp=500, hold_seconds=20, gate=True), Step(traffic_bp=10_000, hold_seconds=20))
    story = Story(draft(strategy=Strategy(mode=Mode.AUTO, steps=steps))).run(ticks=10)
    assert (story.d.waiting, story.d.traffic_bp) == (Waiting.APPROVAL, 500)
    story.ask(moves.approve).run(ticks=1)
    assert story.d.traffic_bp == 10_000


def test_manual_mode_moves_only_by_hand():
    """Contract 1's session: 10 %, 50 %, promote."""
    story = Story(draft(strategy=Strategy(), policy=RULESETS)).run(ticks=60)
    assert (story.d.traffic_bp, story.d.sentence) == (1000, "At 10 %, moved by hand: 3 of 3 checks pass.")
    story.ask(moves.shift, 5000)
    assert story.timeline[-1] == "Traffic 10 % → 50 % by hand."


def test_manual_mode_is_watched_all_the_same():
    """p95 above twice stable's rolls back (contract 1)."""
    story = Story(draft(strategy=Strategy(), policy=RULESETS)).run(ticks=3, canary=(40, 0, 50.0))
    assert story.d.status is Status.ROLLED_BACK
    assert "p95 latency: canary 50 ms, stable 20 ms (at most 40 ms = 2 × stable)" in story.d.end_reason


def test_at_full_traffic_stable_is_compared_by_its_recorded_history():
    """No live stable is left at 100 %: its last windows are the baseline."""
    check = Check(
        name="p95", measure=Measure.LATENCY_P95, comparison=Comparison.RATIO, limit=2.0, min_requests=10
    )
    plan = draft(policy=Policy(checks=(check,)))
    story = Story(plan).run(ticks=20)
    assert story.d.traffic_bp == 10_000
    for _ in range(40):
        story.serve("canary", 400).tick()
    assert story.d.waiting is Waiting.PROMOTION
    story.serve("canary", 8000, ms=90.0).tick()
    assert story.d.status is Status.ROLLED_BACK


def test_a_clock_that_jumps_ahead_does_not_pass_a_step():
    """An hour's step of the clock counts as the longest normal gap, no more."""
    story = Story().run(ticks=1)
    story.now += timedelta(hours=1)
    story.run(ticks=1)
    assert (story.d.traffic_bp, story.d.observed_seconds) == (100, 40.0)


def test_a_clock_that_steps_back_counts_nothing():
    """Time never runs backwards for a step."""
    story = Story().run(ticks=3)
    story.now -= timedelta(hours=1)
    story.tick()
    assert story.d.observed_seconds == 30.0


def test_one_schema_failure_is_enough():
    """Zero tolerance (contract 3): a reported failure rolls back."""
    story = Story().run(ticks=2)
    story.samples.append(
        Sample(
            side=Side.CANARY,
            name="llm_brief_schema_failures_total",
            start=int(story.now.timestamp()),
            value=1,
        )
    )
    story.run(ticks=1)
    assert "schema failures: canary 1 (at most 0)" in story.d.end_reason


def test_a_gauge_is_compared_with_stables():
    """Training loss at twice production's rolls back (contract 3)."""
    story = Story().run(ticks=1)
    for side, loss in ((Side.STABLE, 0.4), (Side.CANARY, 0.9)):
        story.samples.append(
            Sample(
                side=side,
                name="rl_training_loss",
                start=int(story.now.timestamp()),
                value=loss,
                kind=SampleKind.GAUGE,
            )
        )
    story.run(ticks=1)
    assert "training loss: canary 0.9, stable 0.4 (below 0.8 = 2 × stable)" in story.d.end_reason


def test_a_mode_with_its_own_limit_is_judged_by_its_label():
    """Contract 3's p95 per mode: fast must stay within 2.5 s."""
    story = Story().run(ticks=1).serve("canary", 30, ms=2600.0, label="mode=fast").tick()
    assert story.d.end_reason == "p95 latency (fast): canary 2613 ms (at most 2500 ms)"


def test_a_check_that_only_warns_tells_once_and_goes_on():
    """``on_fail: warn`` neither holds nor rolls back."""
    check = Check(name="p95", measure=Measure.LATENCY_P95, limit=10.0, on_fail=OnFail.WARN)
    story = Story(draft(policy=Policy(checks=(check,)))).run(ticks=10)
    assert (story.d.traffic_bp, story.told) == (500, ["warning"])


def test_a_check_that_holds_keeps_the_step():
    """``on_fail: hold`` waits until it is well again."""
    check = Check(name="p95", measure=Measure.LATENCY_P95, limit=10.0, on_fail=OnFail.HOLD, window_seconds=10)
    story = Story(draft(policy=Policy(checks=(check,)))).run(ticks=10)
    assert (story.d.traffic_bp, story.d.phase) == (100, "holding:check")
    story.run(ticks=3, canary=(40, 0, 5.0))
    assert story.d.traffic_bp == 500


def test_named_users_start_alone_and_stay_pinned_when_the_share_grows():
    """With a filter nobody comes by hash until the percentage is changed."""
    plan = draft(strategy=Strategy())
    begun = moves.start(plan, Story().now, bp=1000, target=TargetFilter(user_ids=("ada",))).next_state
    assert (begun.weight_bp, begun.filter_only) == (0, True)
    grown = moves.shift(begun, Story().now, 2000).next_state
    assert (grown.weight_bp, grown.target_filter.user_ids) == (2000, ("ada",))


def test_the_first_share_after_a_named_start_is_growth():
    """Nobody came by hash before: it is asked about, and taken by a proxy that could not shrink."""
    asked = Hook(name="qa", phase=Phase.CONFIRM_TRAFFIC, command="qa")
    named = TargetFilter(user_ids=("ada",))
    begun = moves.start(draft(strategy=Strategy()), NOON, bp=3000, target=named).next_state
    assert begun.traffic_bp == 0
    grown = moves.shift(begun, NOON, 1000, keeps_units=False)
    assert grown.next_state.sentence == "Traffic 0 % → 10 % by hand."
    hooked = replace(begun, strategy=Strategy(hooks=(asked,)))
    assert confirm.shifted(hooked, NOON, 1000).next_state.traffic_bp == 0


def test_shrinking_needs_a_data_plane_that_keeps_units():
    """Persistent stickiness on a proxy that cannot keep units is refused before anything moves."""
    story = Story(draft(strategy=Strategy())).ask(moves.shift, 5000)
    with pytest.raises(Conflict, match="cannot keep units"):
        moves.shift(story.d, story.now, 1000, keeps_units=False)
    story.ask(moves.shift, 1000, keeps_units=True)
    assert (story.d.peak_bp, story.timeline[-1]) == (
        5000,
        (
            "Traffic 50 % → 10 % by hand. Units already on the canary stay there; "
            "only new ones see the new share. `serinus assignment reset` lets the hash decide again."
        ),
    )
    hashed = replace(story.d, traffic_bp=5000, strategy=Strategy(stickiness=Stickiness.HASH))
    assert moves.shift(hashed, story.now, 1000, keeps_units=False).next_state.traffic_bp == 1000


def test_promotion_is_refused_until_the_gate_is_met_unless_forced():
    """The refusal names every condition with its numbers."""
    story = Story(draft(strategy=Strategy(), policy=IN_APP)).run(ticks=3)
    from serinus.core.analysis.evidence import Evidence
    from serinus.core.policy.gate import promotion_gate

    gate = promotion_gate(story.d, Evidence(windows=tuple(story.windows)), story.now)
    with pytest.raises(GateRefused, match="canary requests: canary 120"):
        moves.promote(story.d, story.now, gate)
    forced = moves.promote(story.d, story.now, gate, force=True)
    assert "Forced past: canary requests" in forced.next_state.sentence


def test_a_rollback_needs_a_reason_and_happens_once():
    """An empty reason and a second rollback are refused; nothing changes."""
    story = Story()
    with pytest.raises(InvalidInput, match="needs a reason"):
        moves.roll_back(story.d, story.now, "  ")
    story.ask(moves.roll_back, "errors in the logs")
    with pytest.raises(TransitionRefused, match="Cannot roll back a deployment that is rolled_back"):
        moves.roll_back(story.d, story.now, "again")


def test_an_active_version_can_be_rolled_back_too():
    """The service's stable version goes back to the one before."""
    story = Story().run(ticks=24).ask(moves.promote).ask(moves.roll_back, "found a bug")
    take_over = [i.data["version"] for i in story.last.intents if i.kind.value == "take_over"]
    assert (story.d.status, take_over) == (Status.ROLLED_BACK, ["v1"])


def test_walking_goes_on_from_a_share_set_by_hand():
    """In auto mode a hand-set share enters the step that asks for no more."""
    story = Story().ask(moves.shift, 3000)
    assert story.d.step_index == 2
    story.run(ticks=6)
    assert story.d.traffic_bp == 10_000


def test_the_same_story_is_told_the_same_way_twice():
    """No chance, no clock: a replay gives the same state bit for bit."""
    assert Story().run(ticks=17, canary=(37, 0, 21.0)).d == Story().run(ticks=17, canary=(37, 0, 21.0)).d
