"""Slack's and SMTP's own manners: TLS, partial refusals, odd answers, secrets, configuration."""

from __future__ import annotations

import logging
import traceback

import pytest

from fixtures_notify import Mailbox
from serinus.bootstrap.build import notifiers_from
from serinus.core.errors import InvalidInput
from serinus.drivers.notify.email import EmailNotifier, Security
from serinus.drivers.notify.slack import SlackNotifier
from serinus.ports.notify import DeliveryFailed, Level, Notification

LOGIN = ("serinus", "s3cret-pw")
MAIL = {"SMTP_HOST": "mail.example.com", "ALERT_EMAIL_TO": "a@example.com"}


def told(**more) -> Notification:
    """Return a short message."""
    given = {"id": "m1", "kind": "k", "level": Level.ERROR, "title": "T", "text": "t"}
    return Notification(**{**given, **more})


def mail_to(box: Mailbox, *to: str, host: str = "127.0.0.1", **more) -> EmailNotifier:
    """Return an e-mail channel to a local server."""
    return EmailNotifier(host, box.port, "serinus@example.com", to or ("a@example.com",), **more)


def with_login(box: Mailbox, **more) -> EmailNotifier:
    """Return an e-mail channel that logs in."""
    return mail_to(box, user=LOGIN[0], password=LOGIN[1], **more)


async def failure(channel, notification=None) -> DeliveryFailed:
    """Return why a delivery fails."""
    with pytest.raises(DeliveryFailed) as refusal:
        await channel.send(notification or told())
    return refusal.value


# Slack


@pytest.mark.parametrize(
    ("answer", "said", "again"),
    [
        ((400, "invalid_payload"), "Slack answered 400 invalid_payload", False),
        ((403, "action_prohibited"), "forbids this webhook", False),
        ((404, "no_service"), "make a new one and set SLACK_WEBHOOK_URL", False),
        ((410, "channel_is_archived"), "choose another with SLACK_CHANNEL", False),
        ((429, "rate_limited", {"retry-after": "30"}), "Slack answered 429 rate_limited", True),
        ((500, "rollup_error"), "Slack answered 500 rollup_error", True),
        ((503, "<html>upstream http://x/s3cret-hook</html>"), "Slack answered 503", True),
        ((502, b"\xff\xfe broken"), "Slack could not be reached (UnicodeDecodeError)", True),
    ],
)
async def test_slacks_answers_are_explained(slack, answer, said, again):
    """With what to do about it, and without a page that could quote the URL."""
    slack.answers.append(answer)
    error = await failure(SlackNotifier(slack.url))
    assert said in str(error)
    assert (error.retryable, "s3cret" in str(error)) == (again, False)


@pytest.mark.parametrize("answer", [(200, "<html>sign in</html>"), (302, "", {"location": "/login"})])
async def test_a_sign_in_page_is_no_delivery(slack, answer):
    """A rollback nobody was told of must not count as told."""
    slack.answers.append(answer)
    error = await failure(SlackNotifier(slack.url))
    assert "not as an incoming webhook does" in str(error)
    assert not error.retryable


async def test_slack_that_never_answers_is_given_up(slack):
    """And tried again later."""
    slack.awake.clear()
    error = await failure(SlackNotifier(slack.url, timeout=1))
    assert (str(error), error.retryable) == ("Slack did not answer in 1 s", True)


async def test_a_cut_does_not_leave_half_an_entity(slack):
    """Wherever the limit falls."""
    for extra in range(6):
        await SlackNotifier(slack.url).send(told(text="x" * extra + "&" * 5000))
    texts = [m["attachments"][0]["text"] for m in slack.messages]
    assert all(t.lstrip("x").replace("&amp;", "") == "…" for t in texts)


@pytest.mark.parametrize(
    "url", ["hooks.example/x", "ftp://h/x", "https://", "https://h:99999/x", "https://h/a b", "https://[x"]
)
def test_a_webhook_that_is_no_url_is_refused_without_repeating_it(url):
    """It may be a secret with a typing error in it."""
    with pytest.raises(InvalidInput) as refusal:
        notifiers_from({"SLACK_WEBHOOK_URL": url})
    assert refusal.value.field == "SLACK_WEBHOOK_URL"
    assert url not in str(refusal.value)


# E-mail


@pytest.mark.parametrize(
    ("tls", "options"),
    [
        ("starttls", {}),
        ("starttls", {"security": Security.STARTTLS}),
        ("implicit", {"security": Security.TLS}),
    ],
)
async def test_mail_is_encrypted_with_and_without_login(mail_server, tls, options):
    """STARTTLS where it is offered, or TLS from the start; the certificate is checked."""
    open_box, closed_box = mail_server(tls=tls), mail_server(LOGIN, tls=tls)
    await mail_to(open_box, **options).send(told())
    await with_login(closed_box, **options).send(told())
    assert (open_box.encrypted, closed_box.encrypted, closed_box.logins) == ([True], [True], 1)


async def test_a_certificate_nobody_vouches_for_is_refused(mail_server, monkeypatch):
    """Before any password is sent."""
    box = mail_server(LOGIN, tls="starttls")
    monkeypatch.delenv("SSL_CERT_FILE")
    error = await failure(with_login(box))
    assert str(error) == "SMTP could not be reached: the server's certificate is not trusted"
    assert box.logins == 0


async def test_a_password_is_not_sent_in_the_open(mail_server):
    """Someone who strips STARTTLS from the server's offer gets nothing (0.0.0.0 counts as elsewhere)."""
    box = mail_server(LOGIN)
    error = await failure(with_login(box, host="0.0.0.0"))
    assert "password is not sent in the open" in str(error)
    assert (box.logins, error.retryable) == (0, False)
    await with_login(box, host="0.0.0.0", security=Security.NONE).send(told())
    assert box.logins == 1


async def test_a_login_that_nobody_asked_for_is_explained(mailbox):
    """The server knows no AUTH."""
    error = await failure(with_login(mailbox))
    assert "offers no login" in str(error)
    assert not error.retryable


@pytest.mark.parametrize(("code", "again"), [("450", True), ("550", False)])
async def test_one_refused_recipient_is_a_failure_though_the_other_has_it(mailbox, code, again):
    """Somebody was not told, and which code decides about trying again; no address is repeated."""
    mailbox.refuse = {"b@example.com": f"{code} b@example.com"}
    error = await failure(mail_to(mailbox, "a@example.com", "b@example.com"))
    assert str(error) == f"SMTP refused 1 of 2 recipients ({code})"
    assert error.retryable is again
    assert [to for to, _ in mailbox.messages] == [["a@example.com"]]


async def test_a_second_copy_can_be_told_from_a_second_message(mailbox):
    """The ids are the notification's, also where they could not stand in a header."""
    for identity in ("dep_1.4.0.email", "dep_1.4.0.email", "a\r\nBcc: x@y", "b\r\nBcc: x@y"):
        await mail_to(mailbox).send(told(id=identity))
    ids = [(m["message-id"], m["x-serinus-notification"]) for _, m in mailbox.messages]
    assert ids[0] == ids[1] == ("<dep_1.4.0.email@serinus>", "dep_1.4.0.email")
    assert len(set(ids)) == 3
    assert [m["bcc"] for _, m in mailbox.messages] == [None] * 4


async def test_names_of_recipients_may_be_in_any_script(mailbox):
    """The envelope has the bare address."""
    await mail_to(mailbox, "온콜 <a@example.com>").send(told())
    ((to, message),) = mailbox.messages
    assert to == ["a@example.com"]
    assert (message["to"], message["auto-submitted"]) == ("온콜 <a@example.com>", "auto-generated")


async def test_an_address_the_server_cannot_carry_is_final(mailbox):
    """Without SMTPUTF8 it never works."""
    error = await failure(mail_to(mailbox, "온콜@example.com"))
    assert "cannot carry this message" in str(error)
    assert not error.retryable


async def test_an_own_mail_to_nobody_is_refused(mailbox):
    """Neither an empty list nor a line break passes for an address."""
    for to in ([], [""], ["x"], ["a@example.com\nBcc: evil@example.com"]):
        with pytest.raises(InvalidInput):
            await mail_to(mailbox).send_mail("s", "b", to=to)
    assert mailbox.messages == []


# Both


async def test_no_secret_is_in_errors_tracebacks_repr_or_logs(slack, mail_server, caplog):
    """Even with every logger at its loudest."""
    caplog.set_level(logging.DEBUG)
    box = mail_server(("serinus", "another"), tls="starttls")
    channels = [SlackNotifier(slack.url), with_login(box)]
    slack.answers.append((404, "no_service"))
    said = repr(channels)
    for channel in channels:
        error = await failure(channel)
        said += str(error) + "".join(traceback.format_exception(error))
    assert "535" in said
    assert "s3cret" not in said + caplog.text


def test_what_is_missing_is_off_and_says_what():
    """Each channel by itself."""
    assert notifiers_from({})[1] == {
        "slack": "SLACK_WEBHOOK_URL is not set",
        "email": "SMTP_HOST and ALERT_EMAIL_TO are not set",
        "pagerduty": "PAGERDUTY_ROUTING_KEY is not set",
        "twilio": "TWILIO_ACCOUNT_SID, TWILIO_AUTH_TOKEN, TWILIO_FROM, ALERT_SMS_TO are not set",
        "webhook": "WEBHOOK_URL is not set",
        "apprise": "APPRISE_URLS is not set",
    }
    on, off = notifiers_from(MAIL)
    assert (list(on), off["slack"]) == (["email"], "SLACK_WEBHOOK_URL is not set")
    assert notifiers_from({"SMTP_HOST": "h"})[1]["email"] == "ALERT_EMAIL_TO is not set"


@pytest.mark.parametrize(
    "wrong",
    [
        {"SMTP_PORT": "abc"},
        {"SMTP_PORT": "0"},
        {"SMTP_PORT": "70000"},
        {"SMTP_PORT": "²"},
        {"SMTP_HOST": "smtp://mail.example.com"},
        {"SMTP_SECURITY": "ssl3"},
        {"EMAIL_FROM": "a@example.com\r\nBcc: evil@example.com"},
        {"ALERT_EMAIL_TO": " , "},
        {"ALERT_EMAIL_TO": "a@example.com, nobody"},
    ],
)
def test_a_variable_that_is_wrong_is_named_with_what_to_write(wrong):
    """At the start, not when a rollback has to be told."""
    with pytest.raises(InvalidInput) as refusal:
        notifiers_from(MAIL | wrong)
    assert [refusal.value.field] == list(wrong)
    assert refusal.value.next_step


def test_a_user_without_a_password_is_refused():
    """Half a login would fail at the first rollback."""
    with pytest.raises(InvalidInput) as refusal:
        notifiers_from(MAIL | {"SMTP_USER": "u"})
    assert refusal.value.field == "SMTP_PASSWORD"
