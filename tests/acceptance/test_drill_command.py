"""``serinus drill``: a rollback rehearsed on a real Envoy, measured, proven and recorded."""

from __future__ import annotations

import json


async def test_a_rollback_is_rehearsed_and_recorded(tools, edge, tmp_path):
    """Stable's own addresses stand in for a canary, so no user sees anything else; nobody is paged."""
    await tools.behind(edge, "rehearsed")
    command = ("drill", "--service", "rehearsed", "--percentage", "10", "--history", "h.jsonl")
    said = await tools.run(*command, cwd=tmp_path)
    lines = said.splitlines()
    assert lines[0] == "Drill rehearsed  v1-drill at 10 %"
    assert lines[1].startswith("  canary      ✔ edge-1 carries 10 %, after ")
    assert lines[2] == "  served      ✔ 20 of 20 requests went where the hash sends them (v1 10, v1-drill 10)"
    assert lines[3].startswith("  rollback    ✔ edge-1 carries 0 %, ")
    assert lines[3].endswith(" s after it was asked for (at most 10 s)")
    assert lines[4].startswith("  last answer · of the canary ")
    assert lines[5] == "  stable      ✔ 20 of 20 requests went where the hash sends them (v1 20)"
    assert lines[6].startswith("Drill PASSED: rehearsed: rolled back in ")
    record = json.loads((tmp_path / "h.jsonl").read_text())
    assert record["ok"]
    assert 0 < record["read_back_seconds"] <= 10
    assert record["last_canary_seconds"] <= record["read_back_seconds"] + 1
    assert record["requests"] > 5
    page = await tools.data("rollout", "status", "rehearsed")
    assert (page["deployment"]["status"], page["deployment"]["end_reason"]) == ("rolled_back", "drill")
    kinds = [event["kind"] for event in page["events"]]
    assert kinds[0] == "drill"
    assert "notification" not in kinds
    # What it lent the service for the rehearsal is gone again.
    services = (await tools.data("service", "list"))["services"]
    upstreams = next(s["upstreams"] for s in services if s["name"] == "rehearsed")
    assert sorted(upstreams) == ["v1", "v2"]
    # The other side of the limit: the same rollback is too slow for an impossible one.
    slow = (*command, "--max-seconds", "0")
    assert "Drill FAILED" in await tools.run(*slow, cwd=tmp_path, code=1)
    shown = await tools.run("drill", "--show", "--history", "h.jsonl", cwd=tmp_path)
    assert "1 of 2 drills passed over " in shown
    assert shown.count("dep_") == 2


async def test_a_proxy_that_is_cut_off_fails_the_drill(tools, edge, tmp_path, monkeypatch):
    """It is not read back; that is what a drill is for."""
    from serinus.cli import drill

    await tools.behind(edge, "cut")
    monkeypatch.setattr(drill, "PATIENCE", 1.0)
    edge.stop()
    said = await tools.run("drill", "--service", "cut", "--history", "h.jsonl", cwd=tmp_path, code=1)
    assert "canary      ✘ edge-1: " in said
    assert "Drill FAILED: cut: the rollback was not read back." in said
    assert json.loads((tmp_path / "h.jsonl").read_text())["read_back_seconds"] is None


def test_on_a_schedule_a_running_rollout_is_left_alone(tools, tmp_path):
    """Once it is refused; again and again it is left out, and the next one is held."""
    tools("service", "create", "busy", "--stable", "v1")
    tools("rollout", "start", "busy", "v2", "--percentage", "1")
    once = ("drill", "--service", "busy", "--version", "v1-drill", "--history", "h.jsonl")
    assert "busy is rolling out v2 (dep_" in tools(*once, cwd=tmp_path, code=4)
    scheduled = (*once, "--every", "300ms", "--count", "2")
    assert tools(*scheduled, cwd=tmp_path).count("– left out: busy is rolling out v2") == 2
    tools("rollout", "rollback", "busy", "--reason", "x")
    said = tools(*scheduled, cwd=tmp_path)
    assert said.count("Drill PASSED") == 2
    assert len((tmp_path / "h.jsonl").read_text().splitlines()) == 2


def test_mistakes_are_told_with_what_to_do(tools, tmp_path):
    """Before anything moves."""
    tools("service", "create", "inside", "--stable", "v1")
    assert "no version is named" in tools("drill", "--service", "inside", code=4)
    assert "expected a time like 90s" in tools("drill", "--service", "inside", "--every", "soon", code=2)
    assert "No drill yet." in tools("drill", "--show", "--history", "none.jsonl", cwd=tmp_path)
