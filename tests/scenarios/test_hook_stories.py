"""Rollouts that hooks hold, told without any I/O: who is asked when, and what follows from an answer."""

from __future__ import annotations

from dataclasses import replace

import pytest

from serinus.control.traffic import desired_split
from serinus.core.decision import IntentKind
from serinus.core.errors import Conflict, InvalidInput
from serinus.core.hooks import Hook, OnNo, OnTimeout, Phase, Said
from serinus.core.lifecycle import moves
from serinus.core.lifecycle.hooked import open_asks
from serinus.core.model import Mode, Service, Status, Step, Strategy, Waiting
from serinus.core.policy import confirm
from serinus.core.policy.parse import strategy_from
from stories import NOON, Story, draft


def hook(phase: str, **more) -> Hook:
    """Return a hook called qa."""
    return Hook(**{"name": "qa", "phase": Phase(phase), "command": "qa", **more})


def told(*hooks: Hook, mode: str = "auto", auto_promote: bool = True, gate: bool = False) -> Story:
    """Return a story of two steps of 20 s whose deployment has these hooks."""
    steps = (Step(traffic_bp=500, hold_seconds=20, gate=gate), Step(traffic_bp=2500, hold_seconds=20))
    strategy = Strategy(mode=Mode(mode), steps=steps, auto_promote=auto_promote, hooks=hooks)
    policy = replace(draft().policy, checks=(), gate=(), gate_majority_seconds=0.0, breaker=True)
    story = Story(draft())
    story.d = draft(strategy=strategy, policy=policy)
    story._take(confirm.started(story.d, NOON))
    return story


def asked(story: Story) -> list[str]:
    """Return the phases of the calls that the last decision makes."""
    return [i.topic for i in story.last.intents if i.kind is IntentKind.HOOK]


def says(story: Story, said: str, words: str = "") -> Story:
    """Let everybody who is waited for answer, and look."""
    asks = tuple(replace(a, said=Said(said), words=words) if not a.said else a for a in story.d.asks)
    story.d = replace(story.d, asks=asks)
    return story.tick(1)


def test_no_request_goes_to_the_canary_before_its_hook_says_yes():
    """It is a canary without traffic; its first step begins with the yes."""
    story = told(hook("confirm-rollout"))
    assert asked(story) == ["confirm-rollout"]
    assert (story.d.status, story.d.weight_bp) == (Status.CANARY, 0)
    assert story.timeline[-1] == "Asking hook qa before the first request to v2."
    story.run(6)
    assert story.d.weight_bp == 0
    assert story.d.sentence == "Waiting for hook qa before the first request to v2, for 60 s so far."
    says(story, "yes")
    assert (story.d.weight_bp, story.d.step_index, story.d.observed_seconds) == (500, 0, 0.0)
    assert story.timeline[-1].startswith("v2 started with 5 % of units")


def test_each_phase_is_asked_once_and_in_its_place():
    """The end of a step, more traffic, and the promotion."""
    phases = ("confirm-step", "confirm-traffic-increase", "confirm-promotion", "post-promotion")
    story = told(*(hook(p, name=f"h{n}") for n, p in enumerate(phases)))
    seen = []
    for _ in range(40):
        story.serve("canary", 40).serve("stable", 400).tick(10)
        seen += [(p, story.d.traffic_bp) for p in asked(story)]
        if story.d.status is Status.ACTIVE:
            break
        says(story, "yes")
        seen += [(p, story.d.traffic_bp) for p in asked(story)]
    assert seen == [
        ("confirm-step", 500),
        ("confirm-traffic-increase", 500),
        ("confirm-step", 2500),
        ("confirm-promotion", 2500),
        ("post-promotion", 10_000),
    ]


def test_a_no_rolls_back_or_holds_as_its_setting_says():
    """And the reason is the hook's own first line."""
    story = told(hook("confirm-traffic-increase"), hook("post-rollback", name="tidy")).run(3)
    says(story, "no", "3 orders were lost")
    assert story.d.status is Status.ROLLED_BACK
    assert story.d.end_reason == "hook qa said no: 3 orders were lost"
    assert asked(story) == ["post-rollback"]

    story = told(hook("confirm-traffic-increase", on_no=OnNo.HOLD)).run(3)
    says(story, "no", "3 orders were lost").run(30)
    assert (story.d.status, story.d.traffic_bp, story.d.waiting) == (Status.CANARY, 500, Waiting.APPROVAL)
    assert story.d.sentence.startswith(
        "Holding at 5 %: hook qa said no: 3 orders were lost. Approve to go on"
    )
    assert story.told.count("waiting") == 1
    story.ask(moves.approve).tick(1)
    assert (story.d.traffic_bp, story.d.waiting) == (2500, Waiting.NOTHING)
    assert "Approved past hook qa." in story.timeline


def test_an_approval_past_a_hook_is_not_the_one_of_the_step():
    """A gate of the step still waits for its own."""
    story = told(hook("confirm-step", on_no=OnNo.HOLD), gate=True).run(3)
    says(story, "no").ask(moves.approve).tick(1)
    assert (story.d.waiting, story.d.traffic_bp) == (Waiting.APPROVAL, 500)
    story.ask(moves.approve).tick(1)
    assert story.d.traffic_bp == 2500


@pytest.mark.parametrize(
    ("setting", "status", "share"),
    [("hold", Status.CANARY, 500), ("rollback", Status.ROLLED_BACK, 0), ("continue", Status.CANARY, 2500)],
)
def test_nobody_answers_in_time(setting, status, share):
    """Hold, roll back or go on, by setting; a late answer changes nothing any more."""
    story = told(hook("confirm-traffic-increase", timeout_seconds=30, on_timeout=OnTimeout(setting))).run(2)
    assert asked(story) == ["confirm-traffic-increase"]
    story.tick(29)
    assert story.d.traffic_bp == 500
    story.tick(1).tick(1)
    assert (story.d.status, story.d.traffic_bp) == (status, share)
    assert "hook qa did not answer in 30 s" in " ".join(story.timeline)
    says(story, "no").tick(1)
    assert story.d.status is status


def test_a_rollback_waits_for_no_hook():
    """Neither by hand nor by a check or the breaker, whatever is being asked."""
    for phase in ("confirm-rollout", "confirm-step", "confirm-traffic-increase"):
        story = told(hook(phase)).run(3)
        assert story.d.phase == "confirming"
        story.ask(moves.roll_back, "seen enough")
        assert (story.d.status, story.d.weight_bp, story.d.intended) == (Status.ROLLED_BACK, 0, None)
    story = told(hook("confirm-step")).run(3)
    story.open_breakers = ("proc-1",)
    story.tick(1)
    assert story.d.status is Status.ROLLED_BACK


def test_by_hand_more_traffic_is_asked_about_and_less_is_not():
    """The move is remembered, and made when the hook says yes."""
    story = told(hook("confirm-traffic-increase"), mode="manual")
    assert story.d.traffic_bp == 1000
    story.ask(confirm.shifted, 5000).tick(5)
    assert (story.d.traffic_bp, story.d.sentence) == (
        1000,
        "Waiting for hook qa before 50 %, for 5 s so far.",
    )
    says(story, "yes")
    assert story.d.traffic_bp == 5000
    story.ask(confirm.shifted, 2000)
    assert (story.d.traffic_bp, asked(story)) == (2000, [])
    story.ask(confirm.shifted, 3000)
    assert asked(story) == ["confirm-traffic-increase"]
    story.ask(confirm.shifted, 100).tick(1)
    assert (story.d.traffic_bp, story.d.intended) == (100, None)


def test_a_forced_move_is_still_forced_when_its_hook_says_yes():
    """Past a step's minimum time, which would refuse it otherwise."""
    story = told(hook("confirm-traffic-increase"))
    first, second = story.d.strategy.steps
    steps = (replace(first, min_seconds=20), second)
    story.d = replace(story.d, strategy=replace(story.d.strategy, steps=steps))
    story.ask(confirm.shifted, 1500, force=True)
    says(story, "yes")
    assert (story.d.traffic_bp, story.d.intended) == (1500, None)


def test_a_promotion_by_hand_is_asked_about_unless_it_is_forced():
    """Force goes past hooks as past the gate, and says so."""
    story = told(hook("confirm-promotion"), mode="manual")
    story.ask(confirm.promoted).tick(1)
    assert story.d.sentence.startswith("Waiting for hook qa before v2 is promoted")
    says(story, "yes")
    assert story.d.status is Status.ACTIVE
    story = told(hook("confirm-promotion"), mode="manual")
    story.ask(confirm.promoted, force=True)
    assert story.d.sentence == "v2 promoted: everyone is on it. Forced past: hook qa has not said yes."


def test_a_paused_rollout_makes_no_move_though_its_hook_says_yes():
    """Until it is resumed."""
    story = told(hook("confirm-rollout")).ask(moves.pause)
    says(story, "yes")
    assert story.d.weight_bp == 0
    story.ask(moves.resume).tick(1)
    assert story.d.weight_bp == 500
    with pytest.raises(Conflict):
        moves.approve(story.d, NOON)


@pytest.mark.parametrize(
    ("hooks", "field"),
    [
        ([{"name": "Q A", "phase": "confirm-step", "command": "x"}], "[0].name"),
        ([{"name": "a", "phase": "confirm-step"}], "[0].url"),
        ([{"name": "a", "phase": "confirm-step", "command": "x", "url": "https://x"}], "[0].url"),
        ([{"name": "a", "phase": "confirm-step", "url": "https://x"}], "[0].secret_env"),
        ([{"name": "a", "phase": "confirm-step", "command": "x", "secret_env": "S"}], "[0].secret_env"),
        (
            [{"name": "a", "phase": "confirm-step", "command": "x", "timeout_seconds": 0}],
            "[0].timeout_seconds",
        ),
        ([{"name": "a", "phase": "confirm-step", "command": "x"}] * 2, "[1].name"),
        ([{"name": f"a{n}", "phase": "confirm-step", "command": "x"} for n in range(21)], ""),
        ([{"name": "a", "phase": "before", "command": "x"}], "[0].phase"),
    ],
)
def test_a_hook_that_is_not_whole_is_refused(hooks, field):
    """With its place."""
    with pytest.raises(InvalidInput) as refusal:
        strategy_from({"hooks": hooks}, draft().config)
    assert refusal.value.field == f"strategy.hooks{field}"
    assert refusal.value.next_step


def test_before_its_hooks_say_yes_nothing_at_all_reaches_the_canary():
    """Neither a preview by a header nor copies of a mirror: the proxies do not even know it."""
    service = Service(id="svc_1", tenant_id="ten_1", name="checkout", stable_version="v1")
    steps = {"mode": "auto", "steps": [{"traffic_percentage": 5, "hold_seconds": 20}]}
    seen = {
        "preview": {"header": {"name": "x-preview", "value": "v2"}},
        "mirror": {"percent": 10, "seconds": 20},
    }
    gate = {"name": "qa", "phase": "confirm-rollout", "command": "qa"}
    strategy = strategy_from({**steps, **seen, "hooks": [gate]}, draft().config)
    story = Story(draft())
    story._take(confirm.started(draft(strategy=strategy), NOON))
    split = desired_split(service, story.d)
    assert (split.canary, split.mirror, split.matches) == (None, None, ())
    says(story, "yes")
    split = desired_split(service, story.d)
    assert (split.mirror.version, split.mirror_bp, len(split.matches)) == ("v2", 1000, 1)


def test_a_move_that_has_become_impossible_is_said_and_not_made():
    """Its hooks said yes, but the canary does not answer any more."""
    story = told(hook("confirm-traffic-increase"), mode="manual")
    story.ask(confirm.shifted, 5000)
    story.d = replace(story.d, canary_down="connection refused")
    says(story, "yes")
    assert (story.d.traffic_bp, story.d.intended) == (1000, None)
    assert "The hooks said yes, but it cannot be done any more" in story.timeline[-1]
    assert story.told[-1] == "warning"


def test_a_rollback_that_waits_for_stable_asks_no_hook_any_more():
    """A hook's no decides a rollback; while stable is down it is held, as any other is."""
    story = told(hook("confirm-step")).run(2)
    story.d = replace(story.d, stable_down="connection refused")
    says(story, "no", "3 orders were lost")
    assert story.d.going_back is not None
    assert open_asks(story.d) == ()
    story.tick(5)
    assert asked(story) == []
