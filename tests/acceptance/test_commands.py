"""The command line against a running control plane: what it prints, and its exit codes."""

from __future__ import annotations

import json
import time

import httpx
import pytest

from shells import QuickShell, Shell


@pytest.fixture
def shell(tmp_path):
    """Return a shell with a running control plane."""
    made = QuickShell(tmp_path)
    process = made.up()
    yield made
    process.terminate()
    process.wait(10)


def test_the_first_start_shows_the_admin_token_once_and_keeps_it_for_us_alone(shell):
    """Mode 600; a second start does not show it again."""
    profile = shell.folder / "profile.json"
    token = json.loads(profile.read_text())["token"]
    assert profile.stat().st_mode & 0o777 == 0o600
    log = (shell.folder / "up.log").read_text()
    assert log.count(token) == 1
    assert "port" in Shell(shell.folder)("up", "--port", str(shell.port), code=1)


def test_an_operator_moves_a_canary_by_hand(shell):
    """Create, start, shift, pause, resume, roll back; each says what it did."""
    assert "checkout is on v1." in shell("service", "create", "checkout", "--stable", "v1")
    assert "started with 10 % of units" in shell("rollout", "start", "checkout", "v2", "--percentage", "10")
    assert "Traffic 10 % → 25 % by hand." in shell("rollout", "traffic", "checkout", "25")
    assert "Paused at 25 %." in shell("rollout", "pause", "checkout")
    assert "Resumed at 25 %." in shell("rollout", "resume", "checkout")
    assert "The promotion gate is not met" in shell("rollout", "promote", "checkout", code=4)
    assert "no percentage" in shell("rollout", "traffic", "checkout", "nan", code=4)
    assert "outside 0 to 100" in shell("rollout", "traffic", "checkout", "101", code=4)
    status = shell("rollout", "status", "checkout")
    for words in ("checkout v2", "wanted 25 %", "breaker CLOSED", "Resumed at 25 %"):
        assert words in status
    assert status == shell("watch", "checkout", "--once") or "checkout v2" in shell(
        "watch", "checkout", "--once"
    )
    page = json.loads(shell("rollout", "status", "checkout", "--json"))
    assert page["deployment"]["traffic_percentage"] == 25
    assert "Rolled back from 25 % to v1: seen enough" in shell(
        "rollout", "rollback", "checkout", "--reason", "seen enough"
    )
    assert "rolled back" in shell("rollout", "list")


def test_a_walk_ends_with_the_exit_code_of_its_rollout(shell, tmp_path):
    """0 when every stage passed, 1 when it was rolled back, 6 when it held too long."""
    shell("service", "create", "checkout", "--stable", "v1")
    policy = tmp_path / "policy.json"
    policy.write_text(json.dumps({"preset": "orchestrator", "only": True}))
    fast = ("--observation-period", "0.3", "--final-observation", "0.3", "--poll", "0.1")
    walked = shell(
        "rollout", "run", "--service", "checkout", "--version", "v2", "--policy", str(policy), *fast, "--yes"
    )
    for words in (
        "Stage 1 of 4",
        "Stage 4 of 4",
        "validation  PASSED",
        "4 of 4 stages passed; promoted",
        "v2 is stable now",
    ):
        assert words in walked
    policy.write_text(
        json.dumps({"only": True, "checks": [{"name": "errors", "measure": "error_rate", "limit": 0.05}]})
    )
    held = shell(
        "rollout",
        "run",
        "--service",
        "checkout",
        "--version",
        "v3",
        "--policy",
        str(policy),
        *fast,
        "--max-hold",
        "0.5",
        code=6,
    )
    assert "Holding at 1 %: not enough measured: errors: 0 of 1 canary requests so far." in held
    shell("rollout", "rollback", "checkout", "--reason", "x")
    waits = shell(
        "rollout",
        "run",
        "--service",
        "checkout",
        "--version",
        "v4",
        "--policy",
        "slo",
        "--stages",
        "50",
        *fast,
        "--dry-run",
    )
    assert "would set" in waits
    assert "Nothing was changed." in waits
    plan = ("--policy", "sequential", "--dry-run")
    judged = shell("rollout", "run", "--service", "checkout", "--version", "v4", *plan)
    assert "judge: errors 2 ×, latency +10 % found or excluded (95 % sure)" in judged
    assert json.loads(shell("rollout", "list", "--json"))["total"] == 2
    assert "No page 2: there are 2 deployments" in shell("rollout", "list", "--page", "2")


def test_mistakes_are_told_with_what_to_do(shell):
    """Usage 2, refused 4, unreachable 3."""
    assert "serinus service create" in shell("rollout", "run", "--service", "nope", "--version", "v2", code=4)
    assert "rising percentages" in shell(
        "rollout", "run", "--service", "x", "--version", "v2", "--stages", "5,1", code=2
    )
    shell("service", "create", "checkout", "--stable", "v1")
    away = shell("rollout", "list", code=3, SERINUS_URL="http://127.0.0.1:1")
    assert "serinus up" in away
    assert "not known" in shell("rollout", "list", code=4, SERINUS_TOKEN="srn_wrong")
    assert "Write it like http://" in shell("login", "serinus.example.com", "--token", "x", code=2)
    config = ("proxy", "config", "envoy", "--service", "checkout")
    assert "carried by in-process, not by envoy" in shell(*config, code=2)


def test_a_refused_start_leaves_no_draft_that_a_rollback_could_mistake(shell):
    """By hand and by the walk; and a draft never hides what everybody is on from a rollback."""
    shell("service", "create", "checkout", "--stable", "v1")
    shell("rollout", "start", "checkout", "v2", "--percentage", "10")
    run = ("rollout", "run", "--service", "checkout", "--version", "v3")
    assert "already has an active canary" in shell(*run, code=4)
    assert "already has an active canary" in shell("rollout", "start", "checkout", "v3", code=4)
    shell("rollout", "promote", "checkout", "--force")
    assert "outside 0 to 100" in shell("rollout", "start", "checkout", "v3", "--percentage", "150", code=4)
    assert json.loads(shell("rollout", "list", "--json"))["total"] == 1
    shell("rollout", "start", "checkout", "v3", "--at", "2099-01-31T06:00")
    why = shell("rollout", "rollback", "checkout", code=2)
    assert '--reason "WHY"' in why
    assert "Rolled back from 100 % to v1" in shell("rollout", "rollback", "checkout", "--reason", "worse")


def test_doctor_says_what_is_not_well_and_what_to_do(shell):
    """Channels that are off are named; a configured one makes it well."""
    for _ in range(100):  # a control plane that has just started answers before its monitor has run
        sick = shell("doctor", code=1)
        if "✘ monitor" not in sick:
            break
        time.sleep(0.1)
    assert "SLACK_WEBHOOK_URL is not set" in sick
    assert "✔ monitor" in sick
    well = shell("doctor", SLACK_WEBHOOK_URL="http://127.0.0.1:1/services/x")
    assert "database (sqlite)" in well
    findings = json.loads(shell("doctor", "--json", SLACK_WEBHOOK_URL="http://127.0.0.1:1/services/x"))
    assert all(f["ok"] for f in findings)


def test_what_people_and_findings_say_is_printed_as_it_is(shell, tmp_path):
    """Square brackets are no colours: not in a reason, not in a name, not in a command to copy."""
    shell("service", "create", "checkout", "--stable", "v1")
    shell("rollout", "start", "checkout", "v2", "--percentage", "10")
    why = "see [/runbook] of [team]"
    assert f"to v1: {why}" in shell("rollout", "rollback", "checkout", "--reason", why)
    assert "[/ops] [jo] (viewer)" in shell("service-account", "add", "[/ops] [jo]", "--role", "viewer")
    config = tmp_path / "nginx.json"
    instance = {"name": "edge", "admin": "http://127.0.0.1:1", "config_dir": str(tmp_path)}
    config.write_text(json.dumps({"module": "njs", "binary": "angie", "instances": [instance]}))
    shell("service", "create", "shop", "--stable", "v1", "--driver", "nginx", "--driver-config", config)
    assert "pip install 'serinus[nginx]'" in shell("doctor", code=1)


def test_notify_test_answers_per_channel(shell, slack, mailbox):
    """Sent, failed, or off; exit 0 only when every configured one took it."""
    on = {
        "SLACK_WEBHOOK_URL": slack.url,
        "SMTP_HOST": "127.0.0.1",
        "SMTP_PORT": str(mailbox.port),
        "ALERT_EMAIL_TO": "a@example.com",
    }
    assert json.loads(shell("notify", "test", "--json", **on)) == {"slack": True, "email": True}
    assert "could not be reached" in shell(
        "notify", "test", "slack", code=1, SLACK_WEBHOOK_URL="http://127.0.0.1:1/x"
    )
    assert "No channel is configured" in shell("notify", "test", code=1)
    assert "no channel 'pager'" in shell("notify", "test", "pager", code=1)


def test_tokens_and_the_dashboard_link(shell):
    """A secret is printed once, on stdout alone; the link opens the dashboard."""
    made = shell("token", "create", "ci", "--role", "approver").strip().splitlines()[-1]
    token = next(
        line for line in [made, *shell("token", "list").splitlines()] if "srn_" in line or "tok_" in line
    )
    assert token
    assert "srn_" not in shell("token", "list")
    link = shell("dashboard").strip()
    assert httpx.get(link, trust_env=False).status_code == 303


def test_an_envoy_configuration_is_printed_for_the_operator(shell, tmp_path):
    """Plain JSON that Envoy takes on stdout; what to do with it on stderr."""
    config = {"instances": [{"name": "e", "admin": "http://127.0.0.1:9901", "config_dir": "/etc/serinus"}]}
    path = tmp_path / "driver.json"
    path.write_text(json.dumps(config))
    stdout, notes = shell.apart("proxy", "config", "envoy", "--driver-config", str(path))
    printed = json.loads(stdout)
    assert "bootstrap.json" in notes
    assert printed["node"]["id"] == "e"
    assert "no instance" in shell(
        "proxy", "config", "envoy", "--driver-config", str(path), "--instance", "x", code=2
    )
