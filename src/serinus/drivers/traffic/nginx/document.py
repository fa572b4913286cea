"""The document of a split: what the scripts inside NGINX read, and what is read back from them.

One item a line, words parted by spaces and percent-encoded. It lies in the folder for the next start,
and in NGINX's shared dictionary for the requests of now; both are compared as text.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator, Mapping
from urllib.parse import quote, unquote

from serinus.core.model import Upstream
from serinus.drivers._address import split_address
from serinus.ports.traffic import DesiredSplit, TrafficError

__all__ = ["addresses", "carried_bp", "document", "resolved", "same_addresses", "version_id", "version_of"]

_Addresses = Mapping[str, tuple[str, ...]]


def version_id(version: str) -> str:
    """Return a version's name in documents and counters.

    >>> version_id("v2 b|1")
    'v2%20b%7C1'
    """
    return quote(version.encode("utf-8", "surrogatepass"), safe="-._:@+")


def version_of(name: str) -> str:
    """Return the version of a name in a document."""
    return unquote(name, errors="surrogatepass")


async def document(desired: DesiredSplit) -> str:
    """Return the document of a split; names of hosts are looked up here, since NGINX's scripts cannot.

    Raises:
        InvalidInput: An address is none.
        TrafficError: A version has no address, or the name of a host is not known.
    """
    upstreams = [desired.stable, *(s.upstream for s in desired.others)]
    upstreams += [u for u in (desired.canary, desired.mirror) if u is not None]
    found = {u.version: await resolved(u) for u in upstreams}
    return "".join(f"{line}\n" for line in _lines(desired, found))


def _lines(desired: DesiredSplit, found: _Addresses) -> Iterator[str]:
    def share(item: str, upstream: Upstream, bp: int) -> str:
        return " ".join((item, version_id(upstream.version), str(bp), *found[upstream.version]))

    yield "serinus 1"
    yield f"salt {version_id(desired.salt)}"
    yield " ".join(("stable", version_id(desired.stable.version), *found[desired.stable.version]))
    if desired.canary is not None:
        yield share("canary", desired.canary, desired.canary_bp)
        for s in desired.others:
            if s.gap_bp:
                yield f"gap {s.gap_bp}"
            yield share("other", s.upstream, s.bp)
        yield from (f"user {version_id(unit)}" for unit in desired.user_ids if unit)
        yield from (f"workflow {version_id(unit)}" for unit in desired.workflow_ids if unit)
        for match in desired.matches:
            item = "cookie" if match.cookie else "header"
            yield f"{item} {version_id(match.name)} {version_id(match.value)}"
    if desired.mirror is not None and desired.mirror_bp:
        yield share("mirror", desired.mirror, desired.mirror_bp)


async def resolved(upstream: Upstream) -> tuple[str, ...]:
    """Return a version's addresses with numbers for names.

    Raises:
        InvalidInput: An address is none.
        TrafficError: There is none, or the name of a host is not known.
    """
    if not upstream.addresses:
        raise TrafficError(f"{upstream.version} has no address. Give it one in the service's `upstreams`.")
    made: list[str] = []
    for address in upstream.addresses:
        host, port = split_address(address, f"upstreams.{upstream.version}")
        made += await _numeric(host, port, upstream.version)
    return tuple(dict.fromkeys(made))


async def _numeric(host: str, port: int, version: str) -> list[str]:
    try:
        answers = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise TrafficError(
            f"{version}: the host {host!r} is not known here. Check its name, or give its number."
        ) from error
    # In one order, so that asking again gives the same document.
    numbers = sorted({str(answer[4][0]) for answer in answers})
    return [f"[{n}]:{port}" if ":" in n else f"{n}:{port}" for n in numbers]


def carried_bp(text: str) -> int | None:
    r"""Return the canary's share in a document; ``None`` when it is none.

    >>> carried_bp("serinus 1\nstable v1 127.0.0.1:1\ncanary v2 500 127.0.0.1:2\n")
    500
    """
    lines = [line.split() for line in text.splitlines()]
    if not any(words[:1] == ["stable"] for words in lines):
        return None
    return next((int(words[2]) for words in lines if words[:1] == ["canary"]), 0)


def addresses(text: str) -> tuple[str, ...]:
    """Return every address in a document, each once."""
    return tuple(dict.fromkeys(a for listed in _by_version(text).values() for a in listed))


def same_addresses(one: str, other: str) -> bool:
    """Tell whether two documents send every version that both have to the same addresses."""
    mine, theirs = _by_version(one), _by_version(other)
    return all(mine[version] == theirs[version] for version in mine.keys() & theirs.keys())


def _by_version(text: str) -> dict[str, list[str]]:
    first = {"stable": 2, "canary": 3, "other": 3, "mirror": 3}
    listed = [line.split() for line in text.splitlines()]
    return {words[1]: words[first[words[0]] :] for words in listed if words[:1] and words[0] in first}
