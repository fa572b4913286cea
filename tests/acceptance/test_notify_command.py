"""``serinus notify``: what people were told, whether channels work, and no secret anywhere."""

from __future__ import annotations

import json
import time

import pytest

from fixtures_alarms import ACCOUNT, AUTH_TOKEN, BOT_TOKEN, ROUTING_KEY, WEBHOOK_SECRET
from shells import QuickShell


@pytest.fixture
def channels(slack_api, pagerduty, twilio, webhook, tmp_path) -> dict[str, str]:
    """Return the variables of every channel but mail, and a file with routes."""
    file = tmp_path / "notify.yaml"
    file.write_text(
        "routes:\n"
        "  - {channels: [slack, webhook, pagerduty]}\n"
        "  - {channels: [twilio], critical: [rollback], language: ko}\n"
    )
    return {
        "SERINUS_NOTIFY_FILE": str(file),
        "SLACK_BOT_TOKEN": BOT_TOKEN,
        "SLACK_CHANNEL": "#releases",
        "SLACK_API_URL": f"{slack_api.url}/api",
        "PAGERDUTY_ROUTING_KEY": ROUTING_KEY,
        "PAGERDUTY_URL": f"{pagerduty.url}/v2/enqueue",
        "TWILIO_ACCOUNT_SID": ACCOUNT,
        "TWILIO_AUTH_TOKEN": AUTH_TOKEN,
        "TWILIO_FROM": "+15551234567",
        "ALERT_SMS_TO": "+4930123456",
        "TWILIO_URL": twilio.url,
        "WEBHOOK_URL": f"{webhook.url}/s3cret-hook",
        "WEBHOOK_SECRET": WEBHOOK_SECRET,
    }


@pytest.fixture
def shell(tmp_path, channels):
    """Return a shell with a running control plane that has all channels."""
    made = QuickShell(tmp_path)
    process = made.up(**channels)
    yield made
    process.terminate()
    process.wait(10)


def until(true) -> None:
    """Wait until something holds."""
    end = time.monotonic() + 20
    while not true():
        assert time.monotonic() < end, "it did not come to hold"
        time.sleep(0.05)


def test_a_rollback_is_told_everywhere_and_shown(shell, slack_api, pagerduty, twilio, webhook):
    """List, show, JSON, the page's words; and neither log, timeline nor answers have a secret."""
    shell("service", "create", "checkout", "--stable", "v1")
    shell("rollout", "start", "checkout", "v2", "--percentage", "10")
    pagerduty.answers.append((400, '{"status": "s3cret"}'))
    shell("rollout", "rollback", "checkout", "--reason", "seen enough")
    until(lambda: "pending" not in shell("notify", "list", "checkout"))
    listed = shell("notify", "list", "checkout")
    for words in ("✔ sent     slack", "✔ sent     twilio", "✔ sent     webhook", "✘ failed   pagerduty"):
        assert words in listed
    found = {one["channel"]: one for one in json.loads(shell("notify", "list", "checkout", "--json"))}
    assert found["twilio"]["level"] == "critical"
    shown = shell("notify", "show", found["slack"]["id"])
    for words in (
        "[Serinus] Canary auto-rollback: checkout",
        "everyone is on v1 again",
        "Reason  seen enough",
    ):
        assert words in shown
    assert "카나리 자동 롤백" in twilio.messages[0]["Body"]
    assert slack_api.messages[0]["text"] == "🔴 [Serinus] Canary auto-rollback: checkout"
    assert webhook.messages[0]["data"]["service"] == "checkout"
    assert "has no notification" in shell("notify", "show", found["slack"]["id"] + "x", code=4)
    said = listed + shown + (shell.folder / "up.log").read_text()
    said += shell("rollout", "status", "checkout", "--json")
    secrets = ("s3cret", AUTH_TOKEN, ROUTING_KEY, BOT_TOKEN, WEBHOOK_SECRET, "4930123456")
    assert [secret for secret in secrets if secret in said] == []


def test_every_channel_can_be_tried(shell, channels, pagerduty, twilio):
    """Also those that are only for what is worse; PagerDuty's incident is closed again."""
    answers = json.loads(shell("notify", "test", "--json", **channels))
    assert answers == {"slack": True, "pagerduty": True, "twilio": True, "webhook": True}
    assert list(pagerduty.incidents.values()) == [False]
    assert "This channel works" in twilio.messages[0]["Body"]
    wrong = {**channels, "TWILIO_AUTH_TOKEN": "wrong"}
    assert "Twilio answered 401: error 20003" in shell("notify", "test", "twilio", code=1, **wrong)


def test_a_file_that_is_wrong_says_where(shell, channels, tmp_path):
    """And does not let the control plane start."""
    file = tmp_path / "wrong.yaml"
    file.write_text("routes:\n  - channels: [slcak]\n")
    said = shell("notify", "test", code=1, **{**channels, "SERINUS_NOTIFY_FILE": str(file)})
    assert "routes[0].channels: there is no channel 'slcak'; did you mean 'slack'?" in said
    file.write_text("routes: [")
    said = shell("up", code=1, **{**channels, "SERINUS_NOTIFY_FILE": str(file)})
    assert "cannot be read" in said
    assert "Traceback" not in said
