"""Compensation in real processes: killed half way, and shared by two replicas on PostgreSQL."""

from __future__ import annotations

import time
from collections import Counter

import pytest

from fixtures_hooks import SECRET
from planes import Plane
from undoing import strategy

pytestmark = pytest.mark.real


def until(true, seconds: float = 30.0) -> None:
    """Wait until something holds."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come to hold"
        time.sleep(0.05)


def started(folder, slack, mailbox, database: str = "") -> Plane:
    """Start a control plane that may call the receiver of the tests."""
    folder.mkdir()
    plane = Plane(folder, slack, mailbox, database)
    plane.environment |= {"SERINUS_HOOK_SECRET": SECRET, "SERINUS_HOOK_HOSTS": "127.0.0.1"}
    plane.start()
    return plane


def rolled_back(plane: Plane, gate, name: str) -> str:
    """Promote a deployment and roll it back: two steps and itself have to be undone; return its id."""
    plane.call("POST", "/services", json={"name": name, "stable_version": "v1"})
    body = {
        "service_id": name,
        "version": "v2",
        "compensation_strategy": "notify_and_rollback",
        "strategy": strategy(gate.url),
    }
    path = f"/deployments/{plane.call('POST', '/deployments', json=body)['deployment_id']}"
    plane.call("POST", f"{path}/start-canary", json={})
    plane.call("POST", f"{path}/promote", json={"force": True})
    plane.call("POST", f"{path}/rollback", json={"reason": "orders are lost"})
    return path.rpartition("/")[2]


def standing(plane: Plane, identity: str) -> str:
    """Return how far a deployment's compensation is."""
    return plane.call("GET", f"/deployments/{identity}/compensation")["state"]


@pytest.mark.timeout(180)
def test_killed_again_and_again_it_forgets_nothing_and_keeps_its_order(tmp_path, slack, mailbox, gate):
    """Killed after each of the first calls: the same keys again, and in the end everything is undone."""
    gate.answers = [(500, "not yet")]
    plane = started(tmp_path / "plane", slack, mailbox)
    try:
        identity = rolled_back(plane, gate, "checkout")
        for _ in range(2):
            before = len(gate.calls)
            until(lambda before=before: len(gate.calls) > before)
            plane.kill()
            plane.start()
        gate.answers = [(200, "undone")]
        until(lambda: standing(plane, identity) == "done")
        events = plane.call("GET", f"/deployments/{identity}/events", params={"limit": 1000})["events"]
    finally:
        plane.kill()
    keys = [key.rpartition(".")[2] for key, _ in gate.calls]
    assert list(dict.fromkeys(keys)) == ["step-2", "step-1", "deployment"]
    assert keys == sorted(keys, key=["step-2", "step-1", "deployment"].index)
    said = [e["message"] for e in events if e["kind"] == "compensation"]
    assert [m.partition(" at try")[0] for m in said if m.startswith("Compensated")] == [
        "Compensated step 2 (25 %)",
        "Compensated step 1 (5 %)",
        "Compensated the deployment",
    ]
    assert said[-1] == "Everything is compensated."
    assert "Traceback" not in (tmp_path / "plane/plane.log").read_text()


@pytest.mark.timeout(180)
def test_two_replicas_run_each_once_and_one_may_die(postgres, tmp_path, slack, mailbox, gate):
    """Six rollbacks at once on two replicas: every key is called once; after a kill the other goes on."""
    database = postgres.migrated()
    one = started(tmp_path / "one", slack, mailbox, database)
    two = started(tmp_path / "two", slack, mailbox, database)
    (tmp_path / "two/profile.json").write_text((tmp_path / "one/profile.json").read_text())
    try:
        made = [rolled_back((one, two)[n % 2], gate, f"s{n}") for n in range(6)]
        for identity in made:
            until(lambda i=identity: standing(one, i) == "done")
        assert Counter(Counter(key for key, _ in gate.calls).values()) == {1: 18}
        one.kill()
        late = rolled_back(two, gate, "late")
        until(lambda: standing(two, late) == "done")
    finally:
        one.kill()
        two.kill()
    assert Counter(Counter(key for key, _ in gate.calls).values()) == {1: 21}
