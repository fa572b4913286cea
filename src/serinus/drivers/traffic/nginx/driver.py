"""Carrying splits by NGINX with Lua or njs: a shared dictionary, changed and read back without a reload."""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from serinus.core.analysis.queries import Query
from serinus.drivers.catalog import ensure_carried_by
from serinus.drivers.traffic.nginx import prometheus
from serinus.drivers.traffic.nginx.admin import Admin, Held, Refused, Unreachable
from serinus.drivers.traffic.nginx.binary import command, probe
from serinus.drivers.traffic.nginx.config import Instance, NginxConfig
from serinus.drivers.traffic.nginx.document import carried_bp, document, same_addresses
from serinus.drivers.traffic.nginx.findings import look_over
from serinus.drivers.traffic.nginx.logs import move_away
from serinus.drivers.traffic.nginx.render import digest, lay_out, save
from serinus.ports.traffic import (
    Capability,
    Carried,
    Counters,
    DesiredSplit,
    Finding,
    InstanceState,
    TrafficError,
)

__all__ = ["NginxDriver"]


class NginxDriver:
    """One service's fleet of NGINXes that run our scripts."""

    capabilities = frozenset(
        {
            Capability.STICKY,
            Capability.TARGET_FILTER,
            Capability.MATCH,
            Capability.VERSIONS,
            Capability.MIRROR,
            Capability.STATISTICS,
            Capability.LATENCY,
            Capability.FAILOVER,
            Capability.BREAKER,
            Capability.NO_RELOAD,
        }
    )

    def __init__(self, config: NginxConfig) -> None:
        """Keep the settings; nothing is contacted yet."""
        self._config = config
        self._admins = {instance.name: Admin(instance) for instance in config.instances}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> NginxDriver:
        """Build from a service's ``driver_config``.

        Raises:
            InvalidInput: The settings are wrong.
        """
        return cls(NginxConfig.read(config))

    async def close(self) -> None:
        """Release connections."""
        await asyncio.gather(*(admin.close() for admin in self._admins.values()))

    async def apply(self, desired: DesiredSplit) -> Carried:
        """Make every instance carry ``desired``, and read back what they carry."""
        ensure_carried_by("nginx", desired)
        wanted = await document(desired)
        states = await asyncio.gather(*(self._apply(i, wanted) for i in self._config.instances))
        return Carried(instances=tuple(states))

    async def _apply(self, instance: Instance, wanted: str) -> InstanceState:
        folder = Path(instance.config_dir)
        try:
            program = await asyncio.to_thread(probe, self._config.binary)
            lay_out(self._config, instance, program)
            # For the next start; one that is down now begins with it.
            save(self._config, instance, wanted)
            move_away(folder, [self._config.canary_log], self._config.canary_log_megabytes)
        except OSError as error:
            raise TrafficError(
                f"{instance.name}: cannot write {folder} ({error.strerror}). Check its rights and space."
            ) from error
        admin = self._admins[instance.name]
        try:
            held = await admin.held()
            if held.text != wanted:
                await admin.carry(wanted)
                held = await admin.held()
        except (Unreachable, Refused) as error:
            return self._lost(instance, error)
        return self._compared(instance, held, wanted)

    async def read(self, desired: DesiredSplit) -> Carried:
        """Read back what every instance carries."""
        wanted = await document(desired)
        states = await asyncio.gather(*(self._state(i, wanted) for i in self._config.instances))
        return Carried(instances=tuple(states))

    async def _state(self, instance: Instance, wanted: str) -> InstanceState:
        try:
            held = await self._admins[instance.name].held()
        except (Unreachable, Refused) as error:
            return self._lost(instance, error)
        return self._compared(instance, held, wanted)

    def _lost(self, instance: Instance, error: Exception) -> InstanceState:
        start = shlex.join(command(self._config.binary, instance.config_dir))
        what = f"{error}; start it: {start}" if isinstance(error, Unreachable) else str(error)
        return InstanceState(name=instance.name, ok=False, problem=what)

    def _compared(self, instance: Instance, held: Held, wanted: str) -> InstanceState:
        share = carried_bp(held.text)
        problem = ""
        if held.settings != digest(self._config, instance):
            reload = shlex.join([*command(self._config.binary, instance.config_dir), "-s", "reload"])
            problem = f"it runs by other settings; reload it: {reload}"
        elif share is None:
            problem = "it carries no split yet"
        elif held.text != wanted:
            same = same_addresses(held.text, wanted)
            problem = "it carries another split" if same else "it sends to other addresses"
        return InstanceState(name=instance.name, ok=not problem, carried_bp=share, problem=problem)

    async def statistics(self, desired: DesiredSplit) -> tuple[Counters, ...]:
        """Return cumulative counters per instance and version."""
        versions = {desired.stable.version, *(s.upstream.version for s in desired.others)}
        versions |= {u.version for u in (desired.canary, desired.mirror) if u is not None}
        listed = await asyncio.gather(*(self._counters(i, versions) for i in self._config.instances))
        return tuple(counters for some in listed for counters in some)

    async def _counters(self, instance: Instance, versions: set[str]) -> list[Counters]:
        try:
            found = await self._admins[instance.name].counters()
        except (Unreachable, Refused):
            return []  # the state of this instance says what is wrong
        return [
            Counters(
                instance=instance.name,
                version=version,
                requests=c.requests,
                errors=c.errors,
                latency_total_ms=c.total_ms,
                buckets=c.buckets,
                ejected=c.ejected,
            )
            for version, c in sorted(found.items())
            if version in versions
        ]

    def scrape_config(self) -> dict[str, Any]:
        """Return one entry of ``scrape_configs`` for all instances."""
        return prometheus.scrape_config(self._config, "nginx")

    def queries(
        self, desired: DesiredSplit, *, source: str = "", window_seconds: float = 300
    ) -> dict[str, Query]:
        """Return the PromQL of each check."""
        return prometheus.queries(self._config, "nginx", desired, source, window_seconds)

    async def check(self) -> tuple[Finding, ...]:
        """Look every instance over."""
        listed = await asyncio.gather(
            *(look_over(self._config, i, self._admins[i.name]) for i in self._config.instances)
        )
        return tuple(finding for some in listed for finding in some)
