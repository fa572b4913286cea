"""What every notification channel must do: one suite over all of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest

from fakes.notify import MemoryNotifier
from fixtures_alarms import ACCOUNT, AUTH_TOKEN, BOT_TOKEN, ROUTING_KEY, WEBHOOK_KEY
from serinus.drivers.catalog import NOTIFIERS
from serinus.drivers.notify.apprise import AppriseNotifier
from serinus.drivers.notify.email import EmailNotifier
from serinus.drivers.notify.pagerduty import PagerDutyNotifier
from serinus.drivers.notify.slack import SlackBot, SlackNotifier
from serinus.drivers.notify.twilio import TwilioNotifier
from serinus.drivers.notify.webhook import WebhookNotifier
from serinus.ports.notify import DeliveryFailed, Level, Notification, Notifier

NOON = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)


@dataclass
class Channel:
    """A channel, what has arrived through it as text, and how to break it."""

    notifier: Notifier
    arrived: Callable[[], list[str]]
    refuse: Callable[[bool], None]
    #: A text message has no room for fields; Apprise cannot say whether a refusal is final.
    brief: bool = False
    final: bool = True


def _memory() -> Channel:
    channel = MemoryNotifier()
    return Channel(
        channel,
        lambda: [f"{n.title} {n.text} {n.fields} {n.link}" for n in channel.messages],
        lambda again: channel.failures.append(DeliveryFailed("no", retryable=again)),
    )


def _slack(slack) -> Channel:
    return Channel(
        SlackNotifier(slack.url),
        lambda: [str(m) for m in slack.messages],
        lambda again: slack.answers.append((503, "") if again else (404, "no_service")),
    )


def _email(mailbox) -> Channel:
    def refuse(again: bool) -> None:
        mailbox.refuse_data = "451 later" if again else "554 never"

    return Channel(
        EmailNotifier("127.0.0.1", mailbox.port, "serinus@example.com", ["a@example.com"]),
        lambda: [f"{m['subject']} {m.get_body(('plain',)).get_content()}" for _, m in mailbox.messages],
        refuse,
    )


def _by_http(receiver, notifier, **more) -> Channel:
    return Channel(
        notifier,
        lambda: [json.dumps(m, ensure_ascii=False) for m in receiver.messages],
        lambda again: receiver.answers.append((503, "") if again else (403, "{}")),
        **more,
    )


def _pagerduty(at) -> Channel:
    return _by_http(at, PagerDutyNotifier(ROUTING_KEY, url=f"{at.url}/v2/enqueue"))


def _twilio(at) -> Channel:
    return _by_http(
        at, TwilioNotifier(ACCOUNT, AUTH_TOKEN, "+15551234567", ["+4930123456"], url=at.url), brief=True
    )


def _webhook(at) -> Channel:
    return _by_http(at, WebhookNotifier(f"{at.url}/hook", [WEBHOOK_KEY]))


def _bot(at) -> Channel:
    return _by_http(at, SlackBot(BOT_TOKEN, "#oncall", api=f"{at.url}/api"))


def _apprise(at) -> Channel:
    return _by_http(at, AppriseNotifier([at.url.replace("http:", "json:")]), final=False)


#: Channel → the fixture at which its messages arrive, and its maker.
CHANNELS = {
    "slack": ("slack", _slack),
    "slack bot": ("slack_api", _bot),
    "email": ("mailbox", _email),
    "pagerduty": ("pagerduty", _pagerduty),
    "twilio": ("twilio", _twilio),
    "webhook": ("webhook", _webhook),
    "apprise": ("anything", _apprise),
}


@pytest.fixture(params=["memory", *CHANNELS])
def channel(request) -> Channel:
    """Return each channel in turn."""
    if request.param == "memory":
        return _memory()
    receiver, make = CHANNELS[request.param]
    return make(request.getfixturevalue(receiver))


def test_every_channel_of_the_catalogue_is_in_this_suite():
    """A new driver cannot be forgotten here."""
    assert {name.partition(" ")[0] for name in CHANNELS} == set(NOTIFIERS)


def told(**more) -> Notification:
    """Return a message with everything in it."""
    given = {
        "id": "dep_1.4.0",
        "kind": "rollback",
        "level": Level.ERROR,
        "title": "Rolled back: checkout",
        "text": "Everyone is on v1 again.",
        "fields": (("Reason", "too slow"), ("Tenant", "acme")),
        "link": "https://serinus.example/deployments/dep_1",
        "at": NOON,
        "deployment_id": "dep_1",
        "service": "checkout",
        "tenant": "acme",
    }
    return Notification(**{**given, **more})


async def test_all_of_it_arrives_once(channel):
    """Title, text, fields and link."""
    await channel.notifier.send(told())
    (arrived,) = channel.arrived()
    words = ["Rolled back: checkout", "Everyone is on v1", "too slow", "/deployments/dep_1"]
    for word in words if channel.brief else [*words, "acme"]:
        assert word in arrived


async def test_little_is_enough(channel):
    """Fields, link and time may be missing."""
    await channel.notifier.send(told(fields=(), link="", at=None))
    assert len(channel.arrived()) == 1


@pytest.mark.parametrize("level", list(Level))
async def test_every_level_can_be_told(channel, level):
    """None is unknown to a channel."""
    await channel.notifier.send(told(level=level))
    assert len(channel.arrived()) == 1


@pytest.mark.parametrize("again", [True, False])
async def test_a_refusal_says_whether_to_try_again_and_leaves_the_channel_usable(channel, again):
    """``retryable`` decides what the outbox does."""
    channel.refuse(again)
    with pytest.raises(DeliveryFailed) as refusal:
        await channel.notifier.send(told())
    assert refusal.value.retryable is (again or not channel.final)
    assert channel.arrived() == []


@pytest.mark.parametrize(
    "odd", ["카나리아 🐤", "a\r\nBcc: evil@example.com\r\n\r\nbody", "\ud800", "\x00\x1b[31m", "x" * 100_000]
)
async def test_no_text_breaks_a_channel(channel, odd):
    """Names come from users: other scripts, line breaks, half characters, and far too much."""
    notification = told(title=odd, text=odd, fields=((odd[:50], odd),))
    await channel.notifier.send(notification)
    assert len(channel.arrived()) == 1


async def test_many_fields_do_not_break_a_channel(channel):
    """Somebody else's program may give a hundred."""
    await channel.notifier.send(told(fields=tuple((f"f{n}", "v" * 3000) for n in range(100))))
    assert len(channel.arrived()) == 1
