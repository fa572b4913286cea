"""Starting and ending the demo's processes: the control plane, the proxy, the versions of the service."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx

__all__ = ["Parts", "Trouble", "free_port"]

#: Anything that has not started after this long will not.
START_SECONDS = 20.0


class Trouble(Exception):
    """A part of the demo did not start or did not answer."""


def free_port() -> int:
    """Return a loopback port that nobody listens on right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Parts:
    """Child processes with their logs in one folder, ended by pid."""

    def __init__(self, folder: Path) -> None:
        """Keep logs and state in ``folder``."""
        self.folder = folder
        self.ports: dict[str, int] = {}
        self._children: dict[str, subprocess.Popen[bytes]] = {}

    def spawn(self, name: str, command: list[str], environment: Mapping[str, str] | None = None) -> None:
        """Start a process whose output goes to ``NAME.log``."""
        with (self.folder / f"{name}.log").open("ab") as log:
            self._children[name] = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **(environment or {})},
                start_new_session=True,
            )

    def spawn_version(self, version: str) -> str:
        """Start one version of the service; return its address."""
        port = self.ports[version] = free_port()
        command = [sys.executable, "-m", "serinus.demo.service", "--version", version, "--port", str(port)]
        self.spawn(version, command)
        return f"127.0.0.1:{port}"

    async def answers(self, name: str, url: str) -> None:
        """Wait until a part answers.

        Raises:
            Trouble: It ended, or did not answer in time; with the last lines of its log.
        """
        until = time.monotonic() + START_SECONDS
        async with httpx.AsyncClient() as client:
            while time.monotonic() < until:
                child = self._children.get(name)
                if child and child.poll() is not None:
                    break
                with contextlib.suppress(httpx.HTTPError):
                    if (await client.get(url, timeout=1.0)).status_code < 500:
                        return
                await asyncio.sleep(0.05)
        raise Trouble(f"{name} did not start:\n{self.log_tail(name)}")

    def log_tail(self, name: str, lines: int = 12) -> str:
        """Return the last lines of a part's log."""
        path = self.folder / f"{name}.log"
        return "\n".join(path.read_text(errors="replace").splitlines()[-lines:]) if path.exists() else ""

    async def books(self, version: str) -> dict[str, Any]:
        """Return what a version says it has served."""
        async with httpx.AsyncClient() as client:
            answer = await client.get(f"http://127.0.0.1:{self.ports[version]}/__books", timeout=5.0)
        return dict(answer.json())

    async def break_version(self, version: str, share: float) -> None:
        """Make a share of a version's answers fail from now on."""
        async with httpx.AsyncClient() as client:
            url = f"http://127.0.0.1:{self.ports[version]}/__fault"
            await client.post(url, json={"share": share}, timeout=5.0)

    def stop(self) -> None:
        """End every process, newest first."""
        for child in reversed(self._children.values()):
            if child.poll() is None:
                child.terminate()
        for child in reversed(self._children.values()):
            try:
                child.wait(timeout=5)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
