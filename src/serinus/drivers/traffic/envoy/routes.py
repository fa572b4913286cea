"""Clusters and routes for a desired split, as Envoy's file-based CDS and RDS take them.

Clusters are named by version, so a promotion changes weights and never moves an address under a name.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from typing import Any

from serinus.core.bucketing import BUCKETS
from serinus.core.model import Upstream
from serinus.drivers.traffic.envoy.config import ROUTE_CONFIG, EnvoyConfig, split_address
from serinus.ports.traffic import DesiredSplit

__all__ = ["cluster_name", "clusters", "document", "failover_name", "routes"]

VERSION_HEADER = "x-serinus-version"
_ADDRESS = re.compile(r"[0-9.]+|[0-9a-fA-F:]+")
_RETRY_SAFE = "connect-failure,refused-stream"
_RETRY_ALL = "5xx,reset,connect-failure,refused-stream"


def cluster_name(version: str) -> str:
    """Return a version's cluster name: letters, digits and dashes only, since dots part statistics.

    >>> cluster_name("v2"), cluster_name("v2") == cluster_name("v2.0")
    ('v2', False)
    """
    plain = re.sub(r"[^A-Za-z0-9-]", "-", version)[:60]
    if plain == version:
        return plain
    return f"{plain}-{hashlib.sha256(version.encode()).hexdigest()[:8]}"


def failover_name(version: str) -> str:
    """Return the name of the cluster that is this version, and stable where it fails."""
    return f"{cluster_name(version)}_or_stable"


def document(resources: Iterable[dict[str, Any]]) -> str:
    """Return a file of resources; its version is a digest of its content."""
    listed = list(resources)
    digest = hashlib.sha256(json.dumps(listed, sort_keys=True).encode()).hexdigest()[:16]
    return json.dumps({"version_info": digest, "resources": listed}, indent=1, sort_keys=True)


def clusters(config: EnvoyConfig, desired: DesiredSplit) -> list[dict[str, Any]]:
    """Return the clusters of a split; with a canary also the one that fails over to stable."""
    made = [_cluster(config, desired.stable, breaker=False)]
    if desired.canary is not None:
        made += [_cluster(config, desired.canary, breaker=True), _failover(desired)]
    return made


def _cluster(config: EnvoyConfig, upstream: Upstream, *, breaker: bool) -> dict[str, Any]:
    name = cluster_name(upstream.version)
    where = [split_address(a, f"upstreams.{upstream.version}") for a in upstream.addresses]
    plain = all(_ADDRESS.fullmatch(host) for host, _ in where)
    cluster: dict[str, Any] = {
        "@type": "type.googleapis.com/envoy.config.cluster.v3.Cluster",
        "name": name,
        "type": "STATIC" if plain else "STRICT_DNS",
        "connect_timeout": "1s",
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": [_endpoint(upstream.version, *at) for at in where]}],
        },
        "circuit_breakers": {"thresholds": [dict.fromkeys(_LIMITS, 65_536)]},
    }
    if breaker:
        # The contract's breaker, in the proxy itself: it does not wait for us.
        cluster["common_lb_config"] = {"healthy_panic_threshold": {"value": 0}}
        cluster["outlier_detection"] = {
            "consecutive_5xx": config.breaker_failures,
            "consecutive_gateway_failure": config.breaker_failures,
            "enforcing_consecutive_gateway_failure": 100,
            "interval": "1s",
            "base_ejection_time": f"{config.breaker_seconds:g}s",
            "max_ejection_time": f"{config.breaker_seconds:g}s",
            "max_ejection_percent": 100,
            "enforcing_success_rate": 0,
        }
    return cluster


_LIMITS = ("max_connections", "max_pending_requests", "max_requests", "max_retries")


def _endpoint(version: str, host: str, port: int) -> dict[str, Any]:
    return {
        "endpoint": {"address": {"socket_address": {"address": host, "port_value": port}}},
        "metadata": {"filter_metadata": {"serinus": {"version": version}}},
    }


def _failover(desired: DesiredSplit) -> dict[str, Any]:
    """Return the cluster that is the canary, and stable where the canary is out or has just failed."""
    assert desired.canary is not None
    name = cluster_name(desired.canary.version)
    return {
        "@type": "type.googleapis.com/envoy.config.cluster.v3.Cluster",
        "name": failover_name(desired.canary.version),
        "connect_timeout": "1s",
        "lb_policy": "CLUSTER_PROVIDED",
        "cluster_type": {
            "name": "envoy.clusters.aggregate",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.clusters.aggregate.v3.ClusterConfig",
                "clusters": [name, cluster_name(desired.stable.version)],
            },
        },
    }


def routes(config: EnvoyConfig, desired: DesiredSplit) -> dict[str, Any]:
    """Return the route configuration of a split."""
    listed: list[dict[str, Any]] = []
    if desired.canary is not None:
        for header, units in (
            (config.user_header, desired.user_ids),
            (config.workflow_header, desired.workflow_ids),
        ):
            if units:
                one_of = "|".join(re.escape(unit) for unit in units)
                pinned = [{"name": header, "string_match": {"safe_regex": {"regex": one_of}}}]
                listed += _pair(config, desired, BUCKETS, pinned)
        if desired.canary_bp:
            listed += _keyless(config, desired)
    listed += _pair(config, desired, desired.canary_bp if desired.canary else 0, [])
    return {
        "@type": "type.googleapis.com/envoy.config.route.v3.RouteConfiguration",
        "name": ROUTE_CONFIG,
        "response_headers_to_add": [
            {
                "header": {"key": VERSION_HEADER, "value": "%UPSTREAM_METADATA(serinus:version)%"},
                "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
            }
        ],
        "virtual_hosts": [{"name": "all", "domains": ["*"], "routes": listed}],
    }


def _keyless(config: EnvoyConfig, desired: DesiredSplit) -> list[dict[str, Any]]:
    """Return the routes of clients without any key: a random unit, remembered in a cookie.

    The cookie carries the unit, never the side, so it stays right while the share moves.
    """
    names = (config.workflow_header, config.session_header, config.user_header)
    absent = [_without(name, ".+") for name in names] + [_without("cookie", _unit_in_cookie(config))]
    cookie = f"{config.cookie}=%REQ(x-request-id)%; Path=/; Max-Age=2592000; HttpOnly; SameSite=Lax"
    made = _pair(config, desired, desired.canary_bp, absent)
    for route in made:
        route["response_headers_to_add"] = [{"header": {"key": "set-cookie", "value": cookie}}]
        if "hash_policy" in route["route"]:
            route["route"]["hash_policy"] = [_hashed("x-request-id", "^", f"{desired.salt}:")]
    return made


def _without(header: str, pattern: str) -> dict[str, Any]:
    """Match requests whose header is missing, empty or different from the pattern."""
    return {
        "name": header,
        "string_match": {"safe_regex": {"regex": pattern}},
        "treat_missing_header_as_empty": True,
        "invert_match": True,
    }


def _unit_in_cookie(config: EnvoyConfig) -> str:
    """Return the pattern of a whole Cookie header that carries a unit, which is its first group."""
    return rf"(?:.*;\s*)?{re.escape(config.cookie)}=([^;]+).*"


def _pair(
    config: EnvoyConfig, desired: DesiredSplit, canary_bp: int, headers: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Return a route for methods that may be repeated, and one for those that may not."""
    methods = "|".join(re.escape(method) for method in config.retry_methods)
    made = []
    if config.retry_methods and canary_bp:
        safe = {"name": ":method", "string_match": {"safe_regex": {"regex": methods}}}
        made.append(_route(config, desired, canary_bp, [*headers, safe], repeat=True))
    made.append(_route(config, desired, canary_bp, headers, repeat=False))
    return made


def _route(
    config: EnvoyConfig,
    desired: DesiredSplit,
    canary_bp: int,
    headers: list[dict[str, Any]],
    *,
    repeat: bool,
) -> dict[str, Any]:
    action: dict[str, Any] = {
        "timeout": f"{config.timeout_seconds:g}s",
        "retry_policy": {
            "retry_on": _RETRY_ALL if repeat else _RETRY_SAFE,
            "num_retries": 1,
            # The second try goes to the next priority of the canary's cluster: to stable.
            "retry_priority": {
                "name": "envoy.retry_priorities.previous_priorities",
                "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.retry.priority.previous_priorities.v3"
                    ".PreviousPrioritiesConfig",
                    "update_frequency": 1,
                },
            },
            # At once: the default waits up to 25 ms, which every saved request would feel.
            "retry_back_off": {"base_interval": "0.001s", "max_interval": "0.002s"},
        },
    }
    if repeat:
        action["retry_policy"]["per_try_timeout"] = f"{config.try_seconds:g}s"
    stable = cluster_name(desired.stable.version)
    if not canary_bp or desired.canary is None:
        action["cluster"] = stable
    elif canary_bp >= BUCKETS:
        action["cluster"] = failover_name(desired.canary.version)
    else:
        action["hash_policy"] = _hash_policy(config, desired.salt)
        action["weighted_clusters"] = {
            "use_hash_policy": True,
            # xxh64(key) mod the sum of weights picks the cluster; the canary first, so that a unit is
            # on it while its bucket is below the weight, as in core.bucketing.
            "clusters": [
                {"name": failover_name(desired.canary.version), "weight": canary_bp},
                {"name": stable, "weight": BUCKETS - canary_bp},
            ],
        }
    match: dict[str, Any] = {"prefix": "/"}
    if headers:
        match["headers"] = headers
    return {"match": match, "route": action}


def _hash_policy(config: EnvoyConfig, salt: str) -> list[dict[str, Any]]:
    """Return the keys in their order; the first one present ends the list."""
    headers = (config.workflow_header, config.session_header, config.user_header)
    listed = [_hashed(header, "^", f"{salt}:") for header in headers]
    # Without any of them only requests whose cookie carries a unit come here.
    return [*listed, _hashed("cookie", f"^{_unit_in_cookie(config)}$", f"{salt}:\\1")]


def _hashed(header: str, pattern: str, substitution: str) -> dict[str, Any]:
    rewrite = {"pattern": {"regex": pattern}, "substitution": substitution}
    return {"header": {"header_name": header, "regex_rewrite": rewrite}, "terminal": True}
