"""A signed webhook by the Standard Webhooks convention; its answer decides."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Collection
from typing import Any

from serinus.core.errors import InvalidInput
from serinus.core.hooks import Said
from serinus.drivers._guard import Guard
from serinus.drivers._http import Trouble, Wire, split_url, tls
from serinus.drivers._lines import first_line
from serinus.ports.hooks import HookCall, HookReply

__all__ = ["Webhook", "key_of", "signed"]

MAX_BYTES = 64_000
#: What an answer may decide by itself: ``{"decision": "no", "message": "…"}``.
_DECISIONS = {"yes": Said.YES, "no": Said.NO, "wait": Said.NOTHING}
#: The convention asks for keys of 24 to 64 random bytes.
KEY_BYTES = range(24, 65)


class Webhook:
    """One URL with its signing key."""

    def __init__(
        self, url: str, secret: str, *, allow_hosts: Collection[str] = (), timeout_seconds: float = 15.0
    ) -> None:
        """Keep where to call; nothing is connected yet.

        Args:
            url: http or https, without user and password; redirects are not followed.
            secret: ``whsec_`` and the key in base64.
            allow_hosts: Private names, addresses and networks that may be called.
            timeout_seconds: A try that takes longer is none.

        Raises:
            InvalidInput: The URL or the secret is unusable; neither is repeated.
        """
        self._parts, sign_in = split_url(url, "url")
        if sign_in:
            raise InvalidInput(
                "The URL of the hook holds a user or a password.",
                field="url",
                next_step="Leave them out: the message is signed.",
            )
        self._key, self._secret = key_of(secret), secret
        context = tls() if self._parts.scheme == "https" else None
        self._wire = Wire(seconds=timeout_seconds, max_bytes=MAX_BYTES, context=context)
        self._guard = Guard(self._parts, self._wire, allow_hosts, listed_in="SERINUS_HOOK_HOSTS")

    def __repr__(self) -> str:
        """Name the host alone; paths and queries may hold tokens."""
        return f"Webhook({self._parts.scheme}://{self._parts.hostname})"

    async def close(self) -> None:
        """Release connections."""
        await self._wire.close()

    async def call(self, call: HookCall) -> HookReply:
        """Post the message; 2xx says yes unless its JSON says otherwise, anything else is no answer."""
        body = json.dumps(call.body, separators=(",", ":"), ensure_ascii=False).encode()
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "serinus",
            **signed(self._key, call.id, call.at, body),
        }
        try:
            async with self._wire.in_time():
                status, answer = await self._guard.ask("POST", headers, body)
        except Trouble as trouble:
            return HookReply(said=Said.NOTHING, words=str(trouble))
        said, words = _decision(status, answer)
        return HookReply(
            said=said, words=first_line(words, self._secret, self._secret.removeprefix("whsec_"))
        )


def key_of(secret: str) -> bytes:
    """Return the key inside ``whsec_…``.

    Raises:
        InvalidInput: It has not that form, or the key is too short.
    """
    try:
        key = base64.b64decode(secret.strip().removeprefix("whsec_"), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not secret.strip().startswith("whsec_") or len(key) not in KEY_BYTES:
        raise InvalidInput(
            "The signing secret is not `whsec_` and 24 to 64 bytes in base64.",
            field="secret_env",
            next_step='Make one: echo "whsec_$(openssl rand -base64 32)".',
        )
    return key


def signed(key: bytes, identity: str, at: int, body: bytes) -> dict[str, str]:
    """Return the three headers of Standard Webhooks."""
    digest = hmac.new(key, f"{identity}.{at}.".encode() + body, hashlib.sha256).digest()
    return {
        "webhook-id": identity,
        "webhook-timestamp": str(at),
        "webhook-signature": "v1," + base64.b64encode(digest).decode(),
    }


def _decision(status: int, body: bytes) -> tuple[Said, str]:
    text = body.decode("utf-8", "replace")
    if not 200 <= status < 300:
        return Said.NOTHING, f"HTTP {status} {text}"
    try:
        answer: Any = json.loads(text)
    except (ValueError, RecursionError):
        return Said.YES, text
    if not isinstance(answer, dict) or "decision" not in answer:
        return Said.YES, text
    words = str(answer.get("message", ""))
    decision = str(answer["decision"])
    if decision not in _DECISIONS:
        return Said.NOTHING, f"its decision is {decision!r}, which is none of {', '.join(_DECISIONS)}"
    return _DECISIONS[decision], words
