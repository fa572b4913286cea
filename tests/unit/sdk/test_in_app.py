"""Contract 2, word for word: router, collector, admin JSON, over workers."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time

import httpx
import pytest

from needs import free_port
from serinus.sdk.inapp import ADMIN_PATH, CanaryMiddleware
from serinus.sdk.paths import BadTemplate
from serinus.sdk.router import BadPercentage, CanaryRouter, DeploymentVersion, MetricsCollector


def test_the_defaults_are_the_contracts():
    """Enabled, 5 %, every endpoint."""
    assert CanaryRouter().get_canary_config() == {
        "enabled": True,
        "canary_percentage": 5.0,
        "endpoints_to_canary": [],
    }


def test_md5_is_the_contracts_first_version():
    """MD5 of the user's id mapped to 0–99."""
    router = CanaryRouter(30, hash="md5")
    for n in range(200):
        bucket = int(hashlib.md5(f"user-{n}".encode()).hexdigest(), 16) % 100
        expected = DeploymentVersion.CANARY if bucket < 30 else DeploymentVersion.LEGACY
        assert router.get_deployment_version(f"user-{n}") is expected


@pytest.mark.parametrize("name", ["xxh64", "md5"])
def test_the_share_is_even_and_only_grows(name):
    """5 % of 20,000 within five standard deviations; nobody leaves when it grows."""
    router = CanaryRouter(5, hash=name)
    users = [f"user-{n}" for n in range(20_000)]
    before = {u for u in users if router.is_canary_user(u)}
    assert abs(len(before) - 1000) < 5 * (20_000 * 0.05 * 0.95) ** 0.5
    router.update_canary_percentage(10)
    assert before <= {u for u in users if router.is_canary_user(u)}


@pytest.mark.parametrize("bad", [-1, 101, "ten", float("nan"), float("inf"), True, None])
def test_what_is_no_percentage_changes_nothing(bad):
    """A clear error; the share stays."""
    router = CanaryRouter()
    with pytest.raises(BadPercentage, match="0 to 100"):
        router.update_canary_percentage(bad)
    assert router.get_canary_config()["canary_percentage"] == 5


def test_path_templates_match_concrete_paths():
    """Added and removed at once; one that does not compile is refused and changes nothing."""
    router = CanaryRouter()
    router.add_endpoint("/api/v2/conversations/{session_id}/turn")
    assert router.routes_endpoint("/api/v2/conversations/42/turn")
    assert not router.routes_endpoint("/api/v2/conversations/42/43/turn")
    for bad in ("no-slash", "/a/{b", "/a/b}", "/{a}/{a}", "/{1x}", ""):
        with pytest.raises(BadTemplate):
            router.add_endpoint(bad)
    router.remove_endpoint("/api/v2/conversations/{session_id}/turn")
    assert router.get_canary_config()["endpoints_to_canary"] == []


@pytest.mark.parametrize("odd", [None, 5, "", b"x", "\ud800"])
def test_an_odd_user_is_on_legacy(odd):
    """Never an exception."""
    assert CanaryRouter(100).get_deployment_version(odd) is DeploymentVersion.LEGACY


def collector_with(legacy: tuple[int, int, float], canary: tuple[int, int, float]) -> MetricsCollector:
    """Return a collector that has counted (requests, errors, ms) of both versions."""
    made = MetricsCollector()
    for version, (requests, errors, ms) in (
        (DeploymentVersion.LEGACY, legacy),
        (DeploymentVersion.CANARY, canary),
    ):
        for n in range(requests):
            made.record_request("/turn", "POST", f"u{n}", version, 500 if n < errors else 200, ms)
    return made


def test_the_admin_json_is_the_contracts():
    """Names and formats to the letter."""
    view = collector_with((9500, 5, 250.0), (500, 1, 230.0)).admin_view()
    assert view["legacy"] == {
        "version": "legacy",
        "request_count": 9500,
        "error_count": 5,
        "error_rate": "0.05%",
        "avg_response_time_ms": "250.00",
        "p95_response_time_ms": view["legacy"]["p95_response_time_ms"],
        "p99_response_time_ms": view["legacy"]["p99_response_time_ms"],
    }
    assert float(view["legacy"]["p95_response_time_ms"]) == pytest.approx(250, rel=0.006)
    comparison = view["comparison"]
    assert comparison["error_rate_difference"] == "+0.15%"
    assert comparison["response_time_improvement"].startswith("+")
    assert comparison["canary_p95_response_time"].endswith("ms")
    assert comparison["traffic_split"] == {
        "legacy_requests": 9500,
        "canary_requests": 500,
        "legacy_percentage": "95.0%",
        "canary_percentage": "5.0%",
    }


def test_to_promote_all_conditions_must_hold():
    """+0.5 pp, +10 %, more than 1,000 requests; below each, and above each."""
    assert collector_with((2000, 0, 100), (1001, 0, 100)).should_promote() == (True, [])
    for canary, words in (
        ((1000, 0, 100), "more than 1000"),
        ((1001, 6, 100), "error rate is up"),
        ((1001, 0, 115), "p95 is up"),
    ):
        allowed, unmet = collector_with((2000, 0, 100), canary).should_promote()
        assert (allowed, len(unmet)) == (False, 1)
        assert words in unmet[0]


def test_any_condition_rolls_back():
    """5 % errors, 2 s p95, 99 % availability; nothing measured is no reason."""
    assert collector_with((10, 0, 1), (0, 0, 1)).should_roll_back() == (False, [])
    assert collector_with((10, 0, 1), (100, 0, 1)).should_roll_back() == (False, [])
    assert len(collector_with((10, 0, 1), (100, 6, 1)).should_roll_back()[1]) == 2
    assert len(collector_with((10, 0, 1), (100, 2, 2500)).should_roll_back()[1]) == 2


def test_settings_and_summaries_are_shared_by_workers(tmp_path):
    """One changes the share, the other follows; both report the same sums."""
    one, two = (CanaryRouter(shared=str(tmp_path)) for _ in range(2))
    one.update_canary_percentage(40)
    one.add_endpoint("/x")
    time.sleep(0.15)
    assert two.get_canary_config() == one.get_canary_config()
    a, b = (MetricsCollector(shared=str(tmp_path), flush_seconds=0) for _ in range(2))
    for collector, ms in ((a, 10.0), (b, 30.0)):
        for _ in range(50):
            collector.record_request("/x", "GET", "u", DeploymentVersion.CANARY, 200, ms)
    assert a.get_metrics_summary() == b.get_metrics_summary()
    assert a.get_metrics_summary()["canary"]["request_count"] == 100
    assert a.get_endpoint_metrics()["GET /x"]["canary"]["avg_response_time_ms"] == 20


APP = """
import os
from fastapi import FastAPI
from serinus.sdk.inapp import CanaryMiddleware
from serinus.sdk.router import CanaryRouter, MetricsCollector
shared = os.environ["SHARED"]
router = CanaryRouter(50, shared=shared)
api = FastAPI()
@api.get("/hello/{name}")
def hello(name: str): return {"pid": os.getpid()}
@api.put("/share/{percentage}")
def share(percentage: float):
    router.update_canary_percentage(percentage)
    return router.get_canary_config()
app = CanaryMiddleware(api, router=router, collector=MetricsCollector(shared=shared, flush_seconds=0))
"""


@pytest.mark.parametrize("server", ["uvicorn", "gunicorn"])
def test_workers_of_real_servers_agree(server, tmp_path):
    """Two processes: the same sides, one change for both, the same sums from either."""
    (tmp_path / "inapp_example.py").write_text(APP)
    port = free_port()
    command = [sys.executable, "-m", server, "inapp_example:app"]
    if server == "uvicorn":
        command += ["--port", str(port), "--workers", "2", "--log-level", "critical"]
    else:
        worker = "uvicorn_worker.UvicornWorker"
        command += ["-b", f"127.0.0.1:{port}", "-w", "2", "-k", worker, "--log-level", "critical"]
    environment = {**os.environ, "SHARED": str(tmp_path / "shared"), "PYTHONPATH": str(tmp_path)}
    process = subprocess.Popen(command, env=environment, cwd=tmp_path)
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(200):
            try:
                if httpx.get(f"{url}/hello/x", trust_env=False).status_code == 200:
                    break
            except httpx.HTTPError:
                time.sleep(0.05)
        before = httpx.get(url + ADMIN_PATH, trust_env=False).json()["comparison"]["traffic_split"]
        pids = set()
        for n in range(300):
            answer = httpx.get(f"{url}/hello/x", headers={"x-user-id": f"user-{n}"}, trust_env=False)
            pids.add(answer.json()["pid"])
        assert len(pids) == 2
        expected = sum(CanaryRouter(50).is_canary_user(f"user-{n}") for n in range(300))
        seen = [
            httpx.get(url + ADMIN_PATH, trust_env=False).json()["comparison"]["traffic_split"]
            for _ in range(8)
        ]
        assert {s["canary_requests"] for s in seen} == {before["canary_requests"] + expected}
        assert httpx.put(f"{url}/share/100", trust_env=False).json()["canary_percentage"] == 100
        time.sleep(0.2)
        start = seen[0]["legacy_requests"]
        for n in range(40):
            httpx.get(f"{url}/hello/x", headers={"x-user-id": f"user-{n}"}, trust_env=False)
        after = httpx.get(url + ADMIN_PATH, trust_env=False).json()["comparison"]["traffic_split"]
        assert after["legacy_requests"] - start <= 1
    finally:
        process.terminate()
        process.wait(10)


def test_a_worker_that_falls_idle_has_told_of_its_last_requests(tmp_path):
    """A few came faster than it writes, and then none: the others see all of them all the same."""
    busy, other = (MetricsCollector(str(tmp_path), flush_seconds=0.1) for _ in range(2))
    for _ in range(5):
        busy.record_request("/pay", "POST", "ada", DeploymentVersion.CANARY, 500, 20.0)
    deadline = time.monotonic() + 10
    while other.get_metrics_summary()["canary"]["error_count"] < 5:
        assert time.monotonic() < deadline, "the last requests were never told of"
        time.sleep(0.01)


def test_a_worker_that_ends_has_told_of_its_last_requests(tmp_path):
    """What it counted since it last wrote is not lost with it."""
    code = (
        "import sys; from serinus.sdk.router import MetricsCollector; c = MetricsCollector(sys.argv[1])\n"
        "for _ in range(5): c.record_request('/pay', 'POST', 'ada', 'canary', 200, 20.0)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)
    assert MetricsCollector(str(tmp_path)).get_metrics_summary()["canary"]["request_count"] == 5


async def test_the_admin_path_is_not_for_everybody():
    """Only loopback by default, or whom the application says."""
    middleware = CanaryMiddleware(None, router=CanaryRouter(), collector=MetricsCollector())
    said = []

    async def send(message):
        said.append(message)

    scope = {"type": "http", "path": ADMIN_PATH, "client": ("10.0.0.1", 1), "headers": []}
    await middleware(scope, None, send)
    assert said[0]["status"] == 403
    assert "administrator" in json.loads(said[1]["body"])["detail"]
