"""Stories of compensation through the whole control plane: their strategy, and their timelines."""

from __future__ import annotations

import re

from fixtures_hooks import SECRET

#: Nothing but the breaker and people end these rollouts.
QUIET = {"preset": "orchestrator", "only": True, "gate": [], "gate_majority": 0}


def undo_by(url: str) -> dict:
    """Return what undoes something by a webhook."""
    return {"url": url, "secret_env": "SERINUS_HOOK_SECRET"}


def hooked(tmp_path) -> dict[str, str]:
    """Return the variables that a server needs for the receiver of the tests."""
    return {"SERINUS_HOOK_SECRET": SECRET, "SERINUS_HOOK_HOSTS": "127.0.0.1"}


def strategy(url: str, *, irreversible: bool = False, **more) -> dict:
    """Return steps of 5, 25 and 100 % with hooks; ``irreversible``: the second is."""
    marker = {"irreversible": True} if irreversible else {}
    steps = [
        {"traffic_percentage": 5, "hold_seconds": 60, "compensate": undo_by(url)},
        {"traffic_percentage": 25, "hold_seconds": 60, "compensate": undo_by(url), **marker},
        {"traffic_percentage": 100, "hold_seconds": 600},
    ]
    return {"mode": "auto", "steps": steps, "compensate": undo_by(url), **more}


async def walked(world, url: str, to: float = 25, **more) -> str:
    """Start a rollout and let it walk well to a share; return its id."""
    await world.service()
    body = {"compensation_strategy": "notify_and_rollback", "analysis": QUIET, **more}
    body.setdefault("strategy", strategy(url))
    identity = await world.canary(**body)
    for _ in range(40):
        if (await seen(world, identity))["traffic_percentage"] >= to:
            return identity
        await world.tick(20)
    raise AssertionError("it does not walk")


async def rolled_back(world, identity: str, **more) -> None:
    """Have a person roll it back."""
    async with world.client() as c:
        body = {"reason": "orders are lost", **more}
        answer = await c.post(f"/deployments/{identity}/rollback", json=body)
        assert answer.status_code == 200, answer.text


async def work(world, seconds: float = 1.0) -> None:
    """Let time pass, then let everything work once."""
    await world.tick(seconds)
    await world.running.sagas.tick()
    await world.running.sagas.settled()


async def seen(world, identity: str, what: str = "") -> dict:
    """Return a deployment, or something of it."""
    async with world.client() as c:
        return (await c.get(f"/deployments/{identity}{what}")).json()


async def timeline(world, identity: str) -> list[str]:
    """Return the timeline as the documents show it: without milliseconds, and without who was told."""
    events = (await seen(world, identity, "/events"))["events"]
    return [
        f"{e['at'][11:19]} {re.sub(r'after [0-9]+ ms', 'after … ms', e['message'])} ({e['actor']})"
        for e in events
        if e["kind"] != "notification"
    ]


async def given_up(world, gate) -> str:
    """Return a deployment one of whose compensations was given up, with the other behind it."""
    gate.answers = [(500, "no database")]
    identity = await walked(world, gate.url, to=25)
    await rolled_back(world, identity)
    for _ in range(14):
        await work(world, 300)
    return identity


async def report_failing(world, identity: str) -> None:
    """Report an open breaker, and look."""
    world.seq = getattr(world, "seq", 0) + 1
    news = {"service": "checkout", "deployment": identity, "state": "open", "failures": 5}
    async with world.client() as c:
        body = {"source": "proc-1", "seq": world.seq, "breakers": [news]}
        assert (await c.post("/sdk/telemetry", json=body)).status_code == 202
    await world.tick()
