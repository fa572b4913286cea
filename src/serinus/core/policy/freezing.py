"""Freezes of a deployment: its calendar as it was written, asked for the present moment."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from fnmatch import fnmatchcase
from functools import lru_cache

from serinus.core.codec import from_json, to_json
from serinus.core.errors import Conflict
from serinus.core.freeze import Freeze, Span, Weekly, frozen
from serinus.core.model import Deployment, Status
from serinus.core.policy.freezes import FreezeInput, windows_of
from serinus.core.strategy import DuringFreeze, FreezeCalendar, TenantFreeze
from serinus.core.values import changed

__all__ = [
    "ensure_not_frozen",
    "frozen_for",
    "holds_service",
    "start_later",
    "windows_in",
    "with_freezes",
]


def frozen_for(d: Deployment, now: datetime) -> Freeze | None:
    """Return the freeze that a deployment waits for at ``now``; ``None`` also when it was overridden."""
    own = (d.strategy.freeze,) if d.strategy.freeze else ()
    calendars = own + tuple(freeze.calendar for freeze in d.tenant_freezes)
    if not calendars or d.freeze_override:
        return None
    return frozen((w for calendar in calendars for w in _windows(calendar)), now)


def with_freezes(d: Deployment, freezes: Iterable[TenantFreeze]) -> Deployment:
    """Return ``d`` with those of the tenant's freezes that are meant for its service."""
    meant = tuple(f for f in freezes if holds_service(f, d.service))
    return d if meant == d.tenant_freezes else changed(d, tenant_freezes=meant)


def holds_service(freeze: TenantFreeze, service: str) -> bool:
    """Tell whether a freeze is meant for a service."""
    return not freeze.services or any(fnmatchcase(service, pattern) for pattern in freeze.services)


def start_later(d: Deployment, now: datetime) -> tuple[datetime, str] | None:
    """Return when a deployment that is asked to start now may start, and why then; ``None``: now.

    Raises:
        Conflict: It is refused in a freeze.
    """
    at = d.strategy.start_at
    if d.status is Status.DRAFT and at is not None and at > now:
        return at, ""
    freeze = frozen_for(d, now)
    if freeze is None:
        return None
    if d.strategy.freeze and d.strategy.freeze.on_start is DuringFreeze.REFUSE:
        ensure_not_frozen(d, now, "The start")
    return freeze.until, freeze.sentence


def ensure_not_frozen(d: Deployment, now: datetime, what: str) -> None:
    """Refuse ``what``, a move by hand that sends more traffic, in a freeze.

    Raises:
        Conflict: A freeze is on and nobody has overridden it.
    """
    freeze = frozen_for(d, now)
    if freeze is not None:
        raise Conflict(
            f"{what} has to wait. {freeze.sentence}.",
            next_step="Wait for its end, or have an admin override it with a reason.",
            extra={"frozen_until": freeze.until.isoformat()},
        )


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
