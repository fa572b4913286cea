"""Release sets and regional waves, tick by tick: members are deployments, one decision above them."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serinus.core.errors import Conflict, Forbidden, InvalidInput
from serinus.core.lifecycle import moves as one
from serinus.core.lifecycle.back import go_back
from serinus.core.model import Role, Status, Waiting
from serinus.core.policy.release_sets import release_set_from
from serinus.core.release_sets import OnHarm, OrderKind, SetState, Standing
from serinus.core.sets import moves
from serinus.core.sets.deciding import decide_set, noted
from stories import NOON, draft

SHOP = {
    "name": "shop 2026.4",
    "members": [
        {"service": "pricing", "version": "v12"},
        {"service": "ledger", "version": "v3"},
        {"service": "checkout", "version": "v7", "order": 2},
    ],
}
REGIONS = {
    "name": "checkout v2",
    "service": "checkout",
    "version": "v2",
    "waves": [
        {"regions": ["eu"], "bake_seconds": "10m"},
        {"regions": ["us", "ap"], "gate": {"role": "admin"}},
        {"regions": ["sa"]},
    ],
}


class Sets:
    """A release set under a fake clock. Members' deployments move when the story says so."""

    def __init__(self, data: dict, **changes) -> None:
        self.now = NOON
        self.s = replace(release_set_from(data, identity="set_1", tenant_id="ten_1"), **changes)
        self.found: dict[str, Standing] = {}
        self.timeline: list[str] = []
        self.told: list[str] = []
        self.orders: list[str] = []
        self.refuses: dict[str, str] = {}

    def tick(self, seconds: float = 10.0, *, carry_out: bool = True) -> Sets:
        """Let time pass, decide, and carry out what was decided."""
        self.now += timedelta(seconds=seconds)
        decision = self._take(decide_set(self.s, self.found, self.now))
        if decision.create:
            for m in self.s.present.members:
                d = draft(id=f"dep_{m.service}", service=m.service, version=m.version, release_set="set_1")
                self.found[d.id] = Standing(d=d)
                self.s = self.s.with_member(replace(m, deployment_id=d.id))
            decision = self._take(decide_set(self.s, self.found, self.now))
        self.orders = [f"{o.kind.value} {o.member.service}" for o in decision.orders]
        if carry_out:
            self._carry_out(decision.orders)
        return self

    def _carry_out(self, orders) -> None:
        trouble = ""
        for order in orders:
            name = order.member.service
            if name in self.refuses:
                trouble = f"{name} cannot: {self.refuses[name]}"
                break
            match order.kind:
                case OrderKind.START:
                    self.move(name, one.start, self.now)
                case OrderKind.PROMOTE:
                    self.move(name, one.promote, self.now)
                case OrderKind.ROLL_BACK:
                    self.move(name, go_back, self.now, order.reason)
        self._take(noted(self.s, trouble))

    def move(self, service: str, move, *args, **options) -> Sets:
        """Make a move of one member."""
        d = self.found[f"dep_{service}"].d
        self.found[d.id] = Standing(d=move(d, *args, **options).next_state)
        return self

    def passes(self, *services: str) -> Sets:
        """Let members pass all their steps."""
        for name in services:
            self.changed(name, waiting=Waiting.PROMOTION, traffic_bp=10_000)
        return self

    def changed(self, service: str, unmet: tuple[str, ...] = (), frozen: str = "", **changes) -> Sets:
        """Change what a member's deployment is at."""
        d = self.found[f"dep_{service}"].d
        self.found[d.id] = Standing(d=replace(d, **changes), unmet=unmet, frozen=frozen)
        return self

    def harmed(self, service: str, why: str = "errors 4 % (limit 1 %)") -> Sets:
        """Let a member's own judge roll it back."""
        return self.move(service, go_back, self.now, why, automatic=True)

    def ask(self, move, **options) -> Sets:
        """Have a person ask something of the set."""
        self._take(move(self.s, **options))
        return self

    def roll_back(self, reason: str, by: str = "ada") -> Sets:
        """Have a person roll the set back."""
        self._take(moves.roll_back(self.s, self.found, self.now, reason, by=by))
        return self

    def statuses(self) -> dict[str, str]:
        """Return every member's status that has a deployment."""
        return {one.d.service: one.d.status.value for one in self.found.values()}

    def _take(self, decision):
        self.s = decision.next_state
        self.timeline += [r.message for r in decision.reasons]
        self.told += [t.topic for t in decision.told]
        return decision


# -- a release set ---------------------------------------------------------------------------------


def test_a_set_goes_stage_by_stage_and_is_promoted_together():
    """Two together, then the third; each stage is promoted in its order once all of it has passed."""
    story = Sets(SHOP).tick()
    assert story.orders == ["start pricing", "start ledger"]
    assert story.statuses() == {"pricing": "canary", "ledger": "canary"}
    story.passes("pricing").tick()
    assert (story.orders, story.s.sentence) == ([], "Stage 1 of 2: ledger is at 1 %.")
    story.passes("ledger").tick()
    assert story.orders == ["promote pricing", "promote ledger"]
    story.tick().tick()
    assert story.orders == ["start checkout"]
    story.passes("checkout").tick().tick().tick()
    assert story.s.state is SetState.WATCHED
    story.changed("checkout", phase="active").changed("pricing", phase="active").changed(
        "ledger", phase="active"
    )
    assert story.tick().s.state is SetState.DONE
    assert story.timeline == [
        "Stage 1 of 2 begins: pricing v12, ledger v3.",
        "Stage 1 of 2 has passed: promoting pricing v12, ledger v3.",
        "Stage 1 of 2 is promoted: pricing v12, ledger v3.",
        "Stage 2 of 2 begins: checkout v7.",
        "Stage 2 of 2 has passed: promoting checkout v7.",
        "Stage 2 of 2 is promoted: checkout v7.",
        "Everything is promoted: pricing v12, ledger v3, checkout v7.",
        "shop 2026.4 is done: nothing of it is watched any more.",
    ]
    assert story.told == ["promoted"]


def test_harm_in_one_rolls_back_all_the_last_first():
    """Also what was promoted already; the one that harmed is not rolled back twice."""
    story = Sets(SHOP).tick().passes("pricing", "ledger").tick().tick().tick()
    story.harmed("checkout").tick()
    assert story.orders == ["rollback ledger", "rollback pricing"]
    assert story.tick().s.state is SetState.ROLLED_BACK
    assert set(story.statuses().values()) == {"rolled_back"}
    assert story.timeline[-2:] == [
        "checkout v7 was rolled back: errors 4 % (limit 1 %). Rolling back, in this order: ledger, pricing.",
        "Rolled back: checkout v7 was rolled back: errors 4 % (limit 1 %)",
    ]
    assert story.told == ["warning"]
    assert story.found["dep_pricing"].d.end_reason.startswith("shop 2026.4: checkout v7 was rolled back")


def test_harm_after_everything_is_promoted_still_rolls_back_all():
    """As long as one of them is watched, the set is in charge."""
    story = Sets(SHOP).tick().passes("pricing", "ledger").tick().tick().tick()
    story.passes("checkout").tick().tick().tick()
    assert story.s.state is SetState.WATCHED
    story.harmed("ledger").tick()
    assert story.orders == ["rollback checkout", "rollback pricing"]


def test_what_died_between_two_promotions_goes_on_with_the_second():
    """The order is given again until the deployments show it; the first is not promoted twice."""
    story = Sets(SHOP).tick().passes("pricing", "ledger").tick(carry_out=False)
    story.move("pricing", one.promote, story.now)  # and then the process was killed
    story.tick()
    assert story.orders == ["promote ledger"]
    assert story.timeline.count("Stage 1 of 2 has passed: promoting pricing v12, ledger v3.") == 1


def test_what_died_in_the_middle_of_a_rollback_goes_on_with_the_rest():
    """What has gone back is not asked again."""
    story = Sets(SHOP).tick().harmed("pricing").tick(carry_out=False)
    assert story.orders == ["rollback ledger"]
    assert story.tick().orders == ["rollback ledger"]
    assert (story.tick().orders, story.s.state) == ([], SetState.ROLLED_BACK)


def test_what_cannot_be_promoted_holds_the_rest():
    """A gate that is not met, a freeze, a pause: nobody is promoted, and the sentence says why."""
    story = Sets(SHOP).tick().passes("pricing", "ledger")
    for change, words in (
        ({"unmet": ("judge: nothing seen yet",)}, "cannot be promoted yet (judge: nothing seen yet)"),
        ({"frozen": "weekend: frozen until Monday"}, "is held: weekend: frozen until Monday"),
        ({"paused": True}, "is paused"),
        ({"paused": False, "canary_down": "nothing listens"}, "does not answer (nothing listens)"),
    ):
        story.changed("ledger", **change).tick()
        assert (story.orders, story.s.sentence) == ([], f"Stage 1 of 2: ledger {words}.")
    assert story.changed("ledger", canary_down="").tick().orders == ["promote pricing", "promote ledger"]


def test_a_refusal_in_the_middle_holds_the_rest_and_is_said_once():
    """pricing is promoted, ledger is refused; as soon as it can be, it follows."""
    story = Sets(SHOP).tick().passes("pricing", "ledger")
    story.refuses["ledger"] = "no address is known"
    story.tick().tick().tick()
    assert story.statuses() == {"pricing": "active", "ledger": "canary"}
    assert story.timeline.count("Holding: ledger cannot: no address is known") == 1
    assert story.told == ["warning"]
    del story.refuses["ledger"]
    story.tick()
    assert (story.statuses()["ledger"], story.s.trouble) == ("active", "")


def test_a_rollback_by_hand_wins_in_every_state_and_needs_a_reason():
    """While it runs, and after everything was promoted."""
    with pytest.raises(InvalidInput, match="needs a reason"):
        Sets(SHOP).tick().roll_back(" ")
    story = Sets(SHOP).tick().ask(moves.pause, by="ada").roll_back("invoices are wrong").tick().tick()
    assert (story.s.state, set(story.statuses().values())) == (SetState.ROLLED_BACK, {"rolled_back"})
    assert story.timeline[-2:] == [
        "ada asks for a rollback: invoices are wrong. Rolling back, in this order: ledger, pricing.",
        "Rolled back: invoices are wrong",
    ]
    with pytest.raises(Conflict, match="nothing to roll back"):
        story.roll_back("again")
    done = Sets(SHOP).tick().passes("pricing", "ledger").tick().tick().tick()
    done.passes("checkout").tick().tick().tick()
    for name in ("pricing", "ledger", "checkout"):
        done.changed(name, phase="active")
    assert done.tick().s.state is SetState.DONE
    done.roll_back("invoices are wrong").tick()
    assert set(done.statuses().values()) == {"rolled_back"}


def test_a_held_rollback_of_one_holds_no_other():
    """ledger's stable side is down: pricing goes back, and the set waits for ledger."""
    story = Sets(SHOP).tick().changed("ledger", stable_down="nothing listens")
    story.roll_back("invoices are wrong").tick()
    assert story.statuses() == {"pricing": "rolled_back", "ledger": "canary"}
    assert story.tick().s.state is SetState.ROLLING_BACK
    assert "The rollback is held" in story.s.sentence
    story.changed("ledger", stable_down="").move("ledger", one.roll_back, story.now, "it answers").tick()
    assert story.s.state is SetState.ROLLED_BACK


def test_a_promotion_that_waits_for_a_person():
    """With ``auto_promote: false`` a stage that has passed waits, and says so once."""
    story = Sets({**SHOP, "auto_promote": False}).tick()
    with pytest.raises(Conflict, match="does not wait to be promoted"):
        story.ask(moves.promote, by="ada")
    story.passes("pricing", "ledger").tick().tick()
    assert (story.s.waiting, story.told) == (Waiting.PROMOTION, ["waiting"])
    story.ask(moves.promote, by="ada", reason="numbers look well").tick()
    assert set(story.statuses().values()) == {"active"}
    assert "Promotion of Stage 1 of 2 asked for by ada: numbers look well" in story.timeline


def test_a_freeze_holds_a_stage_before_its_first_request():
    """Nobody of it starts while one of it may not; when the freeze is over they start together."""
    story = Sets(SHOP).tick(carry_out=False).changed("ledger", frozen="weekend: frozen until Monday").tick()
    assert story.orders == []
    assert story.s.sentence == "Stage 1 of 2 waits: ledger: weekend: frozen until Monday."
    assert story.changed("ledger").tick().orders == ["start pricing", "start ledger"]


def test_a_pause_begins_nothing_and_still_rolls_back():
    """Paused, harm counts all the same."""
    story = Sets(SHOP).tick().passes("pricing", "ledger").ask(moves.pause, by="ada").tick()
    assert story.orders == []
    assert story.harmed("ledger").tick().orders == ["rollback pricing"]


# -- regional waves --------------------------------------------------------------------------------


def test_waves_bake_and_wait_at_their_gates():
    """10 minutes of looking after the first; then the gate for admins; then the last."""
    story = Sets(REGIONS).tick()
    assert story.orders == ["start checkout@eu"]
    story.passes("checkout@eu").tick().tick()
    assert story.timeline[-1] == (
        "Wave 1 of 3 (eu) is promoted: checkout@eu v2. "
        "Wave 2 of 3 (us, ap) begins no sooner than 10 min from now."
    )
    story.tick(3600)  # nobody looked for an hour: that is no baking
    assert story.s.sentence == "Wave 2 of 3 (us, ap) begins in 10 min."
    for _ in range(20):
        story.tick(30)
    assert story.timeline[-1] == "Wave 2 of 3 (us, ap) begins: checkout@us v2, checkout@ap v2."
    story.passes("checkout@us", "checkout@ap").tick().tick().tick().tick()
    assert story.s.sentence == (
        "Wave 2 of 3 (us, ap) is promoted. Wave 3 of 3 (sa) waits for an approval by the role admin."
    )
    assert story.told == ["waiting"]
    with pytest.raises(Forbidden, match="can be passed by the role admin only"):
        story.ask(moves.approve, role=Role.APPROVER, by="bob")
    story.ask(moves.approve, role=Role.ADMIN, by="ada", reason="support is quiet").tick()
    assert story.orders == ["start checkout@sa"]
    assert "Approved after Wave 2 of 3 (us, ap) by ada: support is quiet" in story.timeline


def test_waves_that_all_went_back_have_ended():
    """One after the other, by ``on_harm: region``: there is a time at which it was over."""
    waves = [{"regions": ["eu"]}, {"regions": ["us"]}]
    story = Sets({**REGIONS, "waves": waves, "on_harm": "region"}).tick()
    story.harmed("checkout@eu").tick().tick().tick()
    story.harmed("checkout@us").tick().tick().tick()
    assert story.s.state is SetState.ROLLED_BACK
    assert story.s.ended_at is not None


def test_a_wave_may_do_without_the_gate_of_all():
    """``gate: false`` is no gate, as on a step; what says nothing has the set's."""
    waves = [{"regions": ["eu"], "gate": False}, {"regions": ["us"]}, {"regions": ["sa"], "gate": False}]
    made = release_set_from({**REGIONS, "waves": waves, "gate": {"role": "admin"}})
    assert [stage.gate for stage in made.stages[:2]] == [None, Role.ADMIN]


@pytest.mark.parametrize("policy", list(OnHarm))
def test_harm_in_one_region_does_what_the_policy_says(policy):
    """all: the earlier ones go back, too; region: the others go on; hold: everything stops."""
    data = {**REGIONS, "waves": [{"regions": ["eu"]}, {"regions": ["us", "ap"]}, {"regions": ["sa"]}]}
    story = Sets({**data, "on_harm": policy.value}).tick().passes("checkout@eu").tick().tick().tick()
    story.harmed("checkout@us").tick()
    match policy:
        case OnHarm.ALL:
            assert story.orders == ["rollback checkout@ap", "rollback checkout@eu"]
        case OnHarm.REGION:
            story.passes("checkout@ap").tick().tick().tick()
            assert story.orders == ["start checkout@sa"]
            story.passes("checkout@sa").tick().tick().tick()
            assert story.timeline[-1] == "3 of 4 are promoted; checkout@us v2 went back."
        case OnHarm.HOLD:
            story.passes("checkout@ap").tick()
            assert (story.orders, story.statuses()["checkout@eu"]) == ([], "active")
            assert "until somebody resumes or rolls back" in story.s.sentence
            story.ask(moves.resume, by="ada").tick()
            assert story.timeline[-2] == "Resumed by ada, without what was rolled back."
            assert story.orders == ["promote checkout@ap"]
    assert story.told[0] == "warning"


def test_waves_that_all_went_back_have_not_been_promoted():
    """Nothing is left to watch."""
    story = Sets({**REGIONS, "waves": [{"regions": ["eu"]}], "on_harm": "region"}).tick()
    story.harmed("checkout@eu").tick().tick().tick()
    assert (story.s.state, story.timeline[-1]) == (
        SetState.ROLLED_BACK,
        "All of it went back: checkout@eu v2.",
    )


def test_a_version_that_took_over_counts_as_promoted():
    """A newer release of one member does not stop the others, and a rollback leaves it alone."""
    story = Sets(SHOP).tick().passes("pricing", "ledger").tick().tick().tick()
    story.changed("pricing", status=Status.DEPRECATED).harmed("checkout").tick()
    assert story.orders == ["rollback ledger"]


# -- as people write them --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"members": []}, "members"),
        ({"waves": [{"regions": ["eu"]}]}, "members"),
        ({"members": [*SHOP["members"], {"service": "ledger", "version": "v4"}]}, "ledger"),
        ({"members": [{"service": "ledger", "version": "v 4", "ordr": 1}]}, "members[0].ordr"),
        ({"on_harm": "hold"}, "on_harm"),
        ({"version": "v2"}, "version"),
        ({"name": " "}, "name"),
    ],
)
def test_what_is_wrong_in_a_set_is_told_by_its_place(change, place):
    """And nothing is made of it."""
    with pytest.raises(InvalidInput) as refused:
        release_set_from({**SHOP, **change})
    assert place in {refused.value.field, *refused.value.extra.get("errors", {})}


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"service": None}, "service"),
        ({"waves": [{"regions": []}]}, "waves[0].regions"),
        ({"waves": [{"regions": ["eu"], "gate": True}]}, "waves[0].gate"),
        ({"waves": [{"regions": ["eu", "eu"]}]}, "checkout@eu"),
        ({"addresses": {"mars": ["10.0.0.1:80"]}}, "addresses.mars"),
    ],
)
def test_what_is_wrong_in_waves_is_told_by_its_place(change, place):
    """And nothing is made of it."""
    data = {k: v for k, v in {**REGIONS, **change}.items() if v is not None}
    with pytest.raises(InvalidInput) as refused:
        release_set_from(data)
    assert place in {refused.value.field, *refused.value.extra.get("errors", {})}


# -- whatever happens ------------------------------------------------------------------------------

_NAMES = ("a", "b", "c", "d")
_HAPPENINGS = st.one_of(
    st.tuples(st.just("passes"), st.sampled_from(_NAMES)),
    st.tuples(st.just("harmed"), st.sampled_from(_NAMES)),
    st.tuples(st.just("tick"), st.booleans()),
    st.tuples(st.sampled_from(["pause", "resume", "approve", "rollback"]), st.none()),
)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    orders=st.lists(st.integers(1, 3), min_size=4, max_size=4),
    auto=st.booleans(),
    story=st.lists(_HAPPENINGS, max_size=25),
)
def test_whatever_happens_a_set_ends_as_a_whole(orders, auto, story):
    """Left alone afterwards, either every member is promoted, or none is out; stages never overtake."""
    members = [
        {"service": n, "version": "v2", "order": order} for n, order in zip(_NAMES, orders, strict=True)
    ]
    sets = Sets({"name": "any", "members": members, "gate": True, "auto_promote": auto})
    for what, which in story:
        happens(sets, what, which)
        started = {n for n, status in sets.statuses().items() if status != "draft"}
        for at, stage in enumerate(sets.s.stages[: sets.s.stage]):
            assert started >= {m.service for m in stage.members}, at
        late = {m.service for stage in sets.s.stages[sets.s.stage + 1 :] for m in stage.members}
        assert not started & late
    for _ in range(30):
        for name in _NAMES:
            happens(sets, "passes", name)
        for move in ("resume", "approve"):
            happens(sets, move, None)
        sets.tick()
    statuses = set(sets.statuses().values())
    assert statuses == {"active"} or statuses <= {"rolled_back", "draft"}, statuses
    assert sets.s.state in (SetState.WATCHED, SetState.DONE, SetState.ROLLED_BACK)


def happens(sets: Sets, what: str, which) -> None:
    """Let something happen, if it can."""
    found = sets.found.get(f"dep_{which}")
    running = found is not None and found.d.status is Status.CANARY
    if what == "tick":
        sets.tick(carry_out=which)
    elif what == "passes" and running:
        sets.passes(which)
    elif what == "harmed" and found and found.d.status in (Status.CANARY, Status.ACTIVE):
        sets.harmed(which)
    elif what in ("pause", "resume", "approve", "rollback"):
        ask = {
            "pause": lambda: sets.ask(moves.pause, by="ada"),
            "resume": lambda: sets.ask(moves.resume, by="ada"),
            "rollback": lambda: sets.roll_back("enough"),
            "approve": lambda: sets.ask(
                moves.approve if sets.s.waiting is Waiting.APPROVAL else moves.promote,
                by="ada",
                **({"role": Role.ADMIN} if sets.s.waiting is Waiting.APPROVAL else {}),
            ),
        }[what]
        with contextlib.suppress(Conflict):
            ask()
