"""Where the demo's messages arrive: a Slack stand-in that prints them, and a real local SMTP server."""

from __future__ import annotations

import asyncio
import email
import email.policy
from collections.abc import Callable
from email.message import EmailMessage
from typing import Any

import uvicorn
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

__all__ = ["Mailbox", "SlackStandIn"]

Show = Callable[[str], None]


class SlackStandIn:
    """Takes incoming-webhook calls as Slack does, keeps them and shows them."""

    def __init__(self, port: int, show: Show) -> None:
        """Listen on ``port`` once started."""
        self.messages: list[dict[str, Any]] = []
        self._show = show
        self.url = f"http://127.0.0.1:{port}/services/T000/B000/demo"
        app = Starlette(routes=[Route("/services/{rest:path}", self._take, methods=["POST"])])
        config = uvicorn.Config(app, host="127.0.0.1", port=port, log_level="warning", access_log=False)
        self._server = uvicorn.Server(config)
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start to listen."""
        self._task = asyncio.create_task(self._server.serve())
        while not self._server.started:  # noqa: ASYNC110 - uvicorn has no event for it
            await asyncio.sleep(0.02)

    async def stop(self) -> None:
        """Stop listening."""
        self._server.should_exit = True
        if self._task:
            await self._task

    async def _take(self, request: Request) -> Response:
        payload = await request.json()
        self.messages.append(payload)
        lines = [payload.get("text", "")]
        for attachment in payload.get("attachments", []):
            lines += [attachment.get("title", ""), attachment.get("text", "")]
            lines += [f"{f['title']}: {f['value']}" for f in attachment.get("fields", [])]
        seen: list[str] = []
        for line in filter(None, (x.strip() for x in lines)):
            if line not in seen:
                seen.append(line)
        self._show("\n".join(seen))
        return PlainTextResponse("ok")


class Mailbox:
    """A real SMTP server on loopback that keeps what it takes."""

    def __init__(self, port: int, show: Show) -> None:
        """Listen on ``port`` once started."""
        self.messages: list[EmailMessage] = []
        self._show = show
        self._controller = Controller(self, hostname="127.0.0.1", port=port)

    def start(self) -> None:
        """Start to listen."""
        self._controller.start()

    def stop(self) -> None:
        """Stop listening."""
        self._controller.stop()

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: ARG002, N802
        """Keep one message."""
        message = email.message_from_bytes(envelope.original_content or b"", policy=email.policy.default)
        assert isinstance(message, EmailMessage)
        self.messages.append(message)
        to = ", ".join(envelope.rcpt_tos)
        self._show(f"to {to}\n{message['subject']}")
        return "250 taken"
