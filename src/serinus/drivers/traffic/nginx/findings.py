"""What ``serinus doctor`` finds at an instance of ``nginx``."""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import stat
from pathlib import Path

from serinus.drivers.traffic.nginx.admin import Admin, Refused, Unreachable
from serinus.drivers.traffic.nginx.binary import INSTALL, Program, command, probe, run
from serinus.drivers.traffic.nginx.config import Common, Instance, Module, NginxConfig
from serinus.drivers.traffic.nginx.render import digest, scripts_digest
from serinus.ports.traffic import Finding

__all__ = ["find_folder", "find_program", "look_over", "test_configuration", "told_wrong"]

#: Older ones have no balancer that can set timeouts per try.
MIN_VERSION = (1, 20)


async def look_over(config: NginxConfig, instance: Instance, admin: Admin) -> list[Finding]:
    """Look at the folder, the program with its module, the configuration, and whether it answers."""
    program = await asyncio.to_thread(probe, config.binary)
    findings = [find_folder(instance), find_program(config, instance, program, config.module)]
    if program is not None and findings[1].ok:
        findings.append(await test_configuration(config, instance, program))
    return [*findings, await _answers(config, instance, admin)]


def find_folder(instance: Instance) -> Finding:
    """Tell whether the folder can be written, and entered by NGINX's workers."""
    name, folder = f"nginx {instance.name} folder", Path(instance.config_dir)
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        remedy = f"mkdir -p {folder}, and let this user write there."
        return Finding(name=name, ok=False, detail=f"{folder} cannot be written", remedy=remedy)
    closed = _closed(folder)
    if closed:
        # NGINX that root starts works as somebody else, who opens logs anew and keeps large bodies here.
        detail = f"NGINX's workers, who are not root, cannot enter {closed}"
        return Finding(name=name, ok=False, detail=detail, remedy=f"chmod o+x {closed}")
    return Finding(name=name, ok=True, detail=f"{folder} can be written")


def _closed(folder: Path) -> Path | None:
    """Return the first folder on the way that others may not enter; only where root starts NGINX."""
    if os.geteuid() != 0:
        return None
    way = [*reversed(folder.parents), folder]
    return next((part for part in way if not part.stat().st_mode & stat.S_IXOTH), None)


def find_program(config: Common, instance: Instance, program: Program | None, module: str = "") -> Finding:
    """Tell whether the program is there, new enough, and has its module."""
    name = f"nginx {instance.name} program"
    remedy = f"{INSTALL[module]}."
    if program is None:
        return Finding(name=name, ok=False, detail=f"{config.binary} is not installed", remedy=remedy)
    version = ".".join(map(str, program.version))
    if program.version < MIN_VERSION:
        return Finding(name=name, ok=False, detail=f"{version} is older than 1.20", remedy=remedy)
    missing = _missing(program, module)
    detail = f"{config.binary} {version}" + (
        f"; {missing}" if missing else f" with {module}" if module else ""
    )
    return Finding(name=name, ok=not missing, detail=detail, remedy=remedy if missing else "")


def _missing(program: Program, module: str) -> str:
    if not module:
        return ""
    if module == Module.LUA:
        wanted = ("ndk_http_module.so", "ngx_http_lua_module.so")
        has = program.has("lua") or len(program.loadable(*wanted)) == len(wanted)
        return "" if has else "its module lua is not installed"
    if program.has("njs"):
        return ""
    files = program.loadable("ngx_http_js_module.so")
    if not files:
        return "its module njs is not installed"
    # Shared dictionaries came with njs 0.8; the file itself tells by the directive's name.
    return "" if b"js_shared_dict_zone" in files[0].read_bytes() else "its njs is older than 0.8"


async def test_configuration(config: Common, instance: Instance, program: Program) -> Finding:
    """Tell what ``nginx -t`` says."""
    name = f"nginx {instance.name} configuration"
    line = command(config.binary, instance.config_dir)
    if not Path(line[-1]).exists():
        return Finding(
            name=name, ok=False, detail=f"{line[-1]} is not written yet", remedy="Start `serinus up`."
        )
    status, said = await run(program.path, *line[1:], "-t")
    if status == 0:
        return Finding(name=name, ok=True, detail="nginx -t: valid")
    return Finding(
        name=name,
        ok=False,
        detail=f"nginx -t: {told_wrong(said)}",
        remedy=f"See for yourself: {shlex.join([*line, '-t'])}",
    )


def told_wrong(said: str) -> str:
    """Return the line that says what is wrong, of all that NGINX has said."""
    wrong = re.search(r"\[(?:emerg|alert|crit|error)\] (?:\d+#\d+: )?(.*)", said)
    return wrong[1] if wrong else said[-300:]


async def _answers(config: NginxConfig, instance: Instance, admin: Admin) -> Finding:
    name = f"nginx {instance.name}"
    line = command(config.binary, instance.config_dir)
    try:
        held = await admin.held()
    except Unreachable as error:
        return Finding(name=name, ok=False, detail=str(error), remedy=shlex.join(line))
    except Refused as error:
        return Finding(name=name, ok=False, detail=str(error), remedy=shlex.join([*line, "-s", "reload"]))
    if (held.settings, held.scripts) != (digest(config, instance), scripts_digest(config.module)):
        detail = "runs by older settings or by scripts of another release"
        return Finding(name=name, ok=False, detail=detail, remedy=shlex.join([*line, "-s", "reload"]))
    return Finding(name=name, ok=True, detail=f"answers at {instance.admin}")
