"""Whole rollouts under the sequential judge, tick by tick."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import timedelta

import pytest

from serinus.core.analysis.checks import OnNoData, Policy
from serinus.core.analysis.evidence import Evidence
from serinus.core.analysis.sequential.plan import Finding, Plan, StepUp, Unsure
from serinus.core.codec import from_json, to_json
from serinus.core.lifecycle import moves
from serinus.core.model import Deployment, Mode, Status, Step, Stickiness, Strategy, Waiting
from serinus.core.policy.order import on_verge
from serinus.core.policy.presets import SEQUENTIAL
from stories import Story, draft


def judged(plan: Plan | None = None, *, hold: float = 300.0, auto: bool = True, **policy) -> Deployment:
    """Return a draft under the sequential policy: 5, 25, 100 %, five minutes each."""
    steps = tuple(Step(traffic_bp=bp, hold_seconds=hold) for bp in (500, 2500, 10_000))
    return draft(
        strategy=Strategy(mode=Mode.AUTO, steps=steps, stickiness=Stickiness.HASH, auto_promote=auto),
        policy=replace(
            SEQUENTIAL, judge=plan or Plan(watch=600.0), gate=(), gate_majority_seconds=0, **policy
        ),
    )


class Traffic:
    """Seeded requests on both sides of a story, by its share."""

    def __init__(self, story: Story, seed: int = 1, requests: int = 2000, rate: float = 0.003) -> None:
        self.story, self.rnd, self.requests, self.rate = story, random.Random(seed), requests, rate

    def errors(self, requests: int, rate: float) -> int:
        """Draw them."""
        return sum(self.rnd.random() < rate for _ in range(requests))

    def tick(self, ticks: int = 1, times: float = 1.0, slower: float = 1.0) -> Story:
        """Serve ten seconds and look, again and again; the canary fails ``times`` as often."""
        for _ in range(ticks):
            d = self.story.d
            if d.status not in (Status.CANARY, Status.ACTIVE):
                break
            canary = self.requests * (d.weight_bp or 0) // 10_000
            for side, n, rate, factor in (
                ("canary", canary, self.rate * times, slower),
                ("stable", self.requests - canary, self.rate, 1.0),
            ):
                if n:
                    self.story.serve(side, n, self.errors(n, rate), 20.0 * factor)
            self.story.tick()
        return self.story


def test_a_healthy_canary_walks_to_everyone_and_is_watched():
    """5 → 25 → 100 %, promoted, watched for ten minutes, kept; each sentence says what is known."""
    story = Traffic(Story(judged())).tick(100)
    assert story.d.status is Status.ACTIVE
    assert moves.under_watch(story.d)
    assert [line.split(" passed:")[0] for line in story.timeline[:2]] == ["5 %", "25 %"]
    Traffic(story, seed=2).tick(65)
    assert story.d.phase == "active"
    assert story.d.sentence.startswith("Watched for 10 min after promotion, and kept: at 100 %: ")


def test_a_watch_without_requests_does_not_claim_to_have_seen_any():
    """Nothing was measured after the promotion by hand, and that is what it says."""
    story = Traffic(Story(judged(auto=False))).tick(35)
    story.ask(moves.promote)
    for _ in range(70):
        story.tick()
    assert story.d.sentence == "Watched for 10 min after promotion, and kept: nothing was measured."


def test_a_fault_after_promotion_is_rolled_back():
    """The same judge goes on: thirty times the errors, two minutes after everyone is on it."""
    story = Traffic(Story(judged())).tick(112)
    assert story.d.status is Status.ACTIVE
    Traffic(story, seed=2).tick(10, times=30)
    assert (story.d.status, story.told[-1]) == (Status.ROLLED_BACK, "rollback")
    assert "after promotion: at 100 %: " in story.timeline[-1]


def test_adaptive_is_faster_than_the_schedule():
    """A busy, healthy service: up as soon as what could harm at the next share is excluded."""
    fast = Traffic(Story(judged(Plan(step_up=StepUp.ADAPTIVE, latency=None))), requests=4000).tick(50)
    slow = Traffic(Story(judged(Plan(latency=None))), requests=4000).tick(50)
    assert fast.d.traffic_bp > slow.d.traffic_bp
    assert slow.d.traffic_bp == 2500


@pytest.mark.parametrize("missing", ["canary", "stable"])
def test_without_data_nothing_passes(missing):
    """It holds at the first step, says which side is missing and since when, and tells people once."""
    story = Story(judged())
    for _ in range(45):
        story.serve("stable" if missing == "canary" else "canary", 400).serve(missing, 0).tick()
    assert (story.d.traffic_bp, story.d.phase, story.told) == (500, "holding:no-data", ["warning"])
    assert f"no requests of {missing} yet" in story.d.sentence


def test_data_that_stops_is_said_with_its_age():
    """The canary's last request was three minutes ago."""
    story = Traffic(Story(judged())).tick(10)
    for _ in range(18):
        story.serve("stable", 1900).tick()
    assert "no requests of canary for 3 min" in story.d.verdicts[0].message


def test_looking_between_two_windows_is_no_blindness():
    """Every two seconds: the open window has only stable so far, the closed ones had both."""
    story = Story(judged())
    for n in range(100):
        if n % 5 == 0:
            story.serve("stable", 1900)
        if n % 5 == 4:
            story.serve("canary", 100)
        story.tick(2)
        assert not any("no requests of" in v.message for v in story.d.verdicts)


def test_no_data_rolls_back_after_its_deadline_where_the_policy_says_so():
    """``on_no_data: rollback``."""
    story = Story(judged(on_no_data=OnNoData.ROLLBACK, no_data_deadline_seconds=120))
    for _ in range(40):
        story.serve("stable", 400).tick()
    assert story.d.status is Status.ROLLED_BACK
    assert "no usable measurement for 120 s" in story.d.end_reason
    assert "no requests of canary" in story.d.end_reason


@pytest.mark.parametrize("rate", [0.0, 0.003])
def test_a_total_outage_is_gone_in_ten_seconds_without_the_breaker(rate):
    """Ten canary requests a second, all failing, looked at every two: the judge alone."""
    story = Story(judged(breaker=False))
    traffic = Traffic(story, rate=rate)
    for _ in range(5):
        story.serve("canary", 20, errors=20).serve("stable", 380, traffic.errors(380, rate)).tick(2)
        if story.d.status is Status.ROLLED_BACK:
            break
    assert story.d.status is Status.ROLLED_BACK
    assert "errors: 100 % at the canary against" in story.d.end_reason


def test_an_outage_in_the_middle_of_a_rollout():
    """Five minutes of health do not slow it down."""
    story = Traffic(Story(judged(breaker=False))).tick(40)
    story.serve("canary", 100, errors=100).serve("stable", 300).tick(10)
    assert story.d.status is Status.ROLLED_BACK


def test_a_cold_start_is_waited_out():
    """Three times as slow for the first minute and a half of each step."""
    story = Story(judged())
    traffic = Traffic(story)
    for _ in range(2):
        traffic.tick(9, slower=3.0)
        traffic.tick(21)
    assert story.d.status is Status.CANARY
    assert story.d.traffic_bp >= 2500


def test_a_slower_canary_is_rolled_back():
    """Half as slow again, after its warm-up."""
    story = Traffic(Story(judged(hold=600))).tick(60, slower=1.5)
    assert story.d.status is Status.ROLLED_BACK
    assert "latency: 5" in story.d.end_reason


def test_the_reason_names_the_endpoint():
    """What an on-call reads first."""
    story = Story(judged(breaker=False))
    rnd = random.Random(1)
    for _ in range(30):
        for label, rate in (("/search", 0.003), ("/pay", 0.2)):
            story.serve("stable", 900, sum(rnd.random() < 0.003 for _ in range(900)), label=label)
            story.serve("canary", 100, sum(rnd.random() < rate for _ in range(100)), label=label)
        story.tick()
    assert story.d.status is Status.ROLLED_BACK
    assert "/pay" in story.d.end_reason


def test_manual_mode_is_judged_all_the_same():
    """Nobody walks it, the judge watches it."""
    story = Traffic(Story(replace(judged(), strategy=Strategy()))).tick(90)
    assert (story.d.status, story.d.traffic_bp) == (Status.CANARY, 1000)
    assert story.d.sentence.startswith("At 10 %, moved by hand: ")
    Traffic(story, seed=2).tick(90, times=5)
    assert story.d.status is Status.ROLLED_BACK


def test_a_paused_rollout_still_rolls_back():
    """Pause stops the walk, not the judge."""
    story = Traffic(Story(judged())).tick(5)
    story.ask(moves.pause)
    Traffic(story, seed=2).tick(60, times=8)
    assert (story.d.status, story.d.paused) == (Status.ROLLED_BACK, False)


def test_holding_until_it_is_sure():
    """``unsure: hold`` waits at a step's end where too little was seen."""
    plan = Plan(unsure=Unsure.HOLD, latency=None)
    story = Traffic(Story(judged(plan)), requests=200).tick(40)
    assert (story.d.traffic_bp, story.d.phase) == (500, "holding:no-data")
    assert story.d.answer is not None
    assert story.d.answer.finding in (Finding.NOT_YET, Finding.CANNOT_TELL)


@pytest.mark.parametrize("times", [1.0, 3.0])
def test_a_restart_between_any_two_ticks_changes_nothing(times):
    """Stored as JSON and read back after every tick: the same deployment in the end, bit for bit."""
    plain, stored = Story(judged()), Story(judged())
    one, other = Traffic(plain), Traffic(stored)
    for _ in range(60):
        one.tick(times=times)
        other.tick(times=times)
        stored.d = from_json(Deployment, to_json(stored.d))
        assert stored.d == plain.d


def test_windows_of_half_an_hour_at_once_are_caught_up_with():
    """Nobody looked for a while: fed late rather than never, in order, once."""
    story = Story(judged(hold=3600))
    traffic = Traffic(story)
    regular = Story(judged(hold=3600))
    same = Traffic(regular)
    for _ in range(30):
        same.tick()
    for _ in range(30):
        story.serve("canary", 100, traffic.errors(100, 0.003))
        story.serve("stable", 1900, traffic.errors(1900, 0.003))
        story.now += timedelta(seconds=10)
    story.tick(0.0)
    assert story.d.judge == regular.d.judge
    assert story.d.judged_until == regular.d.judged_until


def test_thresholds_and_judge_work_together():
    """A policy without a judge keeps no state of one."""
    story = Story().run(ticks=5)
    assert (story.d.judge, story.d.answer) == ("", None)
    assert isinstance(story.d.policy, Policy)
    assert story.d.waiting is Waiting.NOTHING


def test_a_step_on_the_verge_of_harm_waits_until_that_has_faded_or_grown():
    """Errors rise shortly before the step's end: no more traffic comes until the judge knows."""
    fading, growing = (Traffic(Story(judged(Plan(latency=None), hold=600.0)), seed=5) for _ in range(2))
    for traffic, times in ((fading, 1.0), (growing, 12.0)):
        traffic.tick(54)
        d = traffic.tick(6, times=7.0).d
        assert (d.traffic_bp, d.phase) == (500, "holding:verge"), d.sentence
        assert "of the 100 that roll back" in d.sentence
        traffic.tick(40, times=times)
    assert fading.story.d.traffic_bp == 2500
    assert growing.story.d.status is Status.ROLLED_BACK


def test_the_verge_holds_for_as_long_again_as_the_step_at_most():
    """Evidence that neither fades nor grows does not hold for ever."""
    d = replace(judged(), policy=replace(judged().policy, breaker=False))
    story = Traffic(Story(d)).tick(25)
    seen = replace(story.d.answer, evidence=50.0)
    held = on_verge(replace(story.d, answer=seen, observed_seconds=301.0), Evidence(), story.now)
    assert held.next_state.phase == "holding:verge"
    assert on_verge(replace(story.d, answer=seen, observed_seconds=600.0), Evidence(), story.now) is None
