"""Asking a running NGINX, through its admin address, what it carries and what it has counted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import accumulate
from math import inf
from typing import Any

import httpx

from serinus.drivers._proxies import json_object
from serinus.drivers.traffic.nginx.config import Instance
from serinus.drivers.traffic.nginx.document import version_of
from serinus.drivers.traffic.nginx.render import token_of

__all__ = ["Admin", "Held", "Refused", "Unreachable", "VersionCounters"]

#: An admin address on the same host answers in milliseconds.
TIMEOUT_SECONDS = 2.0


class Unreachable(Exception):
    """This NGINX does not answer."""


class Refused(Exception):
    """This NGINX answers, but does not take what it was told."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Held:
    """What an NGINX holds: the document, and what it runs by."""

    text: str
    settings: str
    scripts: str


@dataclass(frozen=True, kw_only=True, slots=True)
class VersionCounters:
    """One version's counters, cumulative."""

    requests: int
    errors: int
    total_ms: float
    buckets: Mapping[float, int] = field(default_factory=dict)
    ejected: bool = False


class Admin:
    """One NGINX's admin address."""

    def __init__(self, instance: Instance) -> None:
        """Connect on first use."""
        self._instance = instance
        by_socket = instance.admin.startswith("unix:")
        self.url = instance.admin
        self._client = httpx.AsyncClient(
            base_url="http://localhost" if by_socket else instance.admin,
            timeout=TIMEOUT_SECONDS,
            transport=httpx.AsyncHTTPTransport(
                uds=instance.admin.removeprefix("unix:") if by_socket else None, trust_env=False
            ),
        )

    async def close(self) -> None:
        """Release connections."""
        await self._client.aclose()

    async def held(self) -> Held:
        """Return what is carried.

        Raises:
            Unreachable: It does not answer.
            Refused: It does not know our token.
        """
        return _held(await self._ask("GET", "/split"))

    async def carry(self, text: str) -> Held:
        """Make it carry a document.

        Raises:
            Unreachable: It does not answer.
            Refused: It does not take it.
        """
        return _held(await self._ask("PUT", "/split", text))

    async def counters(self) -> dict[str, VersionCounters]:
        """Return counters by version.

        Raises:
            Unreachable: It does not answer.
            Refused: It does not know our token.
        """
        told = json_object((await self._ask("GET", "/statistics")).content)
        if told is None:
            raise Refused(f"answers without its counters at {self.url}: is it this service's NGINX?")
        edges = [*(float(edge) for edge in told["edges_ms"]), inf]
        return {version_of(name): _counters(found, edges) for name, found in told["versions"].items()}

    async def _ask(self, method: str, path: str, text: str = "") -> httpx.Response:
        try:
            headers = {"x-serinus-token": token_of(self._instance)}
            answer = await self._client.request(method, path, content=text.encode(), headers=headers)
        except (httpx.HTTPError, OSError) as error:
            raise Unreachable(f"does not answer at {self.url}") from error
        if answer.status_code == httpx.codes.FORBIDDEN:
            raise Refused(f"does not know the token in {self._instance.config_dir}: reload it")
        if answer.status_code == httpx.codes.UNPROCESSABLE_ENTITY:
            raise Refused(f"refused the split: {answer.text[:300]}")
        if answer.status_code != httpx.codes.OK:
            raise Refused(f"answers {answer.status_code} at {self.url}{path}: is it this service's NGINX?")
        return answer


def _held(answer: httpx.Response) -> Held:
    return Held(
        text=answer.text,
        settings=answer.headers.get("x-serinus-settings", ""),
        scripts=answer.headers.get("x-serinus-scripts", ""),
    )


def _counters(found: Mapping[str, Any], edges: list[float]) -> VersionCounters:
    at_or_below = list(accumulate(int(count) for count in found["buckets"]))
    return VersionCounters(
        requests=at_or_below[-1] if at_or_below else 0,
        errors=int(found["errors"]),
        total_ms=float(found["total_ms"]),
        buckets=dict(zip(edges, at_or_below, strict=True)),
        ejected=float(found["out_seconds"]) > 0,
    )
