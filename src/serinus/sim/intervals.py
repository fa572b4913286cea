"""Numbers about numbers: exact intervals for shares, quantiles, geometric means."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import ceil, exp, lgamma, log, log1p

__all__ = ["clopper_pearson", "geometric_mean", "percent", "quantile"]


def clopper_pearson(hits: int, of: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return the interval of chances under which ``hits`` of ``of`` is not too surprising (exact, 1934).

    >>> [round(bound, 4) for bound in clopper_pearson(0, 300)]
    [0.0, 0.0122]
    """
    if of == 0:
        return 0.0, 1.0
    tail = (1 - confidence) / 2
    low = 0.0 if hits == 0 else _solve(lambda p: 1 - _at_most(hits - 1, of, p) - tail)
    high = 1.0 if hits == of else _solve(lambda p: tail - _at_most(hits, of, p))
    return low, high


def _solve(rises: Callable[[float], float]) -> float:
    low, high = 0.0, 1.0
    for _ in range(50):
        middle = (low + high) / 2
        if rises(middle) < 0:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _at_most(hits: int, of: int, p: float) -> float:
    """Return the chance of at most ``hits`` hits, adding up the shorter side."""
    if p <= 0 or p >= 1:
        return 1.0 if p <= 0 else float(hits >= of)
    if hits > of // 2:
        return 1 - _at_most(of - hits - 1, of, 1 - p) if hits < of else 1.0
    logs = lgamma(of + 1)
    return sum(
        exp(logs - lgamma(k + 1) - lgamma(of - k + 1) + k * log(p) + (of - k) * log1p(-p))
        for k in range(hits + 1)
    )


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
