"""Fixtures that many tests share."""

from __future__ import annotations

import hypothesis

# How long an example takes depends on what else the machine does; speed is measured in bench/.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")

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
