"""Every driver by name: the one shared line that a new driver edits."""

from __future__ import annotations

import importlib
from importlib.metadata import entry_points
from importlib.util import find_spec
from typing import Any

from serinus.ports.needs import ensure_able
from serinus.ports.polling import Polling
from serinus.ports.traffic import Capability, DesiredSplit

__all__ = [
    "ASSIGNMENTS",
    "HOOKS",
    "METRICS",
    "NOTIFIERS",
    "RELAYED",
    "RULES",
    "STARTED_WITH",
    "TRAFFIC",
    "beside_an_agent",
    "capabilities",
    "ensure_carried_by",
    "load",
    "pollable",
    "rule_engines",
]

#: Traffic drivers: name → "module:class".
TRAFFIC = {
    "in-process": "serinus.drivers.traffic.inprocess:InProcessDriver",
    "envoy": "serinus.drivers.traffic.envoy:EnvoyDriver",
    "haproxy": "serinus.drivers.traffic.haproxy:HaproxyDriver",
    "nginx": "serinus.drivers.traffic.nginx:NginxDriver",
    "nginx-reload": "serinus.drivers.traffic.nginx:NginxReloadDriver",
    "traefik": "serinus.drivers.traffic.traefik:TraefikDriver",
    "agents": "serinus.drivers.traffic.agents:AgentsDriver",
}
#: Carries by other drivers, on other hosts: can what they can.
RELAYED = ("agents",)
#: Have no proxy that an agent could stand beside.
_WITHOUT_PROXY = ("in-process", *RELAYED)

#: What each driver's proxy is started with: name → "module:function".
STARTED_WITH = {
    "envoy": "serinus.drivers.traffic.envoy.start:start_with",
    "haproxy": "serinus.drivers.traffic.haproxy.start:start_with",
    "nginx": "serinus.drivers.traffic.nginx.start:start_with",
    "nginx-reload": "serinus.drivers.traffic.nginx.start:reload_start_with",
    "traefik": "serinus.drivers.traffic.traefik.start:start_with",
}

#: Notifiers: name → "module:class".
NOTIFIERS = {
    "slack": "serinus.drivers.notify.slack:SlackNotifier",
    "email": "serinus.drivers.notify.email:EmailNotifier",
    "pagerduty": "serinus.drivers.notify.pagerduty:PagerDutyNotifier",
    "twilio": "serinus.drivers.notify.twilio:TwilioNotifier",
    "webhook": "serinus.drivers.notify.webhook:WebhookNotifier",
    "apprise": "serinus.drivers.notify.apprise:AppriseNotifier",
}

#: Metric sources: name → "module:class".
METRICS = {
    "prometheus": "serinus.drivers.metrics.prometheus:PrometheusSource",
    "http-json": "serinus.drivers.metrics.http_json:HttpJsonSource",
    "sql": "serinus.drivers.metrics.sql:SqlSource",
}

#: What calls hooks: way → "module:class".
HOOKS = {
    "webhook": "serinus.drivers.hooks.webhook:Webhook",
    "command": "serinus.drivers.hooks.command:Command",
}

#: Where assignments are kept outside the database: scheme of the URL → "module:class".
ASSIGNMENTS = {
    "redis": "serinus.drivers.assignments.redis:RedisAssignments",
    "rediss": "serinus.drivers.assignments.redis:RedisAssignments",
}

#: Rule engines: name → "module:class". Others join by an entry point of the group ``serinus.rule_engines``.
RULES = {
    "zen": "serinus.drivers.rules.zen:ZenEngine",
    "starlark": "serinus.drivers.rules.starlark:StarlarkEngine",
}


def rule_engines() -> dict[str, str]:
    """Return the rule engines that are installed here: ours with the extra ``rules``, and entry points."""
    ours = {name: target for name, target in RULES.items() if find_spec(name)}
    return {**{e.name: e.value for e in entry_points(group="serinus.rule_engines")}, **ours}


def load(target: str) -> Any:
    """Import and return what ``module:name`` names."""
    module, _, name = target.partition(":")
    return getattr(importlib.import_module(module), name)


def capabilities() -> dict[str, frozenset[Capability]]:
    """Return what each traffic driver can do, by name; one that relays can what those behind it can."""
    return {name: load(target).capabilities for name, target in TRAFFIC.items() if name not in RELAYED}


def beside_an_agent() -> tuple[str, ...]:
    """Return the drivers whose proxy an agent can stand beside."""
    return tuple(name for name in TRAFFIC if name not in _WITHOUT_PROXY)


def pollable() -> tuple[str, ...]:
    """Return the drivers whose proxies may poll instead of having an agent."""
    return tuple(name for name in beside_an_agent() if isinstance(load(TRAFFIC[name]), Polling))


def ensure_carried_by(driver: str, desired: DesiredSplit) -> None:
    """Refuse a split that this driver cannot carry: the first line of every driver's ``apply``.

    Raises:
        CannotCarry: With what is missing, and which drivers could.
    """
    ensure_able(driver, load(TRAFFIC[driver]).capabilities, desired, capabilities)
