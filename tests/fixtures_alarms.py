"""Where alarms arrive in tests: stand-ins that check each request against what its vendor documents."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs

import jsonschema_rs as jsonschema
import pytest

ROUTING_KEY = "s3cretKEY0123456789s3cretKEY0123"
ACCOUNT, AUTH_TOKEN = "AC" + "0123456789abcdef" * 2, "s3cret-auth-token"
BOT_TOKEN = "xoxb-s3cret-bot-token"
WEBHOOK_KEY = b"s3cret-key-of-the-webhook-32-byt"
WEBHOOK_SECRET = "whsec_" + base64.b64encode(WEBHOOK_KEY).decode()

#: Events API v2: https://developer.pagerduty.com/docs/events-api-v2/trigger-events/
PAGERDUTY = {
    "type": "object",
    "required": ["routing_key", "event_action"],
    "additionalProperties": False,
    "properties": {
        "routing_key": {"type": "string", "minLength": 32, "maxLength": 32},
        "event_action": {"enum": ["trigger", "acknowledge", "resolve"]},
        "dedup_key": {"type": "string", "minLength": 1, "maxLength": 255},
        "client": {"type": "string"},
        "client_url": {"type": "string", "format": "uri"},
        "links": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["href"],
                "properties": {"href": {"type": "string"}, "text": {"type": "string"}},
            },
        },
        "images": {"type": "array"},
        "payload": {
            "type": "object",
            "required": ["summary", "source", "severity"],
            "additionalProperties": False,
            "properties": {
                "summary": {"type": "string", "minLength": 1, "maxLength": 1024},
                "source": {"type": "string", "minLength": 1},
                "severity": {"enum": ["critical", "error", "warning", "info"]},
                "timestamp": {
                    "type": "string",
                    "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d.*(Z|[+-]\d\d:?\d\d)$",
                },
                "component": {"type": "string"},
                "group": {"type": "string"},
                "class": {"type": "string"},
                "custom_details": {"type": "object"},
            },
        },
    },
    "allOf": [
        {
            "if": {"properties": {"event_action": {"const": "trigger"}}},
            "then": {"required": ["payload"]},
            "else": {"required": ["dedup_key"]},
        }
    ],
}

#: CloudEvents 1.0 in JSON: https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/cloudevents.json
CLOUD_EVENT = {
    "type": "object",
    "required": ["id", "source", "specversion", "type"],
    "propertyNames": {"pattern": "^([a-z0-9]+|data_base64)$"},
    "properties": {
        "id": {"type": "string", "minLength": 1},
        "source": {"type": "string", "format": "uri-reference", "minLength": 1},
        "specversion": {"const": "1.0"},
        "type": {"type": "string", "minLength": 1},
        "datacontenttype": {"type": "string", "minLength": 1},
        "dataschema": {"type": "string", "format": "uri", "minLength": 1},
        "subject": {"type": "string", "minLength": 1},
        "time": {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$"},
    },
}


class Receiver:
    """Takes requests as a vendor would; says what was wrong with them."""

    def __init__(self) -> None:
        #: What was taken, parsed.
        self.messages: list = []
        #: What the vendor would not have understood.
        self.wrong: list[str] = []
        #: Said instead of taking, one per request: status, text and perhaps headers.
        self.answers: list[tuple] = []
        #: Seconds before an answer.
        self.delay = 0.0
        #: Said to everybody, as long as it is set.
        self.down: tuple | None = None
        self._lock = threading.Lock()
        stand_in = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                status, said, *more = stand_in.answered(self.path, self.headers, body)
                time.sleep(stand_in.delay)
                content = said.encode()
                try:
                    self.send_response(status)
                    given = {"content-length": str(len(content)), "connection": "close"}
                    for name, value in {**given, **(more[0] if more else {})}.items():
                        self.send_header(name, value)
                    self.end_headers()
                    self.wfile.write(content)
                except OSError:
                    pass  # the caller has given up

            def log_message(self, *args) -> None:
                """Stay quiet."""

        class Server(ThreadingHTTPServer):
            request_queue_size = 128
            daemon_threads = True

        self.server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def answered(self, path, headers, body) -> tuple:
        """Answer as told, or as the vendor would."""
        with self._lock:
            if self.down:
                return self.down
            if self.answers:
                return self.answers.pop(0)
            try:
                return self.take(path, headers, body)
            except (AssertionError, ValueError, LookupError) as fault:
                self.wrong.append(f"{type(fault).__name__}: {fault}"[:500])
                return 400, "{}"

    def take(self, path, headers, body) -> tuple:
        """Check one request, keep it, answer."""
        raise NotImplementedError

    def stop(self) -> None:
        """Stop listening."""
        self.server.shutdown()
        self.server.server_close()


class PagerDuty(Receiver):
    """Events API v2; keeps incidents by their key."""

    def __init__(self) -> None:
        super().__init__()
        #: Deduplication key → open.
        self.incidents: dict[str, bool] = {}

    def take(self, path, headers, body):
        """Check an event against the documented schema."""
        assert (path, headers["content-type"]) == ("/v2/enqueue", "application/json")
        assert len(body) <= 512 * 1024
        event = json.loads(body)
        jsonschema.validate(PAGERDUTY, event)
        assert event["routing_key"] == ROUTING_KEY
        self.messages.append(event)
        self.incidents[event["dedup_key"]] = event["event_action"] == "trigger"
        said = {"status": "success", "message": "Event processed", "dedup_key": event["dedup_key"]}
        return 202, json.dumps(said)


class Twilio(Receiver):
    """The Messages resource: https://www.twilio.com/docs/messaging/api/message-resource"""

    def take(self, path, headers, body):
        """Check a message's form."""
        assert path == f"/2010-04-01/Accounts/{ACCOUNT}/Messages.json"
        assert headers["content-type"] == "application/x-www-form-urlencoded"
        login = base64.b64encode(f"{ACCOUNT}:{AUTH_TOKEN}".encode()).decode()
        if headers["authorization"] != f"Basic {login}":
            return 401, json.dumps({"code": 20003, "message": "Authenticate", "status": 401})
        form = {k: v[0] for k, v in parse_qs(body.decode(), strict_parsing=True).items()}
        assert set(form) in ({"To", "From", "Body"}, {"To", "MessagingServiceSid", "Body"})
        assert re.fullmatch(r"\+[1-9]\d{1,14}", form["To"])
        assert 0 < len(form["Body"]) <= 1600
        self.messages.append(form)
        return 201, json.dumps({"sid": f"SM{len(self.messages):032x}", "status": "queued"})


class Webhook(Receiver):
    """A receiver that verifies as Standard Webhooks says, and drops second copies by their id."""

    def __init__(self) -> None:
        super().__init__()
        self.secrets = [WEBHOOK_KEY]
        self.ids: list[str] = []

    def take(self, path, headers, body):
        """Verify a signature and the CloudEvent."""
        identity, stamp = headers["webhook-id"], headers["webhook-timestamp"]
        assert identity
        assert "." not in identity
        assert abs(time.time() - int(stamp)) < 300
        signed = f"{identity}.{stamp}.".encode() + body
        good = [base64.b64encode(hmac.new(k, signed, hashlib.sha256).digest()).decode() for k in self.secrets]
        given = [one.removeprefix("v1,") for one in headers["webhook-signature"].split(" ")]
        assert any(hmac.compare_digest(a, b) for a in good for b in given), "signature"
        assert len(body) <= 20_000 * 3  # the recommended 20 KB, with room for other scripts
        assert headers["content-type"].startswith("application/cloudevents+json")
        event = json.loads(body)
        jsonschema.validate(CLOUD_EVENT, event)
        assert event["id"] == identity
        if identity not in self.ids:
            self.messages.append(event)
        self.ids.append(identity)
        return 204, ""


class SlackApi(Receiver):
    """``chat.postMessage``: https://docs.slack.dev/reference/methods/chat.postMessage"""

    def take(self, path, headers, body):
        """Check a post: its arguments, its attachments, its thread."""
        from fixtures_notify import _attachment_faults

        assert path == "/api/chat.postMessage"
        assert headers["content-type"].startswith("application/json")
        if headers["authorization"] != f"Bearer {BOT_TOKEN}":
            return 200, json.dumps({"ok": False, "error": "invalid_auth"})
        post = json.loads(body)
        known = {"channel", "text", "mrkdwn", "attachments", "thread_ts", "reply_broadcast"}
        assert set(post) <= known, set(post) - known
        assert post["channel"]
        assert 0 < len(post["text"]) <= 40_000
        assert len(post["attachments"]) <= 20
        faults = [f for a in post["attachments"] for f in _attachment_faults(a)]
        assert not faults, faults
        handles = [m["ts"] for m in self.messages]
        if "thread_ts" in post and post["thread_ts"] not in handles:
            return 200, json.dumps({"ok": False, "error": "thread_not_found"})
        handle = f"17000000{len(self.messages):02d}.{len(self.messages):06d}"
        self.messages.append({**post, "ts": handle})
        return 200, json.dumps({"ok": True, "channel": "C1", "ts": handle, "message": {}})


def _listening(kind):
    stand_in = kind()
    yield stand_in
    stand_in.stop()
    assert stand_in.wrong == []


@pytest.fixture
def pagerduty():
    """Return a listening PagerDuty stand-in."""
    yield from _listening(PagerDuty)


@pytest.fixture
def twilio():
    """Return a listening Twilio stand-in."""
    yield from _listening(Twilio)


@pytest.fixture
def webhook():
    """Return a listening receiver of signed webhooks."""
    yield from _listening(Webhook)


@pytest.fixture
def slack_api():
    """Return a listening stand-in of Slack's Web API."""
    yield from _listening(SlackApi)


class Anything(Receiver):
    """Takes whatever comes: Apprise's ``json://`` for one."""

    def take(self, path, headers, body):
        """Keep it."""
        is_json = "json" in headers["content-type"]
        self.messages.append(json.loads(body) if is_json else body)
        return 200, "ok"


@pytest.fixture
def anything():
    """Return a receiver of anything."""
    yield from _listening(Anything)
