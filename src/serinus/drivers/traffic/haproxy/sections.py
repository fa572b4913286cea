"""Writing HAProxy's configuration language."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["milliseconds", "section"]


def section(head: str, lines: Iterable[str]) -> str:
    """Return a section; empty lines are left out."""
    return "\n".join([head, *(f"    {line}" for line in lines if line), ""])


def milliseconds(seconds: float) -> str:
    """Return a time as HAProxy takes it."""
    return f"{max(1, round(seconds * 1000))}ms"
