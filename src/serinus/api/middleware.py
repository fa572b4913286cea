"""What every call passes: a request id, a bounded body, headers that browsers need. Pure ASGI."""

from __future__ import annotations

import json
import logging
import re
import secrets
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serinus.api.problems import BASE, MEDIA_TYPE

__all__ = ["Envelope"]

log = logging.getLogger("serinus.api")

#: Bytes of a body; telemetry of a busy process may be larger.
MAX_BODY = 1024 * 1024
MAX_TELEMETRY = 8 * 1024 * 1024
_ID = re.compile(r"[A-Za-z0-9_.-]{1,100}")
_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"same-origin"),
    (b"x-frame-options", b"DENY"),
)


class _TooLarge(Exception):
    """The body went over its limit."""


class Envelope:
    """Wraps the whole application."""

    def __init__(self, app: ASGIApp) -> None:
        """Wrap ``app``."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one call."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        request_id = _request_id(headers)
        scope.setdefault("state", {})["request_id"] = request_id
        limit = MAX_TELEMETRY if scope["path"].endswith("/sdk/telemetry") else MAX_BODY
        body = _Body(receive, limit)
        refused = False

        async def sending(message: Message) -> None:
            nonlocal refused
            if body.too_large:  # whatever the application made of the broken body is not the answer
                if not refused:
                    refused = True
                    await _refuse(send, request_id, limit)
                return
            if message["type"] == "http.response.start":
                extra = [(b"x-request-id", request_id.encode()), *_HEADERS]
                if scope["state"].get("token_ends"):
                    extra.append((b"serinus-token-expires", scope["state"]["token_ends"].encode()))
                present = {name for name, _ in message["headers"]}
                message["headers"] = [*message["headers"], *((n, v) for n, v in extra if n not in present)]
            await send(message)

        if _length(headers) > limit:
            await _refuse(send, request_id, limit)
            return
        await self._app(scope, body.receive, sending)


class _Body:
    """Counts a body while it comes, and breaks it off at its limit."""

    def __init__(self, receive: Receive, limit: int) -> None:
        self._receive, self._limit = receive, limit
        self._taken = 0
        self.too_large = False

    async def receive(self) -> Message:
        message = await self._receive()
        self._taken += len(message.get("body", b""))
        if self._taken > self._limit:
            self.too_large = True
            raise _TooLarge
        return message


def _length(headers: dict[bytes, bytes]) -> int:
    """Return the announced length; servers refuse a malformed one before us."""
    text = headers.get(b"content-length", b"0")
    return int(text) if text.isdigit() else 0


def _request_id(headers: dict[bytes, bytes]) -> str:
    given = headers.get(b"x-request-id", b"").decode("latin-1")
    return given if _ID.fullmatch(given) else f"req_{secrets.token_hex(8)}"


async def _refuse(send: Send, request_id: str, limit: int) -> None:
    body: dict[str, Any] = {
        "type": BASE + "too-large",
        "title": "Content Too Large",
        "status": 413,
        "detail": f"The body is larger than {limit // 1024} KiB.",
        "instance": request_id,
        "next_step": "Send less at once.",
    }
    content = json.dumps(body).encode()
    headers = [
        (b"content-type", MEDIA_TYPE.encode()),
        (b"content-length", str(len(content)).encode()),
        (b"connection", b"close"),
    ]
    await send({"type": "http.response.start", "status": 413, "headers": headers})
    await send({"type": "http.response.body", "body": content})
