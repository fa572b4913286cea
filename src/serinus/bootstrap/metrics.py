"""Opening a metric source by its catalogue name."""

from __future__ import annotations

from typing import Any

from serinus.core.errors import InvalidInput
from serinus.drivers.catalog import METRICS, load
from serinus.ports.metrics import MetricSource

__all__ = ["open_metrics"]


def open_metrics(name: str, **settings: Any) -> MetricSource:
    """Return the source; nothing is connected yet.

    Raises:
        InvalidInput: There is none of this name, or a setting is wrong.
    """
    if name not in METRICS:
        raise InvalidInput(
            f"There is no metric source {name!r}.",
            field="metrics",
            next_step=f"Use one of: {', '.join(METRICS)}.",
        )
    source: MetricSource = load(METRICS[name])(**settings)
    return source
