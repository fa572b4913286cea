"""Looking a HAProxy over for ``serinus doctor``."""

from __future__ import annotations

import asyncio
import re
import shutil
import subprocess
from pathlib import Path

from serinus.drivers._proxies import find_folder
from serinus.drivers.traffic.haproxy.config import CONFIG_FILE, HaproxyConfig, Instance
from serinus.drivers.traffic.haproxy.runtime import Runtime, Unreachable
from serinus.drivers.traffic.haproxy.template import description
from serinus.ports.traffic import Finding

__all__ = ["check", "start_command"]

#: Older ones have no arrays of counters (2.5), and were not tried (2.6 is Debian 12's).
MIN_VERSION = (2, 6)
CHECK_SECONDS = 10.0


def start_command(instance: Instance) -> str:
    """Return what starts an instance."""
    return f"haproxy -f {instance.config_dir}/{CONFIG_FILE}"


async def check(config: HaproxyConfig, instance: Instance, runtime: Runtime) -> list[Finding]:
    """Look at one instance: its folder, its configuration, and itself."""
    folder = find_folder(f"haproxy {instance.name}", instance)
    valid = await _configuration(instance)
    return [folder, *([valid] if valid else []), await _process(config, instance, runtime)]


async def _configuration(instance: Instance) -> Finding | None:
    """Have HAProxy check its file; where the program or the file is on another host, that cannot be told."""
    path = Path(instance.config_dir) / CONFIG_FILE
    program = shutil.which("haproxy")
    if program is None or not path.is_file():
        return None
    name = f"haproxy {instance.name} configuration"
    process = await asyncio.create_subprocess_exec(
        program, "-c", "-f", str(path), stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            printed, _ = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        return Finding(name=name, ok=False, detail=f"haproxy -c took over {CHECK_SECONDS:g} s", remedy="")
    if process.returncode == 0:
        return Finding(name=name, ok=True, detail=f"{path} is valid")
    alerts = [line.partition(" : ")[2] for line in printed.decode().splitlines() if "[ALERT]" in line]
    detail = (alerts or ["haproxy -c refuses it"])[0][:300]
    return Finding(name=name, ok=False, detail=detail, remedy="It is written anew at the next change.")


async def _process(config: HaproxyConfig, instance: Instance, runtime: Runtime) -> Finding:
    name = f"haproxy {instance.name}"
    try:
        info = await runtime.info()
    except Unreachable as error:
        return Finding(name=name, ok=False, detail=str(error), remedy=start_command(instance))
    told = info.get("Version", "?")
    detail = f"{told}, up for {info.get('Uptime', '?')}, answers at {instance.admin}"
    if _version(told) < MIN_VERSION:
        remedy = "HAProxy 2.6 or newer is needed: apt-get install haproxy"
        return Finding(name=name, ok=False, detail=detail, remedy=remedy)
    if info.get("description") != description(config, instance):
        remedy = f"Reload it with {start_command(instance)}"
        return Finding(name=name, ok=False, detail=f"{detail}, with other settings", remedy=remedy)
    return Finding(name=name, ok=True, detail=detail)


def _version(text: str) -> tuple[int, ...]:
    """Return ``(2, 6)`` of ``2.6.12-1+deb12u4``."""
    found = re.match(r"(\d+)\.(\d+)", text)
    return (int(found[1]), int(found[2])) if found else (0, 0)
