"""The things that have versions, and where these answer."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from serinus.core.rules import RuleSettings

__all__ = ["Service", "ServiceKind", "Upstream"]


class ServiceKind(StrEnum):
    """What receives the requests."""

    APPLICATION = "application"  #: behind a proxy
    FEATURE = "feature"  #: endpoints or code paths inside an application
    RULESET = "ruleset"  #: versioned rules that Serinus executes


@dataclass(frozen=True, kw_only=True, slots=True)
class Upstream:
    """Where a version answers: ``host:port`` addresses; none for an in-process version."""

    version: str
    addresses: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Service:
    """A thing that has versions and receives requests."""

    id: str
    tenant_id: str
    name: str
    kind: ServiceKind = ServiceKind.APPLICATION
    stable_version: str = ""
    #: Traffic driver by catalogue name, and its settings (no secrets).
    driver: str = "in-process"
    driver_config: dict[str, object] = field(default_factory=dict)
    #: version → addresses
    upstreams: dict[str, tuple[str, ...]] = field(default_factory=dict)
    #: For kind ``ruleset``: logging, redaction, shadow executions.
    rules: RuleSettings = RuleSettings()
    created_at: datetime | None = None
