"""``serinus doctor``: is every part there, and what to do where one is not."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from serinus.bootstrap.build import build
from serinus.bootstrap.channels import notifiers_from
from serinus.bootstrap.clock import SystemClock
from serinus.bootstrap.secrets import with_secrets
from serinus.control.context import Caller
from serinus.control.monitor import MONITOR
from serinus.control.plane import Plane
from serinus.control.queries import Queries
from serinus.control.telling.notifications import NotificationService
from serinus.core.errors import InvalidInput, SerinusError
from serinus.core.model import Role
from serinus.ports.fleet import AGENTS
from serinus.ports.traffic import Finding
from serinus.settings import Settings

__all__ = ["doctor", "try_channels"]


async def doctor(settings: Settings) -> list[Finding]:
    """Look everything over without changing anything."""
    environment, sealed = _secrets(settings)
    running = build(settings, environment=environment)
    try:
        findings = list(await running.plane.context.store.check())
        if all(f.ok for f in findings):
            findings += await _jobs(running.plane.queries)
            findings += await _proxies(running.plane)
        if running.elsewhere:
            findings += await running.elsewhere.check()
    finally:
        if running.elsewhere:
            await running.elsewhere.close()
        await running.plane.traffic.close()
        await running.plane.context.store.close()
    return findings + sealed + _channels(environment)


def _secrets(settings: Settings) -> tuple[Mapping[str, str], list[Finding]]:
    """Return the environment with stored secrets, and what there is to say of them."""
    try:
        return with_secrets(settings, os.environ), []
    except InvalidInput as error:
        return os.environ, [Finding(name="secrets", ok=False, detail=error.detail, remedy=error.next_step)]
    except SerinusError:
        return os.environ, []  # the database itself is looked over anyway


async def _jobs(queries: Queries) -> Sequence[Finding]:
    jobs = (await queries.jobs(Caller(tenant_id="", name="doctor", role=Role.VIEWER)))["jobs"]
    findings = []
    for job in jobs:
        ok = job["state"] == "running"
        name = "monitor" if job["name"] == MONITOR else f"job {job['name']}"
        since = job["last_run_at"] or "never"
        remedy = "" if ok else "Start `serinus up`; until then nothing is rolled back automatically."
        detail = f"{job['state']}, last run {since}" + (f": {job['error']}" if job["error"] else "")
        findings.append(Finding(name=name, ok=ok, detail=detail, remedy=remedy))
    return findings


async def _proxies(plane: Plane) -> Sequence[Finding]:
    findings: list[Finding] = []
    async with plane.context.store.begin(write=False) as tx:
        services = [s for t in await tx.tenants.all() for s in await tx.services.all(t.id)]
    for service in services:
        try:
            findings += await plane.traffic.of(service).check()
            if service.driver == AGENTS:
                findings += await plane.fleet.check(service)
        except SerinusError as error:
            findings.append(
                Finding(
                    name=f"proxy of {service.name}", ok=False, detail=error.detail, remedy=error.next_step
                )
            )
    return findings


def _channels(environment: Mapping[str, str]) -> list[Finding]:
    try:
        on, off = notifiers_from(environment)
    except SerinusError as error:
        return [Finding(name="channels", ok=False, detail=error.detail, remedy=error.next_step)]
    findings = [Finding(name=f"channel {name}", ok=True, detail="configured") for name in on]
    remedy = "Set its variables (docs/notifications.md), then `serinus notify test`."
    for name, why in off.items():
        # One channel is enough: the others being off is a choice.
        findings.append(Finding(name=f"channel {name}", ok=bool(on), detail=f"off: {why}", remedy=remedy))
    return findings


async def try_channels(settings: Settings, only: str | None = None) -> tuple[dict[str, str], dict[str, str]]:
    """Send the test message; return why each channel failed (empty: sent), and why the others are off.

    Raises:
        InvalidInput: No such channel exists, or one is configured wrongly.
    """
    on, off = notifiers_from(with_secrets(settings, os.environ))
    if only is not None and only not in {*on, *off}:
        raise InvalidInput(
            f"There is no channel {only!r}.",
            field="channel",
            next_step=f"Use one of: {', '.join(sorted({*on, *off}))}.",
        )
    service = NotificationService(SystemClock(), on, off)
    return await service.send_test((only,) if only else None), off
