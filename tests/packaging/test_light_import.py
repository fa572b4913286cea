"""The SDK is light: what it loads, and what it starts."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

HEAVY = (
    "fastapi",
    "pydantic",
    "sqlalchemy",
    "typer",
    "rich",
    "httpx",
    "uvicorn",
    "jinja2",
    "alembic",
    "ssl",
    "http.client",
    "dataclasses",
)


def test_importing_the_sdk_loads_nothing_heavy_and_starts_nothing():
    """In a fresh interpreter."""
    code = (
        "import sys, threading, serinus.sdk, json;"
        "print(json.dumps([sorted(sys.modules), threading.active_count()]))"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    modules, threads = json.loads(printed)
    assert [m for m in HEAVY if m in modules] == []
    assert threads == 1


def test_the_bucketing_vectors_hold():
    """Other implementations are held against the same file."""
    from serinus.core.bucketing import bucket_of, unit_hash

    vectors = json.loads((Path(__file__).parents[2] / "spec" / "bucketing-vectors.json").read_text())
    assert len(vectors["vectors"]) >= 100
    for vector in vectors["vectors"]:
        assert f"{unit_hash(vector['salt'], vector['key']):016x}" == vector["hash"]
        assert bucket_of(vector["salt"], vector["key"]) == vector["bucket"]


def test_without_the_extra_the_command_says_what_to_install(tmp_path):
    """Instead of a traceback."""
    (tmp_path / "typer.py").write_text("raise ModuleNotFoundError('typer')")
    done = subprocess.run(
        [sys.executable, "-m", "serinus"],
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(tmp_path)},
        check=False,
    )
    assert (done.returncode, done.stderr) == (
        2,
        "The command line needs its extra: pip install 'serinus[server]'\n",
    )
