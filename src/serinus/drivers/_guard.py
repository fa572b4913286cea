"""Asking a URL that somebody else has named, without becoming a way into the private network.

The host is resolved once, every address is checked, and the connection goes to the checked one.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Collection, Mapping
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from urllib.parse import SplitResult

import httpx

from serinus.drivers._http import Trouble, Unreachable, Wire

__all__ = ["Guard"]

#: IPv6 addresses that carry an IPv4 address to a translator (RFC 6052, RFC 8215).
_TRANSLATED = (ip_network("64:ff9b::/96"), ip_network("64:ff9b:1::/48"))

_Address = IPv4Address | IPv6Address


class Guard:
    """One URL, and which private hosts may be behind it."""

    def __init__(
        self,
        parts: SplitResult,
        wire: Wire,
        allow_hosts: Collection[str] = (),
        *,
        listed_in: str = "allow_hosts",
    ) -> None:
        """Keep where to ask.

        Args:
            parts: The URL, without user and password.
            wire: What asks.
            allow_hosts: Names, addresses and networks (``10.0.0.0/8``) that may be asked though they
                are private. A name does not open link-local addresses, where clouds keep their
                credentials: those have to be listed themselves.
            listed_in: What people call that list.
        """
        self._listed_in = listed_in
        self._parts = parts
        self._wire = wire
        self._allowed = {entry.strip().lower().strip("[]") for entry in allow_hosts}

    async def ask(self, method: str, headers: Mapping[str, str], content: bytes = b"") -> tuple[int, bytes]:
        """Ask the host's addresses in turn until one can be connected to.

        Raises:
            Trouble: No whole answer came, or the host leads where we do not go.
        """
        refused: Unreachable | None = None
        for address in await self._addresses():
            try:
                return await self._wire.ask(self._request(address, method, headers, content))
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
                raise Trouble(f"{host} is at {address}, a private address: list it in {self._listed_in}")
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

    def _request(
        self, address: _Address, method: str, headers: Mapping[str, str], content: bytes
    ) -> httpx.Request:
        """Ask the checked address, by the name that the server and its certificate know."""
        where = f"[{address}]" if address.version == 6 else str(address)
        port = f":{self._parts.port}" if self._parts.port else ""
        url = self._parts._replace(netloc=where + port, path=self._parts.path or "/").geturl()
        named = {**headers, "Host": self._parts.netloc}
        return httpx.Request(
            method, url, headers=named, content=content or None, extensions={"sni_hostname": self._host}
        )


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
