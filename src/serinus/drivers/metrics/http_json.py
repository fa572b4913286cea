"""A number from a JSON document by HTTP: any service's own status page.

Whoever may write a check may name a URL, so this must not become a way into the private network:
:mod:`serinus.drivers._guard` sees to that.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from serinus.drivers._guard import Guard
from serinus.drivers._http import Trouble, Wire, headers_of, split_url, status_words, tls
from serinus.ports.metrics import Increases, Reading, number

__all__ = ["HttpJsonSource"]

MAX_BYTES = 1_000_000
#: Longest part of a path that is repeated in a problem.
MAX_WORDS = 100


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
        context = tls(ca_file) if self._parts.scheme == "https" else None
        self._wire = Wire(seconds=timeout_seconds, max_bytes=max_bytes, context=context)
        self._guard = Guard(self._parts, self._wire, allow_hosts)

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
                status, body = await self._guard.ask("GET", {"Accept": "application/json", **self._headers})
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
