"""The short way for executions: a plain call reaches its rules without the framework's machinery.

Everything that is not plain (a cookie instead of a token, a field too many, a body without a length) takes
the long way, whose answers are the documented ones. Both ways run the same code behind.
"""

from __future__ import annotations

import json
from typing import Any

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serinus.api.problems import of
from serinus.control.plane import Plane
from serinus.core.errors import SerinusError

__all__ = ["FastExecute"]

_FIELDS = frozenset({"input", "user_id", "session_id", "workflow_id"})
_UNITS = ("user_id", "session_id", "workflow_id")
_MAX_UNIT, _MAX_NAME = 256, 120


class FastExecute:
    """Answers ``POST …/rulesets/{id}/execute`` when the call is plain."""

    def __init__(self, app: ASGIApp, *, plane: Plane, prefix: str) -> None:
        """Wrap ``app``."""
        self._app, self._plane = app, plane
        self._prefix = f"{prefix}/rulesets/"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one call."""
        path = scope.get("path", "")
        ours = path.endswith("/execute") and path.startswith(self._prefix)
        if not ours or scope["type"] != "http" or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        token = headers.get(b"authorization", b"").decode("latin-1")
        ruleset = path[len(self._prefix) : -len("/execute")]
        plain = b"content-length" in headers and headers.get(b"content-type") == b"application/json"
        if not plain or token[:7] != "Bearer " or "/" in ruleset or len(ruleset) > _MAX_NAME:
            await self._app(scope, receive, send)
            return
        body = await _whole(receive)
        asked = _plain(body)
        if asked is None:
            await self._app(scope, _again(body, receive), send)
            return
        try:
            caller = await self._plane.access.known_caller(token[7:], scope["state"]["request_id"])
            units = {name: asked.get(name) or "" for name in _UNITS}
            done = await self._plane.executor.execute(caller, ruleset, asked["input"], **units)
        except SerinusError as error:
            await of(Request(scope), error)(scope, receive, send)
            return
        await _send(send, done.body())


async def _whole(receive: Receive) -> bytes:
    parts: list[bytes] = []
    while True:
        message = await receive()
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(parts)


def _plain(body: bytes) -> dict[str, Any] | None:
    """Return the call if nothing about it needs explaining."""
    try:
        asked = json.loads(body)
    except (ValueError, RecursionError):
        return None
    if not isinstance(asked, dict) or "input" not in asked or not asked.keys() <= _FIELDS:
        return None
    for name in _UNITS:
        unit = asked.get(name)
        if unit is not None and (not isinstance(unit, str) or len(unit) > _MAX_UNIT):
            return None
    return asked


def _again(body: bytes, receive: Receive) -> Receive:
    """Give the body that was read to whoever takes the long way."""
    given = False

    async def replay() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay


async def _send(send: Send, body: bytes) -> None:
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
