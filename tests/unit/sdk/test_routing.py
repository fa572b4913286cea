"""Deciding in process."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serinus.core.bucketing import is_on_canary, unit_hash
from serinus.sdk import Client
from serinus.sdk.routing import Router

IDS = st.text(min_size=1, max_size=40).filter(lambda t: t.isprintable())


def entry(weight: int = 500, **more) -> dict:
    """Return a service's snapshot entry."""
    running = {
        "id": "dep_1",
        "version": "v2",
        "salt": "dep_1",
        "weight_bp": weight,
        "stickiness": "persistent",
    }
    return {"stable": "v1", "deployment": {**running, **more}}


def router(*args, **more) -> Router:
    """Return a router on an entry."""
    made = Router("checkout")
    made.adopt(entry(*args, **more))
    return made


@given(IDS, st.integers(0, 10_000))
def test_the_sdk_and_the_core_agree_on_everybody(user, weight):
    """The compiled decision is the hash's."""
    assert router(weight).decide(user).is_canary == is_on_canary("dep_1", user, weight)


@given(IDS, st.lists(st.integers(0, 10_000), min_size=2, max_size=5).map(sorted))
def test_nobody_flips_back_while_the_share_grows(user, weights):
    """Step after step."""
    made, was = Router("checkout"), False
    for weight in weights:
        made.adopt(entry(weight))
        now = made.expose(user).is_canary
        assert now or not was
        was = now


@given(IDS, IDS, IDS)
def test_the_first_key_present_decides_and_is_named(user, session, workflow):
    """Workflow, session, user."""
    made = router(5000)
    for keys, priority in (
        ((user, session, workflow), "workflow_id"),
        ((user, session, ""), "session_id"),
        ((user, "", ""), "user_id"),
    ):
        choice = made.decide(*keys)
        key = {"workflow_id": workflow, "session_id": session, "user_id": user}[priority]
        assert (choice.priority, choice.is_canary) == (priority, is_on_canary("dep_1", key, 5000))
    assert (made.decide().priority, made.decide().is_canary) == (None, False)


def test_persistent_units_stay_when_the_share_shrinks():
    """Those that this process put there, and those that the snapshot names; others follow the hash."""
    users = [f"u{n}" for n in range(500) if 1000 <= unit_hash("dep_1", f"u{n}") % 10_000 < 5000]
    made = router(5000)
    made.expose(users[0])
    made.adopt(entry(1000, sticky=[f"{unit_hash('dep_1', users[1]):016x}"]))
    assert [made.decide(u).is_canary for u in users[:3]] == [True, True, False]
    hashed = router(5000, stickiness="hash")
    hashed.expose(users[0])
    hashed.adopt(entry(1000, stickiness="hash"))
    assert not hashed.decide(users[0]).is_canary
    made.adopt({"stable": "v1", "deployment": None})
    assert not made.decide(users[0]).is_canary


def test_named_units_are_pinned():
    """Whatever the share; but not while the fleet's breaker is open."""
    made = router(0, user_ids=["ada"], workflow_ids=["wf"])
    assert [
        made.decide("ada").is_canary,
        made.decide("bob").is_canary,
        made.decide("bob", "", "wf").is_canary,
    ] == [True, False, True]
    made.adopt(entry(5000, user_ids=["ada"], breaker={"state": "open"}))
    assert not made.decide("ada").is_canary


def test_five_failures_in_a_row_put_the_very_next_request_on_stable(monkeypatch):
    """And after its time one trial decides: failure opens it again, success closes it."""
    import serinus.sdk.routing as module

    now, told = [100.0], []
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    made = Router("checkout", lambda *news: told.append(news))
    made.adopt(entry(10_000))
    for _ in range(4):
        made.failed()
    made.succeeded()
    for _ in range(5):
        assert made.decide("u").is_canary
        made.failed()
    assert not made.decide("u").is_canary
    now[0] += 60
    assert [made.decide("u").is_canary, made.decide("u").is_canary] == [True, False]
    made.failed()
    assert not made.decide("u").is_canary
    now[0] += 60
    assert made.decide("u").is_canary
    made.succeeded()
    assert made.decide("u").is_canary
    assert [news[2] for news in told] == ["open", "open", "closed"] or [n[2] for n in told] == [
        "open",
        "closed",
    ]


@pytest.mark.parametrize("odd", [None, 5, b"x", object(), "\ud800", ["u"], ""])
def test_anything_odd_is_stable_and_never_an_exception(odd):
    """The application never sees our errors."""
    made = router(10_000)
    assert made.decide(odd).version in ("v1", "v2")
    assert made.decide_for(odd, "u").version in ("v1", "v2")


@pytest.mark.parametrize(
    "bad",
    [
        {"deployment": {"id": "d", "weight_bp": "many"}},
        {"deployment": 5},
        {"deployment": {"id": "d", "weight_bp": 1, "rule": {"op": "magic"}}},
    ],
)
def test_a_malformed_entry_keeps_the_one_before(bad):
    """Refused whole."""
    made = router(10_000)
    with pytest.raises(ValueError, match="checkout"):
        made.adopt(bad)
    assert made.decide("u").version == "v2"


def test_rules_are_compiled():
    """All, any, not, and every operator; what is missing is not on the canary."""
    rule = {
        "all": [
            {"attribute": "country", "op": "eq", "value": "KR"},
            {
                "any": [
                    {"attribute": "plan", "op": "in", "value": ["pro"]},
                    {"attribute": "age", "op": "gt", "value": 30},
                ]
            },
            {"not": {"attribute": "name", "op": "starts_with", "value": "test"}},
            {"attribute": "x", "op": "ne", "value": 1},
            {"attribute": "y", "op": "not_in", "value": [1]},
        ]
    }
    made = router(10_000, rule=rule)
    assert made.decide_for({"country": "KR", "plan": "pro"}, "u").is_canary
    assert made.decide_for({"country": "KR", "age": 31}, "u").is_canary
    for attributes in (
        {},
        {"country": "KR"},
        {"country": "KR", "plan": "pro", "name": "tester"},
        {"country": "US", "plan": "pro"},
    ):
        assert not made.decide_for(attributes, "u").is_canary
    assert not made.decide("u").is_canary


def test_a_new_snapshot_is_seen_whole_by_all_threads():
    """Every decision is of the old or of the new one, never of both."""
    made, wrong, stop = router(10_000), [], threading.Event()

    def decide():
        while not stop.is_set():
            choice = made.decide("u")
            if (choice.version, choice.is_canary) not in (("v2", True), ("v9", False)):
                wrong.append(choice)

    threads = [threading.Thread(target=decide) for _ in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(500):
        made.adopt({"stable": "v9", "deployment": None})
        made.adopt(entry(10_000))
    stop.set()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_alone_with_a_snapshot():
    """No control plane: no thread, no connection, the snapshot decides."""
    before = threading.active_count()
    client = Client(url="", snapshot={"services": {"checkout": entry(10_000)}})
    assert client.service("checkout").decide("u").version == "v2"
    assert client.service("unknown").decide("u").version == ""
    assert threading.active_count() == before
    client.follow({"services": {"checkout": {"stable": "v3", "deployment": None}}})
    assert client.service("checkout").decide("u").version == "v3"
    client.follow({"nonsense": 1})
    assert client.status()["last_error"]
    client.close()


def test_late_answers_of_the_canary_before_are_not_held_against_this_one():
    """They hung while it was rolled back and its successor started."""
    client = Client(url="", snapshot={"services": {"checkout": entry(10_000)}})
    checkout = client.service("checkout")
    hung = [checkout.decide(f"user-{n}") for n in range(5)]
    client.follow({"services": {"checkout": entry(10_000, id="dep_2", salt="dep_2", version="v3")}})
    for choice in hung:
        client.record("checkout", choice, "/pay", 500, 30_000.0)
    assert not checkout.breaker_open
    for _ in range(5):
        client.record("checkout", checkout.decide("ada"), "/pay", 500, 30_000.0)
    assert checkout.breaker_open


@pytest.mark.parametrize("odd", [float("nan"), float("inf"), -1e308])
def test_a_metric_that_is_no_number_is_dropped_alone(odd):
    """The control plane would refuse the batch, and all that was measured with it."""
    client = Client(url="", snapshot={"services": {"checkout": entry(10_000)}})
    choice = client.service("checkout").expose("ada")
    client.metric("checkout", choice, "revenue", odd)
    client.metric("checkout", choice, "revenue", 2)
    batch = client.take_batch()
    assert [(s["name"], s["value"]) for s in batch["samples"]] == [("revenue", 2.0)]
    assert client.dropped == 1
