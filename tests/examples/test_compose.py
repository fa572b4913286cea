"""The compose files, as far as they can be held to account without Docker: what they name exists.

No engine runs them here; docs/infrastructure.md says so.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest
import yaml

from needs import free_port, program
from serinus.control.showing import exposition
from serinus.core.analysis.sequential.plan import Plan
from serinus.core.policy.presets import SEQUENTIAL
from serinus.drivers.traffic.envoy import EnvoyConfig
from stories import Story, draft

ROOT = Path(__file__).parents[2]
COMPOSE = ROOT / "deploy/compose"
PERFUME = ROOT / "examples/perfume"
#: What Prometheus adds by itself to each target.
OF_PROMETHEUS = {"up"}


def read(name: str) -> dict:
    """Return a YAML file of the folder."""
    return yaml.safe_load((COMPOSE / name).read_text())


@pytest.fixture(scope="module")
def compose() -> dict:
    """Return the compose file, with its anchors resolved."""
    return read("compose.yaml")


def test_every_part_of_the_contract_is_there(compose):
    """Production, canary, optional workers, proxy, Prometheus, Grafana, and Serinus itself."""
    services = compose["services"]
    assert {"production", "canary", "proxy", "prometheus", "grafana", "serinus", "setup"} < set(services)
    assert services["canary-worker"]["profiles"] == ["workers"]
    assert [name for name, s in services.items() if s.get("profiles")] == ["canary-worker"]


def test_whatever_a_service_names_exists(compose):
    """Files, volumes, other services, and the files that its image is built from."""
    services, volumes = compose["services"], set(compose["volumes"])
    for name, service in services.items():
        for mount in service.get("volumes", []):
            source = mount.split(":")[0]
            known = (COMPOSE / source).exists() if source.startswith(".") else source in volumes
            assert known, (name, mount)
        assert set(service.get("depends_on", [])) <= set(services), name
        mode = service.get("network_mode", "")
        assert mode.removeprefix("service:") in {"", *services}, name
        if "build" in service:
            dockerfile = COMPOSE / service["build"]["context"] / service["build"]["dockerfile"]
            for line in re.findall(r"^COPY (.*)$", dockerfile.read_text(), re.MULTILINE):
                for source in line.split()[:-1]:
                    assert list(ROOT.glob(source)), (name, source)
        else:
            assert re.search(r":v?\d+\.\d+", service["image"]), f"{name} has no fixed version"


def test_nothing_is_published_beyond_loopback_and_no_secret_is_written_down(compose):
    """Whoever starts it sets the password."""
    for name, service in compose["services"].items():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", [])), name
        for key, value in (service.get("environment") or {}).items():
            assert not re.search("PASSWORD|KEY|SECRET|TOKEN", key) or str(value).startswith("${"), (name, key)


def test_the_parts_agree_about_names_and_ports(compose):
    """Scrape targets are services with their ports; the proxy listens where its port is published."""
    services = compose["services"]
    scraped = [
        t
        for job in read("prometheus/prometheus.yaml")["scrape_configs"]
        for c in job["static_configs"]
        for t in c["targets"]
    ]
    for target in scraped:
        name, _, port = target.partition(":")
        assert name in services
        assert port in " ".join([*services[name].get("command", []), *services[name].get("ports", [])]), (
            target
        )
    config = EnvoyConfig.read(json.loads((COMPOSE / "serinus/driver.json").read_text()))
    assert f"127.0.0.1:{config.listen.rpartition(':')[2]}:8080" in services["serinus"]["ports"]
    setup = (COMPOSE / "serinus/setup.sh").read_text()
    assert f"production:{services['production']['command'][3]}" in setup
    subprocess.run(["sh", "-n", str(COMPOSE / "serinus/setup.sh")], check=True)


def test_the_alert_rules_are_those_of_the_policy():
    """Made by ``serinus policy rules``; and Prometheus takes them."""
    command = [sys.executable, "-m", "serinus", "policy", "rules", str(PERFUME / "policy.yaml")]
    made = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    kept = (COMPOSE / "prometheus/rules.yaml").read_text()
    assert kept.partition("\n")[2] == made
    promtool = program("promtool", "apt-get install prometheus")
    for what, file in (("rules", "rules.yaml"), ("config", "prometheus.yaml")):
        command = [promtool, "check", what, *(["--syntax-only"] if what == "config" else [])]
        done = subprocess.run(
            [*command, str(COMPOSE / "prometheus" / file)], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_grafana_finds_its_source_and_its_dashboards(compose):
    """The provisioned source is the one that the panels name; the folder is mounted where it looks."""
    source = read("grafana/provisioning/datasources/prometheus.yaml")["datasources"][0]
    provider = read("grafana/provisioning/dashboards/serinus.yaml")["providers"][0]
    assert (
        f"./grafana/dashboards:{provider['options']['path']}:ro" in compose["services"]["grafana"]["volumes"]
    )
    assert source["url"] == "http://prometheus:9090"
    for panel in panels():
        assert panel["datasource"]["uid"] == source["uid"]
        assert all(target["datasource"]["uid"] == source["uid"] for target in panel["targets"])


def test_stable_and_canary_stand_side_by_side():
    """Traffic share, error rate, latency and resources, for both."""
    words = " ".join(p["title"] for p in panels()).lower()
    for what in (
        "traffic share",
        "error rate: production",
        "error rate: canary",
        "latency",
        "processor",
        "memory",
    ):
        assert what in words
    places = [(p["gridPos"]["x"], p["gridPos"]["y"]) for p in panels()]
    assert len(set(places)) == len(places)


def test_every_metric_of_the_dashboard_is_really_exported(exported):
    """By the sample service or by Serinus: names are read from what both answer, not from a list."""
    used = {name for expression in expressions() for name in metrics_in(expression)}
    assert used - exported - OF_PROMETHEUS == set()
    assert {"http_requests_total", "serinus_judge_evidence", "canary_traffic_percentage"} <= used


def test_prometheus_understands_every_expression(tmp_path):
    """As rules that record them."""
    rules = [{"record": f"panel:{n}", "expr": expression} for n, expression in enumerate(expressions())]
    path = tmp_path / "panels.yaml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    promtool = program("promtool", "apt-get install prometheus")
    done = subprocess.run(
        [promtool, "check", "rules", str(path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def panels() -> list[dict]:
    """Return the dashboard's panels."""
    return json.loads((COMPOSE / "grafana/dashboards/canary.json").read_text())["panels"]


def expressions() -> list[str]:
    """Return what the panels ask."""
    return [target["expr"] for panel in panels() for target in panel["targets"]]


def metrics_in(expression: str) -> set[str]:
    """Return the metric names in a PromQL expression: what is no function, label, keyword or text."""
    bare = re.sub(r'"[^"]*"', "", expression)
    bare = re.sub(r"\{[^}]*\}|\[[^\]]*\]", " ", bare)
    bare = re.sub(r"\b(by|on|group_left|ignoring)\s*\([^)]*\)", " ", bare)
    names = re.findall(r"[a-zA-Z_:][\w:]*(?!\w*\s*\()", bare)
    return {n for n in names if not re.search(rf"\b{n}\s*\(", bare)} - {"or", "and", "unless"}


@pytest.fixture(scope="module")
def exported():
    """Return the names of all samples that the sample service and Serinus answer."""
    port = free_port()
    command = [sys.executable, str(PERFUME / "app.py"), "--port", str(port), "--role", "canary"]
    service = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
            until = time.monotonic() + 20
            while True:
                try:
                    client.post("/dna/create", json={"brief": "rose", "mode": "fast"})
                    break
                except httpx.TransportError:
                    assert time.monotonic() < until
                    time.sleep(0.05)
            text = client.get("/metrics").text
    finally:
        service.terminate()
        service.wait()
    story = Story(draft(policy=SEQUENTIAL)).run(3)
    assert isinstance(story.d.policy.judge, Plan)
    return names(text) | names(exposition.render([(story.d, ())]))


def names(text: str) -> set[str]:
    """Return the names of the samples in an exposition."""
    return {re.split(r"[{ ]", line)[0] for line in text.splitlines() if line and not line.startswith("#")}
