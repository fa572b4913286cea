"""The judge as the API, the terminal and the notifications show it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from answers import ALONE, ERRORS_EARLY, HARM, LATENCY_SAFE, NOT_YET, SAFE
from serinus.cli.judged import brief, judge_lines, plan_words, watch_line
from serinus.control.showing import exposition, judge_words, judgement, views
from serinus.control.telling import facts
from serinus.core.analysis.evidence import Arm
from serinus.core.analysis.sequential.answer import CheckAnswer
from serinus.core.analysis.sequential.estimate import Interval
from serinus.core.analysis.sequential.plan import Finding, MetricHarm, Plan
from serinus.core.analysis.verdict import Outcome, Verdict
from serinus.core.codec import to_json
from serinus.core.histogram import Histogram
from serinus.core.model import Status
from serinus.core.policy.presets import RULESETS, SEQUENTIAL
from stories import NOON, draft


def judged(answer=None, **changes):
    """Return a running deployment with a judge's answer."""
    running = {"status": Status.CANARY, "started_at": NOON, "traffic_bp": 1000}
    return draft(policy=SEQUENTIAL, answer=answer, **{**running, **changes})


def arm(requests: int, errors: int) -> Arm:
    """Return one side's totals."""
    latency = Histogram()
    latency.record(50.0, requests)
    return Arm(requests=requests, errors=errors, latency=latency)


def test_fixed_thresholds_have_no_judge_and_a_judge_without_an_answer_says_so():
    """The two are told apart: no judge, and nothing to compare yet."""
    assert views.deployment_view(draft(policy=RULESETS))["judge"] is None
    view = views.deployment_view(judged())["judge"]
    assert (view["finding"], view["headline"], view["checks"]) == ("not_yet", "Nothing to compare yet", [])
    assert "state" not in str(view)


def test_a_check_has_both_sides_the_interval_and_the_marks_it_is_read_against():
    """And how much longer it has to look, for the check and for the whole."""
    view = judgement.judge_view(judged(NOT_YET))
    errors, latency = view["checks"]
    assert (errors["estimate"], errors["low"], errors["high"]) == (1.03, 0.38, 2.8)
    assert errors["tolerated"] == pytest.approx(1.333, abs=0.001), "0.1 points of 0.3 % are a third"
    assert (errors["worth_finding"], latency["tolerated"], latency["worth_finding"]) == (2.0, 1.05, 1.1)
    assert (view["requests_needed"], view["seconds_needed"]) == (1840, 370.0)
    assert view["warnings"] == list(NOT_YET.warnings)


def test_nothing_is_known_of_the_time_when_one_check_does_not_know_it():
    """The time to decision is that of the slowest check."""
    unknown = replace(LATENCY_SAFE, finding=Finding.NOT_YET, requests_needed=None, seconds_needed=None)
    view = judgement.judge_view(judged(replace(NOT_YET, checks=(ERRORS_EARLY, unknown))))
    assert (view["requests_needed"], view["seconds_needed"]) == (None, None)
    assert judge_words.needs_text(view) == ""


def test_alone_at_100_percent_the_comparison_is_over():
    """What the check against the record says counts; the others are what they were."""
    early = replace(ALONE, finding=Finding.NOT_YET, checks=(ERRORS_EARLY, *ALONE.checks[1:]))
    view = judgement.judge_view(judged(early))
    assert (view["finding"], view["requests_needed"]) == ("safe", 0)
    assert view["headline"] == "Everyone is on it: no worse than what was recorded of stable"
    assert [c["over"] for c in view["checks"]] == [True, True, False]
    assert view["checks"][2]["tolerated"] == 2.0


def test_a_metric_is_a_difference_with_what_is_tolerated_on_its_bad_side():
    """Conversion may fall by 5 %, no more."""
    plan = Plan(metrics=(MetricHarm(name="conversion", higher_is_better=True),))
    check = CheckAnswer(
        check="conversion",
        finding=Finding.NOT_YET,
        sentence="…",
        canary=0.038,
        stable=0.04,
        interval=Interval(estimate=-0.002, low=-0.004, high=0.001),
    )
    view = judgement.answer_view(replace(NOT_YET, checks=(check,)), plan)["checks"][0]
    assert (view["scale"], view["tolerated"]) == ("difference", pytest.approx(-0.002))
    assert judge_words.interval_text(view) == "−0.002 (−0.004 to +0.001)"


def test_only_bounds_that_leave_out_no_difference_are_significant():
    """Better or worse: what counts is that it is sure."""
    assert [judgement.surely_differs(a) for a in (None, NOT_YET, SAFE, HARM)] == [False, False, False, True]
    faster = replace(LATENCY_SAFE, interval=Interval(estimate=0.8, low=0.7, high=0.9))
    assert judgement.surely_differs(replace(SAFE, checks=(faster,)))


GATE = (Verdict(check="breaker", outcome=Outcome.PASS, message="breaker: closed"),)
UNMET = (Verdict(check="breaker", outcome=Outcome.FAIL, message="breaker: open (must be closed)"),)


@pytest.mark.parametrize(
    ("answer", "gate", "recommendation", "reason"),
    [
        (HARM, GATE, "rollback", "errors: 8 % at the canary"),
        (SAFE, GATE, "promote", "every condition of the promotion gate is met".replace("every", "Every")),
        (SAFE, UNMET, "wait", "breaker: open"),
        (NOT_YET, GATE, "wait", "1,840 more canary requests, about 6 min"),
        (None, GATE, "wait", "Nothing to compare yet."),
    ],
)
def test_the_recommendation_is_the_judges(answer, gate, recommendation, reason):
    """Harm goes back, safe goes on when the gate is met, and everything else waits and says how long."""
    view = views.comparison_view(judged(answer), arm(9000, 27), arm(960, 3), gate)
    assert view["comparison"]["recommendation"] == recommendation
    assert reason in view["comparison"]["reason"]
    assert view["analysis"]["significant_difference"] is (answer is HARM)
    if answer is NOT_YET:
        assert view["comparison"]["seconds_needed"] == 370.0


def test_what_is_promoted_is_not_promoted_again():
    """Its watch is what is left."""
    watched = judged(ALONE, status=Status.ACTIVE, phase="watching", ended_at=NOON, sentence="v2 promoted.")
    view = views.comparison_view(watched, arm(9000, 27), arm(960, 3), GATE)
    assert (view["comparison"]["recommendation"], view["comparison"]["reason"]) == ("wait", "v2 promoted.")


def test_the_watch_says_until_when_and_against_what():
    """And nothing once it is over."""
    watched = judged(ALONE, status=Status.ACTIVE, phase="watching", ended_at=NOON)
    assert judgement.watch_view(watched, NOON + timedelta(minutes=10)) == {
        "until": "2026-01-31T12:30:00.000Z",
        "seconds": 1800.0,
        "seconds_left": 1200.0,
        "compared_with": "what was recorded of v1 before the promotion",
    }
    assert judgement.watch_view(replace(watched, phase="active")) is None
    assert facts.watch_words(watched) == (
        "It is watched for another 30 min against what was recorded of v1 before the promotion, "
        "and rolled back if it is worse."
    )


def test_metrics_have_the_finding_the_budget_and_the_time_to_decision():
    """Only of what rolls out or is watched, and with metric names as labels, escaped."""
    odd = replace(ERRORS_EARLY, check='say "hi"\\', seconds_needed=None)
    text = exposition.render([(judged(replace(NOT_YET, checks=(odd, *NOT_YET.checks))), ())])
    for line in (
        'serinus_judge_budget_used_ratio{deployment_id="dep_1"} 0.03',
        'serinus_judge_finding{deployment_id="dep_1",finding="not_yet"} 1',
        'serinus_judge_finding{deployment_id="dep_1",finding="harm"} 0',
        'serinus_judge_check_finding{deployment_id="dep_1",check="latency",finding="safe"} 1',
        'serinus_judge_evidence{deployment_id="dep_1",check="say \\"hi\\"\\\\"} 0.9',
        'serinus_judge_seconds_to_decision{deployment_id="dep_1",check="errors"} 370',
        'serinus_judge_seconds_to_decision{deployment_id="dep_1",check="latency"} 0',
    ):
        assert f"{line}\n" in text
    assert 'seconds_to_decision{deployment_id="dep_1",check="say' not in text
    assert "serinus_judge_finding{" not in exposition.render([(judged(HARM, status=Status.ROLLED_BACK), ())])


def test_a_harm_is_told_with_its_numbers_and_where_it_is_worst():
    """Metric, both sides, interval, and the three worst slices."""
    assert facts.harm_facts(judged(HARM)) == (
        ("Metric", "errors"),
        ("Both sides", "v2 8 %, v1 0.4 %"),
        ("Canary to stable", "20 × (9 to 44 ×), 95 % sure, at every look"),
        (
            "Worst in",
            (
                "• /pay region=eu: errors 31 % against 0.4 %, 77 × (by chance: 1 in 4,100)\n"
                "• /cart: errors 2 % against 0.4 %, 5 × (by chance: 1 in 12)\n"
                "• /slow: latency, +40 % (by chance: below 1 in a million)"
            ),
        ),
    )
    assert facts.harm_facts(judged(SAFE)) == facts.harm_facts(draft(policy=RULESETS)) == ()


def test_a_warning_carries_the_judges_sentence_and_the_time_to_decision():
    """Nothing where no judge speaks."""
    assert facts.sentence_facts(judged(NOT_YET)) == (
        ("Judge", NOT_YET.sentence),
        ("Time to decision", "needs 1,840 more canary requests, about 6 min"),
    )
    assert facts.sentence_facts(draft(policy=RULESETS)) == ()


def plain(lines: list[str]) -> list[str]:
    """Return lines as a terminal without colour shows them."""
    from rich.text import Text

    return [Text.from_markup(line).plain for line in lines]


def test_the_terminal_has_a_line_per_check_and_fits_80_columns():
    """Word and sign, never a colour alone; both sides below; then the budget."""
    view = views.deployment_view(judged(NOT_YET))
    lines = plain(judge_lines(view["judge"], view))
    assert lines == [
        "judge  … No harm seen so far; too early to call it safe",
        "  ├─ … errors    1 × (0.38 to 2.8 ×)        too early",
        "  │    v2 0.31 %, v1 0.3 %",
        "  │    needs 1,840 more canary requests, about 6 min",
        "  ├─ ✔ latency   −1.0 % (−4.0 to +2.0 %)    safe",
        "  │    v2 49.5 ms, v1 50.0 ms",
        "  └─ ━─────────────────── 3 % of the error budget used; sure in about 6 min",
    ]
    harm = views.deployment_view(judged(HARM))
    lines = plain(judge_lines(harm["judge"], harm))
    assert lines[0] == "judge  ✘ Harm: the canary is worse than tolerated"
    assert "  where it hurts" in lines
    assert max(len(line) for line in lines) <= 80
    assert brief(view["judge"]) == "… too early"
    assert brief(harm["judge"]) == "✘ harm, 100 % of budget"


def test_the_terminal_names_the_watch_and_the_plan():
    """For what follows a promotion, and for a dry run."""
    watch = {"until": "2026-01-31T12:30:00.000Z", "seconds_left": 1200.0, "compared_with": "the record of v1"}
    assert plain([watch_line(watch)]) == [
        "◉ watched for another 20 min, against the record of v1; worse rolls back"
    ]
    assert "until 12:30 UTC" in watch_line({**watch, "seconds_left": None})
    assert plan_words(to_json(Plan())) == (
        "judge: errors 2 ×, latency +10 % found or excluded (95 % sure), wrong rollback at most 1 %"
    )


def test_what_has_ended_waits_for_nothing():
    """A canary that was rolled back by hand needs no more requests."""
    view = views.deployment_view(judged(NOT_YET, status=Status.ROLLED_BACK))
    assert (view["judge"]["requests_needed"], view["judge"]["checks"][0]["requests_needed"]) == (0, None)
    assert plain(judge_lines(view["judge"], view))[-1].endswith("3 % of the error budget used")


def test_a_certain_but_tolerated_difference_is_not_called_a_spent_budget():
    """It would look like a rollback that did not happen."""
    view = views.deployment_view(judged(replace(SAFE, budget_used=1.0)))
    assert plain(judge_lines(view["judge"], view))[-1].endswith(
        "it surely differs, but no more than is tolerated"
    )


def test_what_looks_like_a_contradiction_is_explained():
    """A harm beside good numbers, and "safe" beside an interval that reaches further."""
    alone = replace(ALONE.checks[2], finding=Finding.HARM)
    view = judgement.judge_view(judged(replace(ALONE, finding=Finding.HARM, checks=(alone,))))
    assert view["checks"][0]["estimate"] is None
    assert view["checks"][0]["note"] == "it is the latency: errors are within what is tolerated"
    wide = replace(SAFE.checks[0], interval=Interval(estimate=1.0, low=0.4, high=2.4))
    view = judgement.judge_view(judged(replace(SAFE, checks=(wide,))))
    assert view["checks"][0]["note"].startswith("excluded by the test for just this size")


def test_before_the_first_request_it_does_not_say_that_it_will_be_too_late():
    """Without a rate there is nothing to project."""
    early = replace(ERRORS_EARLY, finding=Finding.CANNOT_TELL, interval=None, canary=None, stable=None)
    view = judgement.judge_view(
        judged(replace(NOT_YET, finding=Finding.CANNOT_TELL, checks=(early,), requests=0))
    )
    assert (view["finding"], view["headline"]) == ("not_yet", "Nothing to compare yet")
    assert view["checks"][0]["finding"] == "not_yet"


def test_without_an_interval_it_says_why():
    """Warming up is not the same as nothing measured."""
    warming = replace(
        LATENCY_SAFE, finding=Finding.NOT_YET, interval=None, sentence="latency: warming up, 100 s left"
    )
    answer = replace(NOT_YET, checks=(warming,))
    view = views.deployment_view(judged(answer))
    assert view["judge"]["checks"][0]["note"] == "warming up, 100 s left"
    assert "  │    warming up, 100 s left" in plain(judge_lines(view["judge"], view))
    ended = views.deployment_view(judged(answer, status=Status.ROLLED_BACK))
    assert ended["judge"]["checks"][0]["note"] == ""
