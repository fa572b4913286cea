"""Contract 4's calls: every enabled channel at once, an answer per channel, nobody stops anybody."""

from __future__ import annotations

import asyncio
import logging

import pytest

from fakes.notify import MemoryNotifier
from serinus.bootstrap.clock import SystemClock
from serinus.control.telling.notifications import NotificationService
from serinus.core.errors import InvalidInput
from serinus.ports.notify import DeliveryFailed, Level


@pytest.fixture
def channels():
    """Return two channels in memory by name."""
    return {name: MemoryNotifier(name) for name in ("slack", "email")}


def service(channels, off=None, **more) -> NotificationService:
    """Return the service over these channels."""
    return NotificationService(SystemClock(), channels, off, **more)


async def test_a_plain_text_is_told_everywhere(channels):
    """Without building anything first."""
    answers = await service(channels).send_notification("Done", "Nightly job", "critical", {"rows": 7})
    assert answers == {"slack": True, "email": True}
    for channel in channels.values():
        (told,) = channel.messages
        assert (told.title, told.text, told.level) == ("Nightly job", "Done", Level.CRITICAL)
        assert told.fields == (("rows", "7"),)


async def test_rollback_version_and_tenant_may_be_left_out(channels):
    """As contract 4 says."""
    answers = await service(channels).send_canary_rollback_alert("dep_1", "checkout", "error rate 8 %")
    assert answers == {"slack": True, "email": True}
    assert channels["slack"].messages[0].title == "[Serinus] Canary auto-rollback: checkout"


async def test_every_part_of_a_rollback_is_told(channels):
    """By position, in contract 4's order."""
    await service(channels).send_canary_rollback_alert("dep_1", "checkout", "slow", "v1", "acme")
    fields = dict(channels["email"].messages[0].fields)
    assert (fields["Rolled back to"], fields["Tenant"], fields["Deployment"]) == ("v1", "acme", "dep_1")


async def test_alerts_lead_to_their_deployment(channels):
    """Where the dashboard's address is known."""
    told = service(channels, public_url="https://serinus.example.com/")
    await told.send_canary_rollback_alert("dep_1", "checkout", "slow")
    await told.send_canary_warning_alert("dep_1", "checkout", ["w"])
    links = {m.link for m in channels["slack"].messages}
    assert links == {"https://serinus.example.com/deployments/dep_1"}


async def test_a_failing_channel_does_not_stop_the_other_and_the_log_says_why(channels, caplog):
    """The answer is false for the one, true for the other."""
    channels["slack"].failures = [DeliveryFailed("Slack answered 503")]
    assert await service(channels).send_canary_warning_alert("d", "s", ["w"]) == {
        "slack": False,
        "email": True,
    }
    assert "not told: Slack answered 503" in caplog.text


async def test_a_hanging_channel_is_given_up_while_the_other_is_told(channels):
    """Nobody waits for it for ever."""

    class Hanging(MemoryNotifier):
        async def send(self, notification):
            await asyncio.Event().wait()

    both = {"slack": Hanging("slack"), "email": channels["email"]}
    answers = await service(both, timeout=0.1).send_explained(told())
    assert answers == {"slack": "did not answer in 0.1 s", "email": ""}


async def test_channels_are_told_at_once_and_not_in_turn(channels):
    """Each waits until the other has begun: in turn that would never end."""
    begun = {name: asyncio.Event() for name in channels}

    class Meeting(MemoryNotifier):
        async def send(self, notification):
            begun[self.name].set()
            await asyncio.gather(*(event.wait() for event in begun.values()))

    answers = await service({name: Meeting(name) for name in channels}, timeout=30).send_notification("m")
    assert answers == {"slack": True, "email": True}


async def test_a_channel_that_breaks_spills_no_secret(channels, caplog):
    """An error nobody expected is logged by its kind and place; its text may quote a password."""
    caplog.set_level(logging.DEBUG)
    channels["slack"].failures = [RuntimeError("https://hooks.example/s3cret")]
    answers = await service(channels).send_explained(told())
    assert answers == {"slack": "broke: RuntimeError", "email": ""}
    assert "fakes/notify.py" in caplog.text
    assert "s3cret" not in caplog.text


async def test_a_channel_that_is_off_says_so(channels, caplog):
    """Telling only it is no success."""
    some = service({"email": channels["email"]}, {"slack": "SLACK_WEBHOOK_URL is not set"})
    assert some.channels() == [
        {"name": "email", "enabled": True, "why": ""},
        {"name": "slack", "enabled": False, "why": "SLACK_WEBHOOK_URL is not set"},
    ]
    assert await some.send_notification("m") == {"email": True}
    assert await some.send_slack_notification("m") == {"slack": False}
    assert "off: SLACK_WEBHOOK_URL is not set" in caplog.text
    assert await service({}).send_email_notification("s", "b", "<p>h</p>") == {"email": False}


async def test_an_unknown_level_is_refused_with_the_known_ones(channels):
    """Before anybody is told."""
    with pytest.raises(InvalidInput) as refusal:
        await service(channels).send_slack_notification("m", level="fatal")
    assert refusal.value.next_step == "Use one of: info, warning, error, critical."
    assert channels["slack"].messages == []


def told():
    """Return any message."""
    from datetime import UTC, datetime

    from serinus.control.telling import messages

    return messages.test_message(id="m", at=datetime(2026, 1, 31, tzinfo=UTC))
