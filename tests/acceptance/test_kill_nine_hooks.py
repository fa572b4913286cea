"""``kill -9`` while a hook is being asked: it is asked again under the same id, and the rollout goes on."""

from __future__ import annotations

import asyncio
import time

import pytest

from fixtures_hooks import SECRET, webhook
from planes import Plane

pytestmark = pytest.mark.real


@pytest.mark.timeout(180)
async def test_a_killed_process_asks_again_and_forgets_nothing(tmp_path, slack, mailbox, gate):
    """Killed with the answer on its way; started again, it asks under the same id and goes on."""
    folder = tmp_path / "plane"
    folder.mkdir()
    gate.answers = [(200, '{"decision": "wait", "message": "not yet"}')]
    plane = Plane(folder, slack, mailbox)
    plane.environment |= {"SERINUS_HOOK_SECRET": SECRET, "SERINUS_HOOK_HOSTS": "127.0.0.1"}
    await asyncio.to_thread(plane.start)
    try:
        await asyncio.to_thread(
            plane.call, "POST", "/services", json={"name": "checkout", "stable_version": "v1"}
        )
        strategy = {
            "mode": "auto",
            "steps": [{"traffic_percentage": 20, "hold_seconds": 600}],
            "hooks": [webhook(gate, "confirm-rollout"), webhook(gate, "post-rollback", "tidy")],
        }
        body = {"service_id": "checkout", "version": "v2", "strategy": strategy}
        made = await asyncio.to_thread(plane.call, "POST", "/deployments", json=body)
        path = f"/deployments/{made['deployment_id']}"
        await asyncio.to_thread(plane.call, "POST", f"{path}/start-canary", json={})
        for _ in range(1):
            seen = len(gate.calls)
            await until(lambda seen=seen: len(gate.calls) > seen)
            await asyncio.to_thread(plane.kill)
            await asyncio.to_thread(plane.start)
        view = await asyncio.to_thread(plane.call, "GET", path)
        assert (view["status"], view["traffic_percentage"]) == ("canary", 0)
        gate.answers = [(200, "go")]
        await until(lambda: (plane.call("GET", path))["traffic_percentage"] == 20)
        assert len({identity for identity, _ in gate.calls}) == 1
        assert len(gate.calls) >= 2
        events = (await asyncio.to_thread(plane.call, "GET", f"{path}/events"))["events"]
        assert [e["kind"] for e in events].count("started") == 1
        assert "Asking hook qa before the first request to v2." in [e["message"] for e in events]
        await asyncio.to_thread(plane.call, "POST", f"{path}/rollback", json={"reason": "seen enough"})
        await asyncio.to_thread(plane.kill)
        await asyncio.to_thread(plane.start)
        await until(lambda: gate.asked[-1] == "serinus.post-rollback")
    finally:
        plane.kill()
    assert "Traceback" not in (folder / "plane.log").read_text()


async def until(true) -> None:
    """Wait until it is so."""
    ends = time.monotonic() + 60
    while not await asyncio.to_thread(true):
        assert time.monotonic() < ends
        await asyncio.sleep(0.02)
