"""What a strategy may ask for beside its steps. Frozen values, stored with the deployment."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

__all__ = [
    "Blocked",
    "DuringFreeze",
    "FreezeCalendar",
    "FreezeSpan",
    "GoingBack",
    "GradualRollback",
    "Preview",
    "StrategyType",
    "TenantFreeze",
]


class StrategyType(StrEnum):
    """How traffic gets to the canary."""

    CANARY = "canary"  #: a share at a time
    BLUE_GREEN = "blue_green"  #: nobody, then everybody at once


@dataclass(frozen=True, kw_only=True, slots=True)
class Preview:
    """Requests that are on the canary whatever its share: a header, or a cookie, with this value."""

    name: str
    value: str
    cookie: bool = False

    @property
    def words(self) -> str:
        """Return it as a clause: ``header x-preview: v2``."""
        return f"cookie {self.name}={self.value}" if self.cookie else f"header {self.name}: {self.value}"


@dataclass(frozen=True, kw_only=True, slots=True)
class GradualRollback:
    """The way back for a stable side that was scaled down: rung by rung, while that side is healthy."""

    #: The canary's shares on the way, falling, in basis points; those not below the present one are
    #: left out, and after the last comes 0.
    rungs: tuple[int, ...] = (7500, 5000, 2500)
    #: Seconds at each rung.
    seconds: float = 30.0


@dataclass(frozen=True, kw_only=True, slots=True)
class GoingBack:
    """A rollback that was decided and is not done: on its way down, or held by an unhealthy stable side."""

    reason: str
    automatic: bool = False
    compensate: bool = True
    #: When the present rung was taken; ``None`` while no step back was possible yet.
    moved_at: datetime | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Blocked:
    """A rollback that Serinus would have made, and may not: an irreversible step was completed."""

    reason: str
    at: datetime
    #: The share when it was asked, in basis points: what it goes on with.
    from_bp: int
    #: What asked for it: names of checks, ``breaker``, ``no_data``, ``hook NAME``.
    causes: tuple[str, ...] = ()
    #: The phase that it had.
    phase: str = ""


class DuringFreeze(StrEnum):
    """What a freeze does to a start."""

    WAIT = "wait"  #: it begins when the freeze is over
    REFUSE = "refuse"  #: it is refused


@dataclass(frozen=True, kw_only=True, slots=True)
class FreezeSpan:
    """A freeze window as it was written: clock times, days with times, or dates with times."""

    name: str
    begins: str
    ends: str
    days: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class FreezeCalendar:
    """Times in which a deployment neither starts nor grows. Going back is never frozen."""

    zone: str = "UTC"
    windows: tuple[FreezeSpan, ...] = ()
    on_start: DuringFreeze = DuringFreeze.WAIT


@dataclass(frozen=True, kw_only=True, slots=True)
class TenantFreeze:
    """A freeze of a whole tenant, or of some of its services: it holds like a strategy's own."""

    name: str
    #: Its zone, and one window.
    calendar: FreezeCalendar
    #: Names of services, with ``*``; empty: every service.
    services: tuple[str, ...] = ()
    reason: str = ""
    created_by: str = ""
    created_at: datetime | None = None
