"""Where messages arrive in tests: a real SMTP server, and a Slack stand-in that checks its schema."""

from __future__ import annotations

import email
import email.policy
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult

from needs import free_port


class Slack:
    """Checks each request against what Slack documents for incoming webhooks."""

    def __init__(self) -> None:
        self.messages: list[dict] = []
        self.wrong: list[str] = []
        self.answers: list[tuple[int, str]] = []
        stand_in = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                status, said = stand_in.take(self.headers["content-type"], body)
                self.send_response(status)
                self.send_header("content-length", str(len(said)))
                self.end_headers()
                self.wfile.write(said.encode())

            def log_message(self, *args) -> None:
                """Stay quiet."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/services/T0/B0/s3cret-hook"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def take(self, content_type: str, body: bytes) -> tuple[int, str]:
        """Answer as Slack would."""
        if self.answers:
            return self.answers.pop(0)
        payload = json.loads(body)
        self.wrong += list(_faults(content_type, payload))
        if self.wrong:
            return 400, "invalid_payload"
        self.messages.append(payload)
        return 200, "ok"


def _faults(content_type, payload):
    if "application/json" not in content_type:
        yield "content type"
    if not isinstance(payload.get("text"), str) or len(payload["text"]) > 40_000:
        yield "text"
    attachments = payload.get("attachments", [])
    if len(attachments) > 20:
        yield "too many attachments"
    for a in attachments:
        if not re.fullmatch(r"#[0-9a-f]{6}|good|warning|danger", a["color"]):
            yield "color"
        if "ts" in a and not isinstance(a["ts"], int):
            yield "ts"
        for f in a.get("fields", []):
            if not (
                isinstance(f["title"], str) and isinstance(f["value"], str) and isinstance(f["short"], bool)
            ):
                yield "fields"
    if "channel" in payload and not isinstance(payload["channel"], str):
        yield "channel"


@pytest.fixture
def slack():
    """Return a listening Slack stand-in."""
    stand_in = Slack()
    yield stand_in
    stand_in.server.shutdown()
    stand_in.server.server_close()
    assert stand_in.wrong == []


class Mailbox:
    """A real SMTP server that keeps what it takes, or refuses with a code."""

    def __init__(self, login: tuple[str, str] | None = None) -> None:
        self.messages: list = []
        self.refuse = ""
        self.port = free_port()

        def check(server, session, envelope, mechanism, data):
            ok = login is not None and (data.login.decode(), data.password.decode()) == login
            return AuthResult(success=ok, handled=False)

        options = {"authenticator": check, "auth_required": True, "auth_require_tls": False} if login else {}
        self.controller = Controller(self, hostname="127.0.0.1", port=self.port, **options)
        self.controller.start()

    async def handle_RCPT(self, server, session, envelope, address, options):
        """Take or refuse a recipient."""
        if self.refuse:
            return self.refuse
        envelope.rcpt_tos.append(address)
        return "250 ok"

    async def handle_DATA(self, server, session, envelope):
        """Keep a message."""
        message = email.message_from_bytes(envelope.original_content, policy=email.policy.default)
        self.messages.append((envelope.rcpt_tos, message))
        return "250 taken"


@pytest.fixture
def mailbox():
    """Return a listening SMTP server."""
    box = Mailbox()
    yield box
    box.controller.stop()
