"""Control plane processes that tests start, stop and kill."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time

import httpx
import pytest

from needs import free_port
from schemas import put_schema


class Plane:
    """A control plane process that is killed and started again on the same database."""

    def __init__(self, folder, slack, mailbox, database: str = "") -> None:
        self.folder, self.port = folder, free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith(("SERINUS_", "SMTP_", "SLACK_"))},
            "SERINUS_DATA_DIR": str(folder),
            "DATABASE_URL": database or f"sqlite:///{folder}/serinus.db",
            "SERINUS_PORT": str(self.port),
            "SERINUS_TICK_SECONDS": "0.2",
            "SERINUS_WINDOW_SECONDS": "1",
            "SLACK_WEBHOOK_URL": slack.url,
            "SMTP_HOST": "127.0.0.1",
            "SMTP_PORT": str(mailbox.port),
            "ALERT_EMAIL_TO": "oncall@example.com",
        }
        self.process: subprocess.Popen | None = None
        if not database:
            put_schema(folder)

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
        lines = journal.read_text().split() if journal.exists() else []
        return len(sent | {line for line in lines if not line.startswith("~")})

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
        return answer.json() if answer.content else None
