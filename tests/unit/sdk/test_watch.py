"""The few units that are watched for whether they stick."""

from __future__ import annotations

import threading

from hypothesis import given, settings
from hypothesis import strategies as st
from xxhash import xxh64_intdigest

from serinus.core.bucketing import bucket_of
from serinus.sdk import Client
from serinus.sdk.routing import Router
from serinus.sdk.watch import MAX_KNOWN, MAX_WATCHED, Watch


def snapshot(weight: int = 2500, **more) -> dict:
    """Return a snapshot with one canary; a salt of its own with ``salt=``."""
    running = {"id": "dep_1", "version": "v2", "salt": "dep_1", "weight_bp": weight, "stickiness": "hash"}
    return {"services": {"checkout": {"stable": "v1", "deployment": {**running, **more}}}}


def router(*args, **more) -> Router:
    """Return a router on such a snapshot."""
    made = Router("checkout")
    made.adopt(snapshot(*args, **more)["services"]["checkout"])
    return made


def told(made: Router, users: range, now: float = 0.0) -> dict[int, tuple[str, int]]:
    """Serve users, then return what is told of those that are watched."""
    for user in users:
        made.expose(f"user-{user}")
    return {unit: (version, share) for unit, version, share in made.sightings(now, 60)}


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 3000), st.integers(0, 3000), st.sampled_from(["dep_1", "other"]))
def test_all_processes_watch_the_same_units_whatever_else_they_differ_in(many, few, salt):
    """Two that serve different numbers of the same users agree below the lower limit, with any salt."""
    one, two = router(), router(salt=salt)
    ours, theirs = told(one, range(many)), told(two, range(few))
    limit = min(made._state.watched.limit for made in (one, two))
    seed = one._state.watched.seed
    both = {xxh64_intdigest(f"user-{n}".encode(), seed) for n in range(min(many, few))}
    below = {unit for unit in both if unit < limit}
    assert two._state.watched.seed == seed
    assert {unit for unit in ours.keys() & theirs.keys() if unit < limit} == below


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(0, (1 << 64) - 1), max_size=4 * MAX_WATCHED, unique=True))
def test_the_sample_is_bounded_and_takes_the_smallest_hashes(units):
    """Whatever comes; more than the bound halves the limit, and nobody above it is kept."""
    watch = Watch("dep_1")
    for unit in units:
        if unit < watch.limit:
            watch.add(unit, None, "v2", 500)
    assert len(watch.seen) <= MAX_WATCHED
    assert set(watch.seen) == {unit for unit in units if unit < watch.limit}


def test_one_unit_cannot_fill_the_memory_either():
    """A sender that makes versions up."""
    watch = Watch("dep_1")
    for n in range(3 * MAX_KNOWN):
        watch.add(7, None, f"v{n}", 500)
    assert len(watch.take(0.0, 60)) == MAX_KNOWN


def test_a_unit_is_told_once_a_minute_and_a_calmer_hour_watches_more():
    """Repeating costs little, and is what lets the server forget; the limit grows back."""
    made = router()
    assert len(told(made, range(100))) == 100
    assert told(made, range(100), now=30.0) == {}
    assert told(made, range(100), now=61.0) == {}
    assert len(told(made, range(100), now=62.0)) == 100
    told(made, range(20_000), now=63.0)
    low = made._state.watched.limit
    told(made, range(0), now=200.0)
    told(made, range(0), now=300.0)
    assert made._state.watched.limit == 2 * low


def test_what_is_told_is_the_hash_the_version_and_the_share_and_no_key():
    """As the flush sends it."""
    client = Client("", snapshot=snapshot(2500))
    made = client.service("checkout")
    users = [f"user-{n}" for n in range(40)]
    for user in users:
        made.expose(user)
    batch = client.take_batch(last=True)
    stable, canary = sorted(batch["sightings"], key=lambda s: s["version"])
    assert {k: v for k, v in canary.items() if k != "units"} == {
        "service": "checkout",
        "deployment": "dep_1",
        "version": "v2",
        "share_bp": 2500,
    }
    assert stable["version"] == ""
    on_canary = sum(bucket_of("dep_1", user) < 2500 for user in users)
    assert (len(canary["units"]), len(stable["units"])) == (on_canary, 40 - on_canary)
    assert "user-" not in str(batch["sightings"])
    assert client.take_batch(last=True) is None


def test_where_something_else_than_the_hash_decides_nothing_is_told():
    """Units by hand, named ones, those that stay above a share that shrank, and an open breaker."""
    inside = [f"u{n}" for n in range(4000) if bucket_of("dep_1", f"u{n}") < 100]
    outside = [f"u{n}" for n in range(200) if bucket_of("dep_1", f"u{n}") >= 5000]
    named = router(100, user_ids=outside[:9])
    assert [named.expose(u).is_canary for u in outside[:10]] == [True] * 9 + [False]
    assert [version for _, version, _ in named.sightings(0, 60)] == [""]
    stays = router(9000, stickiness="persistent")
    stays.expose(outside[0])
    stays.sightings(0, 60)
    stays.adopt(snapshot(100, stickiness="persistent")["services"]["checkout"])
    assert stays.expose(outside[0]).is_canary == (bucket_of("dep_1", outside[0]) < 9000)
    assert stays.sightings(0, 60) == []
    broken = router(100)
    for _ in range(5):
        broken.failed()
    assert not broken.expose(inside[0]).is_canary
    assert broken.sightings(0, 60) == []


def test_while_everybody_is_on_one_side_nobody_is_watched():
    """Nothing can flip, and requests do not pay for it."""
    for weight in (0, 10_000):
        made = router(weight)
        made.expose("user-1")
        assert (made._state.watch, made.sightings(0, 60)) == (None, [])
    assert Router("checkout").expose("user-1").version == ""


def test_the_share_of_a_unit_among_several_candidates_is_its_slots():
    """A closed seat tells nothing: its units are on stable for a reason."""
    seats = [
        {"version": "v2", "begin": 0, "end": 1000, "limit": 5000},
        {"version": "v3", "begin": 5000, "end": 5000, "limit": 5000},
    ]
    made = router(1000, candidates=seats)
    found = told(made, range(400))
    assert set(found.values()) == {("v2", 1000), ("", 1000)}
    assert len(found) == sum(bucket_of("dep_1", f"user-{n}") < 5000 for n in range(400))


def test_a_new_share_is_told_and_a_new_deployment_begins_anew():
    """Which share a process follows is what explains where a unit is."""
    made = router(1000)
    assert {share for _, share in told(made, range(50)).values()} == {1000}
    made.adopt(snapshot(2000)["services"]["checkout"])
    assert {share for _, share in told(made, range(50)).values()} == {2000}
    made.adopt(snapshot(2000, id="dep_2")["services"]["checkout"])
    assert len(told(made, range(50))) == 50


def test_threads_that_serve_while_the_flush_takes_break_nothing():
    """Each unit is told, by one flush or the next."""
    made, found = router(), []
    threads = [
        threading.Thread(target=lambda: [made.expose(f"user-{n % 300}") for n in range(3_000)])
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        found += made.sightings(0, 60)
    found += made.sightings(0, 60)
    assert len({unit for unit, _, _ in found}) == 300
