"""Routes of a desired split, as Envoy's file-based RDS takes them, and the same read back."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from serinus.core.bucketing import BUCKETS
from serinus.drivers._address import plain_name
from serinus.drivers._proxies import VERSION_HEADER
from serinus.drivers.traffic.envoy.clusters import failover_name
from serinus.drivers.traffic.envoy.config import CANDIDATE_HEADER, FAILOVER, ROUTE_CONFIG, EnvoyConfig
from serinus.ports.traffic import DesiredSplit, Match

__all__ = ["carried_share", "essence", "routes"]

_RETRY_SAFE = "connect-failure,refused-stream"
_RETRY_ALL = "5xx,reset,connect-failure,refused-stream"
_PRIORITIES = "type.googleapis.com/envoy.extensions.retry.priority.previous_priorities.v3"
#: So many pinned units a route: Envoy bounds the size of one pattern.
_PINS = 100

#: The version whose host has answered, which each host carries in its metadata.
_WHO_ANSWERED = "%UPSTREAM_METADATA(serinus:version)%"
#: Longest version, in characters, that is written into routes; Envoy takes 16,384 bytes.
_LONGEST = 1000

#: Clusters with their basis points, in the order of their buckets; together ``BUCKETS``.
Shares = list[tuple[str, int]]
Headers = list[dict[str, Any]]


def routes(config: EnvoyConfig, desired: DesiredSplit) -> dict[str, Any]:
    """Return the route configuration of a split."""
    shares = _shares(desired)
    listed: list[dict[str, Any]] = []
    if desired.canary is not None:
        pinned = [(failover_name(desired.canary.version), BUCKETS)]
        for headers in _pins(config, desired):
            listed += _pair(config, desired, pinned, headers)
    listed += _hashed_routes(config, desired, shares) if len(shares) > 1 else []
    listed += _pair(config, desired, shares, [], _by_cookie(config, desired.salt))
    return {
        "@type": "type.googleapis.com/envoy.config.route.v3.RouteConfiguration",
        "name": ROUTE_CONFIG,
        "virtual_hosts": [{"name": "all", "domains": ["*"], "routes": listed} | _mirror(desired)],
    }


def _shares(desired: DesiredSplit) -> Shares:
    """Return who gets which part of the buckets; a version without a part is left out."""
    stable = desired.stable.version
    tested = [
        (plain_name(stable) if upstream.version == stable else failover_name(upstream.version), bp)
        for upstream, bp in desired.ranges
        if bp
    ]
    rest = BUCKETS - sum(bp for _, bp in tested)
    return [*tested, (plain_name(stable), rest)] if rest else tested


def _mirror(desired: DesiredSplit) -> dict[str, Any]:
    if desired.mirror is None or not desired.mirror_bp:
        return {}
    share = {"numerator": desired.mirror_bp, "denominator": "TEN_THOUSAND"}
    policy = {
        "cluster": plain_name(desired.mirror.version),
        "runtime_fraction": {"default_value": share},
        # The copy is what the original was: a service that looks at its host name answers it, too.
        "disable_shadow_host_suffix_append": True,
    }
    return {"request_mirror_policies": [policy]}


def _pins(config: EnvoyConfig, desired: DesiredSplit) -> Iterator[Headers]:
    """Return what each kind of pinned request has in its headers."""
    for header, units in (
        (config.user_header, desired.user_ids),
        (config.workflow_header, desired.workflow_ids),
    ):
        for at in range(0, len(units), _PINS):
            one_of = "|".join(re.escape(unit) for unit in units[at : at + _PINS])
            yield [{"name": header, "string_match": {"safe_regex": {"regex": one_of}}}]
    for match in desired.matches:
        yield [_matching(match)]


def _matching(match: Match) -> dict[str, Any]:
    if not match.cookie:
        return {"name": match.name.lower(), "string_match": {"exact": match.value}}
    whole = rf"(?:.*;\s*)?{re.escape(match.name)}={re.escape(match.value)}(?:\s*;.*)?"
    return {"name": "cookie", "string_match": {"safe_regex": {"regex": whole}}}


def _hashed_routes(config: EnvoyConfig, desired: DesiredSplit, shares: Shares) -> list[dict[str, Any]]:
    """Return the routes of clients with a key, and of those without even a cookie.

    Each key has a route of its own, since a list of hash policies would take an empty header for a key.
    A client without any gets a random unit, remembered in a cookie. The cookie carries the unit, never
    the side, so it stays right while the share moves.
    """
    made = []
    for name in (config.workflow_header, config.session_header, config.user_header):
        given = {"name": name, "string_match": {"exact": ""}, **_INVERTED}
        made += _pair(config, desired, shares, [given], _hashed(name, "^", f"{desired.salt}:"))
    pattern = {"safe_regex": {"regex": _unit_in_cookie(config)}}
    unknown = {"name": "cookie", "string_match": pattern, **_INVERTED}
    cookie = f"{config.cookie}=%REQ(x-request-id)%; Path=/; Max-Age=2592000; HttpOnly; SameSite=Lax"
    for route in _pair(config, desired, shares, [unknown], _hashed("x-request-id", "^", f"{desired.salt}:")):
        header = {"header": {"key": "set-cookie", "value": cookie}}
        made.append({**route, "response_headers_to_add": [header]})
    return made


#: The match holds where the header is different; a missing one counts as empty.
_INVERTED = {"treat_missing_header_as_empty": True, "invert_match": True}


def _unit_in_cookie(config: EnvoyConfig) -> str:
    """Return the pattern of a whole Cookie header that carries a unit, which is its first group."""
    return rf"(?:.*;\s*)?{re.escape(config.cookie)}=([^;]+).*"


def _pair(
    config: EnvoyConfig,
    desired: DesiredSplit,
    shares: Shares,
    headers: Headers,
    hashed: dict[str, Any] | None = None,
) -> list[dict[str, Any]]:
    """Return a route for methods that may be repeated, and one for those that may not."""
    methods = "|".join(re.escape(method) for method in config.retry_methods)
    made = []
    # With several candidates the first buckets may be stable's: the first one of them is out.
    if config.retry_methods and any(name != plain_name(desired.stable.version) for name, _ in shares):
        safe = {"name": ":method", "string_match": {"safe_regex": {"regex": methods}}}
        made.append(_route(config, desired, shares, [*headers, safe], hashed, repeat=True))
    made.append(_route(config, desired, shares, headers, hashed, repeat=False))
    return made


def _route(
    config: EnvoyConfig,
    desired: DesiredSplit,
    shares: Shares,
    headers: Headers,
    hashed: dict[str, Any] | None,
    *,
    repeat: bool,
) -> dict[str, Any]:
    stable = desired.stable.version
    action: dict[str, Any] = {
        "timeout": f"{config.timeout_seconds:g}s",
        "retry_policy": {
            "retry_on": _RETRY_ALL if repeat else _RETRY_SAFE,
            "num_retries": 1,
            # At once: the default waits up to 25 ms, which every saved request would feel.
            "retry_back_off": {"base_interval": "0.001s", "max_interval": "0.002s"},
        },
    }
    if any(name.endswith(FAILOVER) for name, _ in shares):
        # The second try goes to the next priority of the canary's cluster: to stable. Envoy makes one of
        # these for each request, so there is none where there is nobody to fail over from.
        action["retry_policy"]["retry_priority"] = {
            "name": "envoy.retry_priorities.previous_priorities",
            "typed_config": {"@type": f"{_PRIORITIES}.PreviousPrioritiesConfig", "update_frequency": 1},
        }
    if repeat:
        action["retry_policy"]["per_try_timeout"] = f"{config.try_seconds:g}s"
    if len(shares) == 1:
        action["cluster"] = shares[0][0]
    else:
        action["hash_policy"] = [hashed]
        action["weighted_clusters"] = {
            "use_hash_policy": True,
            # xxh64(key) mod the sum of weights picks the cluster: the candidates first, so that a unit is
            # on the canary while its bucket is below the weight, as in core.bucketing.
            "clusters": [{"name": name, "weight": bp, **_told(name, stable)} for name, bp in shares],
        }
    match: dict[str, Any] = {"prefix": "/"}
    if headers:
        match["headers"] = headers
    return {"match": match, "route": action, **(_told(shares[0][0], stable) if len(shares) == 1 else {})}


def _told(cluster: str, stable: str) -> dict[str, Any]:
    """Return what tells a candidate's requests from stable's, and names the version on every answer."""
    if not cluster.endswith(FAILOVER):
        # Nobody else can have answered, so nothing has to be looked up.
        return {
            "request_headers_to_remove": [CANDIDATE_HEADER],
            "response_headers_to_add": [_header(VERSION_HEADER, _literally(stable) or _WHO_ANSWERED)],
        }
    return {
        "request_headers_to_add": [_header(CANDIDATE_HEADER, "1")],
        "response_headers_to_add": [_header(VERSION_HEADER, _WHO_ANSWERED)],
    }


def _header(name: str, value: str) -> dict[str, Any]:
    return {"header": {"key": name, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}


def _literally(version: str) -> str:
    """Return a version as Envoy takes a header's text; empty where it would refuse all routes for it."""
    return version.replace("%", "%%") if version.isprintable() and len(version) <= _LONGEST else ""


def _by_cookie(config: EnvoyConfig, salt: str) -> dict[str, Any]:
    return _hashed("cookie", f"^{_unit_in_cookie(config)}$", f"{salt}:\\1")


def _hashed(header: str, pattern: str, substitution: str) -> dict[str, Any]:
    rewrite = {"pattern": {"regex": pattern}, "substitution": substitution}
    return {"header": {"header_name": header, "regex_rewrite": rewrite}, "terminal": True}


def essence(config: Mapping[str, Any]) -> Any:
    """Return what decides where requests go, without Envoy's own additions and orderings."""
    return [
        (_copied(host), [_decisive(route) for route in host.get("routes", [])])
        for host in config.get("virtual_hosts", [])
    ]


def _copied(given: Mapping[str, Any]) -> Any:
    listed = []
    for policy in given.get("request_mirror_policies", []):
        share = policy.get("runtime_fraction", {}).get("default_value", {})
        listed.append((policy.get("cluster"), share.get("numerator", 0), share.get("denominator", "HUNDRED")))
    return listed


def _decisive(given: Mapping[str, Any]) -> Any:
    action = given.get("route", {})
    weighted = [
        (c["name"], c.get("weight", 0)) for c in action.get("weighted_clusters", {}).get("clusters", [])
    ]
    keys = [
        (h["header"]["header_name"], h["header"].get("regex_rewrite", {}).get("substitution"))
        for h in action.get("hash_policy", [])
        if "header" in h
    ]
    match = json.dumps(given.get("match", {}).get("headers", []), sort_keys=True)
    retried = action.get("retry_policy", {}).get("retry_on")
    return (match, action.get("cluster"), weighted, keys, retried, _copied(action))


def carried_share(config: Mapping[str, Any], desired: DesiredSplit) -> int:
    """Return the canary's basis points in the last, general route; without a canary, what stable lacks."""
    listed = [route for host in config.get("virtual_hosts", []) for route in host.get("routes", [])]
    if not listed:
        return 0
    action = listed[-1].get("route", {})
    weighted = action.get("weighted_clusters", {}).get("clusters", [])
    shares = {c["name"]: int(c.get("weight", 0)) for c in weighted} or {action.get("cluster"): BUCKETS}
    if desired.canary is not None and desired.others:
        return shares.get(failover_name(desired.canary.version), 0)
    return BUCKETS - shares.get(plain_name(desired.stable.version), 0)
