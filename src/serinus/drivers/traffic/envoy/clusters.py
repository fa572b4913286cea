"""Clusters of a desired split, as Envoy's file-based CDS takes them.

Clusters are named by version, so a promotion changes weights and never moves an address under a name.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from typing import Any

from serinus.core.model import Upstream
from serinus.drivers._address import plain_name, split_address
from serinus.drivers.traffic.envoy.config import FAILOVER, EnvoyConfig
from serinus.ports.traffic import DesiredSplit

__all__ = ["candidates", "clusters", "digest_of", "document", "failover_name", "versions"]

_ADDRESS = re.compile(r"[0-9.]+|[0-9a-fA-F:]+")
_LIMITS = ("max_connections", "max_pending_requests", "max_requests", "max_retries")
#: No limit in practice; Envoy's own is 1,024.
_WIDE = 65_536
#: Copies that wait for a mirror at one time. More are not sent: a mirror that hangs fills this and
#: costs the proxy no more connections.
_COPIES = 1024


def failover_name(version: str) -> str:
    """Return the name of the cluster that is this version, and stable where it fails."""
    return f"{plain_name(version)}{FAILOVER}"


def document(resources: Iterable[dict[str, Any]]) -> str:
    """Return a file of resources; its version is a digest of its content."""
    listed = list(resources)
    return json.dumps({"version_info": digest_of(listed), "resources": listed}, indent=1, sort_keys=True)


def digest_of(resources: list[dict[str, Any]]) -> str:
    """Return the version of a list of resources: a digest of its content."""
    return hashlib.sha256(json.dumps(resources, sort_keys=True).encode()).hexdigest()[:16]


def candidates(desired: DesiredSplit) -> list[tuple[Upstream, int]]:
    """Return the versions under test with their basis points, in the order of their buckets."""
    if desired.canary is None:
        return []
    return [(desired.canary, desired.canary_bp), *((share.upstream, share.bp) for share in desired.others)]


def versions(desired: DesiredSplit) -> dict[str, str]:
    """Return the version of each cluster that counts for one."""
    tested = [upstream.version for upstream, _ in candidates(desired)]
    mirror = [desired.mirror.version] if desired.mirror else []
    named = {plain_name(v): v for v in (desired.stable.version, *tested, *mirror)}
    return named | {failover_name(v): v for v in tested}


def clusters(config: EnvoyConfig, desired: DesiredSplit) -> list[dict[str, Any]]:
    """Return the clusters of a split; each candidate also has one that fails over to stable."""
    made = {desired.stable.version: _cluster(desired.stable)}
    failovers = []
    for upstream, _ in candidates(desired):
        made[upstream.version] = _cluster(upstream) | _breaker(config)
        failovers.append(_failover(upstream.version, desired.stable.version))
    if desired.mirror is not None and desired.mirror.version not in made:
        # No breaker: its answers are seen by nobody, and a mirror is there to be watched failing.
        made[desired.mirror.version] = _cluster(desired.mirror, limit=_COPIES)
    return [*made.values(), *failovers]


def _cluster(upstream: Upstream, *, limit: int = _WIDE) -> dict[str, Any]:
    name = plain_name(upstream.version)
    where = [split_address(a, f"upstreams.{upstream.version}") for a in upstream.addresses]
    plain = all(_ADDRESS.fullmatch(host) for host, _ in where)
    return {
        "@type": "type.googleapis.com/envoy.config.cluster.v3.Cluster",
        "name": name,
        "type": "STATIC" if plain else "STRICT_DNS",
        "connect_timeout": "1s",
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": [_endpoint(upstream.version, *at) for at in where]}],
        },
        "circuit_breakers": _limits(limit),
        # What each host was asked and failed at, for Prometheus: a cluster's own counters leave out
        # the tries that a retry has saved.
        "track_cluster_stats": {"per_endpoint_stats": True},
    }


def _limits(limit: int) -> dict[str, Any]:
    return {"thresholds": [dict.fromkeys(_LIMITS, limit)]}


def _breaker(config: EnvoyConfig) -> dict[str, Any]:
    """Return the contract's breaker, in the proxy itself: it does not wait for us."""
    return {
        "common_lb_config": {"healthy_panic_threshold": {"value": 0}},
        "outlier_detection": {
            "consecutive_5xx": config.breaker_failures,
            "consecutive_gateway_failure": config.breaker_failures,
            "enforcing_consecutive_gateway_failure": 100,
            "interval": "1s",
            "base_ejection_time": f"{config.breaker_seconds:g}s",
            "max_ejection_time": f"{config.breaker_seconds:g}s",
            "max_ejection_percent": 100,
            "enforcing_success_rate": 0,
        },
    }


def _endpoint(version: str, host: str, port: int) -> dict[str, Any]:
    return {
        "endpoint": {"address": {"socket_address": {"address": host, "port_value": port}}},
        "metadata": {"filter_metadata": {"serinus": {"version": version}}},
    }


def _failover(version: str, stable: str) -> dict[str, Any]:
    """Return the cluster that is a candidate, and stable where it is out or has just failed."""
    return {
        "@type": "type.googleapis.com/envoy.config.cluster.v3.Cluster",
        "name": failover_name(version),
        "connect_timeout": "1s",
        "lb_policy": "CLUSTER_PROVIDED",
        # Retries are counted here. Envoy's own limit is three at a time, and a canary that dies fails
        # many requests at once.
        "circuit_breakers": _limits(_WIDE),
        "cluster_type": {
            "name": "envoy.clusters.aggregate",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.clusters.aggregate.v3.ClusterConfig",
                "clusters": [plain_name(version), plain_name(stable)],
            },
        },
    }
