"""``kill -9`` in the middle of a release set's promotion and rollback: it goes on where it stood."""

from __future__ import annotations

import random
import time

import pytest

from planes import Plane

pytestmark = pytest.mark.real

MEMBERS = [f"s{n}" for n in range(5)]
ROUNDS = 2


def until(plane: Plane, path: str, state: str) -> dict:
    """Return the set once it is in a state."""
    end = time.monotonic() + 30
    while True:
        view = plane.call("GET", path)
        if view["state"] == state:
            return view
        assert time.monotonic() < end, view["sentence"]
        time.sleep(0.02)


def begun(plane: Plane, path: str, kind: str) -> None:
    """Wait until the first move of a kind is on the set's timeline."""
    end = time.monotonic() + 30
    while not any(e["kind"] == kind for e in plane.call("GET", f"{path}/events?limit=1000")["events"]):
        assert time.monotonic() < end, plane.call("GET", path)["sentence"]
        time.sleep(0.01)


@pytest.mark.timeout(240)
def test_a_killed_set_ends_as_a_whole(tmp_path, slack, mailbox):
    """Killed as soon as the first member moved, or a little later: all are promoted, all go back, once."""
    folder = tmp_path / "plane"
    folder.mkdir()
    plane, chance = Plane(folder, slack, mailbox), random.Random(11)
    plane.start()
    try:
        for name in MEMBERS:
            plane.call("POST", "/services", json={"name": name, "stable_version": "v0"})
        for round_ in range(1, ROUNDS + 1):
            data = {
                "name": f"round {round_}",
                "members": [{"service": name, "version": f"v{round_}"} for name in MEMBERS],
                "strategy": {"steps": [{"traffic_percentage": 100, "hold_seconds": 0}]},
                "analysis": {"checks": [], "only": True},
                "canary_config": {"duration_minutes": 0},
            }
            path = f"/release-sets/{plane.call('POST', '/release-sets', json=data)['release_set_id']}"
            begun(plane, path, "promote")
            time.sleep(chance.uniform(0, 0.05))
            plane.kill()
            plane.start()
            until(plane, path, "done")
            assert {s["stable_version"] for s in plane.call("GET", "/services")["services"]} == {f"v{round_}"}
            if round_ % 2:
                continue
            plane.call("POST", f"{path}/rollback", json={"reason": "seen enough"})
            begun(plane, path, "rollback")
            time.sleep(chance.uniform(0, 0.05))
            plane.kill()
            plane.start()
            view = until(plane, path, "rolled_back")
            assert {m["status"] for m in view["stages"][0]["members"]} == {"rolled_back"}
            versions = {s["stable_version"] for s in plane.call("GET", "/services")["services"]}
            assert versions == {f"v{round_ - 1}"}
            moves = plane.call("GET", f"{path}/events?limit=1000")["events"]
            for kind in ("start", "promote", "rollback"):
                moved = [e["data"]["service"] for e in moves if e["kind"] == kind]
                order = MEMBERS if kind != "rollback" else MEMBERS[::-1]
                assert moved == order, (kind, moved)
    finally:
        plane.kill()
    assert "Traceback" not in (folder / "plane.log").read_text()
