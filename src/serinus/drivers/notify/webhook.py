"""Signed webhooks: a CloudEvents 1.0 body with a Standard Webhooks signature."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from serinus.core.errors import InvalidInput
from serinus.drivers import _post
from serinus.ports.notify import DeliveryFailed, Notification, Traits

__all__ = ["WebhookNotifier", "sign"]

PREFIX = "whsec_"
#: Standard Webhooks asks for 24 to 64 bytes of secret.
LEAST, MOST = 24, 64
#: Texts are cut, so that the whole stays below the 20 KB that Standard Webhooks recommends.
MAX_TEXT, MAX_FIELDS = 2000, 40


class WebhookNotifier:
    """Posts to one address. URL and secrets appear in no error, log or ``repr``."""

    name = "webhook"
    #: ``webhook-id`` is there so that receivers drop second copies.
    traits = Traits(resolves=True, idempotent=True)

    def __init__(
        self,
        url: str,
        secrets: Sequence[bytes],
        *,
        timeout: float = _post.TIMEOUT_SECONDS,
        now: Callable[[], float] = time.time,
    ) -> None:
        """Keep where to post, and what to sign with: several secrets while one replaces another."""
        self._url, self._secrets, self._timeout, self._now = url, tuple(secrets), timeout, now

    def __repr__(self) -> str:
        """Say with how many secrets it signs."""
        return f"WebhookNotifier({len(self._secrets)} secrets)"

    @classmethod
    def from_env(cls, environment: Mapping[str, str]) -> WebhookNotifier | str:
        """Build from ``WEBHOOK_URL`` and ``WEBHOOK_SECRET``, or say why it is off.

        Raises:
            InvalidInput: A variable is set to something unusable; the error names it.
        """
        url = environment.get("WEBHOOK_URL", "").strip()
        if not url:
            return "WEBHOOK_URL is not set"
        secrets = [_secret(one) for one in environment.get("WEBHOOK_SECRET", "").split()]
        if not secrets:
            raise InvalidInput(
                "WEBHOOK_URL is set, WEBHOOK_SECRET is not.",
                field="WEBHOOK_SECRET",
                next_step=_HOW,
            )
        return cls(_post.url_from("WEBHOOK_URL", url), secrets)

    async def send(self, notification: Notification) -> None:
        """Post it once; any 2xx is a delivery."""
        body = json.dumps(_event(notification), ensure_ascii=False).encode(errors="replace")
        stamp = str(int(self._now()))
        identity = _identity(notification.id)
        headers = {
            "content-type": "application/cloudevents+json; charset=UTF-8",
            "user-agent": "serinus",
            "webhook-id": identity,
            "webhook-timestamp": stamp,
            "webhook-signature": " ".join(sign(s, identity, stamp, body) for s in self._secrets),
        }
        answer = await _post.post("The webhook", self._url, body, headers, seconds=self._timeout)
        if 200 <= answer.status < 300:
            return
        if answer.status == 410:
            raise DeliveryFailed("The webhook answered 410: the receiver wants no more", retryable=False)
        raise _post.refusal("The webhook", answer)


def sign(secret: bytes, identity: str, stamp: str, body: bytes) -> str:
    """Return one signature as Standard Webhooks writes it.

    >>> sign(b"secret", "msg_1", "1700000000", b"{}")
    'v1,A5oIrJxXPB/PkULSoVu0e4khvPiqpF9vljmhkSKg0FI='
    """
    digest = hmac.new(secret, f"{identity}.{stamp}.".encode() + body, hashlib.sha256).digest()
    return "v1," + base64.b64encode(digest).decode()


def _event(n: Notification) -> dict[str, Any]:
    """Return the notification as a CloudEvent in structured mode."""
    event: dict[str, Any] = {
        "specversion": "1.0",
        "id": _identity(n.id),
        "source": "serinus" + (f"/deployments/{n.deployment_id}" if n.deployment_id else ""),
        "type": f"io.serinus.notification.{n.kind or 'message'}",
        "datacontenttype": "application/json",
        "data": {
            "kind": n.kind,
            "level": n.level.value,
            "title": _post.cut(n.title, MAX_TEXT),
            "text": _post.cut(n.text, MAX_TEXT),
            "fields": [
                {"name": _post.cut(k, 200), "value": _post.cut(v, MAX_TEXT)} for k, v in _bounded(n.fields)
            ],
            "link": n.link,
            "deployment_id": n.deployment_id,
            "service": n.service,
            "tenant": n.tenant,
        },
    }
    event |= {"subject": n.service} if n.service else {}
    return event | ({"time": n.at.isoformat()} if n.at else {})


def _bounded(fields: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return as many fields as stay small together."""
    kept: list[tuple[str, str]] = []
    left = 12_000
    for name, value in fields[:MAX_FIELDS]:
        left -= len(name) + min(len(value), MAX_TEXT)
        if left < 0:
            break
        kept.append((name, value))
    return kept


def _identity(text: str) -> str:
    """Return an id without dots, which separate the parts of what is signed."""
    if text and text.isascii() and text.isprintable() and len(text) <= 120:
        return text.replace(".", "-").replace(" ", "-")
    return hashlib.sha256(text.encode(errors="replace")).hexdigest()[:32]


_HOW = (
    "Make one: python -c \"import base64, os; print('whsec_' + base64.b64encode(os.urandom(32)).decode())\""
)


def _secret(text: str) -> bytes:
    try:
        secret = base64.b64decode(text.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        secret = b""
    if not LEAST <= len(secret) <= MOST:
        raise InvalidInput(
            f"WEBHOOK_SECRET is not {PREFIX} and {LEAST} to {MOST} bytes in base64.",
            field="WEBHOOK_SECRET",
            next_step=_HOW,
        )
    return secret
