"""Rulesets and what they answered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from serinus.core.rules import RuleVersion
from serinus.ports.store.paging import Page

__all__ = ["Execution", "Executions", "NewestVersion", "Rulesets"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Execution:
    """A logged run of rules, redacted. ``id`` is given by whoever ran it, so that an answer can name it."""

    id: str
    tenant_id: str
    service_id: str
    #: Empty when nothing was rolling out.
    deployment_id: str
    at: datetime
    #: ``execute``, or ``shadow`` for the canary's rules run beside stable's.
    kind: str
    version: str
    is_canary: bool
    ok: bool
    latency_ms: float
    #: Which key decided; empty without one.
    priority: str = ""
    error: str = ""
    #: Of the error: error, time, memory, output or crash.
    error_kind: str = ""
    #: For a shadow: whether its output differs from stable's, and where.
    differs: bool = False
    input: Any = None
    output: Any = None
    differences: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class NewestVersion:
    """A ruleset's newest version, and how many it has."""

    version: str
    author: str
    created_at: datetime
    total: int


class Rulesets(Protocol):
    """Versions of rulesets: added, read, never changed."""

    async def add(self, version: RuleVersion) -> None:
        """Store a version. Raises ``Conflict`` when the ruleset has one of that name."""
        ...

    async def get(self, tenant_id: str, service_id: str, version: str) -> RuleVersion | None:
        """Return one version, whole."""
        ...

    async def page(self, tenant_id: str, service_id: str, page: Page) -> tuple[Sequence[RuleVersion], int]:
        """Return a page, newest first, and the total."""
        ...

    async def newest(self, tenant_id: str) -> Mapping[str, NewestVersion]:
        """Return of each ruleset how many versions it has and which is the newest, without their rules."""
        ...


class Executions(Protocol):
    """The execution log (``canary_execution_logs``)."""

    async def add(self, items: Sequence[Execution]) -> None:
        """Store entries; known ids are left as they are."""
        ...

    async def page(
        self,
        tenant_id: str,
        service_id: str,
        page: Page,
        *,
        deployment_id: str = "",
        kind: str = "",
        failed: bool = False,
        canary: bool = False,
        differs: bool = False,
    ) -> tuple[Sequence[Execution], int]:
        """Return a page, newest first, and the total; ``canary``: only those of the version under test."""
        ...

    async def prune(self, *, before: datetime, most: int) -> int:
        """Forget what is older than ``before`` and all but the newest ``most`` per ruleset; how many went."""
        ...
