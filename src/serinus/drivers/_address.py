"""How every proxy's driver reads an address, and names a version in the proxy's own configuration."""

from __future__ import annotations

import hashlib
import re

from serinus.core.errors import InvalidInput

__all__ = ["plain_name", "split_address"]

#: Names and IP addresses: nothing that would be another part of a URL, or of a proxy's configuration.
_HOST = re.compile(r"([A-Za-z0-9._-]+)|\[([0-9A-Fa-f:.]+)\]")
_PORT = re.compile(r"[0-9]{1,5}")
#: Longest name before it is cut, in characters.
_MOST = 60


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


def plain_name(version: str) -> str:
    """Return a version's name in a proxy: letters, digits and dashes only, which mean nothing to any.

    Two versions never share a name: what is changed or cut gets a digest of the whole.

    >>> plain_name("v2"), plain_name("v2.0")
    ('v2', 'v2-0-7761fa94')
    """
    plain = re.sub(r"[^A-Za-z0-9-]", "-", version)[:_MOST]
    if plain == version:
        return plain
    return f"{plain}-{hashlib.sha256(version.encode()).hexdigest()[:8]}"
