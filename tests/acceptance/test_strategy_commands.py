"""Strategies on the command line: files, later starts, gates with reasons, freezes, the way back."""

from __future__ import annotations

import json
import time

STRATEGY = """\
mode: auto
steps:
  - {traffic_percentage: 5, hold_seconds: 0, gate: {role: admin}, min_seconds: 0}
  - {traffic_percentage: 25, hold_seconds: 0, manual: true, min_seconds: 10m}
  - {traffic_percentage: 100, hold_seconds: 60}
rollback: {mode: gradual, steps: [10], seconds: 60, while: stable healthy}
freeze:
  on_start: refuse
  windows:
    - {name: long ago, from: 2001-01-01 00:00, until: 2001-01-02 00:00}
"""
NO_CHECKS = '{"checks": [], "only": true}'


def seen(tools, service: str, words: str) -> str:
    """Return the status of a service's deployment once it has these words."""
    for _ in range(100):
        said = tools("rollout", "status", service)
        if words in said:
            return said
        time.sleep(0.05)
    raise AssertionError(said)


def test_a_strategy_file_is_walked_with_its_gates_and_hands(tools):
    """From a file: a gate with its reason, a manual step with its minimum time, a gradual way back."""
    (tools.folder / "walk.yaml").write_text(STRATEGY)
    (tools.folder / "free.json").write_text(NO_CHECKS)
    tools("service", "create", "walked", "--stable", "v1")
    said = tools("rollout", "start", "walked", "v2", "--strategy", "walk.yaml", "--policy", "free.json")
    assert "v2 started with 5 % of units" in said
    status = seen(tools, "walked", "waits at 5 % for an approval by the role admin")
    assert "▶ 5 % (gate: admin) → 25 % (by hand) → 100 %" in status
    said = tools("rollout", "approve", "walked", "--reason", "the dashboards look well")
    assert "Approved at 5 % by first admin: the dashboards look well" in said
    seen(tools, "walked", "Traffic → 25 %")
    refused = tools("rollout", "traffic", "walked", "100", code=4)
    assert "This step lasts at least 600 s" in refused
    assert "repeat the call with `force`" in refused
    assert "Traffic 25 % → 100 % by hand, forced." in tools("rollout", "traffic", "walked", "100", "--force")
    said = tools("rollout", "rollback", "walked", "--reason", "invoices are wrong")
    assert "Going back at 10 %, then 0 %: invoices are wrong" in said
    said = tools("rollout", "rollback", "walked", "--reason", "now", "--force")
    assert "Rolled back from 10 % to v1: now" in said


def test_options_beside_a_strategy_file_are_taken_or_refused(tools):
    """None is dropped without a word."""
    (tools.folder / "hand.json").write_text('{"mode": "manual"}')
    (tools.folder / "auto.json").write_text('{"steps": [{"traffic_percentage": 5}], "mode": "auto"}')
    tools("service", "create", "both", "--stable", "v1")
    by_file = ("--strategy", "hand.json", "--stickiness", "hash", "--percentage", "7", "--json")
    made = json.loads(tools("rollout", "start", "both", "v2", *by_file))
    assert (made["strategy"]["stickiness"], made["traffic_percentage"]) == ("hash", 7)
    tools("rollout", "rollback", "both", "--reason", "next")
    said = tools("rollout", "start", "both", "v3", "--strategy", "auto.json", "--percentage", "20", code=2)
    assert "auto.json: its steps say the shares, and --percentage 20 would be dropped." in said
    walk = ("run", "--service", "both", "--version", "v3", "--strategy", "auto.json", "--dry-run", "--json")
    planned = json.loads(tools("rollout", *walk, "--salt", "spring", "--stickiness", "hash"))["strategy"]
    assert (planned["salt"], planned["stickiness"]) == ("spring", "hash")


def test_a_wrong_file_is_told_by_its_line(tools):
    """Before anything is sent; unknown keys with the nearest."""
    (tools.folder / "wrong.yaml").write_text("type: blue_green\nkeep_warm: 5\n")
    tools("service", "create", "wrong", "--stable", "v1")
    said = tools("rollout", "start", "wrong", "v2", "--strategy", "wrong.yaml", code=2)
    assert "wrong.yaml:2:1: keep_warm: unknown key; did you mean 'keep_warm_seconds'?" in said
    assert "No such deployment yet" in tools("rollout", "list", "--service", "wrong")
    assert "There is no service 'nix'" in tools("rollout", "list", "--service", "nix", code=4)


def test_a_start_is_scheduled_cancelled_and_hurried(tools):
    """``--at``, then the two ways out of it."""
    tools("service", "create", "later", "--stable", "v1")
    said = tools("rollout", "start", "later", "v2", "--at", "2099-01-31T06:00+00:00", "--percentage", "5")
    assert "v2 starts at 2099-01-31 06:00:00" in said
    assert "◷ scheduled" in tools("rollout", "list", "--service", "later")
    assert "it is a draft again" in tools("rollout", "cancel", "later")
    assert "write a time like" in tools("rollout", "start", "later", "v2", "--at", "soon", code=2)


def test_a_start_is_cancelled_beside_a_running_canary(tools):
    """By the service's name: what has a start to cancel is meant, and the canary stays."""
    tools("service", "create", "beside", "--stable", "v1")
    tools("rollout", "start", "beside", "v2", "--percentage", "5")
    tools("rollout", "start", "beside", "v3", "--at", "2099-01-31T06:00+00:00")
    assert "The start of v3 was cancelled" in tools("rollout", "cancel", "beside")
    assert "wanted 5 %" in tools("rollout", "status", "beside")


def test_a_freeze_is_overridden_with_a_reason(tools):
    """Frozen until 2099: refused in words, then overridden by an admin."""
    window = "{name: quiet years, from: 2001-01-01 00:00, until: 2099-01-01 00:00}"
    (tools.folder / "frozen.yaml").write_text(f"freeze:\n  windows:\n    - {window}\n")
    tools("service", "create", "frozen", "--stable", "v1")
    said = tools("rollout", "start", "frozen", "v2", "--strategy", "frozen.yaml")
    assert "quiet years: frozen until 2099-01-01 00:00 UTC." in said
    said = tools("rollout", "override-freeze", "frozen", "--reason", "a security fix")
    assert "Freezes are overridden for v2: a security fix" in said


def test_several_candidates_are_started_dropped_and_one_is_promoted(tools):
    """Named as options; the screen shows each, and a promotion says which."""
    (tools.folder / "free.json").write_text(NO_CHECKS)
    tools("service", "create", "tried", "--stable", "v1")
    start = ("rollout", "start", "tried")
    assert "Give a VERSION" in tools(*start, "v2", "--candidate", "v3", code=2)
    assert "Give a VERSION" in tools(*start, code=2)
    said = tools(*start, "--candidate", "v2", "--address", "10.0.0.7:80", code=2)
    assert "Write VERSION=host:port, like v2=10.0.0.7:8000." in said
    assert "Name 2 to 8; for one version use `type: canary`." in tools(*start, "--candidate", "v2", code=4)
    named = ("--candidate", "v2", "--candidate", "v3", "--candidate", "v4")
    said = tools(*start, *named, "--percentage", "30", "--policy", "free.json")
    assert "v2, v3 and v4 started with 30 % of units; everyone else stays on v1." in said
    status = tools("rollout", "status", "tried")
    assert "A/B/n  v2, v3 and v4 against v1" in status
    assert "├─ v3  under test, 10 %" in status
    assert "v2, v3 and v4 cannot be told apart" in status
    assert "one share is not what each of them gets" in tools(
        "weights", "set", "20", "--service", "tried", "--no-verify", code=2
    )
    said = tools("rollout", "rollback", "tried", "--version", "v3", "--reason", "legal says no")
    assert "v3 dropped: legal says no. Its users are on v1; v2 and v4 go on." in said
    status = tools("rollout", "status", "tried")
    assert "├─ v3  ✘ dropped: legal says no" in status
    assert "v1 80 %" in status
    said = tools("rollout", "promote", "tried", "--force", code=4)
    assert "v2 and v4 cannot be told apart" in said
    assert "Say which one everybody gets: give its `version`." in said
    assert "v4 promoted: everyone is on it." in tools(
        "rollout", "promote", "tried", "--version", "v4", "--force"
    )
