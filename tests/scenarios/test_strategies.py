"""Strategies, tick by tick: mixed steps and gates, previews, blue-green, mirrors, freezes, later starts."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from serinus.control.traffic import desired_split
from serinus.core.errors import Conflict, Forbidden, GateRefused, InvalidInput, TransitionRefused
from serinus.core.lifecycle import moves, scheduled
from serinus.core.lifecycle.back import go_back
from serinus.core.model import CanaryConfig, Mode, Role, Service, Status, Step, Strategy, Waiting
from serinus.core.policy.freezing import start_later
from serinus.core.policy.gate import promotion_gate
from serinus.core.policy.strategies import strategy_from
from serinus.ports.traffic import Match
from stories import NOON, Story, draft

SERVICE = Service(
    id="svc_1",
    tenant_id="ten_1",
    name="checkout",
    stable_version="v1",
    driver="envoy",
    upstreams={"v1": ("10.0.0.1:80",), "v2": ("10.0.0.2:80",)},
)


def planned(data: dict, **changes):
    """Return a draft with a strategy as a user writes it."""
    return draft(strategy=strategy_from(data, CanaryConfig()), **changes)


def percentages(*shares: float, hold: float = 20, **extra) -> list[dict]:
    """Return steps of 20 s; ``extra`` goes onto the first."""
    made = [{"traffic_percentage": s, "hold_seconds": hold} for s in shares]
    made[0] |= extra
    return made


# -- steps ---------------------------------------------------------------------------------------


def test_a_manual_step_waits_for_a_hand_and_the_walk_goes_on_from_there():
    """1 % by hand, then 25 % and 100 % by themselves."""
    story = Story(planned({"mode": "auto", "steps": percentages(1, 25, 100, manual=True)})).run(ticks=6)
    assert (story.d.waiting, story.d.traffic_bp, story.told) == (Waiting.MOVE, 100, ["waiting"])
    assert story.d.sentence == "Manual step: v2 waits at 1 % to be moved. 1 of 1 checks pass."
    story.ask(moves.shift, 2500).run(ticks=6)
    assert story.timeline == [
        "1 % passed: 1 of 1 checks pass. v2 waits at 1 % to be moved by hand.",
        "Traffic 1 % → 25 % by hand.",
        "25 % passed: 1 of 1 checks pass. Traffic → 100 %.",
        "100 % passed: 1 of 1 checks pass. v2 waits at 100 % to be promoted.",
    ]


def test_a_gate_for_admins_is_passed_by_an_admin_only_and_says_who_and_why():
    """An approver neither approves nor goes round it, by traffic or by promotion."""
    story = Story(planned({"mode": "auto", "steps": percentages(5, 25, 100, gate={"role": "admin"})}))
    story.run(ticks=4)
    assert story.d.sentence == "Step passed. v2 waits at 5 % for an approval by the role admin."
    for move in (moves.approve, lambda d, now, **o: moves.shift(d, now, 2500, **o), moves.promote):
        with pytest.raises(Forbidden, match="The gate after 5 % can be passed by the role admin only"):
            story.ask(move, role=Role.APPROVER)
    story.ask(moves.approve, role=Role.ADMIN, by="ada", reason="the dashboards look well").run(ticks=1)
    assert story.timeline[-2:] == [
        "Approved at 5 % by ada: the dashboards look well",
        "5 % passed: 1 of 1 checks pass. Traffic → 25 %.",
    ]


def test_a_smaller_share_needs_no_gate():
    """Who may not go on may always go back."""
    story = Story(planned({"mode": "auto", "steps": percentages(5, 25, 100, gate={"role": "admin"})}))
    assert story.ask(moves.shift, 100, role=Role.APPROVER).d.traffic_bp == 100


def test_an_approval_holds_for_its_step_only():
    """After a move back by hand the gate asks again."""
    story = Story(planned({"mode": "auto", "steps": percentages(5, 25, gate=True)})).run(ticks=3)
    story.ask(moves.approve).ask(moves.shift, 500).run(ticks=3)
    assert (story.d.waiting, story.d.traffic_bp) == (Waiting.APPROVAL, 500)


def test_a_minimum_time_also_holds_against_hands_unless_forced():
    """Up: refused with the seconds that are left; down: never; promotion: a condition of its gate."""
    story = Story(planned({"mode": "auto", "steps": percentages(5, 25, 100, min_seconds=60)})).run(ticks=3)
    with pytest.raises(Conflict, match="lasts at least 60 s; 30 s are left"):
        story.ask(moves.shift, 2500)
    gate = promotion_gate(story.d, story_evidence(story), story.now)
    assert gate[-1].message == "time at this step: 30 s (at least 60 s)"
    with pytest.raises(GateRefused):
        story.ask(moves.promote, gate[-1:])
    story.ask(moves.shift, 2500, force=True)
    assert (story.d.traffic_bp, story.timeline[-1]) == (2500, "Traffic 5 % → 25 % by hand, forced.")


def story_evidence(story: Story):
    """Return what the gate is asked with: nothing beside the deployment."""
    from serinus.core.analysis.evidence import Evidence

    return Evidence(windows=tuple(story.windows))


def test_a_minimum_time_lengthens_a_step_that_holds_shorter():
    """The longer of both is what a step lasts."""
    story = Story(planned({"mode": "auto", "steps": percentages(5, 100, min_seconds=60)})).run(ticks=5)
    assert story.d.traffic_bp == 500
    assert story.run(ticks=1).d.traffic_bp == 10_000


# -- a later start -------------------------------------------------------------------------------


def test_a_scheduled_start_waits_is_put_off_with_its_reason_and_begins():
    """Until its time nothing moves; what is in the way is said once."""
    at = NOON + timedelta(hours=6)
    d = scheduled.schedule(draft(), NOON, at).next_state
    assert (d.status, d.weight_bp, d.sentence) == (
        Status.SCHEDULED,
        0,
        "v2 starts at 2026-01-31 18:00:00 UTC.",
    )
    assert not scheduled.is_due(d, at - timedelta(seconds=1))
    assert scheduled.is_due(d, at)
    first = scheduled.put_off(d, "checkout already has an active canary: v3 (dep_3).")
    again = scheduled.put_off(first.next_state, "checkout already has an active canary: v3 (dep_3).")
    assert (len(first.reasons), len(again.reasons)) == (1, 0)
    begun = moves.start(again.next_state, at).next_state
    assert (begun.status, begun.traffic_bp, begun.scheduled) == (Status.CANARY, 100, None)


def test_a_scheduled_start_is_cancelled_or_called_off():
    """Cancelled it is a draft again; rolled back it has ended, and nobody was ever on it."""
    d = scheduled.schedule(draft(), NOON, NOON + timedelta(hours=1)).next_state
    assert scheduled.cancel(d, NOON).next_state.status is Status.DRAFT
    off = go_back(d, NOON, "not this week").next_state
    assert (off.status, off.sentence) == (
        Status.ROLLED_BACK,
        "Called off before its start: not this week",
    )
    with pytest.raises(TransitionRefused):
        scheduled.cancel(off, NOON)


def test_a_start_in_the_past_is_refused():
    """A wrong date is told, not obeyed."""
    with pytest.raises(InvalidInput, match="which has passed"):
        scheduled.schedule(draft(), NOON, NOON)


# -- preview -------------------------------------------------------------------------------------


def test_a_preview_reaches_the_canary_at_nought():
    """Nobody by hash, whoever sends the header; after the rollback nobody at all."""
    data = {
        "preview": {"header": {"name": "x-preview", "value": "v2"}},
        "steps": percentages(0, 5, gate=True),
    }
    story = Story(planned({"mode": "auto", **data}))
    assert story.d.sentence == ("v2 started with requests with header x-preview: v2; everyone stays on v1.")
    split = desired_split(SERVICE, story.d)
    assert (split.canary_bp, split.matches) == (0, (Match(name="x-preview", value="v2"),))
    story.run(ticks=3, canary=(0, 0, 20.0))
    assert (story.d.waiting, story.d.traffic_bp) == (Waiting.APPROVAL, 0)
    story.ask(moves.approve).run(ticks=1)
    assert (story.d.traffic_bp, desired_split(SERVICE, story.d).matches) == (500, split.matches)
    story.ask(go_back, "seen enough")
    assert desired_split(SERVICE, story.d).matches == ()


def test_a_canary_that_only_a_preview_reaches_is_watched_all_the_same():
    """Its failures open the breaker."""
    story = Story(
        planned(
            {"preview": {"cookie": {"name": "p", "value": "1"}}, "mode": "auto", "steps": percentages(0, 5)}
        )
    )
    story.serve("canary", 5, errors=5).tick()
    assert story.d.status is Status.ROLLED_BACK


# -- blue-green ----------------------------------------------------------------------------------

SWITCH = {"type": "blue_green", "warm_seconds": 20, "hold_seconds": 30, "keep_warm_seconds": 600}


def blue_green(**more) -> Story:
    """Return a blue-green rollout that is warm for 20 s and looked at for 30 s after the switch."""
    return Story(planned({**SWITCH, **more}))


def test_blue_green_warms_switches_at_once_and_releases_the_old_side():
    """0 %, then everybody, then the promotion; the old side is kept until its time."""
    story = blue_green(auto_promote=True)
    assert story.run(ticks=1, canary=(0, 0, 20.0)).d.sentence == (
        "v2 is warm, everyone is on v1: 0 of 1 checks pass; 10 s left."
    )
    story.run(ticks=1, canary=(0, 0, 20.0))
    assert story.timeline[-1] == (
        "0 % passed: 0 of 1 checks pass. Everyone switched to v2 at once; "
        "v1 is kept warm until 2026-01-31 12:10:20 UTC."
    )
    story.run(ticks=3, canary=(400, 0, 20.0))
    assert story.d.status is Status.ACTIVE
    promoted = replace(SERVICE, stable_version="v2")
    assert desired_split(promoted, story.d).canary.version == "v1"
    story.now = NOON + timedelta(seconds=610)
    story.tick()
    assert story.timeline[-1].startswith("v1 is released:")
    assert (story.d.warm_until, desired_split(promoted, story.d).canary) == (None, None)


def test_blue_green_switches_back_at_once_when_the_new_side_is_worse():
    """The same checks, after the switch."""
    story = blue_green().run(ticks=2, canary=(0, 0, 20.0)).run(ticks=1, canary=(400, 40, 20.0))
    assert (story.d.status, story.d.weight_bp) == (Status.ROLLED_BACK, 0)
    assert story.timeline[-1].startswith("Switched back at once automatically from 100 % to v1: error rate")


def test_blue_green_can_be_switched_back_after_its_promotion():
    """By hand, while the old side is warm: stable is the old version again."""
    story = (
        blue_green(auto_promote=True).run(ticks=2, canary=(0, 0, 20.0)).run(ticks=4, canary=(400, 0, 20.0))
    )
    story.ask(go_back, "the invoices are wrong")
    assert story.timeline[-1] == "Switched back at once from 100 % to v1: the invoices are wrong"
    assert "take_over" in [i.kind for i in story.last.intents]


def test_blue_green_does_not_switch_to_a_side_that_does_not_answer():
    """It holds at nought until the new side is there."""
    story = blue_green()
    story.d = replace(story.d, canary_down="10.0.0.2:80: Connection refused")
    story.run(ticks=4, canary=(0, 0, 20.0))
    assert (story.d.traffic_bp, story.d.phase, story.told) == (0, "holding:canary-down", ["warning"])
    story.d = replace(story.d, canary_down="")
    assert story.run(ticks=1, canary=(0, 0, 20.0)).d.traffic_bp == 10_000


def test_blue_green_knows_no_share_between():
    """Nobody or everybody, by hand as well; the switch itself may be by hand."""
    story = blue_green(mode="manual").run(ticks=3, canary=(0, 0, 20.0))
    assert story.d.waiting is Waiting.MOVE
    with pytest.raises(InvalidInput, match="50 % is no share of a blue-green deployment"):
        story.ask(moves.shift, 5000)
    assert story.ask(moves.shift, 10_000).d.warm_until == story.now + timedelta(seconds=600)


# -- mirror --------------------------------------------------------------------------------------


def test_a_mirror_comes_before_the_first_step_and_nobody_is_on_the_canary():
    """Copies only; then the walk begins."""
    story = Story(planned({"mirror": {"percent": 20, "seconds": 20}, "steps": percentages(5, 100)}))
    split = desired_split(SERVICE, story.d)
    assert (split.canary, split.mirror.version, split.mirror_bp) == (None, "v2", 2000)
    assert story.d.sentence == "v2 started with copies of 20 % of requests; everyone stays on v1."
    assert story.run(ticks=1).d.sentence == (
        "Mirroring 20 % of requests to v2, whose answers nobody sees: 1 of 1 checks pass; 10 s left."
    )
    story.run(ticks=1)
    assert story.timeline == ["Mirror of 20 % passed: 1 of 1 checks pass. Traffic → 5 %."]
    assert desired_split(SERVICE, story.d).mirror is None


def test_failing_copies_end_the_rollout_before_anybody_was_on_it():
    """The canary's errors count, whoever saw its answers."""
    story = Story(planned({"mirror": {"percent": 20, "seconds": 60}, "steps": percentages(5, 100)}))
    story.run(ticks=2, canary=(80, 4, 20.0))
    assert (story.d.status, story.d.peak_bp) == (Status.ROLLED_BACK, 0)


def test_a_mirror_without_copies_is_no_pass():
    """Missing data is never a pass, here neither."""
    story = Story(planned({"mirror": {"percent": 20, "seconds": 20}, "steps": percentages(5, 100)}))
    assert story.run(ticks=5, canary=(0, 0, 20.0)).d.phase == "holding:no-data"


# -- freezes -------------------------------------------------------------------------------------

#: The stories begin on a Saturday at noon.
WEEKEND = {"windows": [{"name": "weekend", "from": "sat 12:01", "until": "mon 08:00"}]}


def test_a_freeze_holds_the_walk_and_an_admin_overrides_it_with_a_reason():
    """Steps wait, and go on when the freeze was overridden."""
    story = Story(planned({"mode": "auto", "steps": percentages(1, 25, 100, hold=60), "freeze": WEEKEND}))
    story.run(ticks=8)
    assert (story.d.traffic_bp, story.d.sentence) == (
        100,
        "Holding at 1 %: weekend: frozen until 2026-02-02 08:00 UTC.",
    )
    story.ask(scheduled.override_freeze, "a security fix").run(ticks=1)
    assert story.timeline[-2:] == [
        "Freezes are overridden for v2: a security fix",
        "1 % passed: 1 of 1 checks pass. Traffic → 25 %.",
    ]


def test_a_freeze_never_stops_a_rollback():
    """Neither by itself nor by hand."""
    plan = planned({"mode": "auto", "steps": percentages(1, 100), "freeze": WEEKEND})
    assert Story(plan).run(ticks=7).serve("canary", 40, errors=40).tick().d.status is Status.ROLLED_BACK
    assert Story(plan).run(ticks=7).ask(go_back, "no").d.status is Status.ROLLED_BACK


def test_a_start_in_a_freeze_waits_for_its_end_or_is_refused():
    """As the strategy says."""
    saturday = NOON + timedelta(minutes=5)
    later = start_later(planned({"freeze": WEEKEND}), saturday)
    assert later == (datetime(2026, 2, 2, 8, tzinfo=UTC), "weekend: frozen until 2026-02-02 08:00 UTC")
    with pytest.raises(Conflict, match="The start has to wait"):
        start_later(planned({"freeze": {**WEEKEND, "on_start": "refuse"}}), saturday)
    assert start_later(planned({"freeze": WEEKEND}, freeze_override="a fix"), saturday) is None
    assert start_later(planned({"freeze": WEEKEND}), NOON) is None


# -- as data -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "place", "words"),
    [
        ({"keep_warm": 5}, "strategy.keep_warm", "did you mean 'keep_warm_seconds'?"),
        ({"type": "bluegreen"}, "strategy.type", "did you mean 'blue_green'?"),
        ({"type": "blue_green", "steps": percentages(5)}, "strategy.steps", "switches at once"),
        ({"warm_seconds": 5}, "strategy.warm_seconds", "belongs to a blue-green strategy"),
        (
            {"steps": percentages(5, gate={"role": "viewer"})},
            "strategy.steps[0].gate.role",
            "approver, admin",
        ),
        ({"steps": percentages(5, gate={"rol": "admin"})}, "strategy.steps[0].gate.rol", "mean 'role'?"),
        ({"preview": {}}, "strategy.preview", "by a header or by a cookie"),
        ({"mirror": {"percent": 0, "seconds": 5}}, "strategy.mirror.percent", "copies nothing"),
        ({"mode": "manual", "mirror": {"percent": 5, "seconds": 5}}, "strategy.mirror", "walks none"),
        ({"rollback": {"steps": [10, 50]}}, "strategy.rollback.steps", "goes down from step to step"),
        ({"rollback": {"while": "sunny"}}, "strategy.rollback.while", "must be `stable healthy`"),
        ({"start_at": "2026-01-31T12:00:00"}, "strategy.start_at", "with its UTC offset"),
        ({"freeze": {"zone": "Mars"}}, "strategy.freeze.zone", "there is no time zone 'Mars'"),
        (
            {"freeze": {"windows": [{"name": "w", "from": "fri 16:00", "until": "08:00"}]}},
            "strategy.freeze.windows[0]",
            "alike",
        ),
    ],
)
def test_a_wrong_strategy_is_told_by_its_place(data, place, words):
    """What, where, and the nearest name."""
    with pytest.raises(InvalidInput) as refusal:
        strategy_from(data, CanaryConfig())
    assert refusal.value.field == place
    assert words in refusal.value.detail


def test_the_smallest_strategy_is_what_it_was():
    """Manual, persistent, without steps."""
    assert strategy_from(None, CanaryConfig()) == Strategy()
    assert strategy_from({"mode": "auto", "steps": percentages(5)}, CanaryConfig()) == Strategy(
        mode=Mode.AUTO, steps=(Step(traffic_bp=500, hold_seconds=20),)
    )
