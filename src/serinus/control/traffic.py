"""From services to drivers, and from deployments to the split they want."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from serinus.core.candidates import seats
from serinus.core.errors import InvalidInput, Unavailable
from serinus.core.health import Knocked
from serinus.core.model import Deployment, Service, Status, TargetFilter, Upstream
from serinus.ports.fleet import AGENTS
from serinus.ports.needs import ensure_able
from serinus.ports.probe import Probe
from serinus.ports.traffic import Capability, DesiredSplit, Match, Share, TrafficDriver, TrafficError

__all__ = ["DriverFactory", "TrafficPool", "desired_split"]

#: Makes a driver from a service's settings. Raises ``InvalidInput`` or ``TrafficError`` for bad ones.
DriverFactory = Callable[[Mapping[str, Any]], TrafficDriver]


class TrafficPool:
    """One driver object per driver name and settings, made on first use."""

    def __init__(
        self,
        factories: Mapping[str, DriverFactory],
        capabilities: Callable[[], Mapping[str, frozenset[Capability]]] = dict,
        probe: Probe | None = None,
    ) -> None:
        """Keep the factories by catalogue name, what tells what each of them can do, and what knocks."""
        self._probe = probe
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

    def ensure_strategy(self, service: Service, d: Deployment) -> None:
        """Refuse a strategy of which any part is more than the service's driver can carry.

        Raises:
            CannotCarry: With what is missing, and which drivers could.
        """
        canary = _upstream(service, d.version)
        mirrored = any(step.mirror_bp for step in d.strategy.steps)
        everything = DesiredSplit(
            service_id=service.id,
            service=service.name,
            stable=_upstream(service, service.stable_version),
            canary=canary,
            matches=_matches(d),
            others=_others(service, d),
            mirror=canary if mirrored else None,
        )
        self.ensure_able(service, everything)

    async def knock(self, service: Service, d: Deployment) -> Knocked:
        """Knock at both sides' addresses.

        Where the SDK carries the split there is nothing to knock at, and those of a fleet are addresses of
        its hosts' networks: from here, no answer would say nothing.
        """
        if self._probe is None:
            return Knocked()
        stable, canary = (service.upstreams.get(v, ()) for v in (d.stable_version, d.version))
        if service.driver in ("in-process", AGENTS) or not stable or not canary:
            return Knocked()
        found = await asyncio.gather(self._probe(stable), self._probe(canary))
        return Knocked(stable=found[0], canary=found[1])

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
    everyone = DesiredSplit(
        service_id=service.id, service=service.name, stable=_upstream(service, service.stable_version)
    )
    if deployment is not None and deployment.awaits_start:
        return everyone  # neither previews nor copies, before its hooks say yes
    if deployment is not None and deployment.status is Status.CANARY:
        return _running(service, deployment, everyone)
    if deployment is not None and deployment.status is Status.ACTIVE and deployment.warm_until:
        # Kept warm: the proxies know the old side still, so that switching back is a change of shares.
        return replace(everyone, canary=_upstream(service, deployment.stable_version), salt=deployment.salt)
    return everyone


def _running(service: Service, d: Deployment, everyone: DesiredSplit) -> DesiredSplit:
    pins = TargetFilter() if d.tripped else d.target_filter
    matches = () if d.tripped else _matches(d)
    mirror_bp = d.step.mirror_bp if d.step and not d.tripped and d.going_back is None else 0
    canary = _upstream(service, d.version)
    if mirror_bp:
        everyone = replace(everyone, mirror=canary, mirror_bp=mirror_bp)
        if not (matches or pins):
            return everyone  # only copies reach it: no proxy's breaker may take it out of sight
    return replace(
        everyone,
        canary=canary,
        canary_bp=_canary_bp(d),
        others=_others(service, d),
        salt=d.salt,
        user_ids=pins.user_ids,
        workflow_ids=pins.workflow_ids,
        matches=matches,
    )


def _canary_bp(d: Deployment) -> int:
    """Return the canary's buckets: its own part of the share under test, with several candidates."""
    return next(seats(d.candidates, d.weight_bp)).end if d.contested else d.weight_bp


def _others(service: Service, d: Deployment) -> tuple[Share, ...]:
    """Return the candidates beside the canary. One that is out leaves a gap, and the others stay."""
    if not d.contested:
        return ()
    first, *rest = zip(seats(d.candidates, d.weight_bp), d.candidates, strict=True)
    made, edge = [], first[0].end
    for seat, candidate in rest:
        if candidate.live:
            upstream, gap = _upstream(service, seat.version), seat.begin - edge
            made.append(Share(upstream=upstream, bp=seat.end - seat.begin, gap_bp=gap))
            edge = seat.end
    return tuple(made)


def _matches(d: Deployment) -> tuple[Match, ...]:
    preview = d.strategy.preview
    return (Match(name=preview.name, value=preview.value, cookie=preview.cookie),) if preview else ()


def _upstream(service: Service, version: str) -> Upstream:
    return Upstream(version=version, addresses=tuple(service.upstreams.get(version, ())))
