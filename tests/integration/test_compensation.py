"""Compensation through the whole control plane: API, store, calls, answers, timeline, audit log."""

from __future__ import annotations

import json
import sys

from fakes.notify import MemoryNotifier
from serinus.control.undoing.saga import MOST_TRIES
from undoing import given_up, report_failing, rolled_back, seen, strategy, timeline, walked, work


async def audited(world) -> list[tuple]:
    """Return what the audit log says of compensation, oldest first."""
    async with world.client() as c:
        entries = (await c.get("/audit", params={"page_size": 100})).json()["audit"]
    listed = [e for e in reversed(entries) if e["action"].startswith("compensation")]
    return [(e["actor"], e["action"], e["outcome"], e["data"].get("name")) for e in listed]


async def post(world, path: str, body: dict | None = None, token: str | None = None):
    """Call the API."""
    async with world.client(token) as c:
        return await c.post(path, json=body or {})


async def test_completed_steps_are_undone_in_reverse_order_then_the_deployment(gate, world):
    """One after the other, each under its own key, signed; everything is written down."""
    identity = await walked(world, gate.url, to=100)
    await rolled_back(world, identity)
    assert gate.calls == []
    for _ in range(4):
        await work(world, 2)
    assert [key for key, _ in gate.calls] == [
        f"{identity}.undo.{name}" for name in ("step-2", "step-1", "deployment")
    ]
    first = gate.calls[0][1]
    assert (first["type"], first["data"]["key"]) == ("serinus.compensate", gate.calls[0][0])
    told = first["data"]
    assert (told["step"], told["step_percentage"], told["reason"]) == (2, 25.0, "orders are lost")
    view = (await seen(world, identity))["compensation"]
    assert (view["state"], [i["state"] for i in view["items"]]) == ("done", ["done"] * 3)
    lines = await timeline(world, identity)
    assert [line[9:] for line in lines[-5:]] == [
        "Compensation begins: step 2 (25 %), then step 1 (5 %), then the deployment. (serinus)",
        "Compensated step 2 (25 %) at try 1 after … ms (serinus)",
        "Compensated step 1 (5 %) at try 1 after … ms (serinus)",
        "Compensated the deployment at try 1 after … ms (serinus)",
        "Everything is compensated. (serinus)",
    ]
    assert await audited(world) == [
        ("serinus", "compensation.open", "ok", None),
        ("serinus", "compensation.try", "ok", "step-2"),
        ("serinus", "compensation.try", "ok", "step-1"),
        ("serinus", "compensation.try", "ok", "deployment"),
    ]


async def test_one_that_fails_three_times_and_then_works(gate, world):
    """Tried again after 1, 2 and 4 s under the same key; what waits for it follows."""
    gate.answers = [(500, "no database"), (503, ""), (200, '{"decision": "no"}'), (200, "12 orders undone")]
    identity = await walked(world, gate.url, to=25)
    await rolled_back(world, identity)
    for _ in range(12):
        await work(world)
    keys = [key.rpartition(".")[2] for key, _ in gate.calls]
    assert keys == ["step-1"] * 4 + ["deployment"]
    assert all(body == gate.calls[0][1] for _, body in gate.calls[:4])
    lines = [line for line in await timeline(world, identity) if "ompensat" in line]
    assert [line[6:] for line in lines[1:5]] == [
        lines[1][6:9] + "Compensation of step 1 (5 %): try 1 of 10 failed after … ms: HTTP 500 no database; "
        "the next in 1 s. (serinus)",
        lines[2][6:9] + "Compensation of step 1 (5 %): try 2 of 10 failed after … ms: HTTP 503; "
        "the next in 2 s. (serinus)",
        lines[3][6:9]
        + "Compensation of step 1 (5 %): try 3 of 10 failed after … ms; the next in 4 s. (serinus)",
        lines[4][6:9] + "Compensated step 1 (5 %) at try 4 after … ms: 12 orders undone (serinus)",
    ]
    outcomes = [outcome for _, action, outcome, _ in await audited(world) if action == "compensation.try"]
    assert outcomes == ["failed"] * 3 + ["ok"] * 2


async def test_one_that_never_works_is_given_up_seen_and_told(gate, world):
    """Nothing behind it begins; it is in the deployment, its health, the list, and told at once."""
    world.running.plane.context.channels = ("memory",)
    identity = await given_up(world, gate)
    assert len(gate.calls) == MOST_TRIES
    view = await seen(world, identity)
    assert view["compensation"]["state"] == "failed"
    assert [(i["name"], i["state"]) for i in view["compensation"]["items"]] == [
        ("step-1", "failed"),
        ("deployment", "pending"),
    ]
    warning = (
        "Compensation of step 1 (5 %) was given up after 10 tries (HTTP 500 no database): retry it, or put "
        "it right by hand."
    )
    assert warning in (await seen(world, identity, "/health"))["warnings"]
    async with world.client(await world.token_of("viewer")) as c:
        listed = (await c.get("/compensations")).json()
    assert [(i["deployment_id"], i["name"]) for i in listed["compensations"]] == [
        (identity, "step-1"),
        (identity, "deployment"),
    ]
    lines = await timeline(world, identity)
    assert any(
        "try 10 of 10 failed after … ms: HTTP 500 no database. Given up until somebody retries it; until it "
        "is done, the deployment waits." in line
        for line in lines
    )
    notes = (await seen(world, identity, "/notifications"))["notifications"]
    assert [(n["kind"], n["level"]) for n in notes] == [("rollback", "error"), ("compensation", "error")]
    assert notes[1]["title"] == "[Serinus] Compensation FAILED: checkout"


async def test_somebody_retries_it_and_what_waits_follows(gate, world):
    """Under the same key, by an approver; whoever may only look is refused."""
    identity = await given_up(world, gate)
    path = f"/deployments/{identity}/compensation/step-1"
    viewer = await world.token_of("viewer")
    assert (await post(world, f"{path}/retry", token=viewer)).status_code == 403
    assert (await post(world, f"{path}/retry", token=await world.second_tenant())).status_code == 404
    gate.answers = [(200, "undone")]
    answer = await post(world, f"{path}/retry", token=await world.token_of("approver"))
    assert (answer.status_code, answer.json()["state"]) == (200, "running")
    assert (await post(world, f"{path}/retry")).status_code == 409
    await work(world)
    await work(world)
    assert (await seen(world, identity))["compensation"]["state"] == "done"
    assert len({key for key, _ in gate.calls[:11]}) == 1
    lines = [line[9:] for line in await timeline(world, identity)]
    assert "Compensation of step 1 (5 %) is tried again, by a approver. (a approver)" in lines
    assert ("a approver", "compensation.retry", "ok", "step-1") in await audited(world)


async def test_somebody_does_it_by_hand_and_says_how(gate, world):
    """It is not called any more; what waits for it follows."""
    identity = await given_up(world, gate)
    path = f"/deployments/{identity}/compensation/step-1/complete"
    gate.answers = [(200, "")]
    refused = await post(world, path, {"note": " "})
    assert (refused.status_code, refused.json()["field"]) == (400, "note")
    done = await post(world, path, {"note": "refunded 12 orders"})
    item = done.json()["items"][0]
    assert (item["state"], item["done_by"], item["note"]) == ("done", "first admin", "refunded 12 orders")
    await work(world)
    assert gate.calls[-1][0] == f"{identity}.undo.deployment"
    again = await post(world, path, {"note": "once more"})
    assert (again.status_code, again.json()["detail"]) == (
        409,
        "Compensation of step 1 (5 %) cannot be completed by hand: it is done by first admin.",
    )


async def test_what_waits_can_be_done_by_hand_but_not_what_is_being_called(gate, world):
    """The one ahead need not be done first; a call under way is left to end."""
    identity = await walked(world, gate.url, to=25)
    await rolled_back(world, identity)
    path = f"/deployments/{identity}/compensation"
    answer = await post(world, f"{path}/deployment/complete", {"note": "books are closed"})
    assert [i["state"] for i in answer.json()["items"]] == ["pending", "done"]
    world.clock.pass_(2)
    async with world.running.plane.context.store.begin() as tx:
        await tx.compensations.claim("another", world.clock.now(), 60, 10)
    refused = await post(world, f"{path}/step-1/complete", {"note": "undone"})
    assert (refused.status_code, "is under way" in refused.json()["detail"]) == (409, True)


async def test_a_manual_strategy_opens_a_task_that_somebody_completes(world):
    """It waits for a person, who says what was done."""
    await world.service()
    identity = await world.canary(compensation_strategy="manual")
    await rolled_back(world, identity)
    view = (await seen(world, identity))["compensation"]
    assert (view["state"], [(i["name"], i["by_hand"]) for i in view["items"]]) == (
        "waiting",
        [("task", True)],
    )
    assert (
        "A compensation task is open: somebody has to complete it."
        in (await seen(world, identity, "/health"))["warnings"]
    )
    retried = await post(world, f"/deployments/{identity}/compensation/task/retry")
    assert (retried.status_code, retried.json()["next_step"]) == (409, "Complete it with a note.")
    path = f"/deployments/{identity}/compensation/task/complete"
    assert (await post(world, path, {"note": "x"}, await world.token_of("viewer"))).status_code == 403
    assert (await post(world, path, {"note": "looked through the orders"})).json()["state"] == "done"
    assert [line[9:] for line in (await timeline(world, identity))[-3:]] == [
        "Compensation task opened: check what the canary wrote, and put it right by hand. (serinus)",
        "The compensation task was completed by first admin: looked through the orders (first admin)",
        "Everything is compensated. (serinus)",
    ]


async def test_a_command_undoes_it_and_knows_which_step(world, tmp_path):
    """By variables, the key among them; its exit code decides."""
    script = tmp_path / "undo.py"
    script.write_text(
        "import json, os, sys\n"
        "names = ('WEBHOOK_ID', 'PHASE', 'STEP', 'STEP_PERCENTAGE', 'REASON')\n"
        "key = json.load(sys.stdin)['data']['key']\n"
        "print(json.dumps([os.environ['SERINUS_' + n] for n in names] + [key]))\n"
    )
    world.running.settings.hook_commands["undo"] = [sys.executable, str(script)]
    steps = [
        {"traffic_percentage": p, "hold_seconds": 10, "compensate": {"command": "undo"}} for p in (5, 25)
    ]
    identity = await walked(world, "", strategy={"mode": "auto", "steps": steps})
    await rolled_back(world, identity)
    await work(world, 2)
    line = next(line for line in await timeline(world, identity) if "Compensated step 1" in line)
    said = json.loads(line[line.index("[") : line.rindex("]") + 1])
    key = f"{identity}.undo.step-1"
    assert said == [key, "compensate", "1", "5.0", "orders are lost", key]


async def test_nothing_is_undone_when_that_is_asked_for(gate, world):
    """``apply_compensation: false``; it is on the timeline."""
    identity = await walked(world, gate.url)
    await rolled_back(world, identity, apply_compensation=False)
    await work(world, 10)
    assert gate.calls == []
    assert (await seen(world, identity))["compensation"] is None
    assert (await seen(world, identity, "/compensation"))["state"] == "none"
    assert (await timeline(world, identity))[-1].endswith(
        "Nothing is compensated, as was asked for. (first admin)"
    )


async def test_what_would_never_run_is_refused_and_nothing_is_stored(gate, world):
    """A strategy that touches no data, an unknown command, a variable that is not set."""
    await world.service()
    draft = {"service_id": "checkout", "version": "v2", "strategy": strategy(gate.url)}
    refused = await post(world, "/deployments", draft)
    assert (refused.status_code, refused.json()["field"]) == (400, "compensation_strategy")
    steps = [{"traffic_percentage": 5, "compensate": {"command": "rm"}}]
    body = {**draft, "compensation_strategy": "manual", "strategy": {"mode": "auto", "steps": steps}}
    refused = await post(world, "/deployments", body)
    assert refused.json()["field"] == "strategy.steps[0].compensate.command"
    made = await post(world, "/deployments", {**draft, "compensation_strategy": "manual"})
    path = f"/deployments/{made.json()['deployment_id']}"
    async with world.client() as c:
        changed = await c.patch(path, json={"compensation_strategy": "rollback_only"})
        assert changed.status_code == 400
        assert (await c.get(path)).json()["compensation_strategy"] == "manual"
        assert (await c.get("/deployments")).json()["total"] == 1


async def test_notify_and_rollback_tells_at_once_whatever_the_policy_keeps(gate, world):
    """The team is told; a policy that tells nobody else about rollbacks does not matter."""
    memory = MemoryNotifier()
    world.running.relay._notifiers["memory"] = memory
    world.running.plane.context.channels = ("memory",)
    silent = {"preset": "orchestrator", "only": True, "notifications": {"on": ["promoted"]}}
    identity = await walked(world, gate.url, analysis=silent)
    await rolled_back(world, identity)
    await world.tick(0)
    assert [m.kind for m in memory.messages] == ["rollback"]


# -- an irreversible step -------------------------------------------------------------------------


async def entry(world) -> dict:
    """Return what SDKs are told of the service."""
    async with world.client() as c:
        return (await c.get("/sdk/snapshot")).json()["services"]["checkout"]["deployment"]


async def test_across_an_irreversible_step_it_is_held_at_zero_new_units_and_somebody_is_asked(gate, world):
    """Units on the canary stay there; new ones go to stable; the decision is told, shown and audited."""
    world.running.plane.context.channels = ("memory",)
    identity = await walked(world, gate.url, to=100, strategy=strategy(gate.url, irreversible=True))
    await world.assign(identity, 3)
    await report_failing(world, identity)
    view = await seen(world, identity)
    assert (view["status"], view["traffic_percentage"], view["phase"]) == (
        "canary",
        0,
        "holding:irreversible",
    )
    assert (view["irreversible"], view["allowed"]) == ("step 2 (25 %)", ["rollback", "approve"])
    assert view["blocked"]["reason"].startswith("the circuit breaker opened")
    sent = await entry(world)
    assert (sent["weight_bp"], list(sent["kept"]), sent["breaker"]["state"]) == (0, ["0"], "closed")
    kept = (await seen(world, identity, "/assignments"))["assignments"]
    assert [(one["side"], one["why"]) for one in kept] == [("canary", "kept")] * 3
    note = (await seen(world, identity, "/notifications"))["notifications"][-1]
    assert (note["kind"], note["level"]) == ("decision", "error")
    assert view["sentence"] in (await seen(world, identity, "/health"))["warnings"]
    async with world.client() as c:
        audit = (await c.get("/audit")).json()["audit"]
    assert (audit[0]["action"], audit[0]["actor"]) == ("deployment.blocked", "monitor")
    refused = await post(world, f"/deployments/{identity}/rollback", {"reason": "lost", "force": True})
    assert (refused.status_code, "across_irreversible" in refused.json()["next_step"]) == (409, True)
    await rolled_back(world, identity, across_irreversible=True)
    await work(world, 2)
    assert gate.calls[0][0] == f"{identity}.undo.step-2"
    async with world.client() as c:
        back = next(
            e for e in (await c.get("/audit")).json()["audit"] if e["action"] == "deployment.rollback"
        )
    assert back["data"] == {"reason": "orders are lost", "across_irreversible": True}


async def test_a_person_goes_on_with_a_reason(gate, world):
    """An approver; the share is as before."""
    identity = await walked(world, gate.url, to=100, strategy=strategy(gate.url, irreversible=True))
    await report_failing(world, identity)
    path = f"/deployments/{identity}/approve"
    assert (await post(world, path, token=await world.token_of("viewer"))).status_code == 403
    assert (await post(world, path)).json()["field"] == "reason"
    answer = await post(world, path, {"reason": "the provider is down"}, await world.token_of("approver"))
    assert (answer.json()["traffic_percentage"], answer.json()["blocked"]) == (100, None)
    await report_failing(world, identity)
    assert (await seen(world, identity))["blocked"] is None


async def test_what_a_data_plane_cannot_do_is_said_when_the_draft_is_made(gate, world):
    """Before anything depends on it."""
    await world.service()
    body = {"service_id": "checkout", "version": "v2", "compensation_strategy": "manual"}
    plan = strategy(gate.url, irreversible=True, stickiness="hash")
    made = (await post(world, "/deployments", {**body, "strategy": plan})).json()
    assert made["if_blocked"] == (
        "Step 2 (25 %) is irreversible: once completed, nothing goes back across it by itself. Instead "
        "somebody is asked; until then `stickiness: hash` cannot tell new units from those on v2, so the "
        "share would stay as it is, new units included."
    )
    assert made["if_blocked"] in (await timeline(world, made["deployment_id"]))[0]
