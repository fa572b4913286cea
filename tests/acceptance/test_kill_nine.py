"""``kill -9`` of the control plane at random moments of a rollout: it goes on from where it was."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time

import httpx
import pytest

from needs import free_port
from serinus.core.bucketing import is_on_canary

pytestmark = pytest.mark.real

KILLS = 20
#: Seconds within which the proxy must carry the wanted split again: a tick, and the time to start.
SETTLE_SECONDS = 6.0


class Plane:
    """A control plane process that is killed and started again on the same database."""

    def __init__(self, folder, slack, mailbox) -> None:
        self.folder, self.port = folder, free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith(("SERINUS_", "SMTP_", "SLACK_"))},
            "SERINUS_DATA_DIR": str(folder),
            "DATABASE_URL": f"sqlite:///{folder}/serinus.db",
            "SERINUS_PORT": str(self.port),
            "SERINUS_TICK_SECONDS": "0.2",
            "SERINUS_WINDOW_SECONDS": "1",
            "SLACK_WEBHOOK_URL": slack.url,
            "SMTP_HOST": "127.0.0.1",
            "SMTP_PORT": str(mailbox.port),
            "ALERT_EMAIL_TO": "oncall@example.com",
        }
        self.process: subprocess.Popen | None = None

    def start(self) -> None:
        """Start it and wait until it answers."""
        with (self.folder / "plane.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "serinus", "up"], env=self.environment, stdout=log, stderr=log
            )
        for _ in range(400):
            try:
                if httpx.get(f"{self.url}/healthz", timeout=1, trust_env=False).status_code == 200:
                    return
            except httpx.HTTPError:
                time.sleep(0.025)
        pytest.fail((self.folder / "plane.log").read_text()[-2000:])

    def kill(self) -> None:
        """End it without any chance to tidy up."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def kill_unless_between_two_generals(self, received) -> None:
        """Kill it now; put it off while a receiver has taken a message whose answer is still on its way.

        In that gap no sender can know, so "exactly once" means nothing there; every other moment counts.
        """
        while True:
            self.process.send_signal(signal.SIGSTOP)
            known = self.recorded()
            if received() == known:
                self.kill()
                return
            self.process.send_signal(signal.SIGCONT)
            time.sleep(0.01)

    def recorded(self) -> int:
        """Return how many deliveries the stopped process has on its books: committed, or in its journal."""
        with sqlite3.connect(f"file:{self.folder}/serinus.db?mode=ro", uri=True) as db:
            sent = {row[0] for row in db.execute("SELECT id FROM outbox WHERE state = 'sent'")}
        db.close()
        journal = self.folder / "delivered-embedded.log"
        return len(sent | (set(journal.read_text().split()) if journal.exists() else set()))

    def call(self, method: str, path: str, **options):
        """Call the API with the token of the profile."""
        token = json.loads((self.folder / "profile.json").read_text())["token"]
        answer = httpx.request(
            method,
            f"{self.url}/api/v1{path}",
            headers={"Authorization": f"Bearer {token}"},
            timeout=10,
            trust_env=False,
            **options,
        )
        assert answer.status_code < 300, answer.text
        return answer.json()


async def carried(edge, salt: str) -> set[str]:
    """Return which of a hundred users the proxy sends to the canary."""
    client = edge.client()
    users = [f"user-{n}" for n in range(60)]
    answers = [await client.get("/", headers={"x-user-id": u}) for u in users]
    return {u for u, a in zip(users, answers, strict=True) if a.text == "v2"}


async def agrees(edge, plane, identity: str, salt: str) -> bool:
    """Tell whether the proxy carries what the control plane wants."""
    view = await asyncio.to_thread(plane.call, "GET", f"/deployments/{identity}")
    running = view["status"] == "canary"
    wanted = {
        f"user-{n}"
        for n in range(60)
        if is_on_canary(salt, f"user-{n}", round(view["traffic_percentage"] * 100))
    }
    expected = wanted if running else set()
    after = await asyncio.to_thread(plane.call, "GET", f"/deployments/{identity}")
    same = (after["revision"], after["status"]) == (view["revision"], view["status"])
    return not same or await carried(edge, salt) == expected


@pytest.mark.timeout(240)
async def test_twenty_kills_twenty_correct_ends(edge, tmp_path, slack, mailbox):
    """Each rollout ends as it should, and each notification is sent exactly once."""
    folder = tmp_path / "plane"
    folder.mkdir()
    plane = Plane(folder, slack, mailbox)
    await asyncio.to_thread(plane.start)
    driver = {
        "listen": f"127.0.0.1:{edge.port}",
        "instances": [
            {"name": "edge-1", "admin": f"http://127.0.0.1:{edge.admin}", "config_dir": str(edge.folder)}
        ],
    }
    upstreams = {"v1": [f"127.0.0.1:{edge.stable.port}"], "v2": [f"127.0.0.1:{edge.canary.port}"]}
    service = {
        "name": "checkout",
        "stable_version": "v1",
        "driver": "envoy",
        "driver_config": driver,
        "upstreams": upstreams,
    }
    await asyncio.to_thread(plane.call, "POST", "/services", json=service)
    chance = random.Random(7)
    strategy = {"mode": "auto", "steps": [{"traffic_percentage": p, "hold_seconds": 30} for p in (20, 50)]}
    policy = {
        "preset": "rulesets",
        "only": True,
        "checks": [{"name": "errors", "measure": "error_rate", "limit": 0.05, "window_seconds": 5}],
    }
    try:
        for round_ in range(KILLS):
            edge.canary.mode = "ok"
            salt = f"kill-{round_}"
            body = {
                "service_id": "checkout",
                "version": "v2",
                "strategy": {**strategy, "salt": salt},
                "analysis": policy,
            }
            made = await asyncio.to_thread(plane.call, "POST", "/deployments", json=body)
            identity = made["deployment_id"]
            await asyncio.to_thread(plane.call, "POST", f"/deployments/{identity}/start-canary", json={})
            client = edge.client()
            users = [f"user-{n}" for n in range(60) if is_on_canary(salt, f"user-{n}", 2000)]
            # The fault comes and the process is killed somewhere between the fault and the end.
            edge.canary.mode = "500"
            for user in users[:8]:
                assert (await client.get("/", headers={"x-user-id": user})).status_code == 200
            await asyncio.sleep(chance.uniform(0.0, 0.7))
            await asyncio.to_thread(
                plane.kill_unless_between_two_generals, lambda: len(slack.messages) + len(mailbox.messages)
            )
            await asyncio.to_thread(plane.start)
            until = time.monotonic() + SETTLE_SECONDS
            while time.monotonic() < until:
                view = await asyncio.to_thread(plane.call, "GET", f"/deployments/{identity}")
                told = await asyncio.to_thread(plane.call, "GET", f"/deployments/{identity}/notifications")
                states = [n["state"] for n in told["notifications"]]
                if (
                    view["status"] == "rolled_back"
                    and states == ["sent", "sent"]
                    and not await carried(edge, salt)
                ):
                    break
                for user in users[:3]:
                    await client.get("/", headers={"x-user-id": user})
                await asyncio.sleep(0.1)
            assert (view["status"], states) == ("rolled_back", ["sent", "sent"]), (round_, view["sentence"])
            assert await agrees(edge, plane, identity, salt)
            kinds = [
                e["kind"]
                for e in (await asyncio.to_thread(plane.call, "GET", f"/deployments/{identity}/events"))[
                    "events"
                ]
            ]
            assert (kinds.count("started"), kinds.count("rolled_back")) == (1, 1)
    finally:
        plane.kill()
    ids = [m["x-serinus-notification"] for _, m in mailbox.messages]
    assert (len(ids), len(set(ids))) == (KILLS, KILLS)
    assert len(slack.messages) == KILLS
    assert "Traceback" not in (folder / "plane.log").read_text()
