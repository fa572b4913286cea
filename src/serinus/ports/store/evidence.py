"""What was measured, and which sources told it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

from serinus.core.analysis.evidence import Sample, Window

__all__ = ["EvidenceLog", "Sources"]


class EvidenceLog(Protocol):
    """Windows and samples. ``arm`` says whose the canary's are: 0, or with several candidates its place."""

    async def merge(
        self,
        tenant_id: str,
        deployment_id: str,
        windows: Sequence[Window],
        samples: Sequence[Sample],
        arm: int = 0,
    ) -> None:
        """Add to what is stored: counts and histograms add up, gauges keep the newest."""
        ...

    async def read(
        self, tenant_id: str, deployment_id: str, since: float, until: float, arm: int = 0
    ) -> tuple[tuple[Window, ...], tuple[Sample, ...]]:
        """Return what overlaps ``since`` to ``until`` (Unix seconds), oldest first."""
        ...

    async def totals(self, tenant_id: str, deployment_id: str, arm: int = 0) -> tuple[Window, ...]:
        """Return one all-time window per side, endpoint and label (``seconds`` 0)."""
        ...

    async def counted(self, tenant_id: str, deployment_id: str, names: Sequence[str]) -> Mapping[str, float]:
        """Return what counters of these names add up to; those that never counted are left out."""
        ...

    async def roll_up(self, *, older_than: float, into_seconds: int, delete_before: float) -> int:
        """Merge old windows into wider ones and delete the oldest; return how many rows went."""
        ...


class Sources(Protocol):
    """Who sends measurements, and how far each one is taken over."""

    async def advance(self, tenant_id: str, source: str, seq: int, now: datetime, revision: str) -> bool:
        """Take a batch number; ``False`` when this or a later one was taken before."""
        ...

    async def cursor(self, key: str) -> Mapping[str, Any] | None:
        """Return the last cumulative counters read from a proxy."""
        ...

    async def set_cursor(self, key: str, value: Mapping[str, Any]) -> None:
        """Remember the last cumulative counters read from a proxy."""
        ...

    async def seen_since(self, tenant_id: str, since: datetime) -> Sequence[tuple[str, str, datetime]]:
        """Return ``(source, snapshot revision, last seen)`` of SDK processes seen since then."""
        ...
