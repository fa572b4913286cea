"""Hooks through the whole control plane: API, outbox, calls, answers, timeline."""

from __future__ import annotations

import json
import re
import sys

import pytest

from fixtures_hooks import SECRET, webhook

QUIET = {"preset": "orchestrator", "only": True}


async def look(world, seconds: float = 1.0) -> None:
    """Let everything work once: the monitor decides, hooks are called, and the monitor hears."""
    await world.tick(seconds)
    await world.running.hooks.tick()
    await world.running.hooks.settled()
    await world.tick(0)


def steps(*hooks: dict, **more) -> dict:
    """Return a strategy of two short steps with these hooks."""
    listed = [{"traffic_percentage": p, "hold_seconds": 2} for p in (10, 50)]
    return {"mode": "auto", "steps": listed, "stickiness": "hash", "hooks": list(hooks), **more}


async def view_of(world, identity: str, what: str = "") -> dict:
    """Return a deployment, or something of it."""
    async with world.client() as c:
        return (await c.get(f"/deployments/{identity}{what}")).json()


async def messages(world, identity: str) -> list[str]:
    """Return the timeline's lines about hooks."""
    events = (await view_of(world, identity, "/events"))["events"]
    return [e["message"] for e in events if e["kind"] == "hook"]


async def test_a_gate_that_is_closed_then_opens(gate, world):
    """Not yet, not yet, yes: one message under one id; the timeline says who said what."""
    gate.answers = [
        (403, "not open yet"),
        (200, '{"decision": "wait", "message": "2 of 3 signed"}'),
        (200, "go"),
    ]
    await world.service()
    identity = await world.canary(strategy=steps(webhook(gate, "confirm-rollout")), analysis=QUIET)
    await look(world)
    view = await view_of(world, identity)
    assert (view["traffic_percentage"], view["phase"]) == (0, "confirming")
    assert "not open yet" in view["sentence"]
    await look(world, 2)
    await look(world, 3)
    view = await view_of(world, identity)
    assert view["traffic_percentage"] == 10
    assert [(a["hook"], a["said"]) for a in view["hooks"]] == [("qa", "yes")]
    said = await messages(world, identity)
    assert [re.sub(r"\d+ ms", "N ms", line) for line in said] == [
        "Asking hook qa before the first request to v2.",
        "Hook qa has no answer yet after N ms: HTTP 403 not open yet",
        "Hook qa has no answer yet after N ms: 2 of 3 signed",
        "Hook qa said yes after N ms: go",
    ]
    (first, message), *others = gate.calls
    assert {first} == {i for i, _ in others}
    assert all(body == message for _, body in others)
    assert message["data"]["to_percentage"] == 10
    assert message["data"]["link"] == f"http://serinus.example/deployments/{identity}"


async def test_a_command_says_no_and_everyone_is_on_stable(world, tmp_path, monkeypatch):
    """The operator's script sees the deployment; its first line is the reason."""
    script = tmp_path / "qa.py"
    script.write_text(
        "import json, os, sys\n"
        "d = json.load(sys.stdin)['data']\n"
        "print(d['service'], d['version'], 'lost 3 orders at', os.environ['SERINUS_TRAFFIC_PERCENTAGE'])\n"
        "sys.exit(1)\n"
    )
    world.running.settings.hook_commands["qa"] = [sys.executable, str(script)]
    await world.service()
    hook = {"name": "qa", "phase": "confirm-traffic-increase", "command": "qa"}
    identity = await world.canary(strategy=steps(hook), analysis=QUIET)
    for _ in range(3):
        await look(world, 2)
    view = await view_of(world, identity)
    assert (view["status"], view["end_reason"]) == (
        "rolled_back",
        "hook qa said no: checkout v2 lost 3 orders at 10.0",
    )


async def test_a_rollback_by_hand_ends_the_asking_and_tells_afterwards(gate, world):
    """Whoever was to confirm is not asked any more; who wants to know afterwards is told."""
    await world.service()
    hooks = (webhook(gate, "confirm-rollout"), webhook(gate, "post-rollback", "tidy"))
    identity = await world.canary(strategy=steps(*hooks), analysis=QUIET)
    async with world.client() as c:
        answer = await c.post(f"/deployments/{identity}/rollback", json={"reason": "seen enough"})
    assert answer.json()["status"] == "rolled_back"
    await look(world)
    assert gate.asked == ["serinus.post-rollback"]
    assert gate.calls[0][1]["data"]["status"] == "rolled_back"
    said = await messages(world, identity)
    assert said[1] == "Hook qa was not asked: not needed any more"
    assert said[2].startswith("Hook tidy was told after ")


async def test_a_promotion_by_hand_waits_for_its_hook(gate, world):
    """The call answers at once, with the sentence that says what it waits for."""
    gate.answers = [(200, '{"decision": "no", "message": "not on a Friday"}')]
    await world.service()
    hook = webhook(gate, "confirm-promotion", on_no="hold")
    policy = {**QUIET, "gate": [], "gate_majority": 0}
    identity = await world.canary(strategy={"mode": "manual", "hooks": [hook]}, analysis=policy)
    async with world.client() as c:
        answer = (await c.post(f"/deployments/{identity}/promote", json={})).json()
        assert (answer["status"], answer["sentence"]) == ("canary", "Asking hook qa before v2 is promoted.")
        await look(world)
        held = await view_of(world, identity)
        assert (held["waiting"], held["hooks"][0]["said"]) == ("approval", "no")
        assert "hook qa said no: not on a Friday" in held["sentence"]
        assert (await c.post(f"/deployments/{identity}/approve", json={})).status_code == 200
    await look(world, 3)
    assert (await view_of(world, identity))["status"] == "active"


async def test_secrets_and_other_peoples_variables_stay_where_they_are(gate, world, caplog):
    """Not in answers, events, notifications or logs."""
    gate.answers = [(200, f"I know {SECRET}")]
    await world.service()
    identity = await world.canary(strategy=steps(webhook(gate, "confirm-rollout")), analysis=QUIET)
    await look(world)
    shown = [await view_of(world, identity, what) for what in ("", "/events", "/notifications", "/page")]
    assert SECRET.removeprefix("whsec_") not in json.dumps(shown) + caplog.text
    assert shown[0]["strategy"]["hooks"][0]["secret_env"] == "SERINUS_HOOK_SECRET"
    assert shown[2]["notifications"] == []


@pytest.mark.parametrize(
    ("hook", "field", "words"),
    [
        ({"command": "rm"}, "strategy.hooks[0].command", "allows no command 'rm'"),
        ({"url": "https://x.example", "secret_env": "HOME"}, "strategy.hooks[0].secret_env", "HOME"),
        ({"command": "qa", "when": "now"}, "strategy.hooks[0].when", "unknown key"),
    ],
)
async def test_what_is_not_allowed_is_refused_when_the_deployment_is_made(world, hook, field, words):
    """A tenant runs nothing that the operator has not listed."""
    await world.service()
    strategy = {"hooks": [{"name": "qa", "phase": "confirm-step", **hook}]}
    async with world.client() as c:
        answer = await c.post(
            "/deployments", json={"service_id": "checkout", "version": "v2", "strategy": strategy}
        )
    assert answer.status_code == 400
    assert answer.json()["field"] == field
    assert words in answer.json()["detail"]


async def test_a_hanging_hook_holds_up_no_notification_and_no_rollback(world, monkeypatch):
    """Its call runs by itself; the rollback is decided and told meanwhile."""
    world.running.settings.hook_commands["slow"] = [sys.executable, "-c", "import time; time.sleep(60)"]
    await world.service()
    hook = {"name": "slow", "phase": "confirm-rollout", "command": "slow"}
    identity = await world.canary(strategy=steps(hook), analysis=QUIET)
    await world.running.hooks.tick()
    async with world.client() as c:
        answer = await c.post(f"/deployments/{identity}/rollback", json={"reason": "seen enough"})
    await world.tick()
    assert answer.json()["status"] == "rolled_back"
    assert len(world.running.hooks._calls) == 1
    await world.running.hooks.close()
