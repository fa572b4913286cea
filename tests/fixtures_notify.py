"""Where messages arrive in tests: a real SMTP server, and a Slack stand-in that checks its schema."""

from __future__ import annotations

import email
import email.policy
import json
import re
import ssl
import subprocess
import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult

from needs import free_port, program


class Slack:
    """Checks each request against what Slack documents for incoming webhooks."""

    def __init__(self) -> None:
        self.messages: list[dict] = []
        self.wrong: list[str] = []
        #: Said instead of ``ok``, one per request: status, text and perhaps headers.
        self.answers: list[tuple] = []
        #: Cleared by a test that wants no answer; set again at the end, so that no thread stays.
        self.awake = threading.Event()
        self.awake.set()
        stand_in = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                stand_in.awake.wait(30)
                status, said, *more = stand_in.take(self.headers["content-type"], body)
                self.answer(status, said, more[0] if more else {})

            def do_GET(self) -> None:
                """Where a redirect leads: a page, as a sign-in screen is one."""
                self.answer(200, "<html>please sign in</html>", {})

            def answer(self, status: int, said: str | bytes, headers: dict) -> None:
                content = said if isinstance(said, bytes) else said.encode()
                try:
                    self.send_response(status)
                    for name, value in {"content-length": str(len(content)), **headers}.items():
                        self.send_header(name, value)
                    self.end_headers()
                    self.wfile.write(content)
                except OSError:
                    pass  # the caller has given up

            def log_message(self, *args) -> None:
                """Stay quiet."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/services/T0/B0/s3cret-hook"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def take(self, content_type: str, body: bytes) -> tuple:
        """Answer as Slack would."""
        if self.answers:
            return self.answers.pop(0)
        payload = json.loads(body)
        faults = list(_faults(content_type, payload))
        if faults:
            self.wrong += faults
            return 400, "invalid_payload"
        self.messages.append(payload)
        return 200, "ok"

    def stop(self) -> None:
        """Stop listening."""
        self.awake.set()
        self.server.shutdown()
        self.server.server_close()


def _faults(content_type, payload):
    if not content_type.startswith("application/json"):
        yield "content type"
    attachments = payload.get("attachments", [])
    if not isinstance(payload.get("text"), str) or not payload["text"] or len(payload["text"]) > 40_000:
        yield "text"
    if len(json.dumps(payload, ensure_ascii=False)) > 40_000:
        yield "size"
    if len(attachments) > 20:
        yield "too many attachments"
    if "channel" in payload and not isinstance(payload["channel"], str):
        yield "channel"
    for text in re.findall(r'"((?:[^"\\]|\\.)*)"', json.dumps(payload, ensure_ascii=False)):
        if re.search(r"[<>]|&(?!amp;|lt;|gt;)", text) and not text.startswith("http"):
            yield f"control characters in {text}"
    for attachment in attachments:
        yield from _attachment_faults(attachment)


def _attachment_faults(a):
    known = {"color", "fallback", "text", "fields", "footer", "mrkdwn_in", "ts", "title", "title_link"}
    if unknown := set(a) - known:
        yield f"unknown {unknown}"
    if not re.fullmatch(r"#[0-9a-f]{6}|good|warning|danger", a["color"]):
        yield "color"
    if len(a.get("footer", "")) > 300:
        yield "footer"
    if not a.get("fallback"):
        yield "fallback"
    if "ts" in a and not (type(a["ts"]) is int and 0 < a["ts"] < 10**11):
        yield "ts"
    if "title_link" in a and not ("title" in a and re.match(r"https?://", a["title_link"])):
        yield "title_link"
    for f in a.get("fields", []):
        kinds = {"title": str, "value": str, "short": bool}
        if set(f) != set(kinds) or not all(isinstance(f[name], kind) for name, kind in kinds.items()):
            yield "fields"


@pytest.fixture
def slack():
    """Return a listening Slack stand-in."""
    stand_in = Slack()
    yield stand_in
    stand_in.stop()
    assert stand_in.wrong == []


@dataclass(frozen=True)
class Certificate:
    """A certificate for this machine's loopback, and a server's context with it."""

    authority: Path
    context: ssl.SSLContext


@pytest.fixture(scope="session")
def certificate(tmp_path_factory) -> Certificate:
    """Return a fresh self-signed certificate for ``localhost`` and 127.0.0.1."""
    folder = tmp_path_factory.mktemp("certificate")
    key, chain = folder / "key.pem", folder / "chain.pem"
    openssl = program("openssl", "apt-get install openssl")
    made = [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    made += ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", str(key), "-out", str(chain)]
    subprocess.run(made, check=True, capture_output=True, timeout=60)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain, key)
    return Certificate(chain, context)


class Mailbox:
    """A real SMTP server that keeps what it takes, or refuses with a code.

    ``tls`` is empty, ``starttls`` or ``implicit``.
    """

    def __init__(
        self,
        login: tuple[str, str] | None = None,
        *,
        tls: str = "",
        certificate: Certificate | None = None,
        utf8: bool = False,
    ) -> None:
        #: Recipients of the envelope and the message, as they arrived.
        self.messages: list = []
        #: Whether each message came through TLS.
        self.encrypted: list[bool] = []
        self.logins = 0
        #: Said to every recipient; or, as a dict, to those in it.
        self.refuse: str | dict[str, str] = ""
        self.refuse_data = ""
        self.port = free_port()
        context = certificate.context if certificate else None
        options: dict = {"enable_SMTPUTF8": utf8}
        if login:
            options |= {
                "authenticator": self._checker(login),
                "auth_required": True,
                "auth_require_tls": False,
            }
        if tls == "starttls":
            options |= {"tls_context": context, "require_starttls": True}
        elif tls == "implicit":
            options |= {"ssl_context": context}
        self.controller = Controller(self, hostname="127.0.0.1", port=self.port, **options)
        self.controller.start()

    def _checker(self, login):
        def check(server, session, envelope, mechanism, data):
            self.logins += 1
            ok = (data.login.decode(), data.password.decode()) == login
            return AuthResult(success=ok, handled=False)

        return check

    async def handle_RCPT(self, server, session, envelope, address, options):
        """Take or refuse a recipient."""
        said = self.refuse.get(address, "") if isinstance(self.refuse, dict) else self.refuse
        if said:
            return said
        envelope.rcpt_tos.append(address)
        return "250 ok"

    async def handle_DATA(self, server, session, envelope):
        """Keep a message."""
        if self.refuse_data:
            return self.refuse_data
        message = email.message_from_bytes(envelope.original_content, policy=email.policy.default)
        self.messages.append((envelope.rcpt_tos, message))
        self.encrypted.append(server.transport.get_extra_info("sslcontext") is not None)
        return "250 taken"


@pytest.fixture
def mailbox():
    """Return a listening SMTP server."""
    box = Mailbox()
    yield box
    box.controller.stop()


@pytest.fixture
def mail_server(certificate, monkeypatch):
    """Return a maker of SMTP servers whose certificate this process trusts."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate.authority))
    boxes = []

    def start(login=None, **more) -> Mailbox:
        box = Mailbox(login, certificate=certificate, **more)
        boxes.append(box)
        return box

    yield start
    for box in boxes:
        box.controller.stop()


@pytest.fixture
def hanging():
    """Return the port of a server that takes connections and never says a word."""
    import socket

    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]
