"""Renders the configuration that an operator starts HAProxy with.

Everything that a split changes stands in maps and in servers' addresses, which the runtime API changes; what
is here changes only with the service's settings. The servers' present addresses are rendered too, so that a
restart comes back with what was carried last.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from serinus.core.codec import to_json
from serinus.drivers.traffic.haproxy.backends import failover, plain
from serinus.drivers.traffic.haproxy.config import HaproxyConfig, Instance
from serinus.drivers.traffic.haproxy.exposition import BREAKER_TABLE, PAGE_FILE, listener
from serinus.drivers.traffic.haproxy.frontend import frontend, once
from serinus.drivers.traffic.haproxy.latency import LATENCY_TABLE, rows
from serinus.drivers.traffic.haproxy.sections import milliseconds, section
from serinus.drivers.traffic.haproxy.slots import ALONE, MATCHES_FILE, PICKS, SPLIT_FILE

__all__ = ["description", "render"]

#: Raised whenever the text below changes its meaning: a running HAProxy tells it as its description.
_REVISION = 3
_FIRST_LINE = "# Written by Serinus, which writes it again: change the service's driver_config instead."


def description(config: HaproxyConfig, instance: Instance) -> str:
    """Return what a HAProxy that was started with these settings says of itself."""
    # Another instance that comes or goes is nothing to this one.
    own = to_json(replace(config, instances=(instance,)))
    told = json.dumps([_REVISION, own], sort_keys=True)
    return f"serinus-{hashlib.sha256(told.encode()).hexdigest()[:16]}"


def render(config: HaproxyConfig, instance: Instance, servers: Mapping[str, tuple[str, int]]) -> str:
    """Return ``haproxy.cfg``. ``servers``: ``backend/server`` → address, of those that are in use."""
    folder = Path(instance.config_dir)
    parts = [
        _global(config, instance),
        _defaults(config),
        frontend(config, str(folder / SPLIT_FILE), str(folder / MATCHES_FILE)),
    ]
    parts.append(once(config, description(config, instance), str(folder / SPLIT_FILE)))
    for slot in range(1, config.max_versions + 1):
        parts.append(plain(config, slot, folder, servers))
        parts.append(failover(config, slot, folder, servers))
    parts += [_marks(ALONE, config.max_versions, servers), _marks(PICKS, 1, servers)]
    parts.append(_tables(config))
    if config.metrics_listen:
        parts.append(listener(config, str(folder / SPLIT_FILE), str(folder / PAGE_FILE)))
    return "\n".join([_FIRST_LINE, *parts])


def _global(config: HaproxyConfig, instance: Instance) -> str:
    at = instance.admin
    socket = f"unix@{at} mode 660" if at.startswith("/") else f"ipv4@{at}"
    if at.startswith("["):
        socket = f"ipv6@{at}"
    return section(
        "global",
        [
            f"description {description(config, instance)}",
            f"stats socket {socket} level admin",
            "stats timeout 10s",
        ],
    )


def _defaults(config: HaproxyConfig) -> str:
    return section(
        "defaults",
        [
            "mode http",
            f"timeout connect {milliseconds(min(1.0, config.try_seconds))}",
            # Clients are waited for longer than servers: a slow version must not look like a slow client.
            f"timeout client {milliseconds(max(60.0, 2 * config.timeout_seconds))}",
            f"timeout server {milliseconds(config.timeout_seconds)}",
            "timeout http-request 30s",
            "timeout http-keep-alive 60s",
            # WebSockets: from then on no answer is waited for.
            "timeout tunnel 1h",
            "retries 1",
            # At the first retry, not the last: the second try never goes where the first has failed.
            "option redispatch 1",
        ],
    )


def _marks(name: str, count: int, servers: Mapping[str, tuple[str, int]]) -> str:
    """Return a backend whose servers say something by being open, and get nothing."""
    listed = (f"s{n}" for n in range(1, count + 1))
    return section(
        f"backend {name}",
        [f"server {mark} 127.0.0.1:9{'' if f'{name}/{mark}' in servers else ' disabled'}" for mark in listed],
    )


def _tables(config: HaproxyConfig) -> str:
    """Return the counters. They do not expire; the oldest goes when they are full."""
    most = config.max_versions * len(rows())
    return "\n".join(
        [
            section(
                f"backend {BREAKER_TABLE}",
                ["stick-table type integer size 10k store gpt(1),gpc(3)"],
            ),
            section(
                f"backend {LATENCY_TABLE}",
                [f"stick-table type integer size {max(10_000, most * 10)} store http_req_cnt"],
            ),
        ]
    )
