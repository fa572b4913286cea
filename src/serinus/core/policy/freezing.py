"""Freezes of a deployment: its calendar as it was written, asked for the present moment."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from functools import lru_cache

from serinus.core.codec import from_json, to_json
from serinus.core.freeze import Freeze, Span, Weekly, frozen
from serinus.core.model import Deployment
from serinus.core.policy.freezes import FreezeInput, windows_of
from serinus.core.strategy import FreezeCalendar

__all__ = ["frozen_for", "windows_in"]


def frozen_for(d: Deployment, now: datetime) -> Freeze | None:
    """Return the freeze that a deployment waits for at ``now``; ``None`` also when it was overridden."""
    if d.strategy.freeze is None or d.freeze_override:
        return None
    return frozen(_windows(d.strategy.freeze), now)


@lru_cache(maxsize=256)
def _windows(calendar: FreezeCalendar) -> tuple[Span | Weekly, ...]:
    return windows_in(calendar, "freeze", {})


def windows_in(calendar: FreezeCalendar, where: str, problems: dict[str, str]) -> tuple[Span | Weekly, ...]:
    """Return a calendar's windows; what is wrong in it is added to ``problems`` by its place."""
    written = {"zone": calendar.zone, "windows": [_written(to_json(w)) for w in calendar.windows]}
    return windows_of(from_json(FreezeInput, written, where), where, problems)


def _written(window: dict[str, object]) -> dict[str, object]:
    names: Iterable[tuple[str, str]] = (("begins", "from"), ("ends", "until"))
    return {k: window[k] for k in ("name", "days")} | {theirs: window[ours] for ours, theirs in names}
