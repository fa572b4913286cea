"""Units that stay on a canary: how they travel, and what a process does while they are not here."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from serinus.core.bucketing import unit_hash
from serinus.ports.assignments import slice_of
from serinus.sdk.kept import KeptUnits, holds, packed, plain, sliced
from serinus.sdk.routing import MAX_KNOWN, Router

HASHES = st.lists(st.integers(0, 2**64 - 1).map(lambda n: f"{n:016x}"), max_size=200, unique=True)


def snapshot(kept: dict, weight: int = 1000, identity: str = "dep_1", **more) -> dict:
    """Return a snapshot of a shrunken share, as the control plane sends it."""
    running = {
        "id": identity,
        "version": "v2",
        "salt": identity,
        "weight_bp": weight,
        "stickiness": "persistent",
        "kept": kept,
        **more,
    }
    return {"revision": "r", "services": {"shop": {"stable": "v1", "deployment": running}}}


def hex_of(key: str) -> str:
    """Return a user's hash."""
    return f"{unit_hash('dep_1', key):016x}"


@given(HASHES, st.integers(0, 2**64 - 1))
def test_a_unit_is_found_in_its_slice_and_no_other_is(hashes, other):
    """Exact: no filter that sometimes says yes."""
    slices = sliced(hashes)
    assert all(holds(slices, int(h, 16)) for h in hashes)
    assert holds(slices, other) == (f"{other:016x}" in hashes)
    assert {index for h in hashes for index in [slice_of(h)]} == set(slices)


@given(HASHES, st.integers(1, 2**31))
def test_a_slice_arrives_as_it_was_sent(hashes, version):
    """Eight bytes a unit, and its version."""
    body = packed(version, hashes)
    assert len(body) == 8 * (len(hashes) + 1)
    kept = KeptUnits()
    kept.put("dep_1", 7, body)
    whole = kept.complete(snapshot({"7": version}), {})
    units = whole["services"]["shop"]["deployment"]["sticky"][7]
    assert [f"{u:016x}" for u in units] == sorted(hashes)


def test_only_what_has_changed_is_fetched_again():
    """By version; what the snapshot names no more is forgotten."""
    kept = KeptUnits()
    assert kept.missing(snapshot({"20": 3, "21": 1})) == [("dep_1", 20), ("dep_1", 21)]
    kept.put("dep_1", 20, packed(3, []))
    kept.put("dep_1", 21, packed(2, []))  # newer than the snapshot: it changed on the way
    assert kept.missing(snapshot({"20": 4, "21": 2})) == [("dep_1", 20)]
    assert kept.missing(snapshot({})) == []
    assert kept.missing(snapshot({"21": 2})) == [("dep_1", 21)]


def test_a_share_that_shrank_is_not_followed_without_its_units():
    """The service stays as it was; others, and a rollback of this one, are followed at once."""
    users = [f"u{n}" for n in range(300) if 2000 <= unit_hash("dep_1", f"u{n}") % 10_000 < 5000]
    kept, router = KeptUnits(), Router("shop")
    before = snapshot({}, weight=5000)["services"]
    router.adopt(before["shop"])
    shrunk = snapshot({str(slice_of(hex_of(u))): 1 for u in users})
    assert kept.complete(shrunk, before)["services"]["shop"] == before["shop"]
    for deployment, index in kept.missing(shrunk):
        mine = [hex_of(u) for u in users if slice_of(hex_of(u)) == index]
        kept.put(deployment, index, packed(1, mine))
    router.adopt(kept.complete(shrunk, before)["services"]["shop"])
    assert router.plan.weight == 1000
    assert all(router.decide(u).is_canary for u in users)
    assert not router.decide("new-1" if unit_hash("dep_1", "new-1") % 10_000 >= 1000 else "new-2").is_canary
    over = {"revision": "r", "services": {"shop": {"stable": "v1", "deployment": None}}}
    assert kept.complete(over, before) == over


def test_after_a_reset_of_everybody_nothing_of_before_is_taken_for_new():
    """It is another book, whose versions begin again."""
    kept = KeptUnits()
    kept.put("dep_1", 20, packed(9, []))
    again = snapshot({"20": 1}, book="dep_1.3")
    assert kept.missing(again) == [("dep_1.3", 20)]


def test_a_process_that_begins_then_sends_those_it_does_not_know_to_stable():
    """There is nothing before; the hash decides until the units are here."""
    fresh = KeptUnits().complete(snapshot({"20": 1}), {})["services"]["shop"]
    assert (fresh["deployment"]["weight_bp"], fresh["deployment"]["sticky"]) == (1000, {})


def test_what_is_kept_on_disk_has_the_units_in_it():
    """So that a process that starts while the control plane is away keeps them too."""
    kept = KeptUnits()
    ada = hex_of("ada")
    kept.put("dep_1", slice_of(ada), packed(1, [ada]))
    written = plain(kept.complete(snapshot({str(slice_of(ada)): 1}, weight=0), {}))
    router = Router("shop")
    router.adopt(written["services"]["shop"])
    assert (written["services"]["shop"]["deployment"]["sticky"], router.decide("ada").is_canary) == (
        [ada],
        True,
    )
    assert KeptUnits().missing(written) == []


def test_units_by_hand_are_where_they_were_put():
    """Whatever the share and the filter say; an open breaker sends everyone to stable."""
    entry = snapshot(
        {},
        weight=5000,
        user_ids=["bob"],
        placed={"canary": [hex_of("high")], "stable": [hex_of("bob"), hex_of("low")]},
    )["services"]["shop"]
    router = Router("shop")
    router.adopt(entry)
    assert [router.decide(u).is_canary for u in ("high", "bob", "low")] == [True, False, False]
    zero = {**entry, "deployment": {**entry["deployment"], "weight_bp": 0}}
    router.adopt(zero)
    assert router.decide("high").is_canary
    router.adopt({**entry, "deployment": {**entry["deployment"], "breaker": {"state": "open"}}})
    assert not router.decide("high").is_canary


def test_a_reset_makes_a_process_forget_whom_it_kept():
    """Those that stay are in the snapshot's slices; what waits to be told of carries the old number."""
    user = next(u for u in map(str, range(99)) if 2000 <= unit_hash("dep_1", u) % 10_000 < 5000)
    router = Router("shop")
    router.adopt(snapshot({}, weight=5000)["services"]["shop"])
    router.expose(user)
    router.adopt(snapshot({}, weight=1000)["services"]["shop"])
    assert router.expose(user).is_canary
    router.adopt(snapshot({}, weight=1000, epoch=1)["services"]["shop"])
    assert not router.expose(user).is_canary
    assert [unit[1:] for unit in router.new_units()] == [("user_id", user, 0)]


def test_with_hash_stickiness_nobody_is_remembered():
    """Nobody can differ from the hash."""
    router = Router("shop")
    router.adopt(snapshot({}, weight=10_000, stickiness="hash")["services"]["shop"])
    assert router.expose("ada").is_canary
    assert router.new_units() == []


def test_a_unit_that_is_kept_already_is_not_told_of_again():
    """Whichever process serves it now."""
    router = Router("shop")
    router.adopt(snapshot({}, weight=0, sticky=[hex_of("ada")])["services"]["shop"])
    assert router.expose("ada").is_canary
    assert router.new_units() == []


def test_a_process_that_knows_many_units_tells_of_each_at_least_once(monkeypatch):
    """It forgets the oldest and tells of them again, rather than not telling of new ones."""
    import serinus.sdk.routing as module

    monkeypatch.setattr(module, "MAX_KNOWN", 100)
    assert MAX_KNOWN > 100
    router = Router("shop")
    router.adopt(snapshot({}, weight=10_000)["services"]["shop"])
    told = []
    for n in range(1_000):
        router.expose(f"u{n}")
        told += [unit[2] for unit in router.new_units()]
    assert told == [f"u{n}" for n in range(1_000)]
    assert len(router._state.known) + len(router._state.known_before) <= 200
