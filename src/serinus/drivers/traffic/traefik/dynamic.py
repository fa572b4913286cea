"""The dynamic configuration of a split, as Traefik's file and HTTP providers take it.

One parent router runs our plugin, which names the request's side in a header; child routers lead from the
side to the version's service. Services are named by version, so a promotion moves no address under a name.
"""

from __future__ import annotations

import json
import re
from typing import Any

from serinus.core.model import Upstream
from serinus.drivers._address import plain_name, split_address
from serinus.drivers._proxies import VERSION_HEADER
from serinus.drivers.traffic.traefik.config import CANARY_LOG, PLUGIN_PATH, TraefikConfig
from serinus.ports.traffic import DesiredSplit, TrafficError

__all__ = ["document", "dynamic", "mirrored_name", "once_name", "versions"]

SIDE_HEADER = "X-Serinus-Side"
#: A longer body is not copied to the mirror: it would have to be kept in memory.
MOST_MIRRORED = 1 << 20


def once_name(version: str) -> str:
    """Return the name of the service for requests that may not be sent twice: it waits longer."""
    return f"{plain_name(version)}_once"


def mirrored_name(name: str) -> str:
    """Return the name of the service that is this one, and sends copies to the mirror."""
    return f"{name}_mirrored"


def versions(desired: DesiredSplit) -> dict[str, str]:
    """Return ``{service name: version}`` of every service that counts a version's requests."""
    listed = [desired.stable, *_candidates(desired), *([desired.mirror] if desired.mirror else [])]
    names = {plain_name(u.version): u.version for u in listed}
    return names | {once_name(u.version): u.version for u in _candidates(desired)}


def document(config: dict[str, Any]) -> str:
    """Return a configuration as text that is JSON and YAML at once, and no template to Traefik.

    What is not plain ASCII is written as YAML's eight-digit escape: its parser refuses JSON's pairs of
    surrogates, and some characters unless escaped.
    """
    text = json.dumps(config, indent=1, sort_keys=True, ensure_ascii=False).replace("{{", "{\\u007b")
    return re.sub(r"[^\n -~]", lambda found: f"\\U{ord(found[0]):08x}", text)


def dynamic(config: TraefikConfig, desired: DesiredSplit) -> dict[str, Any]:
    """Return the whole dynamic configuration of a split.

    Raises:
        TrafficError: Traefik cannot mirror this share.
        InvalidInput: An address is none.
    """
    sides = _candidates(desired)
    stable = plain_name(desired.stable.version)
    routers: dict[str, Any] = {
        "state": {
            "rule": f"PathPrefix(`{PLUGIN_PATH}/`)",
            "entryPoints": ["traefik"],
            "service": "noop@internal",
            "middlewares": ["state"],
        },
        "entry": {"rule": "PathPrefix(`/`)", "entryPoints": ["web"], "priority": 1},
    }
    middlewares: dict[str, Any] = {
        "state": {"plugin": {"serinus": {"state": True}}},
        **{_version_middleware(u): _headers(u) for u in (desired.stable, *sides)},
    }
    if sides:
        routers["entry"]["middlewares"] = ["split"]
        middlewares["split"] = {"plugin": {"serinus": _plugin(config, desired)}}
        routers |= _children(desired)
    else:
        routers["entry"] |= _leads_to(desired, desired.stable, stable)
    return {
        "http": {
            "routers": routers,
            "middlewares": middlewares,
            "services": _services(desired),
            "serversTransports": {
                "patient": _transport(config.timeout_seconds),
                "candidate": _transport(config.try_seconds),
            },
        }
    }


def _candidates(desired: DesiredSplit) -> list[Upstream]:
    if desired.canary is None:
        return []
    return [desired.canary, *(share.upstream for share in desired.others)]


def _version_middleware(upstream: Upstream) -> str:
    return f"version_{plain_name(upstream.version)}"


def _headers(upstream: Upstream) -> dict[str, Any]:
    """Name the version on its answers, and keep the side to ourselves."""
    named = {VERSION_HEADER: upstream.version}
    return {"headers": {"customResponseHeaders": named, "customRequestHeaders": {SIDE_HEADER: ""}}}


def _leads_to(desired: DesiredSplit, upstream: Upstream, service: str) -> dict[str, Any]:
    target = mirrored_name(service) if desired.mirror and desired.mirror_bp else service
    return {"service": target, "middlewares": [_version_middleware(upstream)]}


def _children(desired: DesiredSplit) -> dict[str, Any]:
    """Return the routers from a side to its service: the plugin's header decides."""
    stable = plain_name(desired.stable.version)
    child: dict[str, Any] = {"parentRefs": ["entry"]}
    made = {
        "stable": {
            **child,
            "rule": "PathPrefix(`/`)",
            "priority": 1,
            **_leads_to(desired, desired.stable, stable),
        },
        # A repeated request was mirrored at its first try.
        "fallback": {
            **child,
            "rule": f"Header(`{SIDE_HEADER}`, `fallback`)",
            "priority": 2,
            "service": stable,
            "middlewares": [_version_middleware(desired.stable)],
        },
    }
    for upstream in _candidates(desired):
        for name in (plain_name(upstream.version), once_name(upstream.version)):
            rule = f"Header(`{SIDE_HEADER}`, `{name}`)"
            made[f"to_{name}"] = {
                **child,
                "rule": rule,
                "priority": 3,
                **_leads_to(desired, upstream, name),
            }
    return made


def _plugin(config: TraefikConfig, desired: DesiredSplit) -> dict[str, Any]:
    """Return the plugin's configuration; what is empty is left out, as Traefik does when it shows it."""
    sides: list[dict[str, Any]] = []
    edge = 0
    for upstream, width in desired.ranges:
        side = {"name": plain_name(upstream.version), "version": upstream.version, "upTo": edge + width}
        if upstream.version != desired.stable.version:
            # Without a gap before it a side begins where the last one ends.
            gap = bool(sides) and sides[-1]["upTo"] < edge
            sides.append({**side, "from": edge} if gap else side)
        edge += width
    whole = {
        "service": desired.service_id,
        "salt": desired.salt,
        "headers": [config.workflow_header, config.session_header, config.user_header],
        "cookie": config.cookie,
        "sides": sides,
        # An empty name would pin everybody who sends none.
        "users": [name for name in desired.user_ids if name],
        "workflows": [name for name in desired.workflow_ids if name],
        "matches": [{"name": m.name, "value": m.value, "cookie": m.cookie} for m in desired.matches],
        "methods": list(config.retry_methods),
        "failures": config.breaker_failures,
        "seconds": config.breaker_seconds,
        "log": CANARY_LOG if config.canary_log else "",
    }
    return {name: value for name, value in whole.items() if value not in ("", [])}


def _services(desired: DesiredSplit) -> dict[str, Any]:
    made = {plain_name(desired.stable.version): _service(desired.stable, "patient")}
    for upstream in _candidates(desired):
        made[plain_name(upstream.version)] = _service(upstream, "candidate")
        made[once_name(upstream.version)] = _service(upstream, "patient")
    if desired.mirror is None or not desired.mirror_bp:
        return made
    if desired.mirror_bp % 100:
        raise TrafficError(
            f"Traefik mirrors whole percents, not {desired.mirror_bp / 100:g} %. Choose a whole percent."
        )
    target = plain_name(desired.mirror.version)
    copies = {"name": target, "percent": desired.mirror_bp // 100}
    for name in list(made):
        mirroring = {"service": name, "maxBodySize": MOST_MIRRORED, "mirrors": [copies]}
        made[mirrored_name(name)] = {"mirroring": mirroring}
    made.setdefault(target, _service(desired.mirror, "patient"))
    return made


def _service(upstream: Upstream, transport: str) -> dict[str, Any]:
    where = [split_address(a, f"upstreams.{upstream.version}") for a in upstream.addresses]
    servers = [{"url": f"http://[{h}]:{p}" if ":" in h else f"http://{h}:{p}"} for h, p in where]
    return {"loadBalancer": {"servers": servers, "serversTransport": transport}}


def _transport(seconds: float) -> dict[str, Any]:
    # More idle connections than Go's two for each host: else every second request would open one.
    timeouts = {"dialTimeout": "1s", "responseHeaderTimeout": f"{seconds:g}s"}
    return {"maxIdleConnsPerHost": 256, "forwardingTimeouts": timeouts}
