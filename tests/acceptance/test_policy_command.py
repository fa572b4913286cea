"""``serinus policy …`` and ``--policy FILE``: each command in a process of its own, its output read."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
import yaml

from needs import free_port, program
from serinus.cli.yaml_file import read_yaml
from serinus.core.policy.file import policy_file_from

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((ROOT / "examples/policies").glob("*.yaml"))

BROKEN = """\
version: 1
budgt: 1 %
steps:
  - {traffic: 5 %, hold: 15m}
  - {traffic: 1 %, hold: soon}
checks:
  - name: p95
    measure: latencyp95
    at_most: 800ms
  - name: errors
    measure: error_rate
sources:
  prom: {type: prometheus, url: "http://me:hunter2@prom"}
"""


@pytest.fixture
def serinus(tmp_path):
    """Return a runner of commands: exit code, what is on stdout, what is on stderr."""

    def run(*words: object, code: int = 0, **environment: str) -> tuple[str, str]:
        clean = {k: v for k, v in os.environ.items() if not k.startswith("SERINUS_")}
        done = subprocess.run(
            [sys.executable, "-m", "serinus", *map(str, words)],
            env={
                **clean,
                "NO_COLOR": "1",
                "COLUMNS": "100",
                "SERINUS_DATA_DIR": str(tmp_path),
                **environment,
            },
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert "Traceback" not in done.stderr
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout, done.stderr

    return run


def test_the_examples_are_right(serinus):
    """All of them, in one call."""
    said, told = serinus("policy", "lint", *EXAMPLES)
    assert said == ""
    assert told.count("✔") == len(EXAMPLES) == 4
    assert "sequential.yaml: the sequential judge, 4 steps" in told


def test_everything_that_is_wrong_is_told_with_its_line(serinus, tmp_path):
    """In the form that editors jump from."""
    (tmp_path / "p.yaml").write_text(BROKEN)
    said, _ = serinus("policy", "lint", "p.yaml", EXAMPLES[0], code=1)
    assert said.splitlines() == [
        "p.yaml:2:1: budgt: unknown key; did you mean 'budget'?",
        "p.yaml:5:26: steps[1].hold: expected a time like 90s, 5m or 1h30m, or a number of seconds",
        (
            "p.yaml:8:14: checks[0].measure: 'latencyp95' is not one of error_rate, success_rate, "
            "latency_p50, latency_p95, latency_p99, latency_mean, requests, sample; "
            "did you mean 'latency_p95'?"
        ),
        (
            "p.yaml:10:5: checks[1]: no limit: give one of at_most, below, at_least, above, at_most_ratio, "
            "below_ratio, at_least_ratio, above_ratio, at_most_more, below_more, at_least_more, "
            "above_more, zero"
        ),
        (
            "p.yaml:13:33: sources.prom.url: holds a secret: put the whole address into an environment "
            "variable and name that as `url_env`"
        ),
    ]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"a: [", "p.yaml:1:5: no YAML: expected the node content"),
        (b"a: \xff", "p.yaml:1:4: not UTF-8: save it as UTF-8"),
        (b"a: 1\na: 2", "p.yaml:2:1: 'a' is given twice; the first is on line 1"),
        (b"a: &a [*a]", "p.yaml:1:4: nested too deeply"),
        (b"", "p.yaml: the file is empty"),
        (b" " * 300_000, "p.yaml: bigger than 256 kB"),
        (None, "p.yaml: No such file or directory"),
    ],
)
def test_what_cannot_be_read_ends_with_2(serinus, tmp_path, content, words):
    """In words, never in a traceback."""
    if content is not None:
        (tmp_path / "p.yaml").write_bytes(content)
    assert serinus("policy", "lint", "p.yaml", code=2)[0].startswith(words)


def test_show_prints_a_policy_file_that_says_where_it_comes_from(serinus, tmp_path):
    """And that is the same policy when it is read again."""
    for example in EXAMPLES:
        said, _ = serinus("policy", "show", example)
        (tmp_path / "shown.yaml").write_text(said)
        data = read_yaml(tmp_path / "shown.yaml").data
        assert policy_file_from(data) == policy_file_from(read_yaml(example).data)
    (tmp_path / "p.yaml").write_text("version: 1\nname: x\nlatency: {slower: 20 %, find: 30 %}\nwatch: 1h\n")
    said, _ = serinus("policy", "show", "p.yaml")
    for line in (
        "budget: 1 %  # preset sequential",
        "  slower: 20 %  # this file",
        "  ratio: 1.1  # preset sequential",
        "watch: 1h  # this file",
    ):
        assert line in said.splitlines()
    said, _ = serinus("policy", "show", "rulesets")
    assert "  - name: success rate  # preset rulesets" in said.splitlines()


def test_show_orchestrator_prints_the_contracts_promql(serinus):
    """As two questions where one would never match."""
    said, _ = serinus("policy", "show", "orchestrator")
    assert 'rl_training_loss{version="canary"}\n' in said
    assert '# PromQL, stable: rl_training_loss{version="production"}\n' in said
    assert 'http_request_duration_seconds_bucket{version="canary",mode="creative"}' in said
    assert 'increase(llm_brief_schema_failures_total{version="canary"}[5m])' in said
    assert said.count("# PromQL, canary:") == 6


def test_explain_speaks_in_sentences(serinus):
    """For a preset and for a file."""
    said, _ = serinus("policy", "explain", "slo")
    assert said == (
        "slo\n"
        "\nSteps\n"
        "  This policy names no steps: whoever starts the rollout says them (--stages).\n"
        "\nRolled back at once when\n"
        "  5 requests to the canary fail in a row, or a breaker opens in the proxy or SDK.\n"
        "  availability: the success rate is below 99.5 % over 5m (from 20 canary requests on).\n"
        "  p95 latency: p95 latency is above 800 ms over 5m (from 20 canary requests on).\n"
        "  error rate: the error rate is above 0.5 % over 5m (from 20 canary requests on).\n"
        "\nWhen it cannot tell\n"
        "  Missing data is never a pass: a required check without an answer holds the step.\n"
        "  It holds for as long as that lasts, and tells people.\n"
        "\nA promotion by hand asks that\n"
        "  The breaker is closed.\n"
        "  Or it is forced, which is written down.\n"
        "\nMeasurements come from\n"
        "  The SDK, the proxy and the API.\n"
        "\nTold\n"
        "  Rollbacks, warnings and holds, rollouts that wait for somebody, promotions: "
        "to every channel that is configured.\n"
    )
    said, _ = serinus("policy", "explain", ROOT / "examples/policies/prometheus.yaml")
    assert "  queue length: its value is at or above 2 times stable's over 5m." in said
    assert "no preset of this name" in serinus("policy", "explain", "nope", code=2)[1]


def test_rules_are_for_prometheus(serinus, tmp_path):
    """``promtool`` takes them from stdout; what is left out is said beside it."""
    for example in EXAMPLES:
        said, _ = serinus("policy", "rules", example)
        (tmp_path / "rules.yaml").write_text(said)
        assert all(group["rules"] for group in yaml.safe_load(said)["groups"])
        promtool = program("promtool", "apt-get install prometheus")
        subprocess.run([promtool, "check", "rules", tmp_path / "rules.yaml"], check=True, capture_output=True)
    _, told = serinus("policy", "rules", ROOT / "examples/policies/prometheus.yaml")
    assert told == "left out: check backlog: status is no Prometheus.\n"


def test_schema_is_the_committed_one(serinus):
    """Byte for byte."""
    assert serinus("policy", "schema")[0] == (ROOT / "spec/policy.schema.json").read_text()


@pytest.fixture
def plane(tmp_path, serinus):
    """Start a control plane in a process of its own, with a service; return its port."""
    port = free_port()
    environment = {**os.environ, "SERINUS_DATA_DIR": str(tmp_path), "SERINUS_TICK_SECONDS": "0.2"}
    with (tmp_path / "up.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "serinus", "up", "--port", str(port)],
            env=environment,
            stdout=log,
            stderr=log,
        )
    transport = httpx.HTTPTransport(retries=8)
    with httpx.Client(transport=transport, trust_env=False) as client:
        client.get(f"http://127.0.0.1:{port}/healthz", timeout=30)
    serinus("service", "create", "checkout", "--stable", "v1")
    yield port
    process.terminate()
    process.wait(10)


def test_a_rollout_takes_policy_and_steps_from_a_file(serinus, plane, tmp_path):
    """``--stages`` wins over the file's steps; a wrong file is told before anything starts."""
    run = ("rollout", "run", "--service", "checkout", "--version", "v2", "--policy")
    said, _ = serinus(*run, ROOT / "examples/policies/thresholds.yaml", "--dry-run")
    assert "Stage 3 of 3" in said
    assert "observing   1200 s" in said
    assert "not slower than stable: at most 1.2 times stable's over 300 s" in said
    said, _ = serinus(*run, ROOT / "examples/policies/orchestrator.yaml", "--dry-run", "--stages", "50,100")
    assert "Stage 2 of 2" in said
    assert "memory: at most 1.5 times stable's over 600 s" in said
    (tmp_path / "p.yaml").write_text(BROKEN)
    _, told = serinus(*run, "p.yaml", code=2)
    assert told.startswith("p.yaml:2:1: budgt: unknown key")
    (tmp_path / "walk.yaml").write_text(
        "version: 1\nname: quick\nonly: true\npreset: slo\n"
        "steps: [{traffic: 10 %, hold: 300ms}, {traffic: 100 %, hold: 0}]\n"
    )
    report = tmp_path / "report.json"
    serinus(*run, "walk.yaml", "--poll", "0.1", "--yes", "--report", report)
    told = json.loads(report.read_text())
    assert (told["outcome"], [s["percentage"] for s in told["stages"]]) == ("promoted", [10, 100])
    assert told["deployment"]["analysis"]["preset"] == "quick"
