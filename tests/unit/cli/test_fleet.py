"""``serinus agent`` and ``serinus fleet`` where something is wrong."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from serinus.cli.app import app

ENVOY = '{"instances": [{"name": "e", "admin": "http://127.0.0.1:9", "config_dir": "/tmp/e"}]}'


@pytest.mark.parametrize(
    ("content", "options", "told"),
    [
        ("{", [], "Give one JSON object"),
        ("{}", ["--driver", "envoy"], "driver_config.instances has no instance."),
        (ENVOY, ["--driver", "in-process"], "An agent cannot carry by 'in-process'."),
        (ENVOY, ["--driver", "agents"], "Use one of: envoy,"),
        (ENVOY, ["--url", "control-plane"], "'control-plane' is no URL."),
        (ENVOY, ["--state", "/dev/null/x"], "cannot be written"),
    ],
)
def test_what_an_agent_cannot_start_with_is_told(tmp_path, content, options, told):
    """In words, with the exit code of bad input."""
    file = tmp_path / "driver.json"
    file.write_text(content)
    command = ["agent", "--service", "checkout", "--instance", "edge-1", "--driver", "envoy"]
    command += ["--driver-config", str(file), "--url", "http://127.0.0.1:9", "--token", "t"]
    command += ["--state", str(tmp_path / "state.json"), *options]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 2
    assert told in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


def test_a_fleet_without_a_control_plane_is_told(monkeypatch):
    """As by every command."""
    monkeypatch.setenv("SERINUS_URL", "http://127.0.0.1:9")
    done = CliRunner().invoke(app, ["fleet", "list"])
    assert done.exit_code == 3
