"""Every driver by name: the one shared line that a new driver edits."""

from __future__ import annotations

import importlib
from typing import Any

__all__ = ["METRICS", "NOTIFIERS", "TRAFFIC", "load"]

#: Traffic drivers: name → "module:class".
TRAFFIC = {
    "in-process": "serinus.drivers.traffic.inprocess:InProcessDriver",
    "envoy": "serinus.drivers.traffic.envoy:EnvoyDriver",
    "haproxy": "serinus.drivers.traffic.haproxy:HaproxyDriver",
}

#: Notifiers: name → "module:class".
NOTIFIERS = {
    "slack": "serinus.drivers.notify.slack:SlackNotifier",
    "email": "serinus.drivers.notify.email:EmailNotifier",
}

#: Metric sources: name → "module:class".
METRICS = {
    "prometheus": "serinus.drivers.metrics.prometheus:PrometheusSource",
    "http-json": "serinus.drivers.metrics.http_json:HttpJsonSource",
    "sql": "serinus.drivers.metrics.sql:SqlSource",
}


def load(target: str) -> Any:
    """Import and return what ``module:name`` names."""
    module, _, name = target.partition(":")
    return getattr(importlib.import_module(module), name)
