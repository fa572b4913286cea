"""From services to drivers, and from deployments to the split they want."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from serinus.core.breaker import OPEN
from serinus.core.errors import InvalidInput, Unavailable
from serinus.core.model import Deployment, Service, Status, TargetFilter, Upstream
from serinus.ports.needs import ensure_able
from serinus.ports.traffic import Capability, DesiredSplit, TrafficDriver, TrafficError

__all__ = ["DriverFactory", "TrafficPool", "desired_split"]

#: Makes a driver from a service's settings. Raises ``InvalidInput`` or ``TrafficError`` for bad ones.
DriverFactory = Callable[[Mapping[str, Any]], TrafficDriver]


class TrafficPool:
    """One driver object per driver name and settings, made on first use."""

    def __init__(
        self,
        factories: Mapping[str, DriverFactory],
        capabilities: Callable[[], Mapping[str, frozenset[Capability]]] = dict,
    ) -> None:
        """Keep the factories by catalogue name, and what tells what each of them can do."""
        self._factories = dict(factories)
        self._capabilities = capabilities
        self._made: dict[tuple[str, str], TrafficDriver] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the drivers that exist here."""
        return tuple(sorted(self._factories))

    def of(self, service: Service) -> TrafficDriver:
        """Return the driver that carries a service's split.

        Raises:
            InvalidInput: No driver has this name, or its settings are wrong.
        """
        if service.driver not in self._factories:
            raise InvalidInput(
                f"There is no traffic driver {service.driver!r}.",
                field="driver",
                next_step=f"Use one of: {', '.join(self.names)}.",
            )
        key = (service.driver, json.dumps(service.driver_config, sort_keys=True, default=str))
        if key not in self._made:
            try:
                self._made[key] = self._factories[service.driver](service.driver_config)
            except TrafficError as error:
                raise InvalidInput(str(error), field="driver_config") from error
        return self._made[key]

    def can(self, service: Service, capability: Capability) -> bool:
        """Tell whether the service's driver can do this."""
        return capability in self.of(service).capabilities

    def ensure_able(self, service: Service, desired: DesiredSplit) -> None:
        """Refuse a split that the service's driver cannot carry, before anything moves.

        Raises:
            CannotCarry: With what is missing, and which drivers could.
        """
        ensure_able(service.driver, self.of(service).capabilities, desired, self._capabilities)

    async def close(self) -> None:
        """Close every driver."""
        for driver in self._made.values():
            await driver.close()
        self._made.clear()


def desired_split(service: Service, deployment: Deployment | None) -> DesiredSplit:
    """Return what the data plane should carry: the running canary's split, or everyone on stable.

    Raises:
        Unavailable: The service has no stable version yet.
    """
    if not service.stable_version:
        raise Unavailable(
            f"{service.name} has no stable version.",
            next_step="Set `stable_version` on the service.",
        )
    stable = _upstream(service, service.stable_version)
    if deployment is None or deployment.status is not Status.CANARY:
        return DesiredSplit(service_id=service.id, service=service.name, stable=stable)
    pins = TargetFilter() if deployment.breaker.state == OPEN else deployment.target_filter
    return DesiredSplit(
        service_id=service.id,
        service=service.name,
        stable=stable,
        canary=_upstream(service, deployment.version),
        canary_bp=deployment.weight_bp,
        salt=deployment.salt,
        user_ids=pins.user_ids,
        workflow_ids=pins.workflow_ids,
    )


def _upstream(service: Service, version: str) -> Upstream:
    return Upstream(version=version, addresses=tuple(service.upstreams.get(version, ())))
