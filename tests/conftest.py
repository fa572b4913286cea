"""Fixtures that many tests share."""

from __future__ import annotations

pytest_plugins = [
    "fixtures_postgres",
    "fixtures_store",
    "fixtures_edges",
    "fixtures_envoy",
    "fixtures_fleet",
    "fixtures_hooks",
    "fixtures_haproxy",
    "fixtures_alarms",
    "fixtures_nginx",
    "fixtures_notify",
    "fixtures_plane",
    "fixtures_polls",
    "fixtures_prometheus",
    "fixtures_redis",
    "fixtures_tools",
    "perfume",
    "fixtures_traefik",
]
