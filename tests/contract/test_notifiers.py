"""What every notification channel must do, and what contract 4 asks of Slack and e-mail."""

from __future__ import annotations

import logging
from datetime import UTC, datetime

import pytest

from fixtures_notify import Mailbox
from needs import free_port
from serinus.bootstrap.build import notifiers_from
from serinus.bootstrap.clock import SystemClock
from serinus.control.telling import messages
from serinus.control.telling.notifications import NotificationService
from serinus.core.errors import InvalidInput
from serinus.drivers.notify.email import EmailNotifier
from serinus.drivers.notify.slack import SlackNotifier
from serinus.ports.notify import DeliveryFailed, Level, Notification

NOON = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)


def alert(**more) -> Notification:
    """Return the rollback message of the tests."""
    given = {
        "id": "dep_1.4.0.slack",
        "deployment_id": "dep_1",
        "service": "checkout",
        "reason": "error rate 8 %, limit 5 %",
        "at": NOON,
    }
    return messages.rollback_alert(
        **{
            **given,
            "version": "v2",
            "rollback_version": "v1",
            "tenant_name": "acme",
            "link": "http://serinus.example/deployments/dep_1",
            **more,
        }
    )


def email_to(port: int, **more) -> EmailNotifier:
    """Return an e-mail channel to a local server."""
    return EmailNotifier("127.0.0.1", port, "serinus@example.com", ["a@example.com", "b@example.com"], **more)


async def test_slack_gets_colour_title_fields_footer_and_time(slack):
    """The whole payload, as contract 4 lists it."""
    await SlackNotifier(slack.url, "#oncall").send(alert())
    (message,) = slack.messages
    (attachment,) = message["attachments"]
    assert (message["text"], message["channel"]) == ("🔴 [Serinus] Canary auto-rollback: checkout", "#oncall")
    assert (attachment["footer"], attachment["ts"], attachment["title_link"]) == (
        "Serinus",
        int(NOON.timestamp()),
        "http://serinus.example/deployments/dep_1",
    )
    assert [(f["title"], f["value"]) for f in attachment["fields"]] == [
        ("Service", "checkout"),
        ("Reason", "error rate 8 %, limit 5 %"),
        ("Rolled back to", "v1"),
        ("Deployment", "dep_1"),
        ("Tenant", "acme"),
        ("Time", "2026-01-31 12:00:00 UTC"),
    ]


@pytest.mark.parametrize(
    ("level", "emoji"), [("info", "🟢"), ("warning", "🟠"), ("error", "🔴"), ("critical", "🚨")]
)
async def test_each_level_has_its_emoji(slack, level, emoji):
    """Colour is never the only sign."""
    told = Notification(id="1", kind="k", level=Level(level), title="T", text="t")
    await SlackNotifier(slack.url).send(told)
    assert slack.messages[0]["text"] == f"{emoji} T"


async def test_a_name_cannot_mention_everybody(slack):
    """Slack's control characters are escaped."""
    await SlackNotifier(slack.url).send(alert(service="<!channel> & <@U1>"))
    assert "<" not in str(slack.messages[0])


async def test_mail_has_text_and_html_and_goes_to_everybody(mailbox):
    """Subject as contract 4 has it; one id per message, so that doubles can be dropped."""
    await email_to(mailbox.port).send(alert())
    ((to, message),) = mailbox.messages
    assert to == ["a@example.com", "b@example.com"]
    assert message["subject"] == "[Serinus] Canary auto-rollback: checkout"
    assert message["message-id"] == "<dep_1.4.0.slack@serinus>"
    text = message.get_body(("plain",)).get_content()
    html = message.get_body(("html",)).get_content()
    for part in (text, html):
        for word in ("error rate 8 %, limit 5 %", "v1", "acme", "12:00:00 UTC", "/deployments/dep_1"):
            assert word in part


async def test_a_name_cannot_write_headers_or_html(mailbox):
    """A line break in a subject would be a second header, a bracket a tag."""
    await email_to(mailbox.port).send(
        alert(service="x\r\nBcc: evil@example.com", reason="<script>1</script>")
    )
    ((to, message),) = mailbox.messages
    assert message["bcc"] is None
    assert to == ["a@example.com", "b@example.com"]
    assert "<script>" not in message.get_body(("html",)).get_content()


async def test_login_is_used_where_it_is_given():
    """And refused logins are final."""
    box = Mailbox(login=("serinus", "s3cret-pw"))
    try:
        await email_to(box.port, user="serinus", password="s3cret-pw").send(alert())
        assert len(box.messages) == 1
        with pytest.raises(DeliveryFailed) as refusal:
            await email_to(box.port, user="serinus", password="wrong-pw").send(alert())
        assert not refusal.value.retryable
    finally:
        box.controller.stop()


@pytest.mark.parametrize(
    ("answer", "retryable"),
    [
        ((500, "oops"), True),
        ((429, "slow down"), True),
        ((404, "no_service"), False),
        ((400, "invalid_payload"), False),
    ],
)
async def test_slack_refusals_are_tried_again_only_where_that_can_help(slack, answer, retryable):
    """Slack's own words are kept, its URL is not."""
    slack.answers.append(answer)
    with pytest.raises(DeliveryFailed) as refusal:
        await SlackNotifier(slack.url).send(alert())
    assert refusal.value.retryable is retryable
    assert str(answer[0]) in str(refusal.value)


@pytest.mark.parametrize(("said", "retryable"), [("451 busy", True), ("550 no such user", False)])
async def test_smtp_refusals_likewise(mailbox, said, retryable):
    """4xx passes, 5xx stays."""
    mailbox.refuse = said
    with pytest.raises(DeliveryFailed) as refusal:
        await email_to(mailbox.port).send(alert())
    assert refusal.value.retryable is retryable


async def test_a_channel_that_is_down_is_tried_again_and_tells_no_secret(caplog):
    """Neither error, nor repr, nor log has URL or password."""
    caplog.set_level(logging.DEBUG)
    channels = [
        SlackNotifier(f"http://127.0.0.1:{free_port()}/services/s3cret-hook"),
        email_to(free_port(), user="u", password="s3cret-pw"),
    ]
    said = repr(channels)
    for channel in channels:
        with pytest.raises(DeliveryFailed) as refusal:
            await channel.send(alert())
        assert refusal.value.retryable
        said += str(refusal.value)
    assert "s3cret" not in said + caplog.text


async def test_channels_are_built_from_the_environment():
    """Contract 4's variables; what is not configured is off and says so."""
    on, off = notifiers_from({"SLACK_WEBHOOK_URL": "https://hooks.example/x", "SMTP_PORT": "25"})
    assert (list(on), off["email"]) == (["slack"], "SMTP_HOST and ALERT_EMAIL_TO are not set")
    on, off = notifiers_from({"SMTP_HOST": "h", "ALERT_EMAIL_TO": "a@example.com, b@example.com"})
    assert (list(on), sorted(off)) == (["email"], ["apprise", "pagerduty", "slack", "twilio", "webhook"])


@pytest.mark.parametrize(
    ("environment", "field"),
    [
        ({"SLACK_WEBHOOK_URL": "ftp://x"}, "SLACK_WEBHOOK_URL"),
        ({"SMTP_HOST": "h", "ALERT_EMAIL_TO": "a@example.com", "SMTP_PORT": "abc"}, "SMTP_PORT"),
        ({"SMTP_HOST": "h", "ALERT_EMAIL_TO": "nobody"}, "ALERT_EMAIL_TO"),
        ({"SMTP_HOST": "h", "ALERT_EMAIL_TO": "a@example.com", "EMAIL_FROM": "x"}, "EMAIL_FROM"),
    ],
)
def test_a_variable_that_is_wrong_is_named(environment, field):
    """Before a rollback needs the channel."""
    with pytest.raises(InvalidInput) as refusal:
        notifiers_from(environment)
    assert refusal.value.field == field


async def test_contract_4s_calls_word_for_word(slack, mailbox):
    """Fan-out with a result per channel; a failing one does not stop the other."""
    service = NotificationService(
        SystemClock(), {"slack": SlackNotifier(slack.url), "email": email_to(mailbox.port)}
    )
    assert await service.send_canary_rollback_alert("dep_1", "checkout", "error rate 8 %") == {
        "slack": True,
        "email": True,
    }
    assert await service.send_canary_warning_alert("dep_1", "checkout", ["slow", "slower"], "acme") == {
        "slack": True,
        "email": True,
    }
    assert await service.send_slack_notification("m", "t", "critical", {"a": "b"}) == {"slack": True}
    assert await service.send_email_notification("s", "b", "<p>h</p>", ["c@example.com"]) == {"email": True}
    slack.answers.append((500, "oops"))
    assert await service.send_notification(alert()) == {"slack": False, "email": True}
    warning = slack.messages[1]["attachments"][0]
    assert warning["text"] == "2 warnings in checkout:\n1. slow\n2. slower"
    assert mailbox.messages[2][0] == ["c@example.com"]


async def test_a_broken_channel_does_not_stop_the_others(mailbox):
    """Whatever a channel does, the rest is told."""

    class Broken:
        name = "broken"

        async def send(self, notification):
            raise ZeroDivisionError

    service = NotificationService(
        SystemClock(), {"broken": Broken(), "email": email_to(mailbox.port)}, {"slack": "off"}
    )
    assert await service.send_notification(alert()) == {"broken": False, "email": True}
    assert [c["enabled"] for c in service.channels()] == [True, True, False]


def test_a_message_survives_the_outbox():
    """To JSON and back it is the same."""
    import json

    told = alert(checks=("error rate: canary 8 %",))
    assert messages.from_json(json.loads(json.dumps(messages.to_json(told)))) == told


async def test_a_slow_channel_is_given_up_in_time(hanging):
    """Nobody waits for it for ever."""
    with pytest.raises(DeliveryFailed, match="did not answer"):
        await email_to(hanging, timeout=0.3).send(alert())
