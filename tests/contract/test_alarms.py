"""PagerDuty, Twilio, signed webhooks, Slack threads and Apprise: their vendors' manners, and no secrets."""

from __future__ import annotations

import asyncio
import json
import logging
import traceback
from datetime import UTC, datetime

import pytest

from fixtures_alarms import (
    ACCOUNT,
    AUTH_TOKEN,
    BOT_TOKEN,
    ROUTING_KEY,
    WEBHOOK_KEY,
    WEBHOOK_SECRET,
)
from needs import free_port
from serinus.bootstrap.channels import notifiers_from
from serinus.core.errors import InvalidInput
from serinus.drivers.notify.apprise import AppriseNotifier
from serinus.drivers.notify.pagerduty import PagerDutyNotifier
from serinus.drivers.notify.slack import SlackBot
from serinus.drivers.notify.twilio import TwilioNotifier
from serinus.drivers.notify.webhook import WebhookNotifier
from serinus.ports.notify import DeliveryFailed, Level, Notification, traits_of

NOON = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)
TO = ["+4930123456", "+821012345678"]


def told(**more) -> Notification:
    """Return a rollback's message."""
    given = {
        "id": "dep_1.4.0.x",
        "kind": "rollback",
        "level": Level.ERROR,
        "title": "[Serinus] Canary auto-rollback: checkout",
        "text": "v2 of checkout was rolled back.",
        "fields": (("Reason", "errors 8 %"), ("Both sides", "v2 8 %, v1 0.1 %")),
        "link": "https://serinus.example/deployments/dep_1",
        "at": NOON,
        "deployment_id": "dep_1",
        "service": "checkout",
        "tenant": "acme",
    }
    return Notification(**{**given, **more})


def pager(at, **more) -> PagerDutyNotifier:
    """Return the channel to a stand-in."""
    return PagerDutyNotifier(ROUTING_KEY, url=f"{at.url}/v2/enqueue", **more)


def sms(at, to=("+4930123456",), **more) -> TwilioNotifier:
    """Return the channel to a stand-in."""
    return TwilioNotifier(ACCOUNT, AUTH_TOKEN, "+15551234567", to, url=at.url, **more)


def bot(at, **more) -> SlackBot:
    """Return the channel to a stand-in."""
    return SlackBot(BOT_TOKEN, "#oncall", api=f"{at.url}/api", **more)


async def failure(channel, **more) -> DeliveryFailed:
    """Return the failure of one message."""
    with pytest.raises(DeliveryFailed) as refusal:
        await channel.send(told(**more))
    return refusal.value


# PagerDuty


async def test_an_incident_is_opened_added_to_and_resolved_by_its_deployment(pagerduty):
    """One key per deployment, so that a warning and its rollback are one incident."""
    channel = pager(pagerduty)
    await channel.send(told(kind="warning", level=Level.WARNING, id="dep_1.3.0.pagerduty"))
    await channel.send(told())
    await channel.send(told(id="other", deployment_id="dep_2"))
    assert pagerduty.incidents == {"serinus/dep_1": True, "serinus/dep_2": True}
    await channel.send(told(kind="resolved", level=Level.INFO))
    assert pagerduty.incidents == {"serinus/dep_1": False, "serinus/dep_2": True}
    event = pagerduty.messages[1]
    assert event["payload"] == {
        "summary": "[Serinus] Canary auto-rollback: checkout",
        "source": "checkout",
        "severity": "error",
        "class": "rollback",
        "component": "checkout",
        "group": "acme",
        "timestamp": "2026-01-31T12:00:00+00:00",
        "custom_details": {
            "text": "v2 of checkout was rolled back.",
            "Reason": "errors 8 %",
            "Both sides": "v2 8 %, v1 0.1 %",
        },
    }
    assert event["links"] == [{"href": told().link, "text": "Deployment"}]
    assert pagerduty.messages[3] == {
        "routing_key": ROUTING_KEY,
        "event_action": "resolve",
        "dedup_key": "serinus/dep_1",
    }


async def test_a_test_of_pagerduty_leaves_no_incident_open(pagerduty):
    """Trigger and resolve, so that nobody is kept awake."""
    await pager(pagerduty).send(told(kind="test", level=Level.INFO, deployment_id=""))
    assert list(pagerduty.incidents.values()) == [False]


@pytest.mark.parametrize(
    ("answer", "again", "wait"),
    [
        ((429, "", {"retry-after": "17"}), True, 17),
        ((502, ""), True, 0),
        ((400, "{}"), False, 0),
        ((200, ""), False, 0),
    ],
)
async def test_what_passes_is_tried_again_as_late_as_pagerduty_asks(pagerduty, answer, again, wait):
    """429 says when; a wrong key stays wrong; 200 is another server."""
    pagerduty.answers.append(answer)
    error = await failure(pager(pagerduty))
    assert (error.retryable, error.retry_after, error.unsure) == (again, wait, False)


# Twilio


async def test_a_text_message_has_title_text_reason_and_the_whole_link(twilio):
    """It is cut before the link, not in it."""
    await sms(twilio).send(told(text="long " * 500))
    (message,) = twilio.messages
    assert message["Body"].startswith("[Serinus] Canary auto-rollback: checkout\nlong long")
    assert message["Body"].endswith("…\nhttps://serinus.example/deployments/dep_1")
    assert len(message["Body"]) <= 450
    assert (message["To"], message["From"]) == ("+4930123456", "+15551234567")


async def test_a_messaging_service_is_named_as_one(twilio):
    """By its own parameter."""
    service = "MG" + "0" * 32
    await TwilioNotifier(ACCOUNT, AUTH_TOKEN, service, TO[:1], url=twilio.url).send(told())
    assert twilio.messages[0]["MessagingServiceSid"] == service


async def test_a_second_try_only_goes_to_those_who_do_not_have_it(twilio):
    """One of two recipients is refused for a while."""
    channel = sms(twilio, TO)
    twilio.answers = [(201, "{}"), (503, "")]
    error = await failure(channel)
    assert str(error) == "Twilio answered 503 (1 of 2 recipients)"
    assert error.retryable
    await channel.send(told())
    assert [m["To"] for m in twilio.messages] == [TO[1]]


async def test_twilios_codes_are_explained_and_its_words_are_not_repeated(twilio):
    """They quote numbers."""
    said = json.dumps({"code": 21211, "message": "The 'To' number +4930123456 is not valid", "status": 400})
    twilio.answers.append((400, said))
    error = await failure(sms(twilio))
    assert str(error) == "Twilio answered 400: error 21211, a number in ALERT_SMS_TO is none"
    assert not error.retryable


def test_text_messages_are_for_what_is_critical_only(twilio):
    """And incidents for what is bad."""
    assert traits_of(sms(twilio)).least is Level.CRITICAL
    assert traits_of(PagerDutyNotifier(ROUTING_KEY)).least is Level.WARNING


# Signed webhooks


async def test_a_webhook_is_verified_by_its_receiver(webhook):
    """The stand-in checks signature, time and CloudEvent; data has everything."""
    await WebhookNotifier(webhook.url, [WEBHOOK_KEY]).send(told())
    (event,) = webhook.messages
    assert (event["type"], event["subject"], event["source"]) == (
        "io.serinus.notification.rollback",
        "checkout",
        "serinus/deployments/dep_1",
    )
    assert event["data"]["fields"][0] == {"name": "Reason", "value": "errors 8 %"}
    assert event["data"]["deployment_id"] == "dep_1"


async def test_while_one_secret_replaces_another_both_sign(webhook):
    """Receivers change at their own time."""
    both = WebhookNotifier(webhook.url, [b"n" * 32, WEBHOOK_KEY])
    await both.send(told())
    webhook.secrets = [b"n" * 32]
    await both.send(told(id="second"))
    assert len(webhook.messages) == 2


async def test_a_wrong_secret_is_refused_by_the_receiver(webhook):
    """The check of the stand-in can fail."""
    error = await failure(WebhookNotifier(webhook.url, [b"x" * 32]))
    assert "400" in str(error)
    assert [fault.splitlines()[0] for fault in webhook.wrong] == ["AssertionError: signature"]
    webhook.wrong.clear()


async def test_a_receiver_that_is_gone_is_not_asked_again(webhook):
    """410 says so in Standard Webhooks."""
    webhook.answers.append((410, ""))
    assert not (await failure(WebhookNotifier(webhook.url, [WEBHOOK_KEY]))).retryable


# Slack with a bot token


async def test_a_deployments_messages_are_one_thread(slack_api):
    """The first one's handle is given back with the next; what is bad is shown in the channel, too."""
    channel = bot(slack_api)
    first = await channel.send(told(kind="warning", level=Level.WARNING))
    await channel.send(told(kind="warning", level=Level.WARNING, thread=first))
    await channel.send(told(thread=first))
    shown = [(m.get("thread_ts"), m.get("reply_broadcast")) for m in slack_api.messages]
    assert shown == [(None, None), (first, False), (first, True)]


@pytest.mark.parametrize(
    ("answer", "says", "again"),
    [
        ((200, '{"ok": false, "error": "not_in_channel"}'), "invite the app", False),
        ((200, '{"ok": false, "error": "ratelimited"}'), "ratelimited", True),
        ((200, "<html>sign in</html>"), "SLACK_API_URL", False),
        ((429, "", {"retry-after": "30"}), "429", True),
    ],
)
async def test_slacks_words_become_something_to_do(slack_api, answer, says, again):
    """The Web API says 200 for everything."""
    slack_api.answers.append(answer)
    error = await failure(bot(slack_api))
    assert says in str(error)
    assert error.retryable is again


# Apprise


async def test_apprise_tells_every_service_once_and_only_the_failed_one_again(anything):
    """Several addresses, one of them down for a moment."""
    address = anything.url.replace("http:", "json:")
    channel = AppriseNotifier([f"{address}/a", f"{address}/b"])
    anything.answers = [(200, ""), (500, "")]
    error = await failure(channel)
    assert str(error) == "Apprise: not taken by JSON"
    await channel.send(told())
    assert len(anything.messages) == 1
    assert anything.messages[0]["type"] == "failure"


async def test_a_service_that_never_answers_keeps_nothing_from_the_others(anything):
    """It is listed first, and every try ends with it."""

    async def silent(reader, writer):
        await reader.read()

    hanging = await asyncio.start_server(silent, "127.0.0.1", 0)
    port = hanging.sockets[0].getsockname()[1]
    address = anything.url.replace("http:", "json:")
    channel = AppriseNotifier([f"json://127.0.0.1:{port}/a", f"{address}/b"], timeout=1)
    error = await failure(channel)
    assert error.unsure
    assert "did not answer" in str(error)
    assert len(anything.messages) == 1
    await failure(channel)
    assert len(anything.messages) == 1
    hanging.close()


# All


def everywhere(url: str) -> dict[str, str]:
    """Return variables that switch every channel on, with a secret in each."""
    place = url.partition("//")[2]
    return {
        "PAGERDUTY_ROUTING_KEY": ROUTING_KEY,
        "PAGERDUTY_URL": f"{url}/v2/enqueue",
        "TWILIO_ACCOUNT_SID": ACCOUNT,
        "TWILIO_AUTH_TOKEN": AUTH_TOKEN,
        "TWILIO_FROM": "+15551234567",
        "ALERT_SMS_TO": "+4930123456",
        "TWILIO_URL": url,
        "WEBHOOK_URL": f"{url}/s3cret-hook",
        "WEBHOOK_SECRET": WEBHOOK_SECRET,
        "SLACK_BOT_TOKEN": BOT_TOKEN,
        "SLACK_CHANNEL": "#oncall",
        "SLACK_API_URL": f"{url}/api",
        "APPRISE_URLS": f"json://user:s3cret-pw@{place}/s3cret-path",
        "SMTP_HOST": "127.0.0.1",
        "SMTP_PORT": str(free_port()),
        "SMTP_USER": "u",
        "SMTP_PASSWORD": "s3cret-mail-pw",
        "ALERT_EMAIL_TO": "a@example.com",
    }


SECRETS = ("s3cret", AUTH_TOKEN, ROUTING_KEY, BOT_TOKEN, WEBHOOK_SECRET.removeprefix("whsec_"), "4930123456")


@pytest.mark.parametrize("name", ["pagerduty", "twilio", "webhook", "slack", "apprise", "email"])
@pytest.mark.parametrize("trouble", ["down", "refused", "slow"])
async def test_no_secret_is_in_errors_tracebacks_repr_or_logs(anything, caplog, name, trouble):
    """Whatever goes wrong, and with every logger at its loudest."""
    caplog.set_level(logging.DEBUG)
    url = f"http://127.0.0.1:{free_port()}" if trouble == "down" else anything.url
    on, _ = notifiers_from(everywhere(url))
    if trouble == "refused":
        anything.down = (403, "s3cret words of the other side")
    if trouble == "slow":
        anything.delay = 0.5
        on[name]._timeout = 0.1
    error = await failure(on[name])
    said = repr(on[name]) + str(error) + repr(error) + "".join(traceback.format_exception(error))
    assert [secret for secret in SECRETS if secret in said + caplog.text] == []


@pytest.mark.parametrize("name", ["pagerduty", "twilio", "webhook", "slack"])
async def test_an_answer_that_never_came_leaves_doubt_and_a_closed_door_does_not(anything, name):
    """The outbox must know which."""
    anything.delay = 0.5
    slow, _ = notifiers_from(everywhere(anything.url))
    slow[name]._timeout = 0.1
    down, _ = notifiers_from(everywhere(f"http://127.0.0.1:{free_port()}"))
    errors = [await failure(channels[name]) for channels in (slow, down)]
    assert [(e.retryable, e.unsure) for e in errors] == [(True, True), (True, False)]


@pytest.mark.parametrize(
    "wrong",
    [
        {"PAGERDUTY_ROUTING_KEY": "s3cret"},
        {"PAGERDUTY_URL": "events.pagerduty.com"},
        {"TWILIO_ACCOUNT_SID": "s3cret"},
        {"TWILIO_FROM": "s3cret_number"},
        {"ALERT_SMS_TO": "s3cret, 030"},
        {"WEBHOOK_URL": "ftp://s3cret"},
        {"WEBHOOK_SECRET": "whsec_s3cret"},
        {"WEBHOOK_SECRET": ""},
        {"SLACK_BOT_TOKEN": "s3cret"},
        {"SLACK_CHANNEL": ""},
        {"APPRISE_URLS": "nothing://s3cret"},
    ],
)
def test_a_variable_that_is_wrong_is_named_with_what_to_write_and_not_repeated(wrong):
    """At the start, not when a rollback has to be told."""
    with pytest.raises(InvalidInput) as refusal:
        notifiers_from(everywhere("http://127.0.0.1:9") | wrong)
    assert [refusal.value.field] == list(wrong)
    assert refusal.value.next_step
    assert "s3cret" not in str(refusal.value.detail) + refusal.value.next_step


def test_another_teams_channel_is_read_from_its_own_variables(tmp_path):
    """By the prefix that the file gives."""
    file = tmp_path / "notify.yaml"
    file.write_text(
        "channels:\n  pay-slack: {type: slack, prefix: PAY_}\n  pay-mail: {type: email, prefix: PAY_}\n"
    )
    given = {"SERINUS_NOTIFY_FILE": str(file), "PAY_SLACK_WEBHOOK_URL": "https://hooks.example/pay"}
    on, off = notifiers_from(given)
    assert list(on) == ["pay-slack"]
    assert off["pay-mail"] == "SMTP_HOST and ALERT_EMAIL_TO are not set (each with PAY_ before it)"
    with pytest.raises(InvalidInput) as refusal:
        notifiers_from({**given, "PAY_SLACK_WEBHOOK_URL": "ftp://x"})
    assert refusal.value.field == "PAY_SLACK_WEBHOOK_URL"
