"""What a report of an instance may be: whatever agents send is checked before it is believed."""

from __future__ import annotations

from dataclasses import replace
from math import isfinite, isnan

from serinus.core.errors import InvalidInput
from serinus.ports.fleet import Report
from serinus.ports.polling import POLLS

__all__ = ["checked", "ensure_name"]

#: Versions times proxies of one report, and edges of one histogram.
MAX_COUNTERS, MAX_EDGES = 200, 500
MAX_NAME, MAX_TEXT = 100, 2000


def checked(name: str, report: Report) -> Report:
    """Return a report within its limits; long texts are cut.

    Raises:
        InvalidInput: A name or a number that cannot be.
    """
    ensure_name(name)
    if report.seq < 1 or not 1 <= len(report.run) <= 64 or report.run == POLLS:
        raise _unusable("report.seq", "The report has no run and number.", "Count from 1 in each run.")
    if len(report.counters) > MAX_COUNTERS:
        raise _unusable("report.counters", "Too many counters.", f"Send at most {MAX_COUNTERS}.")
    for at, c in enumerate(report.counters):
        numbers = (c.requests, c.errors, c.latency_total_ms, *c.buckets.values())
        sound = all(isfinite(n) and 0 <= n < 2**63 for n in numbers) and len(c.buckets) <= MAX_EDGES
        named = 1 <= len(c.version) <= 200 and len(c.proxy) <= MAX_NAME and "|" not in c.version + c.proxy
        if not sound or not named or not all(map(_is_edge, c.buckets)):
            raise _unusable(
                f"report.counters[{at}]", "A counter is no count.", "Send what the proxy counted."
            )
    texts = ("problem", "correction", "driver", "release", "revision")
    cut = {text: getattr(report, text)[:MAX_TEXT] for text in texts}
    return replace(report, memory={}, **cut)


def ensure_name(name: str) -> None:
    """Refuse a name that no instance can have.

    Raises:
        InvalidInput: It has none of a name's characters, or too many.
    """
    if not name or len(name) > MAX_NAME or not name.isprintable() or set(name) & set("|/"):
        raise _unusable(
            "instance", "The instance has no usable name.", "Use 1 to 100 characters, no | and /."
        )


def _is_edge(text: str) -> bool:
    try:
        edge = float(text)
    except ValueError:
        return False
    return not isnan(edge) and edge >= 0


def _unusable(field: str, detail: str, next_step: str) -> InvalidInput:
    return InvalidInput(detail, field=field, next_step=next_step)
