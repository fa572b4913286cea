"""Network namespaces: hosts of their own on this machine, joined by cables that can be pulled out."""

from __future__ import annotations

import ctypes
import itertools
import os
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from needs import program

__all__ = ["Host", "cable"]

_CLONE_NEWNET = 0x40000000
_numbers = itertools.count(1)


def _ip(*arguments: str) -> None:
    """Run ``ip``, or fail with what would permit it."""
    ip = program("ip", "apt-get install iproute2", "/sbin", "/usr/sbin")
    done = subprocess.run([ip, *arguments], check=False, capture_output=True, text=True)
    if done.returncode:
        pytest.fail(
            f"ip {' '.join(arguments)}: {done.stderr.strip()}\nNetwork namespaces need root: run the tests "
            "as root (`sudo make test`), in a container with --cap-add NET_ADMIN --cap-add SYS_ADMIN.",
            pytrace=False,
        )


class Host:
    """A network namespace. What runs inside sees its own loopback and the cables that end here."""

    def __init__(self, role: str) -> None:
        self.name = f"srn{os.getpid()}{role}"
        _ip("netns", "add", self.name)
        _ip("-n", self.name, "link", "set", "lo", "up")
        self._thread = ThreadPoolExecutor(max_workers=1, initializer=self._enter)

    def _enter(self) -> None:
        """Move this thread into the namespace: its sockets and its children are there."""
        handle = os.open(f"/run/netns/{self.name}", os.O_RDONLY)
        try:
            if ctypes.CDLL(None, use_errno=True).setns(handle, _CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), "setns")
        finally:
            os.close(handle)

    def inside(self, work: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        """Do something inside, and return what it returns."""
        return self._thread.submit(work, *arguments, **options).result()

    def pull_out(self) -> None:
        """Cut this host off."""
        _ip("-n", self.name, "link", "set", "wan", "down")

    def plug_in(self) -> None:
        """Bring it back."""
        _ip("-n", self.name, "link", "set", "wan", "up")

    def remove(self) -> None:
        """End it; whatever ran inside has to have ended before."""
        self._thread.shutdown()
        _ip("netns", "delete", self.name)


def cable(centre: Host, edge: Host) -> str:
    """Join two hosts; return the centre's address, as the edge reaches it."""
    number = next(_numbers)
    far = f"to{number}"
    names = ("link", "add", far, "netns", centre.name, "type", "veth", "peer", "name", "wan")
    _ip(*names, "netns", edge.name)
    for host, name, last in ((centre, far, 1), (edge, "wan", 2)):
        _ip("-n", host.name, "address", "add", f"10.77.{number}.{last}/30", "dev", name)
        _ip("-n", host.name, "link", "set", name, "up")
    return f"10.77.{number}.1"
