"""A tenant's freezes as people write them: one window, for every service or for some."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

from serinus.core.codec import from_json, refuse, told
from serinus.core.freeze import Span, Weekly
from serinus.core.policy.forms import Text
from serinus.core.policy.freezes import FreezeWindowInput
from serinus.core.policy.freezing import windows_in
from serinus.core.strategy import FreezeCalendar, FreezeSpan, TenantFreeze

__all__ = ["tenant_freeze_from", "window_words", "windows_on"]

_Service = Annotated[
    str, Text(r"[A-Za-z0-9*?][A-Za-z0-9_. /:@+*?-]*", "expected a service's name, or one with *", 120)
]
_Reason = Annotated[str, Text(r"(?=.*\S)[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f]+", "say why in one sentence", 2000)]


@dataclass(frozen=True, kw_only=True, slots=True)
class _TenantFreezeInput(FreezeWindowInput):
    zone: str = told("Time zone of the window, such as Europe/Berlin.", "UTC")
    services: tuple[_Service, ...] = told("Which services, with *; left out: every one.", ())
    reason: _Reason = told("Why.", required=True)


def tenant_freeze_from(name: str, data: Mapping[str, Any], *, by: str, at: datetime) -> TenantFreeze:
    """Read a freeze.

    Raises:
        InvalidInput: Something in it is wrong; all of it in one error, by place.
    """
    given = from_json(_TenantFreezeInput, {**data, "name": name})
    span = FreezeSpan(name=given.name, begins=given.from_, ends=given.until, days=given.days)
    calendar = FreezeCalendar(zone=given.zone, windows=(span,))
    problems: dict[str, str] = {}
    windows_in(calendar, "", problems)
    refuse({place.removeprefix("windows[0]").lstrip(".") or "from": why for place, why in problems.items()})
    return TenantFreeze(
        name=given.name,
        calendar=calendar,
        services=given.services,
        reason=given.reason,
        created_by=by,
        created_at=at,
    )


def windows_on(freeze: TenantFreeze) -> tuple[Span | Weekly, ...]:
    """Return a freeze's window, ready to be asked."""
    return windows_in(freeze.calendar, "", {})


def window_words(freeze: TenantFreeze) -> str:
    """Return a freeze's window in words: ``fri 16:00 until mon 08:00 (Europe/Berlin)``."""
    window = freeze.calendar.windows[0]
    days = f"{', '.join(window.days)} " if window.days else ""
    return f"{days}{window.begins} until {window.ends} ({freeze.calendar.zone})"
