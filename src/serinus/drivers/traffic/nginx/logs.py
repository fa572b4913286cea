"""Moving logs away that have grown."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from pathlib import Path

__all__ = ["move_away"]


def move_away(folder: Path, names: Sequence[str], megabytes: float) -> None:
    """Move logs of ``folder`` above a size to ``….1``, and have the NGINX that runs there open new ones.

    Raises:
        OSError: A file cannot be moved.
    """
    grown = [folder / name for name in names if name and _size(folder / name) > megabytes * 1_000_000]
    pid = _pid(folder / "nginx.pid") if grown else None
    if pid is None:
        return
    for path in grown:
        path.replace(path.with_name(f"{path.name}.1"))
    os.kill(pid, signal.SIGUSR1)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _pid(path: Path) -> int | None:
    """Return the pid of a master that runs and may be told something; else ``None``."""
    try:
        pid = int(path.read_text())
        os.kill(pid, 0)
    except (OSError, ValueError):
        return None
    return pid
