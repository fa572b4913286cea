"""Errors, compared within one window and stratum by conditioning on both sides' total.

Given ``m`` errors among the requests of both sides, of which the share ``p`` went to the canary, the
canary's part is hypergeometric when both sides are alike: the unknown and drifting base rate has
dropped out. For a canary that fails ``r`` times as often, the likelihood ratio is

    r**x / E[r**X]      with X hypergeometric.

``E[r**X]`` is at most ``(1 + p (r - 1))**m``, its value for a binomial X (Hoeffding 1963, theorem 4:
drawing without replacement is never more spread out). Dividing by the larger number keeps the ratio
an e-value: its mean is at most 1 while both sides are alike. When most requests fail, the same is
said of the successes, which are then the rare thing.
"""

from __future__ import annotations

from math import log, log1p

__all__ = ["log_ratios"]


def log_ratios(
    canary: int, canary_errors: int, stable: int, stable_errors: int, ratios: list[float]
) -> list[float]:
    """Return ln(likelihood ratio) for each error ratio (> 0) against "both sides fail alike".

    ``canary`` and ``stable`` are requests. A window with one side empty, or in which none or all of
    the requests failed, says nothing: all zeros. Errors that were reported late may outnumber the
    requests of their window; they are cut to them.
    """
    if canary <= 0 or stable <= 0:
        return [0.0] * len(ratios)
    x = max(0, min(canary_errors, canary))
    m = x + max(0, min(stable_errors, stable))
    n = canary + stable
    if m in (0, n):
        return [0.0] * len(ratios)
    p = canary / n
    if 2 * m <= n:
        return [x * log(r) - m * log1p(p * (r - 1.0)) for r in ratios]
    return _mostly_failing(canary - x, n - m, p, m / n, ratios)


def _mostly_failing(
    successes: int, all_successes: int, p: float, rate: float, ratios: list[float]
) -> list[float]:
    """Say it of the successes: failing ``r`` times as often leaves this much of them."""
    logs = []
    for r in ratios:
        odds = r * rate / (1.0 - rate)
        left = max(0.02, (1.0 / (1.0 + odds)) / (1.0 - rate)) if r > 1 else 1.0 / max(r, 1e-9)
        logs.append(successes * log(left) - all_successes * log1p(p * (left - 1.0)))
    return logs
