"""``serinus pipeline run`` against a real Envoy: promoted, rolled back, refused; and its reports."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import httpx
import pytest
from rich.console import Console

from junit_format import problems
from serinus.cli.client import Api, load_profile
from serinus.cli.pipelined import Pipeline
from serinus.cli.reports import Stage

#: Fixed limits over a few requests, so that a test takes seconds.
POLICY = {
    "version": 1,
    "preset": "slo",
    "only": True,
    "checks": [
        {"name": "errors", "measure": "error_rate", "at_most": "5 %", "min_requests": 10, "window": "10s"}
    ],
}
GUARD = {"version": 1, "slos": "off", "secrets": "off", "artifacts": "off", "runbook": "off", "stable": "off"}
FAST = ("--observation-period", "1", "--poll", "0.1", "--policy", "policy.json", "--guard", "guard.yaml")
REPORTS = ("--report-json", "report.json", "--report-junit", "report.xml")


@pytest.fixture
def folder(tmp_path):
    """Return a folder with a quick policy and an easy guard."""
    (tmp_path / "policy.json").write_text(json.dumps(POLICY))
    (tmp_path / "guard.yaml").write_text(json.dumps(GUARD))
    return tmp_path


@contextlib.asynccontextmanager
async def users(edge):
    """Let many users ask the edge for as long as this lasts."""

    async def ask() -> None:
        client = edge.client()
        n = 0
        while True:
            n += 1
            with contextlib.suppress(httpx.HTTPError):
                await client.get("/", headers={"x-user-id": f"user-{n}"})
            await asyncio.sleep(0.004)

    task = asyncio.create_task(ask())
    try:
        yield
    finally:
        task.cancel()


def read(folder) -> tuple[dict, ET.Element]:
    """Return both reports; the XML is what CI systems take."""
    text = (folder / "report.xml").read_text()
    assert problems(text) == []
    return json.loads((folder / "report.json").read_text()), ET.fromstring(text)


async def test_a_good_version_is_promoted(tools, edge, folder):
    """Five stages, exit code 0; afterwards everyone is on it."""
    await tools.behind(edge, "good")
    async with users(edge):
        command = ("pipeline", "run", "--service", "good", "--version", "v2", *FAST, *REPORTS)
        said = await tools.run(*command, cwd=folder)
    for words in (
        "Pipeline good → v2",
        "1/5 guard",
        "Guard PASSED",
        "✔ v2 has 10 %: edge-1 carries 10 %",
        "– no smoke tests are named",
        "Stage 1 of 1",
        "└─ ✔ errors: canary 0 %, stable 0 % (at most 5 %)",
        "validation  PASSED",
        "✔ v2 promoted: everyone is on it.",
        "Pipeline PROMOTED in",
    ):
        assert words in said
    report, junit = read(folder)
    assert (report["outcome"], report["exit_code"]) == ("promoted", 0)
    assert report["deploy_seconds"] < 300
    stages = [(s["name"], s["outcome"]) for s in report["stages"]]
    assert stages == [
        *(("guard", "passed"), ("deploy", "passed"), ("smoke", "skipped")),
        *(("watch", "passed"), ("promote", "passed")),
    ]
    assert junit.get("failures") == "0"
    assert junit.find(".//testcase[@classname='serinus.watch']").get("name") == "errors"
    services = (await tools.data("service", "list"))["services"]
    assert next(s for s in services if s["name"] == "good")["stable_version"] == "v2"


async def test_a_bad_version_is_rolled_back(tools, edge, folder):
    """Exit code 1, with the check that failed in words, JSON and XML; and it is read back."""
    await tools.behind(edge, "bad")
    edge.canary.mode = "500"
    async with users(edge):
        command = ("pipeline", "run", "--service", "bad", "--version", "v2", *FAST, *REPORTS)
        said = await tools.run(*command, cwd=folder, code=1)
    assert "everyone is on stable: edge-1 carries 0 %" in said
    assert "Pipeline ROLLED BACK in" in said
    report, junit = read(folder)
    assert report["outcome"] == "rolled_back"
    assert report["rollback_seconds"] < 10
    assert [s["name"] for s in report["stages"]] == ["guard", "deploy", "smoke", "watch", "rollback"]
    assert report["reason"].startswith("watch: ")
    assert junit.find("testsuite[@name='watch']//failure") is not None


async def test_a_version_that_nobody_can_judge_is_taken_back(tools, edge, folder):
    """A pipeline cannot wait for ever: missing data is no pass."""
    await tools.behind(edge, "quiet")
    command = (
        "pipeline",
        "run",
        "--service",
        "quiet",
        "--version",
        "v2",
        *FAST,
        *REPORTS,
        "--max-hold",
        "0.5",
    )
    said = await tools.run(*command, cwd=folder, code=1)
    assert "not sure in time: Holding at 10 %: not enough measured" in said
    report, _ = read(folder)
    assert report["outcome"] == "rolled_back"
    status = await tools.data("rollout", "status", "quiet")
    assert status["deployment"]["end_reason"].startswith("pipeline: watch: not sure in time")


async def test_a_canary_that_fails_its_smoke_tests_is_rolled_back(tools, edge, folder):
    """Right after the launch, before anybody watches."""
    await tools.behind(edge, "smoky")
    (folder / "smoke.yaml").write_text(
        "version: 1\nsteps:\n  - {name: says v3, path: /, expect: {contains: v3}}\n  - {name: up, path: /}\n"
    )
    command = ("pipeline", "run", "--service", "smoky", "--version", "v2", *FAST, *REPORTS)
    said = await tools.run(*command, "--smoke", "smoke.yaml", cwd=folder, code=1)
    assert f"canary at http://127.0.0.1:{edge.canary.port}" in said
    assert 'its body does not contain "v3"' in said
    assert "Pipeline ROLLED BACK in" in said
    report, junit = read(folder)
    assert report["reason"] == "smoke: 1 passed, 1 not"
    assert junit.find("testsuite[@name='smoke']").get("failures") == "1"


def test_a_refusal_of_the_guard_moves_nothing(tools, folder):
    """Exit code 1; no deployment was made."""
    tools("service", "create", "refused", "--stable", "v1")
    guard = {**GUARD, "freeze": {"windows": [{"name": "always", "from": "mon 00:00", "until": "mon 00:00"}]}}
    (folder / "guard.yaml").write_text(json.dumps(guard))
    command = ("pipeline", "run", "--service", "refused", "--version", "v2", *FAST, *REPORTS)
    said = tools(*command, cwd=folder, code=1)
    assert "Guard REFUSED by freeze" in said
    assert "Pipeline REFUSED in" in said
    report, junit = read(folder)
    assert (report["deployment_id"], [s["name"] for s in report["stages"]]) == ("", ["guard"])
    assert junit.find(".//testcase[@name='freeze']/failure") is not None
    assert "No such deployment yet." in tools("rollout", "list", "--service", "refused")
    # What the control plane refuses is told with its own code, and reported as well.
    lost = ("pipeline", "run", "--service", "nope", "--version", "v2", *FAST, *REPORTS)
    assert "There is no service 'nope'" in tools(*lost, cwd=folder, code=4)
    assert read(folder)[0]["exit_code"] == 4


def test_an_overridden_freeze_holds_neither_the_guard_nor_the_canary(tools, folder):
    """A freeze would only put the start off: the canary would begin by itself when nobody watches it."""
    tools("service", "create", "frozen", "--stable", "v1")
    always = ("--from", "mon 00:00", "--until", "mon 00:00", "--reason", "the fair")
    tools("freeze", "set", "fair", *always, "--service", "frozen")
    quick = ("--service", "frozen", "--version", "v2", "--max-hold", "0.5", *FAST, *REPORTS)
    assert "Guard REFUSED by freeze" in tools("pipeline", "run", *quick, cwd=folder, code=1)
    tools("pipeline", "run", *quick, "--override-freeze", "a security fix", cwd=folder, code=1)
    report, _ = read(folder)
    assert {s["name"]: s["outcome"] for s in report["stages"]}["deploy"] == "passed"
    assert "Freezes are overridden for v2: a security fix" in tools("rollout", "status", "frozen")
    assert (
        json.loads(tools("rollout", "list", "--service", "frozen", "--status", "scheduled", "--json"))[
            "total"
        ]
        == 0
    )
    tools("freeze", "remove", "fair")


def test_a_freeze_that_begins_after_the_guard_leaves_nothing_to_start_by_itself(tools, folder):
    """The start that was put off is called off with the pipeline."""
    tools("service", "create", "late", "--stable", "v1")
    freeze = {"from": "mon 00:00", "until": "mon 00:00", "reason": "the fair", "services": ["late"]}
    control = Api(*load_profile(Path(tools.environment["SERINUS_DATA_DIR"])))

    def guard() -> Stage:
        control.put("/freezes/late", freeze)
        return Stage(name="guard", message="nothing is in the way")

    pipeline = Pipeline(
        control=control,
        out=Console(quiet=True),
        service="late",
        version="v2",
        body={"service_id": "late", "version": "v2", "strategy": {"mode": "auto"}},
        smoke=None,
        smoke_folder=folder,
        smoke_url="",
        walk={},
    )
    assert pipeline.run(guard) == 1
    assert "frozen until" in pipeline.reason
    assert control.get(f"/deployments/{pipeline.deployment_id}")["status"] == "draft"
    control.delete("/freezes/late")


def test_a_job_that_is_ended_takes_its_canary_back(tools, folder):
    """SIGTERM is how CI systems end a job."""
    tools("service", "create", "ended", "--stable", "v1")
    command = ("pipeline", "run", "--service", "ended", "--version", "v2", *FAST, *REPORTS)
    job = subprocess.Popen(
        [sys.executable, "-m", "serinus", *command],
        env={**os.environ, **tools.environment},
        cwd=folder,
        stdout=subprocess.PIPE,
        text=True,
    )
    said = ""
    for line in job.stdout:
        said += line
        if "Holding at" in line:
            job.send_signal(signal.SIGTERM)
    assert job.wait(20) == 5, said
    assert "Pipeline ROLLED BACK" in said
    report, _ = read(folder)
    assert (report["exit_code"], report["reason"]) == (5, "the pipeline was ended")
    assert "Rolled back from 10 % to v1: pipeline: the pipeline was ended" in tools("rollout", "list")
