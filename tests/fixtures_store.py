"""Stores for the contract suite and for everything that needs one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

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
        made = SqlStore(f"sqlite:///{tmp_path}/serinus.db")
    else:
        made = SqlStore(request.getfixturevalue("postgres").fresh())
    await made.migrate()
    yield made
    await made.close()
