"""A real Prometheus on a free loopback port, with its own folder and an exporter under test control."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import tempfile
import threading
import time
import urllib.request
from collections.abc import Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from needs import free_port, program

INSTALL = "apt-get install prometheus"


class Exporter:
    """A scrape target whose lines the test sets: ``exporter.lines['requests_total{v="a"}'] = 3``."""

    def __init__(self) -> None:
        self.lines: dict[str, float | str] = {}
        self.scrapes = 0
        self.port = free_port()
        self._server: ThreadingHTTPServer | None = None

    def start(self) -> None:
        """Listen, on the same port every time."""
        exporter = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                text = "".join(f"{name} {value}\n" for name, value in list(exporter.lines.items()))
                exporter.scrapes += 1
                self.send_response(200)
                self.send_header("Content-Type", "text/plain; version=0.0.4")
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, *_) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

        self._server = Server(("127.0.0.1", self.port), Handler)
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        """Refuse connections from now on."""
        if self._server:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def reset(self) -> None:
        """Count from zero, as a restarted process does."""
        self.lines = dict.fromkeys(self.lines, 0)


@dataclass
class Prometheus:
    """A server that scrapes the exporter every second."""

    folder: Path
    exporter: Exporter
    port: int = field(default_factory=free_port)
    process: subprocess.Popen | None = None
    retention: str = "10d"

    @property
    def url(self) -> str:
        """Its base URL."""
        return f"http://127.0.0.1:{self.port}"

    def configure(self, **labels: str) -> None:
        """Write the configuration; every scraped series gets these labels."""
        added = [{"target_label": name, "replacement": value} for name, value in labels.items()]
        targets = [{"targets": [f"127.0.0.1:{self.exporter.port}"]}]
        jobs = [{"job_name": "app", "static_configs": targets, "metric_relabel_configs": added}]
        config = {"global": {"scrape_interval": "1s", "scrape_timeout": "1s"}, "scrape_configs": jobs}
        (self.folder / "prometheus.yml").write_text(json.dumps(config))  # JSON is YAML

    def scrape(self, job: Mapping[str, object]) -> None:
        """Write a configuration of this job alone, as a driver renders it; promtool has to like it."""
        path = self.folder / "prometheus.yml"
        path.write_text(
            json.dumps(
                {"global": {"scrape_interval": "300ms", "scrape_timeout": "300ms"}, "scrape_configs": [job]}
            )
        )
        checked = subprocess.run(
            [program("promtool", INSTALL), "check", "config", str(path)],
            check=False,
            capture_output=True,
            text=True,
        )
        assert checked.returncode == 0, checked.stdout + checked.stderr

    def backfill(self, lines: Mapping[str, Sequence[tuple[float, float | str]]]) -> None:
        """Add history, written by Prometheus' own tool; it is served after the next start."""
        name = "".join(f"# TYPE {n} gauge\n{_samples(lines, n)}" for n in sorted({_name(x) for x in lines}))
        (self.folder / "history.txt").write_text(name + "# EOF\n")
        command = [program("promtool", INSTALL), "tsdb", "create-blocks-from", "openmetrics", "--quiet"]
        data = str(self.folder / "data")
        subprocess.run([*command, str(self.folder / "history.txt"), data], check=True, capture_output=True)

    def start(self) -> None:
        """Start it and wait until it answers."""
        options = [
            f"--config.file={self.folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={self.folder / 'data'}",
            f"--storage.tsdb.retention.time={self.retention}",
            f"--web.listen-address=127.0.0.1:{self.port}",
            "--log.level=error",
        ]
        self.process = subprocess.Popen(
            [program("prometheus", INSTALL), *options],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={"GOMAXPROCS": "2"},
        )
        for _ in range(400):
            if self.process.poll() is None and _answers(f"{self.url}/-/ready"):
                return
            time.sleep(0.025)
        pytest.fail("Prometheus did not start")

    def stop(self) -> None:
        """End it, by its pid."""
        if self.process:
            self.process.terminate()
            self.process.wait(20)
            self.process = None

    def restart(self) -> None:
        """End it and start it on the same data."""
        self.stop()
        self.start()

    def reload(self) -> None:
        """Make it read its configuration again."""
        assert self.process
        self.process.send_signal(signal.SIGHUP)

    async def scraped(self, times: int = 1) -> None:
        """Wait for further scrapes, which then are stored."""
        wanted = self.exporter.scrapes + times
        while self.exporter.scrapes < wanted:
            await asyncio.sleep(0.02)
        await asyncio.sleep(0.1)


def _name(line: str) -> str:
    return line.partition("{")[0]


def _samples(lines: Mapping[str, Sequence[tuple[float, float | str]]], name: str) -> str:
    rows = [(x, s) for x in lines if _name(x) == name for s in lines[x]]
    return "".join(f"{line} {value} {at:.3f}\n" for line, (at, value) in rows)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=1) as answer:
            return answer.status == 200
    except OSError:
        return False


@pytest.fixture(scope="module")
def prometheus():
    """Return a running Prometheus; tests of a module share it."""
    with tempfile.TemporaryDirectory(prefix="serinus-prom-", ignore_cleanup_errors=True) as folder:
        made = Prometheus(Path(folder), Exporter())
        made.configure()
        made.exporter.start()
        made.start()
        yield made
        made.stop()
        made.exporter.stop()


@dataclass
class Peer:
    """A server that answers by bytes: what no well-behaved server would say, too."""

    port: int
    #: What it was asked: request head and body.
    requests: list[str] = field(default_factory=list)

    def url(self, host: str = "127.0.0.1", scheme: str = "http") -> str:
        """Return its base URL."""
        return f"{scheme}://{host}:{self.port}"


def http(body: str | bytes, status: str = "200 OK", *, length: int | None = None, more: str = "") -> bytes:
    """Return an answer; a wrong ``length`` makes it half of one."""
    data = body.encode() if isinstance(body, str) else body
    size = len(data) if length is None else length
    return f"HTTP/1.1 {status}\r\ncontent-length: {size}\r\n{more}\r\n".encode() + data


@pytest.fixture
async def answering():
    """Return what starts such servers: ``async with answering(reply) as peer``.

    ``reply`` is bytes, or a coroutine function of the request and the writer.
    """

    @asynccontextmanager
    async def start(reply, *, host: str = "127.0.0.1", tls=None):
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                length = [x for x in head.lower().split("\r\n") if x.startswith("content-length:")]
                body = await reader.readexactly(int(length[0].split(":")[1])) if length else b""
                peer.requests.append(head + body.decode())
                if isinstance(reply, bytes):
                    writer.write(reply)
                    await writer.drain()
                else:
                    await reply(head + body.decode(), writer)
            except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
                return
            finally:
                writer.close()

        server = await asyncio.start_server(serve, host, 0, ssl=tls)
        peer = Peer(server.sockets[0].getsockname()[1])
        try:
            yield peer
        finally:
            server.close()

    return start


@pytest.fixture(scope="session")
def authority(tmp_path_factory):
    """Return a folder with a private authority and a certificate of localhost that it signed."""
    openssl, folder = program("openssl", "apt-get install openssl"), tmp_path_factory.mktemp("tls")
    (folder / "names").write_text("subjectAltName=DNS:localhost,DNS:metrics.test\n")
    make = ["req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    for command in (
        [*make, "-x509", "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=Test authority"],
        [*make[:-2], "-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=localhost"],
        [
            *["x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial"],
            *["-out", "server.pem", "-days", "2", "-extfile", "names"],
        ],
    ):
        subprocess.run([openssl, *command], cwd=folder, check=True, capture_output=True)
    return folder
