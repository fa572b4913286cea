"""Verification by requests where a driver has weights instead of our hash (plain NGINX)."""

from __future__ import annotations

import itertools
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from serinus.bootstrap.proxies import splits_by_our_hash
from serinus.cli.edge import VERSION_HEADER, verify

RELOAD = {"instances": [{"name": "e", "admin": "http://127.0.0.1:1", "config_dir": "/tmp/e"}]}
SERVICE = {"driver": "nginx-reload", "driver_config": RELOAD}
VIEW = {"version": "v2", "stable_version": "v1", "strategy": {"salt": "s"}}


@pytest.fixture
def weighted():
    """Return what starts a proxy that gives its answers in turn, whoever asks."""
    servers = []

    def start(*turns: str) -> str:
        version = itertools.cycle(turns)

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(200)
                self.send_header(VERSION_HEADER, next(version))
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        servers.append(ThreadingHTTPServer(("127.0.0.1", 0), Handler))
        threading.Thread(target=servers[-1].serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{servers[-1].server_port}/"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def test_weights_are_held_against_what_so_many_requests_can_tell(weighted):
    """No unit has a side of its own there, so the share is counted; nothing is called wrong by chance."""
    seen = verify(weighted("v1", "v1", "v2", "v1"), SERVICE, VIEW, 2500, 40)
    assert seen.ok
    assert seen.words.startswith("10 of 40 requests got v2 (v1 30, v2 10), which fits 25 %: so many tell ")


@pytest.mark.parametrize(
    ("turns", "words"),
    [
        (("v1",), "0 of 40 requests got v2 (v1 40), which does not fit 25 %"),
        (("v1", "v1", "v1", "v9"), "10 × v9 instead of v1 or v2"),
    ],
)
def test_a_share_that_is_not_there_fails(weighted, turns, words):
    """A canary that gets nothing, and a version that should get nothing."""
    seen = verify(weighted(*turns), SERVICE, VIEW, 2500, 40)
    assert not seen.ok
    assert words in seen.words


def test_at_the_ends_every_request_has_one_right_answer(weighted):
    """0 and 100 % are exact for weights, too."""
    assert verify(weighted("v1"), SERVICE, VIEW, 0, 10).words == (
        "10 of 10 requests went where the hash sends them (v1 10)"
    )
    assert not verify(weighted("v1", "v2"), SERVICE, VIEW, 0, 10).ok


def test_which_drivers_split_by_our_hash():
    """All but plain NGINX; one that is not ours is taken at its word."""
    assert splits_by_our_hash("in-process", {})
    assert not splits_by_our_hash("nginx-reload", RELOAD)
    assert splits_by_our_hash("nginx", RELOAD)
    assert splits_by_our_hash("of somebody else", {})
