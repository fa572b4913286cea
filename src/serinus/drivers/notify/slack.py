"""Slack by incoming webhook: a coloured attachment with named fields (contract 4)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any
from urllib.error import URLError
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
_SILENT = logging.getLogger("serinus.notify.slack.library")
_SILENT.disabled = True
#: Slack shows values side by side when they are short.
SHORT = 40
#: Slack's documented limits.
MAX_TEXT, MAX_FIELD = 3000, 2000


class SlackNotifier:
    """Posts to one incoming webhook. The URL is a secret: it appears in no error and no ``repr``."""

    name = "slack"

    def __init__(self, webhook_url: str, channel: str = "") -> None:
        """Keep where to post.

        Raises:
            InvalidInput: The URL is no http(s) URL.
        """
        parts = urlsplit(webhook_url)
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise InvalidInput(
                "SLACK_WEBHOOK_URL is no http or https URL.",
                field="SLACK_WEBHOOK_URL",
                next_step="Copy it from the app's page under Incoming Webhooks.",
            )
        # The library logs the URL and tries again by itself; both are ours to decide.
        self._client = WebhookClient(webhook_url, timeout=TIMEOUT_SECONDS, logger=_SILENT, retry_handlers=[])
        self._channel = channel

    def __repr__(self) -> str:
        """Name the channel, not the URL."""
        return f"SlackNotifier(channel={self._channel or 'of the webhook'!r})"

    @classmethod
    def from_env(cls, environment: Mapping[str, str]) -> SlackNotifier | str:
        """Build from ``SLACK_WEBHOOK_URL`` and ``SLACK_CHANNEL``, or say why it is off."""
        url = environment.get("SLACK_WEBHOOK_URL", "").strip()
        if not url:
            return "SLACK_WEBHOOK_URL is not set"
        return cls(url, environment.get("SLACK_CHANNEL", "").strip())

    async def send(self, notification: Notification) -> None:
        """Post it once."""
        body = self._body(notification)
        try:
            answer = await asyncio.to_thread(self._client.send_dict, body)
        except (URLError, OSError, TimeoutError) as error:
            raise DeliveryFailed(f"Slack could not be reached ({type(error).__name__})") from None
        if answer.status_code != 200:
            # 429 and 5xx pass by themselves; the rest needs a person.
            retryable = answer.status_code == 429 or answer.status_code >= 500
            said = str(answer.body)[:100]
            raise DeliveryFailed(f"Slack answered {answer.status_code} {said}", retryable=retryable)

    def _body(self, n: Notification) -> dict[str, Any]:
        colour, emoji = _LOOK[n.level]
        attachment: dict[str, Any] = {
            "color": colour,
            "fallback": _escaped(f"{n.title}: {n.text}")[:MAX_TEXT],
            "title": _escaped(n.title)[:MAX_TEXT],
            "text": _escaped(n.text)[:MAX_TEXT],
            "fields": [
                {"title": _escaped(k), "value": _escaped(v)[:MAX_FIELD], "short": len(v) <= SHORT}
                for k, v in n.fields
            ],
            "footer": "Serinus",
            "mrkdwn_in": [],
        }
        if n.at:
            attachment["ts"] = int(n.at.timestamp())
        if n.link:
            attachment["title_link"] = n.link
        body: dict[str, Any] = {
            "text": f"{emoji} {_escaped(n.title)}"[:MAX_TEXT],
            "attachments": [attachment],
        }
        if self._channel:
            body["channel"] = self._channel
        return body


def _escaped(text: str) -> str:
    """Escape Slack's three control characters, so that a name cannot mention everybody."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
