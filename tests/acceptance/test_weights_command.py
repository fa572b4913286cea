"""``serinus weights set N`` on a real Envoy: set, read back, proven by real requests."""

from __future__ import annotations


async def test_a_share_is_set_read_back_and_proven_by_requests(tools, edge):
    """The contract's percentages one after the other; every request goes where the hash says."""
    await tools.behind(edge, "shop")
    await tools.run("rollout", "start", "shop", "v2", "--percentage", "1")
    for share, counts in (("5", "v1 50, v2 50"), ("25", "v1 50, v2 50"), ("100", "v2 100")):
        said = await tools.run("weights", "set", share, "--service", "shop")
        lines = said.splitlines()
        assert lines[0] == f"  validate    ✔ {share} % is between 0 and 100"
        assert lines[1].startswith("  weights       v1 ")
        assert f"→ {share} % by hand." in lines[2]
        assert lines[3].startswith(f"  read back   ✔ edge-1 carries {share} %, after 0.")
        assert lines[4] == f"  verify      ✔ 100 of 100 requests went where the hash sends them ({counts})"
        assert lines[5].startswith("  log         ✔ on the timeline of dep_")
    assert "serinus rollout promote dep_" in lines[6]
    asked = len(edge.canary.requests)
    said = await tools.run("weights", "set", "0", "--service", "shop", "--reason", "seen enough")
    assert "Rolled back from 100 % to v1: seen enough" in said
    assert "100 of 100 requests went where the hash sends them (v1 100)" in said
    assert len(edge.canary.requests) == asked
    # What was found is on the timeline, and the calls are in the audit log.
    status = await tools.run("rollout", "status", "shop")
    assert "weights set 0: apply: Rolled back" in status
    # Nothing runs any more: 0 is proven again, anything else is refused.
    again = await tools.data("weights", "set", "0", "--service", "shop")
    assert again["ok"]
    refused = await tools.run("weights", "set", "5", "--service", "shop", code=4)
    assert "No rollout of shop is running." in refused
    assert "serinus rollout start shop VERSION --percentage 5" in refused


async def test_a_canary_that_does_not_answer_fails_the_proof(tools, edge):
    """Its users are served by stable, which is right for them and no proof of a split."""
    await tools.behind(edge, "dead")
    edge.canary.mode = "close"
    await tools.run("rollout", "start", "dead", "v2", "--percentage", "1")
    said = await tools.run("weights", "set", "50", "--service", "dead", "--requests", "8", code=1)
    assert "✘ 4 of 8 requests went where the hash sends them (v1 8)" in said
    assert "4 × v1 instead of v2 (a canary answer that fails is retried)" in said
    assert "serinus doctor" in said


async def test_a_proxy_that_does_not_follow_is_named(tools, edge):
    """Exit code 1, and what is wrong with which instance."""
    await tools.behind(edge, "gone")
    await tools.run("rollout", "start", "gone", "v2", "--percentage", "1")
    edge.stop()
    said = await tools.run("weights", "set", "5", "--service", "gone", "--timeout", "2", code=1)
    assert "read back   ✘ edge-1: " in said
    assert "verify" not in said


def test_mistakes_are_told_with_what_to_do(tools):
    """Before anything moves."""
    assert "outside 0 to 100" in tools("weights", "set", "101", code=2)
    assert "finer than 0.01" in tools("weights", "set", "0.001", code=2)
    tools("service", "create", "sdk", "--stable", "v1")
    assert "There is no service 'nope'" in tools("weights", "set", "5", "--service", "nope", code=4)
    assert "Everyone is on v1 already." in tools("weights", "set", "0", "--service", "sdk", code=4)


def test_in_process_the_snapshot_is_what_is_carried(tools):
    """No proxy stands between; without an address there is nobody to ask."""
    tools("service", "create", "lib", "--stable", "v1")
    tools("rollout", "start", "lib", "v2", "--percentage", "1")
    said = tools("weights", "set", "5", "--service", "lib")
    assert "✔ no proxy stands between: the SDKs' snapshot has it" in said
    assert "– not by requests (give --url to send real requests)" in said
