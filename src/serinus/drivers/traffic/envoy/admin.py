"""Asking a running Envoy, through its admin interface, what it carries and what it has counted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import inf
from typing import Any

import httpx

from serinus.drivers._proxies import json_object
from serinus.drivers.traffic.envoy.config import ROUTE_CONFIG

__all__ = ["Admin", "ClusterCounters", "Unreachable", "addresses_of"]

#: An admin interface on the same host answers in milliseconds.
TIMEOUT_SECONDS = 2.0
#: Statistics whose name ends like this, as the admin interface filters them.
_COUNTED = r"cluster\..*\.(upstream_rq_time|upstream_cx_protocol_error)$"
_TIME, _BROKEN_OFF = "envoy_cluster_upstream_rq_time_", "envoy_cluster_upstream_cx_protocol_error{"


class Unreachable(Exception):
    """This Envoy does not answer."""


@dataclass(kw_only=True, slots=True)
class ClusterCounters:
    """One cluster's counters, cumulative."""

    requests: int = 0
    errors: int = 0
    total_ms: float = 0.0
    buckets: dict[float, int] = field(default_factory=dict)
    ejected: bool = False


class Admin:
    """One Envoy's admin interface."""

    def __init__(self, url: str) -> None:
        """Connect on first use."""
        self.url = url
        self._client = httpx.AsyncClient(base_url=url, timeout=TIMEOUT_SECONDS, trust_env=False)

    async def close(self) -> None:
        """Release connections."""
        await self._client.aclose()

    async def server_info(self) -> dict[str, Any]:
        """Return version, state and uptime."""
        return await self._told("/server_info")

    async def routes(self) -> tuple[dict[str, Any] | None, str]:
        """Return the route configuration that is in force, and why a newer one was refused."""
        dump = await self._told("/config_dump?resource=dynamic_route_configs")
        for entry in dump.get("configs", []):
            config = entry.get("route_config", {})
            if config.get("name") == ROUTE_CONFIG:
                return config, str(entry.get("error_state", {}).get("details", ""))
        refused = (await self._ask("/config_dump")).text if not dump.get("configs") else ""
        return None, "its routes were refused" if "update_rejected" in refused else ""

    async def addresses(self) -> dict[str, list[str]]:
        """Return the addresses of every active cluster by name."""
        dump = await self._told("/config_dump?resource=dynamic_active_clusters")
        return {e["cluster"]["name"]: addresses_of(e["cluster"]) for e in dump.get("configs", [])}

    async def counters(self, names: Mapping[str, str]) -> dict[str, ClusterCounters]:
        """Return counters by version for ``{cluster name: version}``; failover clusters only have latency.

        Counted per host and try: a failed canary answer that was repeated on stable is an error of
        the canary here, though no client saw it. An answer that broke off in the middle succeeded for
        Envoy, which only looks at its head; it is an error here.
        """
        hosts = await self._told("/clusters?format=json")
        made: dict[str, ClusterCounters] = {version: ClusterCounters() for version in names.values()}
        for status in hosts.get("cluster_statuses", []):
            if status["name"] in names and status.get("host_statuses"):
                made[names[status["name"]]] = _of_hosts(status.get("host_statuses", []))
        for line in (await self._ask(f"/stats/prometheus?filter={_COUNTED}")).text.splitlines():
            if line.startswith((_TIME, _BROKEN_OFF)):
                _add(made, names, line)
        for counters in made.values():
            # What is no HTTP at all is an error of both kinds.
            counters.errors = min(counters.errors, counters.requests)
        return made

    async def reopen_logs(self) -> None:
        """Let it write its logs to new files, after the old ones were moved."""
        await self._ask("/reopen_logs", method="POST")

    async def _told(self, path: str) -> dict[str, Any]:
        found = json_object((await self._ask(path)).content)
        if found is None:
            raise Unreachable(
                f"does not answer at {self.url}: what listens there is no Envoy's admin interface"
            )
        return found

    async def _ask(self, path: str, *, method: str = "GET") -> httpx.Response:
        try:
            answer = await self._client.request(method, path)
            answer.raise_for_status()
        except (httpx.HTTPError, OSError) as error:
            raise Unreachable(f"does not answer at {self.url}") from error
        return answer


def addresses_of(cluster: Mapping[str, Any]) -> list[str]:
    """Return a cluster's addresses as ``host:port``; none for one that only fails over."""
    found = []
    for locality in cluster.get("load_assignment", {}).get("endpoints", []):
        for endpoint in locality.get("lb_endpoints", []):
            socket = endpoint["endpoint"]["address"]["socket_address"]
            found.append(f"{socket['address']}:{socket['port_value']}")
    return found


def _of_hosts(hosts: list[dict[str, Any]]) -> ClusterCounters:
    counters = ClusterCounters()
    ejected = 0
    for host in hosts:
        stats = {s["name"]: int(s.get("value", 0)) for s in host.get("stats", [])}
        # A request whose connection was refused never became a stream: it is no rq_total, but an rq_error.
        counters.requests += stats.get("rq_total", 0) + stats.get("cx_connect_fail", 0)
        counters.errors += stats.get("rq_error", 0)
        ejected += bool(host.get("health_status", {}).get("failed_outlier_check"))
    counters.ejected = bool(hosts) and ejected == len(hosts)
    return counters


def _add(made: Mapping[str, ClusterCounters], names: Mapping[str, str], line: str) -> None:
    """Add one line of the Prometheus text to the version that it counts for."""
    head, _, value = line.rpartition(" ")
    labels = dict(part.split("=", 1) for part in head.partition("{")[2].rstrip("}").split(",") if "=" in part)
    counters = made.get(names.get(labels.get("envoy_cluster_name", "").strip('"'), ""))
    if counters is None:
        return
    if head.startswith(_BROKEN_OFF):
        counters.errors += int(float(value))
    elif head.startswith(f"{_TIME}sum"):
        counters.total_ms += float(value)
    elif "le" in labels:
        edge = labels["le"].strip('"')
        at = inf if edge == "+Inf" else float(edge)
        counters.buckets[at] = counters.buckets.get(at, 0) + int(float(value))
