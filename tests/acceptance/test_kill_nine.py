"""``kill -9`` of the control plane at random moments of a rollout: it goes on from where it was."""

from __future__ import annotations

import asyncio
import random
import time

import pytest

from planes import Plane
from serinus.core.bucketing import is_on_canary

pytestmark = pytest.mark.real

KILLS = 20
#: Seconds within which the proxy must carry the wanted split again: a tick, and the time to start.
SETTLE_SECONDS = 6.0


async def carried(edge, salt: str) -> set[str]:
    """Return which of a hundred users the proxy sends to the canary."""
    client = edge.client()
    users = [f"user-{n}" for n in range(60)]
    answers = [await client.get("/", headers={"x-user-id": u}) for u in users]
    return {u for u, a in zip(users, answers, strict=True) if a.text == "v2"}


async def agrees(edge, plane, identity: str, salt: str) -> bool:
    """Tell whether the proxy carries what the control plane wants."""
    view = await asyncio.to_thread(plane.call, "GET", f"/deployments/{identity}")
    running = view["status"] == "canary"
    wanted = {
        f"user-{n}"
        for n in range(60)
        if is_on_canary(salt, f"user-{n}", round(view["traffic_percentage"] * 100))
    }
    expected = wanted if running else set()
    after = await asyncio.to_thread(plane.call, "GET", f"/deployments/{identity}")
    same = (after["revision"], after["status"]) == (view["revision"], view["status"])
    return not same or await carried(edge, salt) == expected


@pytest.mark.timeout(240)
async def test_twenty_kills_twenty_correct_ends(edge, tmp_path, slack, mailbox):
    """Each rollout ends as it should, and each notification is sent exactly once."""
    folder = tmp_path / "plane"
    folder.mkdir()
    plane = Plane(folder, slack, mailbox)
    await asyncio.to_thread(plane.start)
    driver = {
        "listen": f"127.0.0.1:{edge.port}",
        "instances": [
            {"name": "edge-1", "admin": f"http://127.0.0.1:{edge.admin}", "config_dir": str(edge.folder)}
        ],
    }
    upstreams = {"v1": [f"127.0.0.1:{edge.stable.port}"], "v2": [f"127.0.0.1:{edge.canary.port}"]}
    service = {
        "name": "checkout",
        "stable_version": "v1",
        "driver": "envoy",
        "driver_config": driver,
        "upstreams": upstreams,
    }
    await asyncio.to_thread(plane.call, "POST", "/services", json=service)
    chance = random.Random(7)
    strategy = {"mode": "auto", "steps": [{"traffic_percentage": p, "hold_seconds": 30} for p in (20, 50)]}
    policy = {
        "preset": "rulesets",
        "only": True,
        "checks": [{"name": "errors", "measure": "error_rate", "limit": 0.05, "window_seconds": 5}],
    }
    try:
        for round_ in range(KILLS):
            edge.canary.mode = "ok"
            salt = f"kill-{round_}"
            body = {
                "service_id": "checkout",
                "version": "v2",
                "strategy": {**strategy, "salt": salt},
                "analysis": policy,
            }
            made = await asyncio.to_thread(plane.call, "POST", "/deployments", json=body)
            identity = made["deployment_id"]
            await asyncio.to_thread(plane.call, "POST", f"/deployments/{identity}/start-canary", json={})
            client = edge.client()
            users = [f"user-{n}" for n in range(60) if is_on_canary(salt, f"user-{n}", 2000)]
            # The fault comes and the process is killed somewhere between the fault and the end.
            edge.canary.mode = "500"
            for user in users[:8]:
                assert (await client.get("/", headers={"x-user-id": user})).status_code == 200
            await asyncio.sleep(chance.uniform(0.0, 0.7))
            await asyncio.to_thread(
                plane.kill_unless_between_two_generals, lambda: len(slack.messages) + len(mailbox.messages)
            )
            await asyncio.to_thread(plane.start)
            until = time.monotonic() + SETTLE_SECONDS
            while time.monotonic() < until:
                view = await asyncio.to_thread(plane.call, "GET", f"/deployments/{identity}")
                told = await asyncio.to_thread(plane.call, "GET", f"/deployments/{identity}/notifications")
                states = [n["state"] for n in told["notifications"]]
                if (
                    view["status"] == "rolled_back"
                    and states == ["sent", "sent"]
                    and not await carried(edge, salt)
                ):
                    break
                for user in users[:3]:
                    await client.get("/", headers={"x-user-id": user})
                await asyncio.sleep(0.1)
            assert (view["status"], states) == ("rolled_back", ["sent", "sent"]), (round_, view["sentence"])
            assert await agrees(edge, plane, identity, salt)
            kinds = [
                e["kind"]
                for e in (await asyncio.to_thread(plane.call, "GET", f"/deployments/{identity}/events"))[
                    "events"
                ]
            ]
            assert (kinds.count("started"), kinds.count("rolled_back")) == (1, 1)
    finally:
        plane.kill()
    ids = [m["x-serinus-notification"] for _, m in mailbox.messages]
    assert (len(ids), len(set(ids))) == (KILLS, KILLS)
    assert len(slack.messages) == KILLS
    assert "Traceback" not in (folder / "plane.log").read_text()
