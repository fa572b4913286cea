"""A number from a JSON document by HTTP: any service's own status page.

Whoever may write a check may name a URL, so this must not become a way into the private network:
the host is resolved once, every address is checked, and the connection goes to the checked one.
"""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Collection, Mapping
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from pathlib import Path
from typing import Any

import httpx

from serinus.drivers._http import Trouble, Unreachable, Wire, headers_of, split_url, status_words, tls
from serinus.ports.metrics import Increases, Reading, number

__all__ = ["HttpJsonSource"]

MAX_BYTES = 1_000_000
#: Longest part of a path that is repeated in a problem.
MAX_WORDS = 100
#: IPv6 addresses that carry an IPv4 address to a translator (RFC 6052, RFC 8215).
_TRANSLATED = (ip_network("64:ff9b::/96"), ip_network("64:ff9b:1::/48"))

_Address = IPv4Address | IPv6Address


class HttpJsonSource:
    """One document by its URL; an expression is a path in it: ``data.errors.0`` or ``/data/errors/0``."""

    name = "http-json"

    def __init__(
        self,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        allow_hosts: Collection[str] = (),
        ca_file: str | Path | None = None,
        timeout_seconds: float = 5.0,
        max_bytes: int = MAX_BYTES,
    ) -> None:
        """Keep what to get; nothing is connected yet.

        Args:
            url: http or https; redirects are not followed.
            headers: Sent along, such as ``Authorization``.
            allow_hosts: Names, addresses and networks (``10.0.0.0/8``) that may be asked though they
                are private. A name does not open link-local addresses, where clouds keep their
                credentials: those have to be listed themselves.
            ca_file: PEM file of the authorities to trust instead of the system's.
            timeout_seconds: An answer comes within this, if only to say that there is none.
            max_bytes: A bigger document is not read.

        Raises:
            InvalidInput: The URL or a file is unusable.
        """
        self._parts, sign_in = split_url(url, "url")
        self._headers = headers_of(headers, sign_in)
        self._allowed = {entry.strip().lower().strip("[]") for entry in allow_hosts}
        context = tls(ca_file) if self._parts.scheme == "https" else None
        self._wire = Wire(seconds=timeout_seconds, max_bytes=max_bytes, context=context)

    def __repr__(self) -> str:
        """Name the host and path; a query may hold a token."""
        return f"HttpJsonSource({self._parts._replace(query='').geturl()!r})"

    async def close(self) -> None:
        """Release connections."""
        await self._wire.close()

    async def instant(self, expression: str, at: float) -> tuple[Reading, ...]:
        """Return the number at a path of the document as it is now, whatever ``at`` is."""
        try:
            async with self._wire.in_time():
                status, body = await self._get()
            if status != 200:
                raise Trouble(status_words(status))
            return (number(_number_at(_parsed(body), expression), at),)
        except Trouble as trouble:
            return (Reading(value=None, problem=str(trouble), at=at),)

    async def increases(
        self,
        selector: str,  # noqa: ARG002
        start: float,  # noqa: ARG002
        end: float,  # noqa: ARG002
        width: int,  # noqa: ARG002
        by: tuple[str, ...] = (),  # noqa: ARG002
    ) -> Increases:
        """Say that a document has no history."""
        return Increases(problem="a JSON document has no history: read counters from Prometheus")

    async def _get(self) -> tuple[int, bytes]:
        """Ask the host's addresses in turn until one can be connected to."""
        refused: Unreachable | None = None
        for address in await self._addresses():
            try:
                return await self._wire.ask(self._request(address))
            except Unreachable as error:
                refused = error
        raise refused or Trouble("the host name is not known")

    async def _addresses(self) -> list[_Address]:
        """Resolve the host, once, and refuse all of it when one address is off limits.

        Raises:
            Trouble: It is not known, or leads where we do not go.
        """
        host = self._host
        try:
            found = await asyncio.get_running_loop().getaddrinfo(
                host, self._parts.port or 0, type=socket.SOCK_STREAM
            )
        except (OSError, UnicodeError):
            raise Trouble("the host name is not known") from None
        addresses = [ip_address(str(entry[4][0]).partition("%")[0]) for entry in found]
        for address in addresses:
            if not self._may_ask(address):
                raise Trouble(f"{host} is at {address}, a private address: list it in allow_hosts")
        return list(dict.fromkeys(addresses))

    @property
    def _host(self) -> str:
        return (self._parts.hostname or "").lower()

    def _may_ask(self, address: _Address) -> bool:
        carried = _carried(address)
        if any(_lists(entry, one) for entry in self._allowed for one in (address, carried)):
            return True
        if any(one.is_link_local or one.is_multicast or one.is_unspecified for one in (address, carried)):
            return False
        return self._host in self._allowed or (_is_public(address) and _is_public(carried))

    def _request(self, address: _Address) -> httpx.Request:
        """Ask the checked address, by the name that the server and its certificate know."""
        where = f"[{address}]" if address.version == 6 else str(address)
        port = f":{self._parts.port}" if self._parts.port else ""
        url = self._parts._replace(netloc=where + port, path=self._parts.path or "/").geturl()
        headers = {"Accept": "application/json", **self._headers, "Host": self._parts.netloc}
        return httpx.Request("GET", url, headers=headers, extensions={"sni_hostname": self._host})


def _lists(entry: str, address: _Address) -> bool:
    """Tell whether an entry of the list is this address or its network."""
    try:
        return address in ip_network(entry, strict=False)
    except ValueError:
        return False  # a name


def _is_public(address: _Address) -> bool:
    site_local = isinstance(address, IPv6Address) and address.is_site_local
    return address.is_global and not address.is_reserved and not site_local


def _carried(address: _Address) -> _Address:
    """Return the IPv4 address inside an IPv6 one, or the address itself."""
    if isinstance(address, IPv4Address):
        return address
    inside = address.ipv4_mapped or address.sixtofour or (address.teredo or (None, None))[1]
    if inside is None and any(address in network for network in _TRANSLATED):
        inside = IPv4Address(int(address) & 0xFFFF_FFFF)
    return inside or address


def _parsed(body: bytes) -> Any:
    try:
        return json.loads(body, parse_int=float)
    except (ValueError, RecursionError):
        raise Trouble("the answer is no JSON") from None


def _number_at(document: Any, path: str) -> float:
    """Return the number at a JSON pointer (with a leading slash) or at a path with dots."""
    steps = path.split("/")[1:] if path.startswith("/") else path.split(".") if path else []
    if path.startswith("/"):
        steps = [step.replace("~1", "/").replace("~0", "~") for step in steps]
    here = document
    for step in steps:
        if isinstance(here, dict) and step in here:
            here = here[step]
        elif isinstance(here, list) and step.isdecimal() and int(step) < len(here):
            here = here[int(step)]
        else:
            raise Trouble(f"there is nothing at {path[:MAX_WORDS]!r} in the answer")
    if isinstance(here, bool) or not isinstance(here, float):
        raise Trouble(f"{_kind(here)} is at {path[:MAX_WORDS]!r}, not a number")
    return here


def _kind(value: Any) -> str:
    kinds = {bool: "true or false", str: "text", dict: "an object", list: "a list", type(None): "null"}
    return kinds[type(value)]
