"""``serinus drivers`` and ``serinus proxy prometheus``, as typed."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from serinus.bootstrap.proxies import MEANINGS
from serinus.cli.app import app
from serinus.drivers import catalog
from serinus.ports.traffic import Capability

SETTINGS = {
    "instances": [{"name": "edge-1", "admin": "https://10.0.0.1:9901", "config_dir": "/srv/edge"}],
}


@pytest.fixture
def settings(tmp_path):
    """Return a file of driver settings."""
    path = tmp_path / "envoy.json"
    path.write_text(json.dumps(SETTINGS))
    return str(path)


def run(*arguments: str):
    """Run a command in a terminal that is wide enough for every driver."""
    return CliRunner().invoke(app, list(arguments), env={"COLUMNS": "160"})


def test_every_capability_and_every_driver_has_its_place():
    """In the table, in JSON and in Markdown."""
    known = json.loads(run("drivers", "--json").stdout)
    assert list(known) == [MEANINGS[c] for c in Capability]
    assert all(set(who) == set(catalog.TRAFFIC) for who in known.values())
    rows = run("drivers", "--markdown").stdout.splitlines()
    assert len(rows) == len(Capability) + 2
    shown = run("drivers").stdout
    assert all(meaning in shown for meaning in known)


def test_prometheus_is_told_how_to_scrape_and_what_to_ask(settings):
    """One job for the fleet, one pair of queries a check."""
    told = json.loads(
        run(
            "proxy", "prometheus", "envoy", "--driver-config", settings, "--stable", "v1", "--canary", "v2"
        ).stdout
    )
    job = told["scrape_configs"][0]
    assert job["static_configs"] == [{"targets": ["10.0.0.1:9901"], "labels": {"instance": "edge-1"}}]
    assert (job["scheme"], job["metrics_path"]) == ("https", "/stats/prometheus")
    assert [check["name"] for check in told["checks"]] == ["requests", "error rate", "p95 latency"]
    for check in told["checks"]:
        assert 'envoy_cluster_name=~"v2' in check["canary"]
        assert 'envoy_cluster_name=~"v1"' in check["stable"]
        assert f'job="{job["job_name"]}"' in check["canary"]
        assert "[5m]" in check["canary"]


@pytest.mark.parametrize(
    ("driver", "content", "says"),
    [
        ("in-process", "{}", "has nothing that Prometheus could scrape"),
        ("squid", "{}", "has nothing that Prometheus could scrape"),
        ("envoy", '{"instances": []}', "has no instance"),
        ("envoy", "{", "envoy.json"),
    ],
)
def test_what_cannot_be_told_is_said_in_words(tmp_path, driver, content, says):
    """Exit code 2, no traceback."""
    path = tmp_path / "envoy.json"
    path.write_text(content)
    answer = run("proxy", "prometheus", driver, "--driver-config", str(path), "--stable", "v1")
    assert answer.exit_code == 2
    assert says in answer.stderr.replace("\n", " ")
    assert "Traceback" not in answer.stderr
