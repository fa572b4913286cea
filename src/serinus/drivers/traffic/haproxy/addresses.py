"""Finding the IP addresses of upstreams: HAProxy's runtime API takes no names."""

from __future__ import annotations

import asyncio
import socket
from ipaddress import ip_address

from serinus.drivers._address import split_address
from serinus.ports.traffic import DesiredSplit, TrafficError

__all__ = ["resolve"]

TIMEOUT_SECONDS = 2.0


async def resolve(desired: DesiredSplit) -> dict[str, tuple[str, int]]:
    """Return ``host:port`` → IP address and port for every upstream of a split.

    Looked up at every tick, so a name that moves is followed.

    Raises:
        InvalidInput: One is no address.
        TrafficError: A name has no address.
    """
    upstreams = [desired.stable, *(share.upstream for share in desired.others)]
    upstreams += [desired.canary] if desired.canary else []
    found = {}
    for upstream in upstreams:
        for address in upstream.addresses:
            host, port = split_address(address, f"upstreams.{upstream.version}")
            found[address] = (await _ip(host), port)
    return found


async def _ip(host: str) -> str:
    try:
        return str(ip_address(host))
    except ValueError:
        pass  # a name: ask for it
    try:
        async with asyncio.timeout(TIMEOUT_SECONDS):
            answers = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, TimeoutError) as error:
        raise TrafficError(
            f"{host} has no address (its name was not found). Correct the service's `upstreams`."
        ) from error
    # The least of several, so that an order that changes is no change.
    return min(str(answer[4][0]) for answer in answers)
