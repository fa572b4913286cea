"""Slack by incoming webhook: a coloured attachment with named fields (contract 4)."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Mapping
from http.client import HTTPException
from typing import Any
from urllib.parse import urlsplit

from slack_sdk.webhook import WebhookClient

from serinus.core.errors import InvalidInput
from serinus.ports.notify import DeliveryFailed, Level, Notification

__all__ = ["SlackNotifier"]

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

#: What Slack's words mean for the reader.
_REMEDY = {
    "action_prohibited": "an admin of the workspace forbids this webhook to post there",
    "channel_is_archived": "the channel is archived; choose another with SLACK_CHANNEL",
    "channel_not_found": "SLACK_CHANNEL names no channel that this webhook may post to",
    "invalid_token": "the webhook was removed; make a new one and set SLACK_WEBHOOK_URL",
    "no_service": "the webhook was removed or switched off; make a new one and set SLACK_WEBHOOK_URL",
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
    def from_env(cls, environment: Mapping[str, str]) -> SlackNotifier | str:
        """Build from ``SLACK_WEBHOOK_URL`` and ``SLACK_CHANNEL``, or say why it is off.

        Raises:
            InvalidInput: A variable is set to something unusable; the error names it.
        """
        url = environment.get("SLACK_WEBHOOK_URL", "").strip()
        if not url:
            return "SLACK_WEBHOOK_URL is not set"
        return cls(url, environment.get("SLACK_CHANNEL", "").strip())

    async def send(self, notification: Notification) -> None:
        """Post it once."""
        try:
            async with asyncio.timeout(self._timeout):
                answer = await asyncio.to_thread(self._client.send_dict, self._body(notification))
        except TimeoutError:
            raise DeliveryFailed(f"Slack did not answer in {self._timeout} s") from None
        except (OSError, HTTPException, ValueError, LookupError) as error:
            # Their texts may hold the URL; the kind says enough. The last two: an answer in no known charset.
            why = _cause(error)
            raise DeliveryFailed(f"Slack could not be reached ({why})") from None
        _judge(answer.status_code, str(answer.body or "").strip())

    def _body(self, n: Notification) -> dict[str, Any]:
        colour, emoji = _LOOK[n.level]
        heading = f"{emoji} {_line(n.title)}"
        attachment: dict[str, Any] = {
            "color": colour,
            "fallback": _escaped(". ".join((heading, n.text, *(f"{k}: {v}" for k, v in n.fields))), MAX_TEXT),
            "text": _escaped(n.text, MAX_TEXT),
            "fields": _fields(n.fields),
            "footer": "Serinus",
            "mrkdwn_in": [],  # a service called *x* is shown as it is
        }
        if n.at:
            attachment["ts"] = int(n.at.timestamp())
        if n.link:
            attachment |= {"title": "Open the deployment", "title_link": n.link}
        body = {"text": _escaped(heading, MAX_TITLE), "mrkdwn": False, "attachments": [attachment]}
        return body | ({"channel": self._channel} if self._channel else {})


def _judge(status: int, said: str) -> None:
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
        f"{detail}: {remedy}" if remedy else detail, retryable=status == 429 or status >= 500
    )


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
