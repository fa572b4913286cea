"""Percentages as people write them, and basis points as everything else counts them."""

from __future__ import annotations

from math import isfinite

from serinus.core.errors import InvalidInput

__all__ = ["parse_percentage", "percent"]


def parse_percentage(value: object, where: str = "traffic_percentage") -> int:
    """Return basis points (0 to 10,000) for a percentage from 0 to 100 in steps of 0.01.

    Raises:
        InvalidInput: Not a number, NaN, outside 0 to 100, or finer than 0.01.
    """
    help_ = "Give a number from 0 to 100, with at most two decimals."
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
        raise InvalidInput(f"{where} is {value!r}, which is no percentage.", field=where, next_step=help_)
    if not 0 <= value <= 100:
        raise InvalidInput(f"{where} is {value}, outside 0 to 100.", field=where, next_step=help_)
    bp = round(value * 100)
    if abs(bp - value * 100) > 1e-6:
        raise InvalidInput(f"{where} is {value}, finer than 0.01.", field=where, next_step=help_)
    return bp


def percent(bp: int) -> str:
    """Return basis points as people read them: ``"5 %"``, ``"0.25 %"``."""
    return f"{bp / 100:g} %"
