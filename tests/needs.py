"""Real components: a missing one fails the run with the command that installs it."""

from __future__ import annotations

import os
import random
import shutil
import socket
import sys
from pathlib import Path

import pytest

#: Not the generator that tests seed: two runs would take the same ports.
_CHANCE = random.SystemRandom()
#: Ports to give, below those that the system gives to outgoing connections: one of these could have a
#: port by the time that it is listened on. Each process of a run has its own.
_WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % 4
_PORTS = range(20_000 + 3_000 * _WORKER, 23_000 + 3_000 * _WORKER)
_GIVEN: set[int] = set()


def program(name: str, install: str, *places: str) -> str:
    """Return the path of a program, or fail with what installs it."""
    path = os.pathsep.join([str(Path(sys.executable).parent), *places, os.environ.get("PATH", "")])
    found = shutil.which(name, path=path)
    if found is None:
        pytest.fail(f"{name} is missing: {install}", pytrace=False)
    return found


def free_port() -> int:
    """Return a loopback port that nobody listens on right now, and that was not given before."""
    while True:
        left = [port for port in _PORTS if port not in _GIVEN]
        if not left:
            _GIVEN.clear()
            continue
        port = _CHANCE.choice(left)
        _GIVEN.add(port)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
