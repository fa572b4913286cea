"""``serinus smoke run FILE`` against a service that answers: what is printed, and the exit code."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from shells import QuickShell

ROOT = Path(__file__).parents[2]


@pytest.fixture
def shell(tmp_path):
    """Return a shell in a folder with the example, and no control plane."""
    shutil.copy(ROOT / "examples/smoke/perfume.yaml", tmp_path)
    return QuickShell(tmp_path)


def timeless(text: str) -> str:
    """Return what was printed without its times."""
    return re.sub(r"[\d.]+ (ms|s\b)", r"N \1", text)


def test_every_step_line_and_metric_is_told(shell, perfume):
    """Captured values go from step to step; then the summary."""
    said = shell("smoke", "run", "perfume.yaml", "--base-url", f"http://{perfume.address}")
    assert timeless(said) == (
        f"Smoke tests perfume  service at http://{perfume.address}\n"
        "  1/7 ✔ step   create a DNA  POST /dna/create → 201 (N ms)\n"
        "  2/7 ✔ step   evolve it  POST /evolve/options → 200 (N ms)\n"
        "  3/7 ✔ step   give feedback  POST /evolve/feedback → 200 (N ms)\n"
        "  4/7 ✔ log    llm_brief  llm_brief{mode, elapsed_ms} (N ms)\n"
        "  5/7 ✔ log    rl_update  rl_update{algo, loss, reward, entropy, clip_frac} (N ms)\n"
        "  6/7 ✔ metric llm_brief_schema_failures_total  0 in 2 series (N ms)\n"
        "  7/7 ✔ metric rl_training_loss  0.31 (N ms)\n"
        "Smoke tests PASSED: 7 passed, 0 failed in N s\n"
    )
    assert perfume.headers[0]["x-user-id"] == "smoke"


@pytest.mark.parametrize(
    ("broken", "words", "counts"),
    [
        ("create", "✘ step   create a DNA  status 500, expected 201; id is missing", (2, 3, 2)),
        ("options", "✘ step   evolve it  options has 2 elements, expected 3", (6, 1, 0)),
        ("log", "✘ log    rl_update  rl_update has no clip_frac (within N s)", (6, 1, 0)),
        ("schema", "✘ metric llm_brief_schema_failures_total  2, at most 0", (6, 1, 0)),
        ("metrics", "✘ metric rl_training_loss  /metrics → 404", (5, 2, 0)),
    ],
)
def test_what_fails_is_told_and_the_rest_still_runs(shell, perfume, broken, words, counts):
    """Exit code 1; what needs a value that did not come is skipped, and is no pass."""
    perfume.broken = broken
    path = shell.folder / "perfume.yaml"
    path.write_text(path.read_text().replace("fields:", "within: 300ms, fields:"))
    where = ("--base-url", f"http://{perfume.address}")
    said, _ = shell.apart("smoke", "run", "perfume.yaml", *where, code=1)
    assert words in timeless(said)
    passed, failed, skipped = counts
    told = f"{passed} passed, {failed} failed" + (f", {skipped} skipped" if skipped else "")
    assert f"Smoke tests FAILED: {told} in" in said
    if skipped:
        assert "– step   evolve it  ${dna} has no value: the step that captures it did not pass" in said


def test_old_log_lines_do_not_count(shell, perfume):
    """Only what this run caused; a log that is not there yet is waited for."""
    perfume.log.write_text(
        '{"event": "rl_update", "algo": 1, "loss": 1, "reward": 1, "entropy": 1, "clip_frac": 1}\n'
    )
    perfume.broken = "log"
    path = shell.folder / "perfume.yaml"
    path.write_text(path.read_text().replace("fields:", "within: 300ms, fields:"))
    said = shell("smoke", "run", "perfume.yaml", "--base-url", f"http://{perfume.address}", code=1)
    assert "rl_update has no clip_frac" in said


def test_json_is_for_machines_and_secrets_are_in_no_output(shell, perfume):
    """The summary with every result; a secret from the environment is not repeated."""
    perfume.broken = "create"
    (shell.folder / "s.yaml").write_text(
        "version: 1\n"
        "headers: {authorization: 'Bearer ${env:SMOKE_TOKEN}'}\n"
        "steps:\n  - {name: a, method: POST, path: /dna/create, json: {}, "
        "expect: {status: 500, headers: {x-token: '${env:SMOKE_TOKEN}'}}}\n"
    )
    run = ("smoke", "run", "s.yaml", "--base-url", f"http://{perfume.address}", "--json")
    told, chatter = shell.apart(*run, code=1, SMOKE_TOKEN="hunter2")
    summary = json.loads(told)
    assert (summary["passed"], summary["failed"]) == (0, 1)
    assert summary["results"][0]["message"] == "header x-token is missing, expected …"
    assert "hunter2" not in told + chatter
    assert perfume.headers[-1]["authorization"] == "Bearer hunter2"
    assert "SMOKE_TOKEN is not set" in shell(*run, code=2)


def test_the_canary_is_found_by_the_service(tools, perfume, tmp_path):
    """From the upstreams of the version that is rolling out; without one it is refused."""
    shutil.copy(ROOT / "examples/smoke/perfume.yaml", tmp_path)
    tools("service", "create", "scent", "--stable", "v1")
    run = ("smoke", "run", "perfume.yaml", "--canary")
    assert "It is not known where the canary answers." in tools(*run, cwd=tmp_path, code=4)
    run = (*run, "--service", "scent")
    assert "No rollout of scent is running." in tools(*run, cwd=tmp_path, code=4)
    tools("rollout", "start", "scent", "v2", "--address", perfume.address)
    assert f"canary at http://{perfume.address}" in tools(*run, cwd=tmp_path)


def test_a_wrong_file_is_told_by_line_and_nothing_is_asked(shell, perfume):
    """Unknown keys name the nearest; exit code 2."""
    (shell.folder / "s.yaml").write_text(
        "version: 1\nsteps:\n  - name: a\n    pth: /x\n  - {name: b, path: x, methd: GET}\n"
    )
    assert shell(
        "smoke", "run", "s.yaml", "--base-url", f"http://{perfume.address}", code=2
    ).splitlines() == [
        "s.yaml:3:5: steps[0].path: missing",
        "s.yaml:4:5: steps[0].pth: unknown key; did you mean 'path'?",
        "s.yaml:5:21: steps[1].path: expected a path that begins with /",
        "s.yaml:5:24: steps[1].methd: unknown key; did you mean 'method'?",
    ]
    assert "✔ perfume.yaml: 3 steps, 2 log lines, 2 metrics" in shell("smoke", "lint", "perfume.yaml")
    assert perfume.asked == []
    (shell.folder / "t.yaml").write_text("version: 1\nmetrics: [{name: m}]\n")
    assert "It is not known where it answers." in shell("smoke", "run", "t.yaml", code=4)
    assert "no answer from /metrics" in shell(
        "smoke", "run", "t.yaml", "--base-url", "http://127.0.0.1:1", code=1
    )


def test_the_schema_is_the_committed_one(shell):
    """Byte for byte."""
    assert shell.apart("smoke", "schema")[0] == (ROOT / "spec/smoke.schema.json").read_text()
