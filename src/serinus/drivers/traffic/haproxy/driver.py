"""Carrying splits by HAProxy: maps and servers' addresses, through its runtime API and never by a reload."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from serinus.core.analysis.queries import Query
from serinus.drivers.catalog import ensure_carried_by
from serinus.drivers.traffic.haproxy import doctor
from serinus.drivers.traffic.haproxy.addresses import resolve
from serinus.drivers.traffic.haproxy.config import HaproxyConfig, Instance
from serinus.drivers.traffic.haproxy.exposition import BREAKER_TABLE
from serinus.drivers.traffic.haproxy.files import read_map, write_all
from serinus.drivers.traffic.haproxy.latency import LATENCY_TABLE
from serinus.drivers.traffic.haproxy.prometheus import queries, scrape_config
from serinus.drivers.traffic.haproxy.runtime import Refused, Runtime, Server, Unreachable
from serinus.drivers.traffic.haproxy.slots import (
    ALONE,
    MATCHES_FILE,
    PICKS,
    SPLIT_FILE,
    Plan,
    carried_share,
    plan,
)
from serinus.drivers.traffic.haproxy.statistics import aborts_so_far, counters
from serinus.drivers.traffic.haproxy.template import description
from serinus.ports.traffic import (
    Capability,
    Carried,
    Counters,
    DesiredSplit,
    Finding,
    InstanceState,
    TrafficError,
)

__all__ = ["HaproxyDriver"]

#: Servers that get nothing, and say something by being open.
_MARK = re.compile(rf"({ALONE}|{PICKS})/s\d+")
#: Servers whose addresses a split decides.
_OURS = re.compile(rf"serinus_\d+(_or_stable)?/[ab]\d+|{_MARK.pattern}")
_OTHER_SETTINGS = "it runs with other settings; reload it with"


@dataclass(frozen=True, kw_only=True, slots=True)
class _Seen:
    """What one HAProxy holds."""

    split: Mapping[str, str]
    matches: Mapping[str, str]
    servers: Mapping[str, Server]
    description: str
    #: Slot → answers that ended before their end.
    aborts: Mapping[int, str]


class HaproxyDriver:
    """One service's fleet of HAProxies."""

    capabilities = frozenset(
        {
            Capability.STICKY,
            Capability.TARGET_FILTER,
            Capability.MATCH,
            Capability.VERSIONS,
            Capability.STATISTICS,
            Capability.LATENCY,
            Capability.FAILOVER,
            Capability.BREAKER,
            Capability.NO_RELOAD,
        }
    )

    def __init__(self, config: HaproxyConfig) -> None:
        """Keep the settings; nothing is contacted yet."""
        self._config = config
        self._runtimes = {instance.name: Runtime(instance.admin) for instance in config.instances}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> HaproxyDriver:
        """Build from a service's ``driver_config``.

        Raises:
            InvalidInput: The settings are wrong.
        """
        return cls(HaproxyConfig.read(config))

    async def close(self) -> None:
        """Nothing stays open: HAProxy closes each exchange."""

    async def apply(self, desired: DesiredSplit) -> Carried:
        """Make every instance carry ``desired``, and read back what they carry."""
        ensure_carried_by("haproxy", desired)
        resolved = await resolve(desired)
        states = await asyncio.gather(*(self._apply(i, desired, resolved) for i in self._config.instances))
        return Carried(instances=tuple(states))

    async def _apply(
        self, instance: Instance, desired: DesiredSplit, resolved: Mapping[str, tuple[str, int]]
    ) -> InstanceState:
        try:
            seen = await self._look(instance)
        except (Unreachable, Refused) as error:
            # Whatever it will be started with is what should be carried.
            before = read_map(Path(instance.config_dir) / SPLIT_FILE)
            self._write(instance, plan(self._config, desired, before, resolved))
            return _not_there(instance, error)
        # Of a map that somebody has emptied, the file still knows who has which slot and counters.
        before = dict(seen.split) or read_map(Path(instance.config_dir) / SPLIT_FILE)
        made = plan(self._config, desired, before, resolved, seen.aborts)
        self._write(instance, made)
        try:
            if _differs(made, seen):
                await self._change(instance, made, seen)
                seen = await self._look(instance)
        except Unreachable as error:
            return _not_there(instance, error)
        except Refused as error:
            share = carried_share(desired, seen.split)
            problem = f"HAProxy refused the change: {error}"
            return InstanceState(name=instance.name, ok=False, carried_bp=share, problem=problem)
        return self._state(instance, desired, made, seen)

    def _write(self, instance: Instance, made: Plan) -> None:
        try:
            write_all(self._config, instance, made)
        except OSError as error:
            raise TrafficError(
                f"{instance.name}: cannot write {instance.config_dir} ({error.strerror}). "
                "Check its rights and space."
            ) from error

    async def _change(self, instance: Instance, made: Plan, seen: _Seen) -> None:
        """Make before break: addresses first, then who gets which, then what nobody gets any more rests."""
        runtime = self._runtimes[instance.name]
        folder = Path(instance.config_dir)
        await runtime.change(_openings(made, seen.servers))
        # The expressions before the split that says they are asked, and after one that says they are not.
        if made.matches:
            await runtime.replace_map(str(folder / MATCHES_FILE), made.matches)
        if made.split != seen.split:
            await runtime.replace_map(str(folder / SPLIT_FILE), made.split)
        if not made.matches and seen.matches:
            await runtime.replace_map(str(folder / MATCHES_FILE), {})
        used = seen.servers.items()
        await runtime.change(
            f"set server {name} state maint" for name, s in used if s.ready and name not in made.servers
        )

    async def _look(self, instance: Instance) -> _Seen:
        runtime = self._runtimes[instance.name]
        folder = Path(instance.config_dir)
        split, matches, servers, info, aborts = await asyncio.gather(
            runtime.map(str(folder / SPLIT_FILE)),
            runtime.map(str(folder / MATCHES_FILE)),
            runtime.servers(),
            runtime.info(),
            runtime.aborts(),
        )
        ours = {name: s for name, s in servers.items() if _OURS.fullmatch(name)}
        return _Seen(
            split=split,
            matches=matches,
            servers=ours,
            description=info.get("description", ""),
            aborts=aborts_so_far(aborts, info.get("Start_time_sec", "")),
        )

    async def read(self, desired: DesiredSplit) -> Carried:
        """Read back what every instance carries."""
        resolved = await resolve(desired)
        states = await asyncio.gather(*(self._read(i, desired, resolved) for i in self._config.instances))
        return Carried(instances=tuple(states))

    async def _read(
        self, instance: Instance, desired: DesiredSplit, resolved: Mapping[str, tuple[str, int]]
    ) -> InstanceState:
        try:
            seen = await self._look(instance)
        except (Unreachable, Refused) as error:
            return _not_there(instance, error)
        return self._state(instance, desired, plan(self._config, desired, seen.split, resolved), seen)

    def _state(self, instance: Instance, desired: DesiredSplit, made: Plan, seen: _Seen) -> InstanceState:
        share = carried_share(desired, seen.split)
        problem = ""
        if seen.description != description(self._config, instance):
            problem = f"{_OTHER_SETTINGS} {doctor.start_command(instance)}"
        elif (made.split, made.matches, _marks(made.servers)) != (
            seen.split,
            seen.matches,
            _marks(name for name, server in seen.servers.items() if server.ready),
        ):
            problem = "it carries another split"
        elif _openings(made, seen.servers):
            problem = "it sends to other addresses"
        return InstanceState(name=instance.name, ok=not problem, carried_bp=share, problem=problem)

    async def statistics(self, desired: DesiredSplit) -> tuple[Counters, ...]:
        """Return cumulative counters per instance and version."""
        listed = await asyncio.gather(*(self._counters(i, desired) for i in self._config.instances))
        return tuple(found for some in listed for found in some)

    async def _counters(self, instance: Instance, desired: DesiredSplit) -> list[Counters]:
        runtime = self._runtimes[instance.name]
        try:
            seen, versions, latency = await asyncio.gather(
                self._look(instance), runtime.table(BREAKER_TABLE), runtime.table(LATENCY_TABLE)
            )
        except (Unreachable, Refused):
            return []
        return counters(
            desired,
            instance=instance.name,
            split=seen.split,
            versions=versions,
            latency=latency,
            aborts=seen.aborts,
            servers=seen.servers,
            now=time.time(),
        )

    async def check(self) -> tuple[Finding, ...]:
        """Look every instance over."""
        listed = await asyncio.gather(
            *(doctor.check(self._config, i, self._runtimes[i.name]) for i in self._config.instances)
        )
        return tuple(finding for some in listed for finding in some)

    def scrape_config(self) -> dict[str, Any]:
        """Return one entry of Prometheus' ``scrape_configs``.

        Raises:
            InvalidInput: The settings have no ``metrics_listen``.
        """
        return scrape_config(self._config)

    def queries(
        self, desired: DesiredSplit, *, source: str = "", window_seconds: float = 300
    ) -> dict[str, Query]:
        """Return the PromQL of each check."""
        return queries(self._config, desired, source, window_seconds)


def _differs(made: Plan, seen: _Seen) -> bool:
    resting = any(s.ready and name not in made.servers for name, s in seen.servers.items())
    return (
        (made.split, made.matches) != (seen.split, seen.matches)
        or resting
        or bool(_openings(made, seen.servers))
    )


def _openings(made: Plan, servers: Mapping[str, Server]) -> list[str]:
    """Return the commands that open every server of a plan that is not open, or not where it should be."""
    commands: list[str] = []
    for name, (host, port) in made.servers.items():
        now = servers.get(name)
        if now is None and _MARK.fullmatch(name):
            continue  # it was started by an older release, which asks the map alone
        if now is None or (now.address, now.port) != (host, port):
            commands.append(f"set server {name} addr {host} port {port}")
        if now is None or not now.ready:
            commands.append(f"set server {name} state ready")
    return commands


def _marks(names: Iterable[str]) -> set[str]:
    return {name for name in names if _MARK.fullmatch(name)}


def _not_there(instance: Instance, error: Exception) -> InstanceState:
    problem = f"{error}; start it: {doctor.start_command(instance)}"
    return InstanceState(name=instance.name, ok=False, problem=problem)
