"""``serinus`` as a user runs it: a process per command, against a control plane of its own."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner

from needs import free_port
from schemas import put_schema


class Shell:
    """Runs ``serinus`` as a user would, with a folder of its own."""

    def __init__(self, folder) -> None:
        self.folder, self.port = folder, free_port()
        clean = {
            k: v
            for k, v in os.environ.items()
            if not k.startswith(("SERINUS_", "SMTP_", "SLACK_", "DATABASE_URL"))
        }
        self.environment = {**clean, "SERINUS_DATA_DIR": str(folder), "COLUMNS": "200", "NO_COLOR": "1"}

    def up(self, **more: str) -> subprocess.Popen:
        """Start the control plane and wait until it answers."""
        put_schema(self.folder)
        log = (self.folder / "up.log").open("ab")
        fast = {"SERINUS_TICK_SECONDS": "0.2", "SERINUS_WINDOW_SECONDS": "1"}
        process = subprocess.Popen(
            [sys.executable, "-m", "serinus", "up", "--port", str(self.port)],
            env={**self.environment, **fast, **more},
            stdout=log,
            stderr=log,
        )
        for _ in range(400):
            try:
                httpx.get(f"http://127.0.0.1:{self.port}/healthz", trust_env=False)
                return process
            except httpx.HTTPError:
                time.sleep(0.025)
        pytest.fail((self.folder / "up.log").read_text())

    def __call__(
        self, *words: object, code: int = 0, cwd: Path | None = None, given: str = "", **more: str
    ) -> str:
        """Run a command; return what it printed."""
        said, told = self.apart(*words, code=code, cwd=cwd, given=given, **more)
        return said + told

    def apart(
        self, *words: object, code: int = 0, cwd: Path | None = None, given: str = "", **more: str
    ) -> tuple[str, str]:
        """Run a command that is given something on stdin; return what is on stdout and on stderr."""
        done = subprocess.run(
            [sys.executable, "-m", "serinus", *map(str, words)],
            env={**self.environment, **more},
            cwd=cwd or self.folder,
            capture_output=True,
            input=given,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == code, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return done.stdout, done.stderr


class QuickShell(Shell):
    """Runs commands inside the test's process: a twentieth of the time, the same code from ``typed`` on."""

    def apart(
        self, *words: object, code: int = 0, cwd: Path | None = None, given: str = "", **more: str
    ) -> tuple[str, str]:
        """Run a command that is given something on stdin; return what is on stdout and on stderr."""
        from serinus.cli.app import typed

        gone = {k: None for k in os.environ if k.startswith("SERINUS_")}
        with contextlib.chdir(cwd or self.folder):
            line = [*map(str, words)]
            environment = {**gone, **self.environment, **more}
            done = CliRunner().invoke(typed(line), line, input=given, env=environment)
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        assert done.exit_code == code, done.stdout + done.stderr
        return done.stdout, done.stderr
