"""Knocking by TCP: a side is there when one of its addresses takes a connection."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from contextlib import suppress

__all__ = ["TcpProbe"]

#: A neighbour accepts in milliseconds; a rollback by hand waits for this.
TIMEOUT_SECONDS = 0.5
#: More addresses of one side are not asked: some of them are enough to know that it is there.
MOST = 8


class TcpProbe:
    """Opens a connection and closes it again; nothing is sent."""

    async def __call__(self, addresses: Collection[str]) -> str:
        """Return why none of the addresses answers; empty when one does."""
        asked = sorted(addresses)[:MOST]
        found = await asyncio.gather(*(_connect(address) for address in asked))
        return "" if not asked or "" in found else "; ".join(found)


async def _connect(address: str) -> str:
    host, _, port = address.rpartition(":")
    try:
        async with asyncio.timeout(TIMEOUT_SECONDS):
            _, writer = await asyncio.open_connection(host.strip("[]"), int(port))
    except TimeoutError:
        return f"{address} does not answer within {TIMEOUT_SECONDS:g} s"
    except (OSError, ValueError) as error:
        return f"{address}: {getattr(error, 'strerror', None) or 'no connection'}"
    writer.close()
    with suppress(OSError):  # it was there; how it hangs up is its own affair
        await writer.wait_closed()
    return ""
