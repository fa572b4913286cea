"""Moving logs away that have grown."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from pathlib import Path

__all__ = ["move_away"]


def move_away(folder: Path, names: Sequence[str], most_bytes: int, pid_file: Path) -> None:
    """Move logs above a size to ``….1``, and have NGINX open new ones.

    Raises:
        OSError: A file cannot be moved.
    """
    grown = [folder / name for name in names if _size(folder / name) > most_bytes]
    pid = _pid(pid_file)
    if not grown or pid is None:
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
