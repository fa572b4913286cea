"""Answering an Envoy that polls: whatever gets lost or is refused, no route is without its cluster."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serinus.core.errors import InvalidInput
from serinus.core.model import Upstream
from serinus.drivers.traffic.envoy import EnvoyDriver
from serinus.ports.polling import Ask
from serinus.ports.traffic import Capability, DesiredSplit, Share

DRIVER = EnvoyDriver.polled({})


def split(stable: str, canary: str | None = None, bp: int = 0) -> DesiredSplit:
    """Return a desired split; each version answers at an address of its own."""

    def upstream(version: str) -> Upstream:
        return Upstream(version=version, addresses=(f"10.0.0.{version[1:]}:80",))

    return DesiredSplit(
        service_id="svc",
        service="checkout",
        stable=upstream(stable),
        canary=upstream(canary) if canary else None,
        canary_bp=bp,
        salt="dep",
    )


ORDERS = [split("v1"), split("v1", "v2", 500), split("v1", "v2", 5000), split("v2"), split("v2", "v3", 100)]


class Envoy:
    """What an Envoy does by REST: it takes an answer whole, or keeps what it has, and names what that is."""

    def __init__(self) -> None:
        self.memory: dict = {}
        self.restart()

    def restart(self) -> None:
        """Begin with nothing."""
        self.versions = {"clusters": "", "routes": ""}
        self.clusters: set[str] = set()
        self.named: set[str] = set()

    def poll(self, kind: str, desired: DesiredSplit, fate: str = "taken", refusal: str = ""):
        """Ask once; return what the control plane made of it."""
        ask = Ask(kind=kind, version=self.versions[kind], refusal=refusal)
        told = DRIVER.answer(ask, desired, json.loads(json.dumps(self.memory)))
        self.memory = dict(told.memory)
        if told.body and fate == "taken":
            answer = json.loads(told.body)
            self.versions[kind] = answer["version_info"]
            if kind == "clusters":
                self.clusters = {cluster["name"] for cluster in answer["resources"]}
            else:
                self.routes = answer["resources"][0]["virtual_hosts"][0]["routes"]
                self.named = set(_named(answer["resources"]))
        return told

    def follows(self, desired: DesiredSplit):
        """Ask for everything, often enough; return the last answer.

        In turn it is given clusters, names them, is given routes, names them, and loses the old clusters.
        """
        for _ in range(5):
            for kind in ("clusters", "routes"):
                told = self.poll(kind, desired)
        return told


def _named(found) -> list[str]:
    """Return every cluster that routes name."""
    if isinstance(found, list):
        return [name for one in found for name in _named(one)]
    if not isinstance(found, dict):
        return []
    own = [found["cluster"]] if isinstance(found.get("cluster"), str) else []
    own += [c["name"] for c in found.get("weighted_clusters", {}).get("clusters", [])]
    return own + _named(list(found.values()))


KINDS = st.sampled_from(["clusters", "routes"])
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("poll"), KINDS, st.sampled_from(["taken", "taken", "lost"])),
        st.tuples(st.just("order"), st.integers(0, len(ORDERS) - 1)),
        st.just(("restart",)),
    ),
    max_size=40,
)


@given(STEPS)
@settings(max_examples=100, deadline=None)
def test_no_route_is_in_force_without_its_cluster(steps):
    """Orders change, answers are lost, Envoy starts again, in any order; and in the end it follows."""
    envoy, desired = Envoy(), ORDERS[0]
    for step in steps:
        if step[0] == "poll":
            # One that has just started asks for routes only once it has clusters.
            kind = step[1] if envoy.versions["clusters"] else "clusters"
            told = envoy.poll(kind, desired, step[2])
            assert envoy.named <= envoy.clusters
            if told.ok:
                assert told.carried_bp == desired.canary_bp
        elif step[0] == "order":
            desired = ORDERS[step[1]]
        else:
            envoy.restart()
    told = envoy.follows(desired)
    assert (told.ok, told.carried_bp, told.body, told.problem) == (True, desired.canary_bp, "", "")
    only = {c["name"] for c in json.loads(DRIVER.answer(Ask(kind="clusters"), desired, {}).body)["resources"]}
    assert envoy.clusters == only  # what nothing names any more is gone


def test_a_change_of_shares_takes_one_poll():
    """A rollback above all: its clusters are known, so the next question for routes is answered with it."""
    envoy = Envoy()
    envoy.follows(ORDERS[1])
    told = envoy.poll("routes", ORDERS[0])
    assert told.body
    assert envoy.named == {"v1"}
    assert envoy.poll("routes", ORDERS[0]).ok


def test_the_next_question_is_the_acknowledgement():
    """Given is not taken: only the version that it names counts."""
    envoy = Envoy()
    envoy.follows(ORDERS[1])
    assert not envoy.poll("routes", ORDERS[2]).ok
    assert envoy.poll("routes", ORDERS[2]).carried_bp == 5000


def test_what_is_given_twice_and_not_taken_is_told():
    """One answer may have been lost; Envoy does not say by REST why it took none."""
    envoy = Envoy()
    envoy.follows(ORDERS[0])
    problems = [envoy.poll("clusters", ORDERS[1], "refused").problem for _ in range(4)]
    assert problems[:2] == ["", ""]
    assert problems[2].startswith(
        "Envoy was given new clusters 2 times and has not taken them; why is in its"
    )
    assert envoy.poll("routes", ORDERS[1]).body == ""  # they would name a cluster that it refused
    assert envoy.poll("routes", ORDERS[0]).problem == ""  # a rollback: it carries that still
    assert envoy.follows(ORDERS[2]).ok


def test_a_refusal_in_its_own_words_is_told_at_once():
    """The protocol has a place for them (``error_detail``)."""
    envoy = Envoy()
    envoy.follows(ORDERS[0])
    envoy.poll("clusters", ORDERS[1], "refused")
    told = envoy.poll("clusters", ORDERS[1], "refused", refusal="malformed IP address: 999.1.1.1")
    assert told.problem == "Envoy refused the clusters: malformed IP address: 999.1.1.1"


def test_a_version_that_is_not_remembered_proves_nothing():
    """The instance was forgotten, or runs by what another release wrote: it is asked to take it anew."""
    envoy = Envoy()
    envoy.follows(ORDERS[1])
    for memory in ({}, {"clusters": "of another release"}):
        envoy.memory = memory
        envoy.versions["routes"] = "unheard-of"
        assert not envoy.poll("routes", ORDERS[1]).ok
        assert envoy.follows(ORDERS[1]).ok


def test_without_an_admin_address_nothing_is_counted():
    """What a fleet can is what each of its proxies can."""
    counted = {Capability.STATISTICS, Capability.LATENCY}
    assert EnvoyDriver.capabilities - DRIVER.capabilities == counted
    named = {"instances": [{"name": "edge-1", "admin": "http://10.0.0.9:9901"}]}
    assert EnvoyDriver.polled(named).capabilities == EnvoyDriver.capabilities
    with pytest.raises(InvalidInput, match="admin is no URL"):
        EnvoyDriver.polled({"instances": [{"name": "edge-1", "admin": "nowhere"}]})


def test_stable_is_named_without_looking_for_who_answered():
    """Only a candidate's request may have been answered by another; what is no text is looked up."""
    for version, value in (("v1", "v1"), ("50%", "50%%"), ("v\n1", "%UPSTREAM_METADATA(serinus:version)%")):
        envoy = Envoy()
        envoy.follows(replace(split("v1"), stable=Upstream(version=version, addresses=("10.0.0.1:80",))))
        (route,) = envoy.routes
        assert route["response_headers_to_add"][0]["header"] == {"key": "x-serinus-version", "value": value}
        assert "retry_priority" not in route["route"]["retry_policy"]


def test_a_candidate_behind_a_gap_fails_over_like_the_first_one():
    """v2 of an A/B/n test is out, so the first buckets are stable's: v3's requests are saved all the same."""
    envoy, v3 = Envoy(), split("v3").stable
    envoy.follows(replace(split("v1", "v2", 0), others=(Share(upstream=v3, bp=500, gap_bp=5000),)))
    *_, repeated, once = envoy.routes
    assert "per_try_timeout" in repeated["route"]["retry_policy"]
    assert "per_try_timeout" not in once["route"]["retry_policy"]
    for route in (repeated, once):
        shares = route["route"]["weighted_clusters"]["clusters"]
        assert [(c["name"], c["weight"]) for c in shares] == [
            ("v1", 5000),
            ("v3_or_stable", 500),
            ("v1", 4500),
        ]
