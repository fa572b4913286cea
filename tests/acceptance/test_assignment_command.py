"""``serinus assignment``: where a unit is and why, one side or the other by hand, and resets."""

from __future__ import annotations

import json

import pytest

from serinus.core.bucketing import bucket_of
from shells import QuickShell, Shell


@pytest.fixture
def shell(tmp_path):
    """Return a shell with a running control plane."""
    made = QuickShell(tmp_path)
    process = made.up()
    yield made
    process.terminate()
    process.wait(10)


def test_an_operator_finds_out_why_a_unit_is_where_it_is_and_moves_it(shell):
    """List, place, reset; each says what it did, and refusals say what to do."""
    shell("service", "create", "checkout", "--stable", "v1")
    assert "Nobody is assigned" in shell("assignment", "list", _start(shell))
    identity = json.loads(shell("rollout", "status", "checkout", "--json"))["deployment"]["deployment_id"]
    user = next(f"u{n}" for n in range(999) if bucket_of(identity, f"u{n}") >= 1000)
    place = bucket_of(identity, user) / 100
    asked = shell("assignment", "list", "checkout", "--user", user)
    assert asked.strip() == f"{user} is on stable: by the hash (on the canary above {place:g} % of traffic)"
    moved = ("assignment", "place", "checkout", "--user", user, "--to")
    assert f"{user} is on canary by hand" in shell(*moved, "canary", "--reason", "a pilot")
    listed = shell("assignment", "list", "checkout")
    assert "by hand" in listed
    assert "a pilot" in listed
    assert "1-1 of 1 units" in listed
    assert json.loads(shell("assignment", "list", "checkout", "--json"))["total"] == 1
    assert "is no side" in shell(*moved, "left", code=2)
    assert "takes one" in shell("assignment", "reset", "checkout", code=4)
    assert f"{user} is on stable: by the hash" in shell("assignment", "reset", "checkout", "--user", user)
    assert "0 units reset" in shell("assignment", "reset", "checkout", "--everyone")
    shell("rollout", "traffic", "checkout", "50")
    assert "`serinus assignment reset` lets the hash decide again" in shell(
        "rollout", "traffic", "checkout", "20"
    )
    shell("rollout", "rollback", "checkout", "--reason", "done")
    refused = shell(*moved, "canary", code=4)
    assert "rolled_back" in refused


def _start(shell) -> str:
    shell("rollout", "start", "checkout", "v2", "--percentage", "10")
    return "checkout"


def test_assignments_live_where_the_setting_says(tmp_path, redis_url):
    """In Redis: the doctor names it; a wrong URL is refused at the start, without a password in the words."""
    shell = Shell(tmp_path)
    process = shell.up(SERINUS_ASSIGNMENTS_URL=redis_url)
    try:
        found = shell("doctor", code=1, SERINUS_ASSIGNMENTS_URL=redis_url)  # no channel is set up
        assert "✔ assignments (redis)" in found
        assert "s3cret" not in found
        for command in ("doctor", "up"):
            wrong = shell(command, code=1, SERINUS_ASSIGNMENTS_URL="memcached://:s3cret@host")
            assert "names nothing that keeps assignments" in wrong
            assert "s3cret" not in wrong
    finally:
        process.terminate()
        process.wait(10)
    assert "s3cret" not in (tmp_path / "up.log").read_text()
