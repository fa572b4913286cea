"""Where assignments are kept: in the database, or where the settings say."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from serinus.core.errors import InvalidInput
from serinus.drivers.catalog import ASSIGNMENTS, load
from serinus.ports.assignments import Assignments
from serinus.ports.traffic import Finding
from serinus.settings import Settings

__all__ = ["Elsewhere", "assignments_from"]


class Elsewhere(Assignments, Protocol):
    """Assignments outside the database: opened, looked over and closed by themselves."""

    async def check(self) -> Sequence[Finding]:
        """Look the server over for ``serinus doctor``."""
        ...

    async def close(self) -> None:
        """Release connections."""
        ...


def assignments_from(settings: Settings) -> Elsewhere | None:
    """Open what keeps assignments outside the database; ``None`` where the database does.

    Raises:
        InvalidInput: The URL names nothing that we know, or the extra is not installed.
    """
    url = settings.assignments_url.get_secret_value()
    if not url:
        return None
    target = ASSIGNMENTS.get(url.partition("://")[0])
    if target is None:
        raise InvalidInput(
            "SERINUS_ASSIGNMENTS_URL names nothing that keeps assignments.",
            field="SERINUS_ASSIGNMENTS_URL",
            next_step="Use redis://:password@host:6379/0 (rediss:// for TLS), or leave it out: the database.",
        )
    try:
        made: Elsewhere = load(target)(url)
    except ModuleNotFoundError as error:
        raise InvalidInput(
            "Assignments in Redis need its driver.",
            field="SERINUS_ASSIGNMENTS_URL",
            next_step="pip install 'serinus[redis]'",
        ) from error
    return made
