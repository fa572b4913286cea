"""Every driver by name: the one shared line that a new driver edits."""

from __future__ import annotations

__all__ = ["NOTIFIERS", "TRAFFIC"]

#: Traffic drivers: name → "module:class".
TRAFFIC = {
    "in-process": "serinus.drivers.traffic.inprocess:InProcessDriver",
    "envoy": "serinus.drivers.traffic.envoy:EnvoyDriver",
}

#: Notifiers: name → "module:class".
NOTIFIERS = {
    "slack": "serinus.drivers.notify.slack:SlackNotifier",
    "email": "serinus.drivers.notify.email:EmailNotifier",
}
