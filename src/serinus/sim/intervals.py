"""Numbers about numbers: quantiles, geometric means, shares as people read them."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, exp, log

__all__ = ["geometric_mean", "percent", "quantile", "span"]


def quantile(values: Sequence[float | None], q: float) -> float | None:
    """Return the ``q`` quantile (nearest rank). ``None`` among the values is never: larger than any."""
    if not values:
        return None
    known = sorted(value for value in values if value is not None)
    rank = max(1, ceil(q * len(values)))
    return known[rank - 1] if rank <= len(known) else None


def geometric_mean(values: Sequence[float]) -> float | None:
    """Return the geometric mean of positive values; ``None`` of nothing."""
    return exp(sum(log(value) for value in values) / len(values)) if values else None


def percent(share: float, digits: int = 1) -> str:
    """Return a share as people read it.

    >>> percent(0.0125, 2), percent(0.01, 0)
    ('1.25 %', '1 %')
    """
    return f"{share * 100:.{digits}f} %"


def span(seconds: float | None) -> str:
    """Return a time as people read it.

    >>> span(65.0), span(600.0), span(None)
    ('65 s', '10 min', '–')
    """
    if seconds is None:
        return "–"
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
