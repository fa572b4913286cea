"""The SDK attached to a real control plane, in front of real applications."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
import time

import httpx
import pytest
import uvicorn
from fastapi import FastAPI, HTTPException

from needs import free_port
from serinus.bootstrap.build import build, create_app
from serinus.sdk import Client
from serinus.sdk.asgi import SerinusMiddleware
from serinus.sdk.wsgi import SerinusMiddleware as WsgiMiddleware
from serinus.settings import Settings


class Live:
    """A control plane on a port, in a thread."""

    def __init__(self, folder) -> None:
        self.folder, self.port = folder, free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.token = ""

    def start(self) -> None:
        """Start, on the same database each time."""
        settings = Settings(data_dir=self.folder, tick_seconds=0.2, window_seconds=1)
        self.running = build(settings, notifiers={})
        config = uvicorn.Config(
            create_app(settings, self.running),
            host="127.0.0.1",
            port=self.port,
            log_config=None,
            timeout_graceful_shutdown=1,
        )
        self.server = uvicorn.Server(config)
        self.thread = threading.Thread(target=self.server.run, daemon=True)
        self.thread.start()
        while not self.server.started:
            time.sleep(0.01)
        self.token = self.running.first_token or self.token

    def stop(self) -> None:
        """End it."""
        self.server.should_exit = True
        self.thread.join(10)

    def call(self, method: str, path: str, body=None):
        """Call the API as the admin."""
        answer = httpx.request(
            method,
            f"{self.url}/api/v1{path}",
            json=body,
            headers={"Authorization": f"Bearer {self.token}"},
            trust_env=False,
        )
        assert answer.status_code < 300, answer.text
        return answer.json()


@pytest.fixture
def live(tmp_path):
    """Return a running control plane with a service on v1 and a canary at 50 %."""
    made = Live(tmp_path / "plane")
    made.start()
    made.call("POST", "/services", {"name": "checkout", "stable_version": "v1"})
    yield made
    made.stop()


def canary(live: Live, percentage: float) -> str:
    """Start v2 at a percentage; return the deployment's id."""
    identity = live.call("POST", "/deployments", {"service_id": "checkout", "version": "v2"})["deployment_id"]
    live.call("POST", f"/deployments/{identity}/start-canary", {"canary_pct": percentage})
    return identity


def until(true, seconds: float = 8.0) -> None:
    """Wait until something holds."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come to hold"
        time.sleep(0.02)


def attach(live: Live, **more) -> Client:
    """Return an attached client with an SDK token of its own."""
    token = live.call("POST", "/tokens", {"name": "sdk", "role": "sdk"})["token"]
    return Client(live.url, token, flush_seconds=0.1, poll_seconds=0.2, window_seconds=1, **more)


def test_pushes_arrive_measurements_are_counted_and_a_rollback_reaches_the_process(live):
    """The whole way: decide, record, see the numbers, roll back, decide again."""
    client = attach(live)
    router = client.service("checkout")
    identity = canary(live, 100)
    until(lambda: router.decide("u").version == "v2")
    for n in range(120):
        choice = router.expose(f"user-{n}")
        client.record("checkout", choice, "/pay", 200, 12.0)
    until(
        lambda: (
            (live.call("GET", f"/deployments/{identity}/metrics")["v2_metrics"] or {}).get("total_requests")
            == 120
        )
    )
    metrics = live.call("GET", f"/deployments/{identity}/metrics")
    assert metrics["endpoints"]["/pay"]["v2_metrics"]["p95_latency_ms"] == pytest.approx(12, rel=0.01)
    assert live.call("GET", f"/deployments/{identity}/assignments")["total"] == 120
    for _ in range(5):
        client.record("checkout", choice, "/pay", 500, 12.0)
    assert router.decide("user-1").version == "v1"
    until(lambda: live.call("GET", f"/deployments/{identity}")["status"] == "rolled_back")
    until(lambda: router.plan.deployment == "")
    client.close()


def test_where_a_few_units_are_is_sent_with_the_measurements(live):
    """Hashes of all twenty here, stored; the users themselves go nowhere."""
    client = attach(live)
    router = client.service("checkout")
    identity = canary(live, 50)
    until(lambda: router.plan.weight == 5000)
    sides = [router.expose(f"ada-{n}").is_canary for n in range(20)]
    (database,) = live.folder.glob("*.db")

    def stored() -> list[tuple[str, str, int]]:
        with contextlib.closing(sqlite3.connect(database)) as sql:
            asked = "SELECT unit, version, share_bp FROM sightings WHERE deployment_id = ?"
            return sql.execute(asked, [identity]).fetchall()

    until(lambda: len(stored()) == 20)
    assert sorted(version for _, version, _ in stored()) == [""] * sides.count(False) + ["v2"] * sum(sides)
    assert {share for *_, share in stored()} == {5000}
    assert not any("ada" in unit for unit, *_ in stored())
    client.close()


def test_without_a_control_plane_the_last_known_snapshot_decides(live, tmp_path):
    """It goes away and comes back; a new process begins with what was kept on disk."""
    kept = str(tmp_path / "snapshot.json")
    client = attach(live, cache_path=kept)
    router = client.service("checkout")
    identity = canary(live, 100)
    until(lambda: router.decide("u").version == "v2")
    live.stop()
    assert router.decide("u").version == "v2"
    client.record("checkout", router.decide("u"), "/x", 200, 1.0)
    fresh = Client(live.url, "srn_x", cache_path=kept)
    assert fresh.service("checkout").decide("u").version == "v2"
    fresh.close()
    live.start()
    until(lambda: live.call("GET", f"/deployments/{identity}/metrics")["v2_metrics"])
    client.close()
    (tmp_path / "broken.json").write_text("{")
    other = Client("http://127.0.0.1:1", "x", cache_path=str(tmp_path / "broken.json"))
    assert other.service("checkout").decide("u").version == ""
    until(lambda: bool(other.status()["last_error"]))
    other.close()


def test_the_asgi_middleware_names_the_version_and_measures(live):
    """Per route template, with exceptions as errors and the application's own errors untouched."""
    client = attach(live)
    api = FastAPI()

    @api.get("/items/{item}")
    def item(item: str) -> dict:
        if item == "bad":
            raise HTTPException(503, "no")
        if item == "worse":
            raise ZeroDivisionError
        return {"item": item}

    app = SerinusMiddleware(api, client=client, service="checkout")
    identity = canary(live, 100)
    until(lambda: client.service("checkout").decide("u").is_canary)

    async def drive():
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(app, raise_app_exceptions=False), base_url="http://app"
        ) as c:
            answers = [await c.get(f"/items/{n}", headers={"x-user-id": f"u{n}"}) for n in range(20)]
            assert {a.headers["x-serinus-version"] for a in answers} == {"v2"}
            assert (await c.get("/items/bad", headers={"x-user-id": "u"})).status_code == 503
            assert (await c.get("/items/worse", headers={"x-user-id": "u"})).status_code == 500

    import asyncio

    asyncio.run(drive())
    until(
        lambda: (
            live.call("GET", f"/deployments/{identity}/metrics")["endpoints"]
            .get("/items/{item}", {})
            .get("v2_metrics")
        )
    )
    until(
        lambda: (
            live.call("GET", f"/deployments/{identity}/metrics")["endpoints"]["/items/{item}"]["v2_metrics"][
                "total_requests"
            ]
            == 22
        )
    )
    numbers = live.call("GET", f"/deployments/{identity}/metrics")["endpoints"]["/items/{item}"]["v2_metrics"]
    assert numbers["error_count"] == 2
    client.close()


def test_the_wsgi_middleware_does_the_same(live):
    """Flask in front of it; templates given by hand."""
    from flask import Flask

    flask = Flask("example")

    @flask.get("/items/<item>")
    def item(item: str) -> str:
        return item

    client = attach(live)
    flask.wsgi_app = WsgiMiddleware(
        flask.wsgi_app, client=client, service="checkout", endpoints=("/items/{item}",)
    )
    identity = canary(live, 100)
    until(lambda: client.service("checkout").decide("u").is_canary)
    for n in range(10):
        answer = flask.test_client().get(f"/items/{n}", headers={"x-user-id": f"u{n}"})
        assert (answer.status_code, answer.headers["x-serinus-version"]) == (200, "v2")
    until(
        lambda: (
            live.call("GET", f"/deployments/{identity}/metrics")["endpoints"]
            .get("/items/{item}", {})
            .get("v2_metrics")
        )
    )
    client.close()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_child_counts_for_itself(live):
    """Parent and child each send their own; nothing is counted twice."""
    client = attach(live)
    router = client.service("checkout")
    identity = canary(live, 100)
    until(lambda: router.decide("u").version == "v2")
    for n in range(30):
        client.record("checkout", router.decide(f"u{n}"), "/x", 200, 1.0)
    child = os.fork()
    if child == 0:
        try:
            for n in range(20):
                client.record("checkout", router.decide(f"c{n}"), "/x", 200, 1.0)
            client.close()
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    until(
        lambda: (
            (live.call("GET", f"/deployments/{identity}/metrics")["v2_metrics"] or {}).get("total_requests")
            == 50
        )
    )
    client.close()
