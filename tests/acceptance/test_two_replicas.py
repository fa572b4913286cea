"""Two control planes on one PostgreSQL: they share the work, and one may die."""

from __future__ import annotations

import time

import pytest

from planes import Plane

pytestmark = pytest.mark.real

#: A dead replica's lease runs out after this, at most.
TAKE_OVER_SECONDS = 45.0


def until(true, seconds: float) -> None:
    """Wait until something holds."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come to hold"
        time.sleep(0.1)


def canary(plane: Plane, name: str) -> str:
    """Make a service with a canary on it; return the deployment's id."""
    plane.call("POST", "/services", json={"name": name, "stable_version": "v1"})
    identity = plane.call("POST", "/deployments", json={"service_id": name, "version": "v2"})["deployment_id"]
    plane.call("POST", f"/deployments/{identity}/start-canary", json={"canary_pct": 50})
    return identity


def break_(plane: Plane, identity: str, name: str, seq: int) -> None:
    """Report five failures in a row."""
    news = {"service": name, "deployment": identity, "state": "open", "failures": 5}
    plane.call("POST", "/sdk/telemetry", json={"source": "p", "seq": seq, "breakers": [news]})


@pytest.mark.timeout(120)
def test_work_is_shared_told_once_and_taken_over(postgres, tmp_path, slack, mailbox):
    """Ten rollbacks, each decided and told once; after a kill the other one goes on alone."""
    database = postgres.fresh()
    folders = [tmp_path / name for name in ("one", "two")]
    planes = []
    for folder in folders:
        folder.mkdir()
        plane = Plane(folder, slack, mailbox, database)
        plane.start()
        planes.append(plane)
    one, two = planes
    (folders[1] / "profile.json").write_text((folders[0] / "profile.json").read_text())
    try:
        jobs = [j for j in one.call("GET", "/scheduler/jobs")["jobs"] if j["name"] == "canary_monitor_task"]
        until(lambda: len({j["replica"] for j in two.call("GET", "/scheduler/jobs")["jobs"]}) == 2, 10)
        assert jobs
        made = {f"s{n}": canary(planes[n % 2], f"s{n}") for n in range(10)}
        for at, (name, identity) in enumerate(made.items()):
            break_(planes[(at + 1) % 2], identity, name, at + 1)
        for identity in made.values():
            until(lambda i=identity: one.call("GET", f"/deployments/{i}")["status"] == "rolled_back", 10)
        until(lambda: len(slack.messages) == len(mailbox.messages) == 10, 10)
        for identity in made.values():
            kinds = [e["kind"] for e in two.call("GET", f"/deployments/{identity}/events")["events"]]
            assert (kinds.count("rolled_back"), kinds.count("notification")) == (1, 2)
        one.kill()
        identity = canary(two, "late")
        break_(two, identity, "late", 99)
        until(
            lambda: two.call("GET", f"/deployments/{identity}")["status"] == "rolled_back", TAKE_OVER_SECONDS
        )
        until(lambda: len(slack.messages) == len(mailbox.messages) == 11, 10)
    finally:
        for plane in planes:
            plane.kill()
    assert len({m["x-serinus-notification"] for _, m in mailbox.messages}) == len(mailbox.messages) == 11
