"""Carrying splits by plain NGINX: weights from a template, tested, reloaded, verified (contract 3)."""

from __future__ import annotations

import asyncio
import logging
import shlex
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from serinus.core.analysis.queries import Query
from serinus.drivers._proxies import replace_file
from serinus.drivers.catalog import ensure_carried_by
from serinus.drivers.traffic.nginx import prometheus, tally
from serinus.drivers.traffic.nginx.binary import INSTALL, Program, command, probe, run
from serinus.drivers.traffic.nginx.config import Instance, ReloadConfig
from serinus.drivers.traffic.nginx.document import resolved
from serinus.drivers.traffic.nginx.findings import find_folder, find_program, test_configuration, told_wrong
from serinus.drivers.traffic.nginx.inforce import InForce, Unreachable
from serinus.drivers.traffic.nginx.logs import move_away
from serinus.drivers.traffic.nginx.render import text_of
from serinus.drivers.traffic.nginx.weights import (
    FLUSH_SECONDS,
    Plan,
    carried_share,
    render,
    stamped,
    unstamped,
)
from serinus.ports.traffic import (
    Capability,
    Carried,
    Counters,
    DesiredSplit,
    Finding,
    InstanceState,
    TrafficError,
)

__all__ = ["NginxReloadDriver"]

log = logging.getLogger("serinus.nginx")

TEMPLATE = "nginx.conf.template"
POLL_SECONDS = 0.02
#: Old workers take connections for a tenth of a second beside the new ones: so many answers in a row have
#: to come from the new.
IN_A_ROW = 8


class NotInForce(Exception):
    """A change was stopped; what was before stays in force. The message says why."""


class NginxReloadDriver:
    """One service's fleet of plain NGINXes."""

    capabilities = frozenset({Capability.STATISTICS, Capability.LATENCY, Capability.FAILOVER})

    def __init__(self, config: ReloadConfig) -> None:
        """Keep the settings; nothing is contacted yet."""
        self._config = config
        self._asked = {i.name: InForce(i, config) for i in config.instances}
        #: Instances whose last change could not be verified, with why.
        self._unverified: dict[str, str] = {}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> NginxReloadDriver:
        """Build from a service's ``driver_config``.

        Raises:
            InvalidInput: The settings are wrong.
        """
        return cls(ReloadConfig.read(config))

    async def close(self) -> None:
        """Release connections."""
        await asyncio.gather(*(asked.close() for asked in self._asked.values()))

    async def apply(self, desired: DesiredSplit) -> Carried:
        """Make every instance carry ``desired``, one after the other, and read back what they carry."""
        ensure_carried_by("nginx-reload", desired)
        plan = await _plan(desired)
        program = await asyncio.to_thread(probe, self._config.binary)
        # One after the other: a mistake that only shows in the first stops there.
        return Carried(instances=tuple([await self._apply(i, plan, program) for i in self._config.instances]))

    async def _apply(self, instance: Instance, plan: Plan, program: Program | None) -> InstanceState:
        folder = Path(instance.config_dir)
        try:
            wanted = self._wanted(instance, plan)
            await self._change(instance, plan, program, wanted)
            move_away(folder, [tally.LOG_FILE, self._config.canary_log], self._config.canary_log_megabytes)
        except NotInForce as stopped:
            state = await self._state(instance, plan, wanted)
            return InstanceState(
                name=instance.name, ok=False, carried_bp=state.carried_bp, problem=str(stopped)
            )
        except OSError as error:
            raise TrafficError(
                f"{instance.name}: cannot write {folder} ({error.strerror}). Check its rights and space."
            ) from error
        return await self._state(instance, plan, wanted)

    def _wanted(self, instance: Instance, plan: Plan) -> str:
        folder = Path(instance.config_dir)
        (folder / "tmp").mkdir(parents=True, exist_ok=True)
        if not (folder / TEMPLATE).exists():
            replace_file(folder / TEMPLATE, text_of("reload.conf.template"))
        tally.start(folder)
        return render((folder / TEMPLATE).read_text(), self._config, instance, plan)

    async def _change(self, instance: Instance, plan: Plan, program: Program | None, wanted: str) -> None:
        """Test, replace, reload and verify; do nothing where nothing differs.

        Raises:
            NotInForce: The change was stopped.
        """
        path = Path(instance.config_dir, "nginx.conf")
        before = path.read_text() if path.exists() else None
        asked = self._asked[instance.name]
        same = before is not None and unstamped(before) == wanted
        with suppress(Unreachable):
            if before is not None and same and await asked.carries(before):
                if instance.name in self._unverified:
                    await self._verify(instance, plan)
                return
        if program is None:
            raise NotInForce(f"{self._config.binary} is not installed here: {INSTALL['']}")
        fresh = before if before is not None and same else stamped(wanted)
        if not same:
            await self._test(instance, program, fresh)
            replace_file(path, fresh)
        try:
            await asked.digest()
        except Unreachable:
            return  # down: it begins with the new file
        await self._reload(instance, program, fresh, before)
        log.info(
            "nginx reloaded",
            extra={
                "action": "nginx.reloaded",
                "instance": instance.name,
                "production_weight": plan.production_weight,
                "canary_weight": plan.canary_weight,
            },
        )
        await self._verify(instance, plan)

    async def _test(self, instance: Instance, program: Program, text: str) -> None:
        fresh = Path(instance.config_dir, "nginx.conf.new")
        replace_file(fresh, text)
        try:
            line = [*command(self._config.binary, instance.config_dir)[1:-1], str(fresh), "-t"]
            status, said = await run(program.path, *line)
        finally:
            fresh.unlink(missing_ok=True)
        if status:
            raise NotInForce(
                f"nginx -t refused the new configuration ({told_wrong(said)}); the old one stays in force. "
                f"Correct {Path(instance.config_dir, TEMPLATE)}."
            )

    async def _reload(self, instance: Instance, program: Program, fresh: str, before: str | None) -> None:
        line = command(self._config.binary, instance.config_dir)[1:]
        status, said = await run(program.path, *line, "-s", "reload")
        why = told_wrong(said) if status else "its error.log says why"
        if status == 0 and await self._taken(instance, fresh):
            return
        if before is not None:
            # What is in force is what the next start has to find.
            replace_file(Path(instance.config_dir, "nginx.conf"), before)
        raise NotInForce(f"the reload failed ({why}); the old configuration stays in force")

    async def _taken(self, instance: Instance, fresh: str) -> bool:
        """Wait until new connections meet nothing but the new configuration."""
        row = 0
        for _ in range(max(IN_A_ROW, int(self._config.reload_seconds / POLL_SECONDS))):
            try:
                row = row + 1 if await self._asked[instance.name].carries(fresh) else 0
            except Unreachable:
                row = 0
            if row >= IN_A_ROW:
                return True
            await asyncio.sleep(POLL_SECONDS)
        return False

    async def _verify(self, instance: Instance, plan: Plan) -> None:
        """Send real requests through the front door.

        Raises:
            NotInForce: An answer failed, or came from a version that has no share.
        """
        allowed = {plan.stable[0]} if plan.bp == 0 else {plan.stable[0], plan.canary[0]}
        wrong = await self._asked[instance.name].verify(allowed)
        if wrong:
            self._unverified[instance.name] = wrong
            raise NotInForce(f"it was reloaded, but {wrong}")
        self._unverified.pop(instance.name, None)

    async def read(self, desired: DesiredSplit) -> Carried:
        """Read back what every instance carries."""
        plan = await _plan(desired)
        states = []
        for instance in self._config.instances:
            template = Path(instance.config_dir, TEMPLATE)
            text = template.read_text() if template.exists() else text_of("reload.conf.template")
            states.append(await self._state(instance, plan, render(text, self._config, instance, plan)))
        return Carried(instances=tuple(states))

    async def _state(self, instance: Instance, plan: Plan, wanted: str) -> InstanceState:
        path = Path(instance.config_dir, "nginx.conf")
        there = path.read_text() if path.exists() else ""
        share = carried_share(there, plan.canary[1], sticky=self._config.sticky) if plan.has_canary else 0
        line = shlex.join(command(self._config.binary, instance.config_dir))
        problem = self._unverified.get(instance.name, "")
        try:
            if unstamped(there) != wanted:
                await self._asked[instance.name].digest()
                problem = "it carries another configuration"
            elif not await self._asked[instance.name].carries(there):
                problem = f"its configuration is not in force; reload it: {line} -s reload"
        except Unreachable as error:
            return InstanceState(name=instance.name, ok=False, problem=f"{error}; start it: {line}")
        return InstanceState(name=instance.name, ok=not problem, carried_bp=share, problem=problem)

    async def statistics(self, desired: DesiredSplit) -> tuple[Counters, ...]:
        """Return cumulative counters per instance and version, read from their logs."""
        plan = await _plan(desired)
        versions = {address: version for version, listed in (plan.canary, plan.stable) for address in listed}
        listed = await asyncio.gather(*(self._counters(i, versions) for i in self._config.instances))
        return tuple(counters for some in listed for counters in some)

    async def _counters(self, instance: Instance, versions: Mapping[str, str]) -> list[Counters]:
        try:
            await self._asked[instance.name].digest()
            # What was answered before this question has been written by then.
            await asyncio.sleep(2 * FLUSH_SECONDS)
            found = await asyncio.to_thread(tally.count, Path(instance.config_dir), versions)
        except (Unreachable, OSError):
            return []  # the state of this instance says what is wrong
        return [
            Counters(
                instance=instance.name,
                version=version,
                requests=t.requests,
                errors=t.errors,
                latency_total_ms=t.total_ms,
                buckets=t.cumulative(),
            )
            for version, t in sorted(found.items())
            if version in versions.values()
        ]

    def scrape_config(self) -> dict[str, Any]:
        """Return one entry of ``scrape_configs``; the counts are those of the last look of ``serinus up``."""
        return prometheus.scrape_config(self._config, "nginx-reload")

    def queries(
        self, desired: DesiredSplit, *, source: str = "", window_seconds: float = 300
    ) -> dict[str, Query]:
        """Return the PromQL of each check."""
        return prometheus.queries(self._config, "nginx-reload", desired, source, window_seconds)

    async def check(self) -> tuple[Finding, ...]:
        """Look every instance over."""
        program = await asyncio.to_thread(probe, self._config.binary)
        findings: list[Finding] = []
        for instance in self._config.instances:
            findings += [find_folder(instance), find_program(self._config, instance, program)]
            if program is not None:
                findings.append(await test_configuration(self._config, instance, program))
            findings += [await self._answers(instance), _resets(instance)]
        return tuple(findings)

    async def _answers(self, instance: Instance) -> Finding:
        name = f"nginx {instance.name}"
        try:
            await self._asked[instance.name].digest()
        except Unreachable as error:
            remedy = shlex.join(command(self._config.binary, instance.config_dir))
            return Finding(name=name, ok=False, detail=str(error), remedy=remedy)
        return Finding(name=name, ok=True, detail=f"answers at {instance.admin}")


def _resets(instance: Instance) -> Finding:
    return Finding(
        name=f"nginx {instance.name} changes",
        ok=True,
        detail="by reload: keep-alive clients may see resets; the driver nginx (Lua or njs) has none",
    )


async def _plan(desired: DesiredSplit) -> Plan:
    stable = (desired.stable.version, await resolved(desired.stable))
    canary = desired.canary
    other = (canary.version, await resolved(canary)) if canary else None
    return Plan(stable, other, desired.canary_bp, desired.salt)
