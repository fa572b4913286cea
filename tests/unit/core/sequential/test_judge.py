"""The judge's stories: what it finds, what it lets pass, and what it says."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import replace
from math import inf, nan
from pathlib import Path

import pytest

from serinus.core.analysis.sequential.judge import MOST_STRATA, Counts, Judge, Moment, Pair
from serinus.core.analysis.sequential.plan import ErrorHarm, Finding, MetricHarm, Plan

_spec = importlib.util.spec_from_file_location("worlds", Path(__file__).with_name("worlds.py"))
worlds = sys.modules.setdefault("worlds", importlib.util.module_from_spec(_spec))
if not hasattr(worlds, "World"):
    _spec.loader.exec_module(worlds)
Side, moments, plain, tell = worlds.Side, worlds.moments, worlds.plain, worlds.tell

ERRORS_ONLY = Plan(latency=None)


def judged(world, windows, plan=ERRORS_ONLY, seed=1, **options):
    """Tell one world to a fresh judge."""
    return tell(Judge(plan), moments(world, windows, seed, **options))


def test_a_healthy_canary_stays():
    """Twenty rollouts of 45 minutes, none is called harmful; and in the end most are safe."""
    told = [judged(plain(Side(requests=200)), 270, seed=seed) for seed in range(20)]
    assert [t.found for t in told] == [None] * 20
    assert sum(t.last.finding is Finding.SAFE for t in told) >= 15


def test_three_times_the_errors_are_found():
    """0.3 % → 0.9 % at a tenth of 200 requests a second: within 25 minutes, and said with numbers."""
    told = [judged(plain(Side(requests=200, rate=0.009)), 150, seed=seed) for seed in range(20)]
    assert all(t.found is not None for t in told)
    sentence = told[0].last.sentence
    assert sentence.startswith("errors: ")
    assert " at the canary against " in sentence


@pytest.mark.parametrize("rate", [0.0, 0.003, 0.3], ids=["stable never fails", "sometimes", "often"])
def test_a_total_outage_is_found_in_one_window(rate):
    """Ten requests a second are enough, whatever stable's own rate is."""
    told = judged(plain(Side(requests=100, rate=1.0), Side(requests=900, rate=rate)), 5)
    assert told.found == 0
    assert told.last.sentence.startswith("errors: 100 % at the canary against")


def test_many_errors_are_found_on_a_busy_service():
    """500 canary requests a second of which a third fail: each window alone would be proof."""
    told = judged(plain(Side(requests=5000, rate=0.3), Side(requests=15000)), 10)
    assert told.found is not None
    assert told.found <= 3


def test_errors_beside_a_stable_that_never_fails_are_found():
    """Five of a hundred fail where none ever did."""
    told = judged(plain(Side(requests=100, rate=0.05), Side(requests=900, rate=0.0)), 10)
    assert told.found is not None
    assert told.last.sentence.endswith("at the canary against 0 % at stable.")


def test_a_few_more_errors_are_tolerated_where_stable_hardly_fails():
    """0.05 % → 0.1 % is twice as many and within the tolerated 0.1 points: no harm, at any certainty."""
    world = plain(Side(requests=500, rate=0.001), Side(requests=1500, rate=0.0005))
    told = [judged(world, 180, seed=seed) for seed in range(10)]
    assert [t.found for t in told] == [None] * 10
    strict = Plan(latency=None, errors=ErrorHarm(points=0.0))
    assert sum(judged(world, 180, strict, seed=seed).found is not None for seed in range(10)) >= 8


def test_an_outage_of_both_sides_is_not_the_canarys():
    """Their common database is away: everything fails everywhere, and nobody is blamed."""
    both = Side(requests=100, rate=1.0)
    told = judged(lambda n: {"": (replace(both, requests=900), both)}, 30)
    assert told.found is None


def test_another_mix_of_endpoints_is_no_harm():
    """The canary gets nine times as many of the requests that always fail more often."""

    def world(n):
        return {
            "/search": (Side(requests=900, rate=0.002), Side(requests=50, rate=0.002)),
            "/import": (Side(requests=100, rate=0.10), Side(requests=450, rate=0.10)),
        }

    told = judged(world, 120)
    assert told.found is None
    assert told.last.checks[0].canary > 3 * told.last.checks[0].stable


def test_an_easier_mix_hides_no_harm_and_the_endpoint_is_named():
    """The canary fails three times as often where it matters, and less in total."""

    def world(n):
        return {
            "/search": (Side(requests=100, rate=0.002), Side(requests=450, rate=0.002)),
            "/import": (Side(requests=900, rate=0.05), Side(requests=50, rate=0.15)),
        }

    told = judged(world, 60)
    assert told.found is not None
    assert "/import" in told.last.sentence
    assert {s.stratum for s in told.last.slices} == {"/import"}


def test_one_bad_endpoint_among_ten_is_named_with_its_own_numbers():
    """A tenth of the requests fail at one of ten endpoints."""

    def world(n):
        healthy = {f"/e{k}": (Side(requests=180), Side(requests=20)) for k in range(9)}
        return {**healthy, "/pay": (Side(requests=180), Side(requests=20, rate=0.1))}

    told = judged(world, 60)
    assert told.found is not None
    assert told.last.slices[0].stratum == "/pay"
    assert told.last.slices[0].canary > 0.05 > 0.02 > told.last.slices[0].stable
    assert "/pay" in told.last.sentence


def test_common_drift_and_bursts_are_no_harm():
    """Errors grow thirtyfold for two minutes, on both sides."""

    def world(n):
        rate = 0.1 if 20 <= n < 32 else 0.003
        return {"": (Side(requests=1500, rate=rate), Side(requests=500, rate=rate))}

    assert judged(world, 90).found is None


@pytest.mark.parametrize("size", [3, 6])
def test_retry_clusters_are_no_harm(size):
    """One failure is retried three or six times: 15 healthy rollouts of half an hour, none is called."""
    world = plain(Side(requests=200, rate=0.006, cluster=size), Side(requests=1800, rate=0.006, cluster=size))
    assert [judged(world, 180, seed=seed).found for seed in range(15)] == [None] * 15


def fed(*failed, stable=6):
    """Return the answer after windows in which so many of 20 canary and 1,980 stable requests failed."""
    judge = Judge(ERRORS_ONLY)
    for at, errors in enumerate(failed):
        pair = Pair(stable=Counts(1980, stable), canary=Counts(20, errors))
        answer = judge.feed(Moment(start=at * 10, seconds=10, strata={"": pair}))
    return answer


def test_two_windows_with_a_retried_failure_each_are_no_pattern():
    """Four failures in each of two windows may be two; a third window with some is one too many."""
    assert fed(4, 4).evidence >= 100
    assert fed(4, 4).finding is Finding.NOT_YET
    assert fed(4, 4, 2).finding is Finding.HARM
    assert fed(18).finding is Finding.HARM


def test_failures_that_came_together_are_little_evidence_before_it_is_known_how_clustered_errors_are():
    """Three failures in one of the first three windows may be one, retried; one in each of them are three."""
    assert fed(3, 0, 0).evidence < fed(1, 1, 1).evidence / 6


def test_retries_in_the_first_windows_are_little_evidence_where_stable_fails_often():
    """One request in fifty fails. Three retried failures in half a minute are not nine failures yet."""
    assert fed(3, 3, 3, stable=40).finding is Finding.NOT_YET
    assert fed(3, 3, 3, 3, stable=40).finding is Finding.HARM


def test_errors_reported_a_minute_late_are_no_harm():
    """Both sides' errors arrive six windows after their requests, in windows with other traffic."""

    def world(n):
        canary = 50 if n < 30 else 500
        late = 50 if n < 36 else 500
        return {"": (Side(requests=2000, rate=0.003), Side(requests=canary, rate=0.003 * late / canary))}

    assert [judged(world, 90, seed=seed).found for seed in range(10)] == [None] * 10


def test_a_late_fault_is_found_about_as_fast_as_an_early_one():
    """Three times the errors from minute 30 on, or from the start."""
    early = [judged(plain(Side(requests=500, rate=0.009)), 270, seed=s).found for s in range(10)]
    late = [judged(plain(Side(requests=500, rate=0.009), since=180), 270, seed=s).found for s in range(10)]
    assert all(n is not None for n in (*early, *late))
    assert min(late) >= 180
    assert sum(late) / 10 - 180 < 3 * (sum(early) / 10 + 1)


SLOW = Plan(errors=None, warm_up=60.0)


def slow(factor, windows=40, seed=1, requests=150, since=0, plan=SLOW):
    """Tell of a canary that is slower by a factor."""
    stable = Side(requests=4 * requests, ms=20.0)
    world = plain(Side(requests=requests, slower=factor, ms=20.0), stable, since)
    return judged(world, windows, plan, seed)


def test_a_slower_canary_is_found():
    """A fifth slower, after the warm-up, with its milliseconds."""
    told = slow(1.2)
    assert told.found is not None
    assert told.found >= 6
    assert told.last.sentence.startswith("latency: 2")
    assert " ms typically." in told.last.sentence


@pytest.mark.parametrize("seed", [2, 4])
def test_pods_that_wander_for_two_minutes_are_no_harm(seed):
    """7.5 % slower for a while, at 100 requests a second: surely different, and then it is over."""

    def world(n):
        factor = 1.075 if 30 <= n < 42 else 1.0
        return {"": (Side(requests=3000, ms=20.0), Side(requests=1000, ms=20.0, slower=factor))}

    told = judged(world, 60, SLOW, seed)
    assert max(answer.evidence for answer in told.answers) > 100
    assert told.found is None


def test_a_much_slower_canary_is_found_at_high_traffic():
    """Half as slow again at 1,500 requests a window, each of which would be proof enough."""
    told = slow(1.5, requests=1500, windows=20)
    assert told.found is not None
    assert told.found <= 12


def test_one_percent_slower_is_tolerated():
    """Surely different at 4,000 requests a window, and no harm."""
    assert slow(1.01, windows=60, requests=800).found is None


def test_slow_for_two_minutes_then_equal_is_no_harm():
    """A cold start: within the declared warm-up nothing counts, and a little longer is forgiven."""

    def world(n):
        factor = 3.0 if n < 12 else 1.0
        return {"": (Side(requests=600, ms=20.0), Side(requests=150, ms=20.0, slower=factor))}

    plan = Plan(errors=None, warm_up=90.0)
    told = judged(world, 40, plan)
    assert told.found is None
    assert told.answers[2].sentence == "latency: warming up, 60 s left."


def test_each_step_warms_up_anew():
    """A canary that is slow for the first windows of a step is given its time."""
    judge = Judge(SLOW)
    for moment in moments(plain(Side(requests=150, ms=20.0)), 20):
        judge.feed(replace(moment, step="5 %"))
    for moment in moments(plain(Side(requests=150, slower=3.0, ms=20.0)), 6, seed=2):
        answer = judge.feed(replace(moment, start=200 + moment.start, step="25 %"))
    assert answer.finding is not Finding.HARM
    assert answer.step_requests == 900


def test_a_service_without_latencies_is_judged_by_its_errors():
    """The default plan looks at both; what is not there is said."""
    told = judged(plain(Side(requests=200)), 30, Plan())
    assert told.last.checks[1].sentence == "latency: nothing measured on both sides yet"
    assert judged(plain(Side(requests=200, rate=0.1)), 30, Plan()).found is not None


@pytest.mark.parametrize(("stable", "canary"), [(1800, 0), (0, 200), (0, 0)])
def test_one_side_alone_says_nothing(stable, canary):
    """A side without requests is no side without errors; after a while the set-up is warned of."""
    sides = (Side(requests=stable, rate=0.01), Side(requests=canary, rate=1.0))
    told = judged(lambda n: {"": sides}, 12, Plan())
    assert told.last.finding is Finding.NOT_YET
    assert told.last.sentence.startswith("errors: no requests on both sides yet")
    assert told.last.warnings == ("12 of 12 windows had requests on one side only",)
    assert (told.last.canary_seen, told.last.stable_seen) == (120 * (canary > 0), 120 * (stable > 0))


def test_alone_at_full_traffic_an_outage_is_found():
    """No live stable is left: against its recorded history."""
    judge = Judge(ERRORS_ONLY)
    for moment in moments(plain(Side(requests=1000), Side(requests=1000)), 60):
        judge.feed(moment)
    for moment in moments(plain(Side(requests=2000)), 60, seed=2):
        alone = {"": Pair(canary=moment.strata[""].canary)}
        answer = judge.feed(replace(moment, start=600 + moment.start, strata=alone, alone=True))
    assert answer.finding is not Finding.HARM
    assert answer.checks[-1].sentence.endswith("within 2 × of what was recorded")
    bad = {"": Pair(canary=Counts(2000, 400))}
    answer = judge.feed(Moment(start=1200, seconds=10, strata=bad, alone=True))
    assert answer.finding is Finding.HARM
    assert "more than 2 × drift explains" in answer.sentence


def test_at_low_traffic_the_watch_still_says_safe():
    """One request a second: a minute and a half of it is enough to have an opinion."""
    judge = Judge(ERRORS_ONLY)
    for n in range(60):
        judge.feed(Moment(start=n * 10, seconds=10, strata={"": Pair(Counts(9), Counts(1))}))
    for n in range(60, 72):
        moment = Moment(
            start=n * 10, seconds=10, strata={"": Pair(canary=Counts(10))}, step="100", alone=True
        )
        answer = judge.feed(moment)
    assert answer.checks[-1].finding is Finding.SAFE


METRIC = Plan(errors=None, latency=None, metrics=(MetricHarm(name="queue"),))


def gauge(values, plan=METRIC):
    """Feed readings (canary, stable) of the queue."""
    judge = Judge(plan)
    for n, reading in enumerate(values):
        pair = Pair(Counts(900), Counts(100))
        moment = Moment(start=n * 10, seconds=10, strata={"": pair}, metrics={"queue": reading})
        answer = judge.feed(moment)
    return judge, answer


def test_a_worse_gauge_is_harm_and_a_better_one_is_safe():
    """A third longer, or shorter, with noise of a tenth."""
    noise = [0.1 * ((7 * n) % 11 - 5) for n in range(40)]
    _, worse = gauge([(13 + e, 10 - e) for e in noise])
    assert worse.sentence == "queue: 13.01 at the canary against 9.995 at stable, worse than tolerated."
    _, better = gauge([(8 + e, 10 - e) for e in noise])
    assert better.finding is Finding.SAFE


def test_readings_that_are_no_numbers_count_as_missing():
    """NaN, infinities and the absurd leave no trace, and the state stays JSON."""
    judge, answer = gauge([(nan, 1.0), (1.0, inf), (-inf, nan), (1e300, 1.0)])
    assert answer.sentence == "queue: not reported yet."
    assert "NaN" not in judge.state()


def test_a_wrong_split_is_warned_of():
    """5 % configured, 10 % arrive: said after a while, and no verdict on the canary."""
    told = judged(plain(Side(requests=200)), 60, share=0.05)
    assert told.found is None
    assert told.last.warnings == (
        "the canary gets 100 % more traffic than configured: check the split before trusting the comparison",
    )
    assert judged(plain(Side(requests=200)), 60, share=0.1).last.warnings == ()


def test_versions_that_share_a_budget_need_more_evidence():
    """Five candidates: five times the evidence, so that all together stay within 1 %."""
    one = judged(plain(Side(requests=200, rate=0.009)), 150)
    five = judged(plain(Side(requests=200, rate=0.009)), 150, replace(ERRORS_ONLY, candidates=5))
    assert (one.last.needed, five.last.needed) == (100, 500)
    assert one.found <= five.found


def test_the_budget_is_seen_being_used_up():
    """1 % at the start, all of it when harm is called, never less than before."""
    used = [a.budget_used for a in judged(plain(Side(requests=200, rate=0.009)), 150).answers]
    assert used == sorted(used)
    assert used[0] <= 0.05
    assert used[-1] == 1.0


def test_it_says_how_long_until_it_knows_and_when_that_is_too_late():
    """Few requests: the number that is missing, and that they will not come in time."""
    judge = Judge(ERRORS_ONLY)
    moment = Moment(start=0, seconds=10, strata={"": Pair(Counts(90), Counts(10))})
    assert judge.feed(moment, left=1e9).finding is Finding.NOT_YET
    answer = judge.answer(left=60)
    assert answer.finding is Finding.CANNOT_TELL
    assert answer.checks[0].seconds_needed > 60
    assert "cannot tell in time: " in answer.sentence


def test_more_endpoints_than_can_be_told_apart():
    """Thousands of paths: the busiest are kept apart, the rest is one; nothing grows without end."""
    judge = Judge(ERRORS_ONLY)
    for n in range(5):
        strata = {f"/user/{n}/{k}": Pair(Counts(9), Counts(1)) for k in range(1000)}
        strata["/pay"] = Pair(Counts(900), Counts(100, 50))
        answer = judge.feed(Moment(start=n * 10, seconds=10, strata=strata))
    assert len(judge.book.parts) <= MOST_STRATA + 1
    assert answer.slices[0].stratum == "/pay"


def test_a_stratum_that_comes_later_has_its_stake():
    """However many came first, the stakes never sum to more than was there."""
    judge = Judge(ERRORS_ONLY)
    for n, names in enumerate((20, 25, 30)):
        strata = {f"/e{k:02}": Pair(Counts(90), Counts(10)) for k in range(names)}
        judge.feed(Moment(start=n * 10, seconds=10, strata=strata))
    stakes = list(judge.book.stakes.values())
    assert stakes[20] == pytest.approx(0.05)
    assert sum(stakes) <= 1.0


def test_the_order_of_time_may_stutter():
    """A window twice, one from before, one of no length: counted, never an error."""
    judge = Judge()
    for start, seconds in ((0, 10), (0, 10), (-50, 10), (20, 0), (10, 10)):
        answer = judge.feed(Moment(start=start, seconds=seconds, strata={"": Pair(Counts(90), Counts(10))}))
    assert answer.step_requests == 50


def test_a_second_endpoint_brings_no_new_capital():
    """When traffic is first seen to be split, what there is is divided: nothing is added to it."""
    judge = Judge(ERRORS_ONLY)
    for at in range(30):
        judge.take(Moment(start=at * 10, seconds=10, strata={"/a": Pair(Counts(900, 9), Counts(100, 0))}))
    before = judge.answer().evidence
    nothing = Pair(Counts(900, 0), Counts(100, 0))
    judge.take(Moment(start=300, seconds=10, strata={"/a": nothing, "/b": nothing}))
    assert before < 0.5
    # A tenth of the strata's part waits for those that come later still.
    assert 0.95 * before < judge.answer().evidence <= before
