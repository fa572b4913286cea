"""Writing HAProxy's configuration language."""

from __future__ import annotations

from collections.abc import Iterable

from serinus.drivers.traffic.haproxy.config import HaproxyConfig

__all__ = ["VERSION_HEADER", "count", "milliseconds", "repeatable", "section"]

VERSION_HEADER = "x-serinus-version"


def section(head: str, lines: Iterable[str]) -> str:
    """Return a section; empty lines are left out."""
    return "\n".join([head, *(f"    {line}" for line in lines if line), ""])


def milliseconds(seconds: float) -> str:
    """Return a time as HAProxy takes it."""
    return f"{max(1, round(seconds * 1000))}ms"


def repeatable(config: HaproxyConfig) -> str:
    """Return the condition that a request may be sent twice."""
    return f"{{ method {' '.join(config.retry_methods)} }}" if config.retry_methods else "{ always_false }"


def count(counter: int, of: int, condition: str = "") -> str:
    """Return the rule that adds one to a counter of the version tracked by this number."""
    # A fetch that counts, as an action would: unlike the action it also sees HAProxy's own 502s.
    return f"http-after-response set-var(txn.n) sc_inc_gpc({counter},{of}){condition}"
