"""Policies that ask a real Prometheus, through the whole control plane: what is missing never passes."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime

import pytest

from fixtures_prometheus import http

#: History is a day old, in the middle of an hour: Prometheus' newest data are its own.
THEN = int(time.time()) // 3600 * 3600 - 86_400 + 600
EVERY, READS = 5, 300
APP = 'job="app",instance="10.0.0.1:80"'


def counted(per_read: float, *, reset_at: int | None = None) -> list[tuple[float, float]]:
    """Return a counter read every 5 s for 25 minutes, restarted from zero at one read."""
    return [
        (THEN + i * EVERY, per_read * (i - (reset_at if reset_at and i >= reset_at else 0)))
        for i in range(READS)
    ]


def served(version: str, per_read: int, errors: float, *, reset_at: int | None = None) -> dict:
    """Return one version's requests, errors and latencies."""
    labels = f'version="{version}",{APP}'
    below = {"0.05": 0.5, "0.1": 0.9, "0.25": 0.99, "+Inf": 1.0}
    return {
        f'http_requests_total{{status="200",{labels}}}': counted(per_read, reset_at=reset_at),
        f'http_requests_total{{status="503",{labels}}}': counted(errors, reset_at=reset_at),
        **{
            f'http_seconds_bucket{{le="{le}",{labels}}}': counted(per_read * part, reset_at=reset_at)
            for le, part in below.items()
        },
    }


@pytest.fixture(scope="module")
def history(prometheus):
    """Return the server with the history of three versions and some gauges."""
    gauges = {"nothing_divided": "NaN", "loss": 2.0}
    prometheus.backfill(
        {
            **served("v1", 900, 2, reset_at=100),
            **served("v2", 100, 0.2, reset_at=90),
            **served("v3", 100, 5),
            **{
                f'{name}{{version="v2",{APP}}}': [(THEN + i * EVERY, value) for i in range(READS)]
                for name, value in gauges.items()
            },
            f"up{{{APP}}}": [(THEN + i * EVERY, 1) for i in range(READS)],
        }
    )
    prometheus.restart()
    return prometheus


def policy(url: str, **more) -> dict:
    """Return an analysis whose measurements come from this Prometheus."""
    source = {"type": "prometheus", "url": url, "timeout": "1s", "max_age": "2m"}
    return {"version": 1, "preset": "sequential", "sources": {"prom": source}, **more}


COUNTS = {
    "requests": {
        "source": "prom",
        "total": "http_requests_total",
        "errors": 'http_requests_total{status="503"}',
        "latency": "http_seconds_bucket",
    }
}


async def look(world, times: int = 1, seconds: float = 30.0) -> None:
    """Let time pass and the monitor look; wait for what it has asked, and look again."""
    poller = world.running.poller
    for _ in range(times):
        await world.tick(seconds)
        pending = list(poller._tasks.values())  # the one place that knows when an answer is there
        if pending:
            await asyncio.wait(pending, timeout=10)
        await world.tick(0.1)


async def begun(world, history_url: str, version: str, at: float = THEN + 60, **more) -> str:
    """Begin a rollout at a moment of the history."""
    world.clock.at = datetime.fromtimestamp(at, UTC)
    await world.service()
    return await world.canary(version=version, pct=10, analysis=policy(history_url, **more))


async def shown(world, identity: str) -> dict:
    """Return the deployment as the API shows it."""
    async with world.client() as c:
        return (await c.get(f"/deployments/{identity}")).json()


async def test_the_judge_counts_what_prometheus_counted(world, history):
    """A worse version is rolled back on Prometheus' counters alone, with both sides' numbers."""
    identity = await begun(world, history.url, "v3", **COUNTS)
    await look(world, 8)
    d = await shown(world, identity)
    assert d["status"] == "rolled_back"
    assert "errors:" in d["end_reason"]
    assert "at stable" in d["end_reason"]


async def test_a_restarted_exporter_is_no_fault(world, history):
    """Counters that restart on both sides are counted on; the reset is told."""
    identity = await begun(world, history.url, "v2", **COUNTS)
    await look(world, 22)
    d = await shown(world, identity)
    assert d["status"] == "canary"
    verdicts = {v["check"]: v for v in d["checks"]}
    # Twenty-one windows of 30 s with 100 requests in 5 s, and none invented or lost by the resets.
    assert verdicts["errors"]["canary_requests"] > 11_000
    assert abs(verdicts["errors"]["canary"] - 0.002) < 0.0005


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ('nothing_divided{version="v2"}', "the answer is NaN"),
        ("no_such_metric", "no series matched"),
        ("rate(", "prom: canary: "),
        ("loss", ""),
    ],
)
async def test_what_is_no_number_never_passes(world, history, query, words):
    """NaN, nothing, a broken query: the check says why, the step does not end, nobody is rolled back."""
    check = {"name": "loss check", "source": "prom", "canary": query, "at_most": 3}
    identity = await begun(world, history.url, "v2", checks=[check], errors="off", latency="off", metrics=[])
    await look(world, 2, 12)
    verdict = next(v for v in (await shown(world, identity))["checks"] if v["check"] == "loss check")
    assert (await shown(world, identity))["status"] == "canary"
    if words:
        assert verdict["outcome"] == "error"
        assert words in verdict["message"]
    else:
        assert verdict["outcome"] == "pass"


async def test_prometheus_goes_away_and_comes_back(world, history):
    """While it is down the step holds and says why; afterwards it goes on where it was."""
    check = {"name": "loss check", "source": "prom", "canary": "loss", "at_most": 3}
    steps = {
        "mode": "auto",
        "steps": [
            {"traffic_percentage": 10, "hold_seconds": 40},
            {"traffic_percentage": 100, "hold_seconds": 600},
        ],
    }
    world.clock.at = datetime.fromtimestamp(THEN + 60, UTC)
    await world.service()
    given = policy(history.url, checks=[check], errors="off", latency="off")
    async with world.client() as c:
        made = await c.post(
            "/deployments",
            json={"service_id": "checkout", "version": "v2", "strategy": steps, "analysis": given},
        )
        identity = made.json()["deployment_id"]
        await c.post(f"/deployments/{identity}/start-canary", json={})
    await look(world, 1, 12)
    history.stop()
    await look(world, 4, 15)
    held = await shown(world, identity)
    assert held["traffic_percentage"] == 10
    assert held["phase"] == "holding:no-data"
    assert "prom: canary: " in held["sentence"]
    history.start()
    await look(world, 2, 15)
    assert (await shown(world, identity))["traffic_percentage"] == 100


async def test_a_server_that_hangs_holds_up_nothing(world, answering):
    """An answer that takes 30 s is given up after the source's second; looks go on meanwhile."""

    async def hang(_request, writer):
        await asyncio.sleep(30)
        writer.write(http("{}"))

    check = {"name": "loss check", "source": "prom", "canary": "loss", "at_most": 3}
    async with answering(hang) as peer:
        identity = await begun(world, peer.url(), "v2", checks=[check], errors="off", latency="off")
        await look(world, 2, 12)
        verdict = next(v for v in (await shown(world, identity))["checks"] if v["check"] == "loss check")
    assert verdict["outcome"] == "error"
    assert "timed out after 1 s" in verdict["message"]


async def test_a_policy_cannot_read_the_servers_secrets(world, monkeypatch):
    """Only variables with our prefix may be named; the refusal names no value."""
    monkeypatch.setenv("SLACK_BOT_TOKEN", "xoxb-very-secret")
    source = {"type": "prometheus", "url": "http://127.0.0.1:9", "bearer_token_env": "SLACK_BOT_TOKEN"}
    check = {"name": "loss check", "source": "prom", "canary": "loss", "at_most": 3}
    await world.service()
    identity = await world.canary(
        analysis={
            "version": 1,
            "sources": {"prom": source},
            "checks": [check],
            "errors": "off",
            "latency": "off",
        }
    )
    await look(world, 2, 12)
    verdict = next(v for v in (await shown(world, identity))["checks"] if v["check"] == "loss check")
    assert verdict["outcome"] == "error"
    assert "SLACK_BOT_TOKEN" in verdict["message"]
    assert "very-secret" not in str(await shown(world, identity))
