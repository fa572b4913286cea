"""Hosts of their own: one is cut off in the middle of a rollback, agents and the control plane are killed."""

from __future__ import annotations

import re

import pytest

from fixtures_fleet import USERS, until
from serinus.core.bucketing import is_on_canary

pytestmark = [pytest.mark.real, pytest.mark.timeout(240)]

EVERYONE_STABLE = dict.fromkeys(USERS, "v1")


def half(salt: str) -> dict[str, str]:
    """Return which version answers whom at 50 %."""
    return {user: "v2" if is_on_canary(salt, user, 5000) else "v1" for user in USERS}


def test_an_edge_that_is_cut_off_during_a_rollback(fleet):
    """The others obey at once, the lost one is named, and follows by itself when it is back."""
    one, two, three = fleet.edges
    deployment = fleet.deploy(50)
    split = half(deployment)
    assert one.ask() == two.ask() == three.ask() == split

    two.host.pull_out()
    fleet.call("POST", f"/deployments/{deployment}/rollback", json={"reason": "v2 is worse"})
    until(lambda: one.ask() == three.ask() == EVERYONE_STABLE, "those that are there obey")
    assert two.ask() == split, "nobody can have told the lost one"
    named = until(lambda: _silent(fleet.page(deployment), "edge-2"), "the page names the lost one")
    assert named["since"]
    assert fleet.page(deployment)["deployment"]["status"] == "rolled_back"
    warnings = fleet.call("GET", f"/deployments/{deployment}/health")["warnings"]
    assert any(warning.startswith("edge-2: silent since") for warning in warnings)

    two.host.plug_in()
    until(lambda: two.ask() == EVERYONE_STABLE, "it follows without help")
    until(lambda: _follows(fleet.page(deployment), "edge-2"), "and is not named any more")
    told = [e["message"] for e in fleet.call("GET", f"/deployments/{deployment}/events")["events"]]
    assert [m for m in told if m.startswith("edge-2 follows again after")], told

    again = fleet.deploy(50)
    for edge in fleet.edges:  # evidence goes on, from each
        before = _requests(fleet, again)
        edge.ask()
        until(lambda b=before: _requests(fleet, again) == b + len(USERS), f"{edge.name} is counted")


def test_a_rollout_holds_while_an_edge_is_silent(fleet):
    """The deployment and the list say which, since when and why; forgetting it lets the rollout go on."""
    deployment = fleet.deploy(50)
    fleet.edges[1].kill_agent()

    def held() -> str:
        view = fleet.call("GET", f"/deployments/{deployment}")
        return view["sentence"] if view["sentence"].startswith("Holding at 50 %: the split") else ""

    assert "edge-2: silent since" in until(held, "it holds")
    assert fleet.edges[1].ask() == half(deployment), "the proxy goes on with what it carries"
    code, listed = fleet.command("fleet", "list")
    assert code == 1
    one, two, three = listed.splitlines()[1:]
    assert re.fullmatch(r"✔ edge-1 +follows +50 % +envoy", one)
    assert re.fullmatch(r"✔ edge-3 +follows +50 % +haproxy", three)
    assert re.match(r"✘ edge-2 +silent +50 % +envoy +silent since \d\d:\d\d:\d\d UTC, when it", two)

    assert fleet.command("fleet", "forget", "edge-2") == (0, "✔ edge-2 of checkout is forgotten.\n")
    until(lambda: not held(), "it goes on without")
    fleet.edges[1].start_agent(fleet.plane.port, fleet.token)
    until(lambda: fleet.follow(50), "one that still runs comes back")


def test_agents_and_the_control_plane_are_killed(fleet):
    """An agent that starts without a control plane keeps the last split, even one changed by hand."""
    one, two, three = fleet.edges
    deployment = fleet.deploy(50)
    split = half(deployment)

    fleet.plane.kill()
    one.kill_agent()
    one.change_by_hand(0)
    until(lambda: one.ask() == EVERYONE_STABLE, "the change by hand is carried")
    one.start_agent(fleet.plane.port, fleet.token)
    until(lambda: one.ask() == split, "the kept split is carried, with nobody to ask")
    assert two.ask() == three.ask() == split

    fleet.start_plane()
    until(lambda: fleet.follow(50), "all report again")
    assert one.ask() == two.ask() == three.ask() == split
    fleet.call("POST", f"/deployments/{deployment}/rollback", json={"reason": "enough"})
    until(lambda: one.ask() == two.ask() == three.ask() == EVERYONE_STABLE, "all obey")


def test_a_change_by_hand_is_put_right_and_told(fleet):
    """By the agent, within one of its looks; the timeline says where and what."""
    one = fleet.edges[0]
    deployment = fleet.deploy(50)
    one.change_by_hand(0)

    def told() -> list[str]:
        events = fleet.call("GET", f"/deployments/{deployment}/events")["events"]
        return [e["message"] for e in events if e["kind"] == "drift"]

    until(told, "it is told")
    assert told()[0] == "edge-1: the split was changed behind our back (0 %); it is put right"
    until(lambda: one.ask() == half(deployment), "it is put right")


def _silent(page: dict, name: str) -> dict | None:
    """Return what the page says of an instance that is silent."""
    return next((i for i in _instances(page) if i["name"] == name and "silent since" in i["problem"]), None)


def _follows(page: dict, name: str) -> bool:
    """Tell whether the page says that an instance follows."""
    return any(i["name"] == name and i["ok"] for i in _instances(page))


def _instances(page: dict) -> list[dict]:
    return (page["deployment"]["proxy"] or {}).get("instances", [])


def _requests(fleet, deployment: str) -> int:
    """Return how many requests were counted so far, on both sides."""
    found = fleet.call("GET", f"/deployments/{deployment}/metrics")
    return sum(
        (found[side] or {"total_requests": 0})["total_requests"] for side in ("v1_metrics", "v2_metrics")
    )
