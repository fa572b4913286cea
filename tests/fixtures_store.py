"""Stores for the contract suite and for everything that needs one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from schemas import put_schema, without_waiting
from serinus.drivers.store.sql import SqlStore


class FakeClock:
    """A clock that moves when told."""

    def __init__(self) -> None:
        self.at = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)
        self.mono = 0.0

    def now(self) -> datetime:
        """Return the told time."""
        return self.at

    def monotonic(self) -> float:
        """Return the seconds passed."""
        return self.mono

    async def sleep(self, seconds: float) -> None:
        """Let the time pass at once."""
        self.pass_(seconds)

    def pass_(self, seconds: float) -> None:
        """Move on."""
        self.at += timedelta(seconds=seconds)
        self.mono += seconds


@pytest.fixture
def clock():
    """Return a fake clock at noon."""
    return FakeClock()


@pytest.fixture(params=["sqlite", "postgresql"])
async def store(request, tmp_path):
    """Return a migrated store of each kind."""
    if request.param == "sqlite":
        made = without_waiting(SqlStore(f"sqlite:///{put_schema(tmp_path)}"))
    else:
        made = SqlStore(request.getfixturevalue("postgres").migrated())
    yield made
    await made.close()
