"""Where a version answers: ``host:port``, and nothing that would mean more to a proxy."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from serinus.core.errors import InvalidInput

__all__ = ["ensure_addresses", "split_address"]

#: Names and IP addresses: nothing that would be another part of a URL, or of a proxy's configuration.
_HOST = re.compile(r"([A-Za-z0-9._-]+)|\[([0-9A-Fa-f:.]+)\]")
_PORT = re.compile(r"[0-9]{1,5}")


def split_address(address: str, where: str) -> tuple[str, int]:
    """Return host and port of ``host:port`` or ``[v6]:port``.

    >>> split_address("127.0.0.1:80", "listen"), split_address("[::1]:80", "listen")
    (('127.0.0.1', 80), ('::1', 80))

    Args:
        address: What somebody wrote.
        where: The field it was written in.

    Raises:
        InvalidInput: It is neither.
    """
    given, _, port = address.rpartition(":")
    host = _HOST.fullmatch(given)
    if host is None or not _PORT.fullmatch(port) or not 0 < int(port) < 65536:
        raise InvalidInput(
            f"{address[:80]!r} is no address.", field=where, next_step="Write it as host:port."
        )
    return host[1] or host[2], int(port)


def ensure_addresses(upstreams: Mapping[str, Sequence[str]], where: str = "upstreams") -> None:
    """Refuse a version's address that no proxy could be told.

    Args:
        upstreams: Version → its addresses.
        where: The field that they were written in.

    Raises:
        InvalidInput: One is not ``host:port``.
    """
    for version, addresses in upstreams.items():
        for address in addresses:
            split_address(address, f"{where}.{version}")
