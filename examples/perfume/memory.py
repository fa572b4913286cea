"""What the service remembers between two calls of one visit: perfumes, and the options it has shown.

A version that keeps this to itself cannot be rolled back in the middle of a visit: the other one would not
know what the user speaks of. So all versions share one SQLite file, as larger services share a database.
"""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from threading import Lock
from typing import Any

#: What was remembered so many entries ago is forgotten.
KEPT = 10_000
BUSY_SECONDS = 5.0
TABLE = """CREATE TABLE IF NOT EXISTS kept (
    n INTEGER PRIMARY KEY, kind TEXT NOT NULL, id TEXT NOT NULL, value TEXT NOT NULL, UNIQUE (kind, id)
)"""


class Memory:
    """A bounded store of JSON values by kind and id; threads and processes may share it."""

    def __init__(self, path: Path | None = None) -> None:
        """Open the file, or keep everything in this process if there is none."""
        self._lock = Lock()
        self._file = sqlite3.connect(
            path or ":memory:", timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
        )
        self._file.execute("PRAGMA journal_mode = WAL")
        self._file.execute("PRAGMA synchronous = NORMAL")
        self._file.execute(TABLE)

    def keep(self, kind: str, identity: str, value: Any) -> None:
        """Remember a value, and forget what is older than the last ``KEPT``."""
        with self._lock:
            added = self._file.execute(
                "INSERT INTO kept (kind, id, value) VALUES (?, ?, ?)", (kind, identity, json.dumps(value))
            )
            self._file.execute("DELETE FROM kept WHERE n <= ?", ((added.lastrowid or 0) - KEPT,))

    def find(self, kind: str, identity: str) -> Any:
        """Return what is remembered, or None."""
        with self._lock:
            row = self._file.execute(
                "SELECT value FROM kept WHERE kind = ? AND id = ?", (kind, identity)
            ).fetchone()
        return json.loads(row[0]) if row else None

    def take(self, kind: str, identity: str) -> Any:
        """Return what is remembered, or None, and forget it: of two callers, one gets it."""
        with self._lock:
            row = self._file.execute(
                "DELETE FROM kept WHERE kind = ? AND id = ? RETURNING value", (kind, identity)
            ).fetchone()
        return json.loads(row[0]) if row else None
