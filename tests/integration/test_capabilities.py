"""A deployment that its service's driver cannot carry is refused before anything moves."""

from __future__ import annotations

from serinus.drivers.traffic.inprocess import InProcessDriver
from serinus.ports.traffic import Capability


class Plain(InProcessDriver):
    """A driver that can split by the hash, and nothing else."""

    capabilities = frozenset({Capability.STICKY, Capability.NO_RELOAD})


async def test_a_start_that_the_driver_cannot_carry_changes_nothing(world, monkeypatch):
    """The answer names the driver, what is missing, who could, and what to leave out."""
    monkeypatch.setitem(world.running.plane.traffic._factories, "in-process", lambda _: Plain())
    await world.service()
    named = {"user_ids": ["ada"]}
    async with world.client() as c:
        made = await c.post("/deployments", json={"service_id": "checkout", "version": "v2"})
        path = f"/deployments/{made.json()['deployment_id']}"
        answer = await c.post(f"{path}/start-canary", json={"canary_target_filter": named})
        assert answer.status_code == 400
        problem = answer.json()
        assert problem["detail"] == "in-process cannot pin named users or workflows."
        assert problem["next_step"].endswith("or leave `canary_target_filter` out.")
        assert "envoy" in problem["next_step"]
        assert problem["type"].endswith("cannot-carry")
        assert (await c.get(path)).json()["status"] == "draft"
        begun = await c.post(f"{path}/start-canary", json={"canary_pct": 10})
        assert begun.status_code == 200, begun.text
