"""Slack: a coloured attachment with named fields (contract 4).

By incoming webhook; with a bot token by ``chat.postMessage``, which keeps one thread per deployment.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import Mapping
from http.client import HTTPException
from typing import Any
from urllib.parse import urlsplit

from slack_sdk.webhook import WebhookClient

from serinus.core.errors import InvalidInput
from serinus.drivers import _post
from serinus.drivers._words import open_words
from serinus.ports.notify import DeliveryFailed, Level, Notification, Traits

__all__ = ["SlackBot", "SlackNotifier"]

#: Colour and emoji by level.
_LOOK = {
    Level.INFO: ("#2e7d32", "🟢"),
    Level.WARNING: ("#ed8b00", "🟠"),
    Level.ERROR: ("#d32f2f", "🔴"),
    Level.CRITICAL: ("#7b1fa2", "🚨"),
}
TIMEOUT_SECONDS = 10
#: Slack shows values side by side when they are short.
SHORT = 40
#: All below the 40,000 characters at which Slack cuts a message.
MAX_TITLE, MAX_TEXT, MAX_FIELD, MAX_FIELDS = 300, 3000, 1000, 20

#: Slack's Web API; with a bot token only.
API = "https://slack.com/api"
#: Words of the Web API that pass by themselves.
_PASSING = {"ratelimited", "rate_limited", "internal_error", "fatal_error", "service_unavailable"}
#: What Slack's words mean for the reader.
_REMEDY = {
    "action_prohibited": "an admin of the workspace forbids this webhook to post there",
    "channel_is_archived": "the channel is archived; choose another with SLACK_CHANNEL",
    "channel_not_found": "SLACK_CHANNEL names no channel that this webhook may post to",
    "invalid_token": "the webhook was removed; make a new one and set SLACK_WEBHOOK_URL",
    "no_service": "the webhook was removed or switched off; make a new one and set SLACK_WEBHOOK_URL",
    "not_in_channel": "invite the app to the channel of SLACK_CHANNEL",
    "not_authed": "SLACK_BOT_TOKEN is not taken; copy it again from the app's page",
    "invalid_auth": "SLACK_BOT_TOKEN is not taken; copy it again from the app's page",
    "account_inactive": "SLACK_BOT_TOKEN was withdrawn; install the app again",
    "token_revoked": "SLACK_BOT_TOKEN was withdrawn; install the app again",
    "missing_scope": "give the app the scope chat:write and install it again",
    "is_archived": "the channel is archived; choose another with SLACK_CHANNEL",
    "no_team": "the workspace is gone; make a new webhook and set SLACK_WEBHOOK_URL",
}


class SlackNotifier:
    """Posts to one incoming webhook. The URL is a secret: it appears in no error, log or ``repr``."""

    name = "slack"

    def __init__(self, webhook_url: str, channel: str = "", *, timeout: int = TIMEOUT_SECONDS) -> None:
        """Keep where to post.

        Raises:
            InvalidInput: The URL is no http(s) URL.
        """
        if not _is_url(webhook_url):
            raise InvalidInput(
                "SLACK_WEBHOOK_URL is no http or https URL.",
                field="SLACK_WEBHOOK_URL",
                next_step="Copy it from the app's page under Incoming Webhooks.",
            )
        self._timeout = timeout
        self._channel = channel
        # The library logs URLs and tries again by itself. What is logged is ours to decide, and the outbox
        # tries again: two loops would only double messages.
        # A logger outside the tree: no configuration can switch it on again.
        silent = logging.Logger("serinus.slack", level=logging.CRITICAL + 1)  # noqa: LOG001
        self._client = WebhookClient(webhook_url, timeout=timeout, logger=silent, retry_handlers=[])
        # urllib reads the proxy variables itself, and unlike the library it also obeys NO_PROXY.
        self._client.proxy = None

    def __repr__(self) -> str:
        """Name the channel, not the URL."""
        return f"SlackNotifier(channel={self._channel or 'of the webhook'!r})"

    @classmethod
    def from_env(cls, environment: Mapping[str, str]) -> SlackNotifier | SlackBot | str:
        """Build from ``SLACK_WEBHOOK_URL`` and ``SLACK_CHANNEL``, or say why it is off.

        With ``SLACK_BOT_TOKEN`` it is a bot, and the webhook is not used.

        Raises:
            InvalidInput: A variable is set to something unusable; the error names it.
        """
        if environment.get("SLACK_BOT_TOKEN", "").strip():
            return SlackBot.from_env(environment)
        url = environment.get("SLACK_WEBHOOK_URL", "").strip()
        if not url:
            return "SLACK_WEBHOOK_URL is not set"
        return cls(url, environment.get("SLACK_CHANNEL", "").strip())

    async def send(self, notification: Notification) -> None:
        """Post it once."""
        try:
            async with asyncio.timeout(self._timeout):
                answer = await asyncio.to_thread(self._client.send_dict, _body(notification, self._channel))
        except TimeoutError:
            raise DeliveryFailed(f"Slack did not answer in {self._timeout} s", unsure=True) from None
        except (OSError, HTTPException, ValueError, LookupError) as error:
            # Their texts may hold the URL; the kind says enough. The last two: an answer in no known charset.
            why = _cause(error)
            raise DeliveryFailed(f"Slack could not be reached ({why})") from None
        _judge(answer.status_code, str(answer.body or "").strip(), _seconds(answer.headers))


class SlackBot:
    """Posts as an app, one thread per deployment. The token appears in no error, log or ``repr``."""

    name = "slack"
    traits = Traits(threads=True)

    def __init__(self, token: str, channel: str, *, api: str = API, timeout: float = TIMEOUT_SECONDS) -> None:
        """Keep where to post; ``timeout`` in seconds."""
        self._token, self._channel, self._timeout = token, channel, timeout
        self._url = f"{api.rstrip('/')}/chat.postMessage"

    def __repr__(self) -> str:
        """Name the channel, not the token."""
        return f"SlackBot(channel={self._channel!r})"

    @classmethod
    def from_env(cls, environment: Mapping[str, str]) -> SlackBot:
        """Build from ``SLACK_BOT_TOKEN``, ``SLACK_CHANNEL`` and ``SLACK_API_URL``.

        Raises:
            InvalidInput: One is missing or unusable; the error names it.
        """
        token, channel = (environment.get(n, "").strip() for n in ("SLACK_BOT_TOKEN", "SLACK_CHANNEL"))
        if not re.fullmatch(r"xox[a-z]-[A-Za-z0-9-]{4,}", token):
            raise InvalidInput(
                "SLACK_BOT_TOKEN is no bot token.",
                field="SLACK_BOT_TOKEN",
                next_step="It begins with xoxb-; copy it from the app's page under OAuth & Permissions.",
            )
        if not channel:
            raise InvalidInput(
                "SLACK_BOT_TOKEN is set, SLACK_CHANNEL is not.",
                field="SLACK_CHANNEL",
                next_step="Name the channel, like #releases or C0123456789, and invite the app to it.",
            )
        api = _post.url_from("SLACK_API_URL", environment.get("SLACK_API_URL", "").strip() or API)
        return cls(token, channel, api=api)

    async def send(self, notification: Notification) -> str:
        """Post it once, below the deployment's first message where there is one; return its handle."""
        body = _body(notification, self._channel)
        if notification.thread:
            body["thread_ts"] = notification.thread
            # What is bad is shown in the channel, too: nobody watches a thread that is days old.
            body["reply_broadcast"] = notification.level.rank >= Level.ERROR.rank
        headers = {
            "content-type": "application/json; charset=utf-8",
            "authorization": f"Bearer {self._token}",
        }
        content = json.dumps(body).encode()
        answer = await _post.post("Slack", self._url, content, headers, seconds=self._timeout)
        if answer.status != 200:
            raise _post.refusal("Slack", answer)
        return _handle(answer)


def _handle(answer: _post.Answer) -> str:
    """Return the handle of what was posted, or say what is wrong."""
    try:
        said = json.loads(answer.body)
        if said["ok"] is True:
            return str(said["ts"])
        word = str(said["error"])
    except (ValueError, LookupError, TypeError):
        raise DeliveryFailed(
            "Slack's address answered 200, but not as the Web API does: check SLACK_API_URL",
            retryable=False,
        ) from None
    word = word if re.fullmatch(r"[a-z_]{2,40}", word) else "error"
    remedy = _REMEDY.get(word, "")
    detail = f"Slack answered {word}" + (f": {remedy}" if remedy else "")
    raise DeliveryFailed(detail, retryable=word in _PASSING, retry_after=answer.retry_after)


def _one_line(heading: str, n: Notification) -> str:
    """Return all of it, for where attachments are not shown."""
    parts = (heading, n.text, *(f"{k}: {v}" for k, v in n.fields))
    return ". ".join(part.rstrip(".") for part in parts if part)


def _body(n: Notification, channel: str) -> dict[str, Any]:
    colour, emoji = _LOOK[n.level]
    heading = f"{emoji} {_line(n.title)}"
    attachment: dict[str, Any] = {
        "color": colour,
        "fallback": _escaped(_one_line(heading, n), MAX_TEXT),
        "text": _escaped(n.text, MAX_TEXT),
        "fields": _fields(n.fields),
        "footer": "Serinus",
        "mrkdwn_in": [],  # a service called *x* is shown as it is
    }
    if n.at:
        attachment["ts"] = int(n.at.timestamp())
    if n.link:
        attachment |= {"title": open_words(n.language), "title_link": n.link}
    body = {"text": _escaped(heading, MAX_TITLE), "mrkdwn": False, "attachments": [attachment]}
    return body | ({"channel": channel} if channel else {})


def _judge(status: int, said: str, wait: float = 0.0) -> None:
    """Accept Slack's ``ok``, or say what is wrong.

    Only single words are repeated: another page, a proxy's for one, could quote our URL.
    """
    if status == 200 and said == "ok":
        return
    if 200 <= status < 400:
        # Not "sent": a sign-in page or a wrong address must not pass for a delivery.
        raise DeliveryFailed(
            f"Slack's address answered {status}, but not as an incoming webhook does: "
            "check SLACK_WEBHOOK_URL",
            retryable=False,
        )
    word = said if re.fullmatch(r"[a-z_]{2,40}", said) else ""
    detail = f"Slack answered {status}" + (f" {word}" if word else "")
    remedy = _REMEDY.get(word, "")
    # 429 and 5xx pass by themselves; the rest needs a person.
    raise DeliveryFailed(
        f"{detail}: {remedy}" if remedy else detail,
        retryable=status == 429 or status >= 500,
        retry_after=wait,
    )


def _seconds(headers: Mapping[str, str]) -> float:
    """Return how long Slack wants to be left alone; 0 where it does not say."""
    said = next((v for k, v in headers.items() if k.lower() == "retry-after"), "")
    return min(3600.0, float(said)) if said.isascii() and said.isdigit() else 0.0


def _fields(fields: tuple[tuple[str, str], ...]) -> list[dict[str, Any]]:
    shown = [
        {"title": _escaped(k, MAX_TITLE), "value": _escaped(v, MAX_FIELD), "short": len(v) <= SHORT}
        for k, v in fields[:MAX_FIELDS]
    ]
    if (left := len(fields) - MAX_FIELDS) > 0:
        shown.append({"title": "", "value": f"… and {left} more", "short": False})
    return shown


def _escaped(text: str, limit: int) -> str:
    """Escape Slack's three control characters, so that a name cannot mention everybody, and cut."""
    safe = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    if len(safe) <= limit:
        return safe
    # Half an entity at the end would be shown as it is.
    return re.sub(r"&[a-z]{0,3}$", "", safe[: limit - 1]) + "…"


def _line(text: str) -> str:
    return " ".join(text.split())


def _cause(error: Exception) -> str:
    """Return the kind of the innermost reason: ``URLError`` alone says nothing."""
    inner = getattr(error, "reason", None)
    return type(inner if isinstance(inner, Exception) else error).__name__


def _is_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return False
    clean = text.isascii() and text.isprintable() and " " not in text
    return clean and parts.scheme in ("http", "https") and bool(parts.hostname) and port != 0
