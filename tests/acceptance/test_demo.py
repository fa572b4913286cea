"""The main job, as ``make demo`` runs it, at double speed."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest


@pytest.mark.real
@pytest.mark.timeout(180)
def test_the_demo_goes_as_told(tmp_path):
    """Good release promoted, bad one caught and told, no error that a user saw."""
    report = tmp_path / "r.json"
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("SERINUS_", "SMTP_", "SLACK_"))}
    command = [
        sys.executable,
        "-m",
        "serinus",
        "demo",
        "--headless",
        "--speed",
        "120",
        "--report",
        str(report),
    ]
    done = subprocess.run(command, env=clean, capture_output=True, text=True, check=False)
    told = json.loads(report.read_text())
    assert (done.returncode, told["problems"]) == (0, []), done.stdout[-3000:]
    assert (told["good"]["outcome"], told["bad"]["outcome"]) == ("promoted", "rolled_back")
    assert told["messages"] == {"slack": 1, "email": 1}
    assert told["client_errors"] == 0
    assert told["fault"]["first_faulty_answer_to_last_canary_request_seconds"] <= 10
    assert told["users_moved_back_and_forth"] == 0
