"""Real components: a missing one fails the run with the command that installs it."""

from __future__ import annotations

import os
import shutil
import socket
import sys
from pathlib import Path

import pytest


def program(name: str, install: str, *places: str) -> str:
    """Return the path of a program, or fail with what installs it."""
    path = os.pathsep.join([str(Path(sys.executable).parent), *places, os.environ.get("PATH", "")])
    found = shutil.which(name, path=path)
    if found is None:
        pytest.fail(f"{name} is missing: {install}", pytrace=False)
    return found


def free_port() -> int:
    """Return a loopback port that nobody listens on right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
