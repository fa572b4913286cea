"""How sure a share of few trials is."""

from __future__ import annotations

from collections.abc import Callable
from math import exp, lgamma, log, log1p

__all__ = ["clopper_pearson"]


def clopper_pearson(hits: int, trials: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return the exact interval of a share of independent trials; (0, 1) without any.

    >>> [round(edge, 4) for edge in clopper_pearson(0, 100)]
    [0.0, 0.0362]
    >>> [round(edge, 4) for edge in clopper_pearson(5, 100)]
    [0.0164, 0.1128]
    """
    if not 0 <= hits <= trials:
        raise ValueError("hits are between 0 and trials")
    tail = (1 - confidence) / 2
    low = _root(lambda p: 1 - _at_most(hits - 1, trials, p) - tail) if hits else 0.0
    high = _root(lambda p: tail - _at_most(hits, trials, p)) if hits < trials else 1.0
    return low, high


def _at_most(hits: int, trials: int, p: float) -> float:
    """Return the chance of at most ``hits`` in ``trials``."""
    whole = lgamma(trials + 1)
    return sum(
        exp(whole - lgamma(k + 1) - lgamma(trials - k + 1) + k * log(p) + (trials - k) * log1p(-p))
        for k in range(hits + 1)
    )


def _root(rising: Callable[[float], float]) -> float:
    low, high = 1e-12, 1 - 1e-12
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (low, middle) if rising(middle) > 0 else (middle, high)
    return (low + high) / 2
