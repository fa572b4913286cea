"""What a command says when the extra that it needs is not installed."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("missing", "command", "extra"),
    [
        ("numpy", ["simulate", "--world", "plain-200", "--runs", "1"], "serinus[sim]"),
        ("numpy", ["backtest", "--prometheus", "http://127.0.0.1:9"], "serinus[sim]"),
        ("serinus.demo.run", ["demo"], "serinus[demo]"),
    ],
)
def test_the_extra_is_named_whole(missing, command, extra):
    """Its name in brackets is not taken for a colour."""
    program = f"import sys; sys.modules[{missing!r}] = None\nfrom serinus.cli.app import run\nrun()"
    done = subprocess.run(
        [sys.executable, "-c", program, *command], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert f"pip install '{extra}'" in done.stderr.replace("\n", " ")
