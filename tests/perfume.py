"""A small stand-in for contract 3's sample service: three calls, two log lines, two metrics."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest


class Perfume:
    """Answers on loopback; ``broken`` names what goes wrong."""

    def __init__(self, log: Path) -> None:
        self.log, self.broken = log, ""
        self.asked: list[str] = []
        self.headers: list[dict] = []
        service = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                length = int(self.headers.get("content-length", 0))
                service.asked.append(self.path)
                service.headers.append(dict(self.headers))
                self._send(*service.answer(self.path, json.loads(self.rfile.read(length))))

            def do_GET(self) -> None:
                if service.broken == "metrics":
                    self._send(404, {})
                    return
                text = (
                    "# TYPE llm_brief_schema_failures_total counter\n"
                    'llm_brief_schema_failures_total{version="canary",mode="fast"} 0\n'
                    'llm_brief_schema_failures_total{version="canary",mode="creative"} '
                    f"{2 if service.broken == 'schema' else 0}\n"
                    'rl_training_loss{version="canary"} 0.31\n'
                )
                self._send(200, text)

            def _send(self, status: int, body: object) -> None:
                raw = (body if isinstance(body, str) else json.dumps(body)).encode()
                self.send_response(status)
                self.send_header("content-length", str(len(raw)))
                self.send_header("x-serinus-version", "v2")
                self.end_headers()
                self.wfile.write(raw)

            def log_message(self, *_) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.address = f"127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def answer(self, path: str, body: dict) -> tuple[int, dict]:
        """Return status and body, and write what the service logs."""
        if path == "/dna/create":
            return (500, {}) if self.broken == "create" else (201, {"id": "dna-7"})
        if path == "/evolve/options":
            self._log(event="llm_brief", mode=body["mode"], elapsed_ms=12)
            count = 2 if self.broken == "options" else 3
            options = [{"id": f"o{n}", "score": 0.5} for n in range(count)]
            return 200, {"dna_id": body["dna_id"], "options": options}
        more = {} if self.broken == "log" else {"clip_frac": 0.1}
        self._log(event="rl_update", algo="PPO", loss=0.3, reward=1, entropy=0.7, **more)
        return 200, {"updated": True}

    def _log(self, **fields) -> None:
        with self.log.open("a") as file:
            file.write(json.dumps(fields) + "\n")


@pytest.fixture
def perfume(tmp_path):
    """Return a running service whose log is ``perfume.log`` in the test's folder."""
    made = Perfume(tmp_path / "perfume.log")
    yield made
    made.server.shutdown()
    made.server.server_close()
