"""Asking a running Traefik what it carries and what it has counted."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import inf
from typing import Any

import httpx

from serinus.drivers._proxies import json_object
from serinus.drivers.traffic.traefik.config import STATE_PATH

__all__ = ["Admin", "Unreachable", "VersionCounters", "differences", "sum_up"]

#: The admin address is on the same host or network, and answers in milliseconds.
TIMEOUT_SECONDS = 2.0
_SERIES = re.compile(
    r"traefik_service_(requests_total|request_duration_seconds_(?:sum|bucket))\{(.*)\} (\S+)"
)
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
_PROVIDER = re.compile(r"@(file|http)$")


class Unreachable(Exception):
    """This Traefik does not answer."""


@dataclass(kw_only=True, slots=True)
class VersionCounters:
    """One version's counters, cumulative."""

    requests: int = 0
    errors: int = 0
    total_ms: float = 0.0
    buckets: dict[float, int] = field(default_factory=dict)


class Admin:
    """One Traefik's API and metrics."""

    def __init__(self, url: str) -> None:
        """Connect on first use."""
        self.url = url
        self._client = httpx.AsyncClient(base_url=url, timeout=TIMEOUT_SECONDS, trust_env=False)

    async def close(self) -> None:
        """Release connections."""
        await self._client.aclose()

    async def version(self) -> str:
        """Return Traefik's version."""
        return str((await self._told("/api/version")).get("Version", ""))

    async def carried(self) -> dict[str, dict[str, Any]]:
        """Return routers, middlewares and services in force, by their names at the provider."""
        raw = await self._told("/api/rawdata")
        return {
            kind: {_PROVIDER.sub("", name): found for name, found in raw.get(kind, {}).items()}
            for kind in ("routers", "middlewares", "services")
        }

    async def state(self) -> dict[str, Any]:
        """Return our plugin's revision and, by service and version, its breakers; empty without it."""
        try:
            answer = await self._client.get(STATE_PATH)
        except (httpx.HTTPError, OSError) as error:
            raise Unreachable(f"does not answer at {self.url}") from error
        return (json_object(answer.content) if answer.status_code == 200 else None) or {}

    async def metrics(self) -> str:
        """Return the Prometheus text."""
        return (await self._get("/metrics")).text

    async def _told(self, path: str) -> dict[str, Any]:
        found = json_object((await self._get(path)).content)
        if found is None:
            raise Unreachable(f"does not answer at {self.url}: what listens there is no Traefik's API")
        return found

    async def _get(self, path: str) -> httpx.Response:
        try:
            answer = await self._client.get(path)
            answer.raise_for_status()
        except (httpx.HTTPError, OSError) as error:
            raise Unreachable(f"does not answer at {self.url}") from error
        return answer


def sum_up(text: str, names: Mapping[str, str]) -> dict[str, VersionCounters]:
    """Return counters by version out of Traefik's Prometheus text.

    Args:
        text: What ``/metrics`` answered.
        names: ``{service name: version}``.
    """
    made = {version: VersionCounters() for version in names.values()}
    for line in text.splitlines():
        found = _SERIES.fullmatch(line)
        if found is None:
            continue
        labels = dict(_LABEL.findall(found[2]))
        counters = made.get(names.get(_PROVIDER.sub("", labels.get("service", "")), ""))
        if counters is None:
            continue
        value = float(found[3])
        if found[1] == "requests_total":
            counters.requests += int(value)
            counters.errors += int(value) if labels.get("code", "") >= "500" else 0
        elif found[1].endswith("sum"):
            counters.total_ms += value * 1000
        else:
            edge = inf if labels["le"] == "+Inf" else round(float(labels["le"]) * 1000, 4)
            counters.buckets[edge] = counters.buckets.get(edge, 0) + int(value)
    return made


def differences(
    wanted: Mapping[str, Mapping[str, Any]], found: Mapping[str, Mapping[str, Any]]
) -> tuple[list[str], list[str]]:
    """Return the names of objects that are not as wanted, and what Traefik says is wrong with any."""
    differing, refused = [], []
    for kind in ("routers", "middlewares", "services"):
        for name, expected in wanted[kind].items():
            actual = found[kind].get(name)
            if actual is None or not _same(expected, actual):
                differing.append(f"{kind[:-1]} {name}")
            elif actual.get("status") != "enabled":
                said = actual.get("error", actual.get("errors", ["it is disabled"]))
                refused.append(f"{kind[:-1]} {name}: {'; '.join(map(str, said))}")
    return differing, refused


def _same(expected: Any, actual: Any, *, whole: bool = False) -> bool:
    """Tell whether everything expected is there; Traefik adds defaults, but not to a plugin's own."""
    if isinstance(expected, dict):
        if not isinstance(actual, dict) or (whole and set(expected) != set(actual)):
            return False
        return all(
            name in actual and _same(value, actual[name], whole=whole or name == "plugin")
            for name, value in expected.items()
        )
    if isinstance(expected, list):
        return (
            isinstance(actual, list)
            and len(expected) == len(actual)
            and all(_same(e, a, whole=whole) for e, a in zip(expected, actual, strict=True))
        )
    if whole:
        return _word(expected) == _word(actual)
    return _PROVIDER.sub("", _word(expected)) == _PROVIDER.sub("", _word(actual))


def _word(value: Any) -> str:
    """Return a scalar as Traefik shows it: a plugin's numbers are text there."""
    if isinstance(value, float):
        return f"{value:g}"
    return value if isinstance(value, str) else json.dumps(value)
