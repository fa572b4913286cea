"""How every proxy's driver reads an address, and names a version in the proxy's own configuration."""

from __future__ import annotations

import hashlib
import re

from serinus.core.address import split_address

__all__ = ["plain_name", "split_address"]

#: Longest name before it is cut, in characters.
_MOST = 60


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
