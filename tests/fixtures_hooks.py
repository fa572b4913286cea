"""Somebody else's program: a webhook's receiver that checks each signature, and commands."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

#: The example of the Standard Webhooks specification, computed by its reference implementation.
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


class Gate:
    """Answers as told, one answer per call and the last one for ever: a status and a body."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, dict]] = []
        self.forged: list[str] = []
        self.answers: list[tuple[int, str]] = [(200, "")]
        gate = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                gate.take(self.headers, body)
                status, said = gate.answers.pop(0) if len(gate.answers) > 1 else gate.answers[0]
                content = said.encode()
                self.send_response(status)
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *args) -> None:
                """Stay quiet."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/gate"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def take(self, headers, body: bytes) -> None:
        """Check the signature as a receiver does, from the specification's words."""
        identity, at, signature = (headers[f"webhook-{part}"] for part in ("id", "timestamp", "signature"))
        key = base64.b64decode(SECRET.removeprefix("whsec_"))
        digest = hmac.new(key, f"{identity}.{at}.{body.decode()}".encode(), hashlib.sha256).digest()
        if f"v1,{base64.b64encode(digest).decode()}" not in signature.split(" "):
            self.forged.append(identity)
        self.calls.append((identity, json.loads(body)))

    @property
    def asked(self) -> list[str]:
        """The types of the messages, in order."""
        return [body["type"] for _, body in self.calls]

    def stop(self) -> None:
        """Stop listening."""
        self.server.shutdown()
        self.server.server_close()
        assert self.forged == []


@pytest.fixture
def gate(monkeypatch):
    """Return a receiver whose secret and address the server knows."""
    made = Gate()
    monkeypatch.setenv("SERINUS_HOOK_SECRET", SECRET)
    monkeypatch.setenv("SERINUS_HOOK_HOSTS", "127.0.0.1")
    yield made
    made.stop()


def webhook(gate: Gate, phase: str, name: str = "qa", **more) -> dict:
    """Return a hook that calls the receiver."""
    return {"name": name, "phase": phase, "url": gate.url, "secret_env": "SERINUS_HOOK_SECRET", **more}
