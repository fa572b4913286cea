"""The canary's worker of the perfume example."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

from needs import free_port

EXAMPLE = Path(__file__).parents[2] / "examples/perfume"


def test_wishes_in_a_folder_are_answered_once_and_counted_apart(tmp_path):
    """A wish that makes no sense is answered too; its label is not the canary's."""
    (tmp_path / "one.json").write_text('{"brief": "a warm rose", "mode": "creative"}')
    (tmp_path / "two.json").write_text("nonsense")
    port = free_port()
    command = [sys.executable, str(EXAMPLE / "worker.py"), "--folder", str(tmp_path), "--port", str(port)]
    worker = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        until = time.monotonic() + 20
        while len(list((tmp_path / "done").glob("*.json"))) < 2:
            assert time.monotonic() < until
            time.sleep(0.05)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
            metrics = answer.read().decode()
    finally:
        worker.terminate()
        said = worker.communicate()[0]
    done = {p.stem: json.loads(p.read_text()) for p in (tmp_path / "done").glob("*.json")}
    assert (done["one"]["status"], done["one"]["brief"]["heart"]) == (201, "rose")
    assert done["two"]["status"] == 400
    assert json.loads(said.splitlines()[0])["event"] == "llm_brief"
    assert 'http_requests_total{version="canary-worker",status="201"} 1' in metrics
    assert 'version="canary"' not in metrics
    assert list(tmp_path.glob("*.json")) == []
