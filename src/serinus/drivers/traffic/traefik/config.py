"""A service's Traefik settings, and the static configuration that an operator starts Traefik with."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from serinus.core.codec import from_json
from serinus.core.errors import InvalidInput

__all__ = [
    "DYNAMIC_FILE",
    "LOG_FILE",
    "PLUGIN_FOLDER",
    "STATIC_FILE",
    "Instance",
    "TraefikConfig",
    "bootstrap",
    "split_address",
    "start_command",
]

#: Files in an instance's folder. Traefik looks for plugins below the folder that it was started in.
STATIC_FILE, LOG_FILE, CANARY_LOG = "traefik.yml", "traefik.log", "canary.log"
DYNAMIC_FILE = "dynamic/serinus.yml"
PLUGIN_FOLDER = "plugins-local/src/serinus"
_HEADER = re.compile(r"[a-z0-9-]{1,100}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Instance:
    """One Traefik: where its API and metrics answer, and the folder that both can reach."""

    name: str
    admin: str
    config_dir: str


@dataclass(frozen=True, kw_only=True, slots=True)
class TraefikConfig:
    """A service's ``driver_config``."""

    instances: tuple[Instance, ...]
    listen: str = "127.0.0.1:8080"
    workflow_header: str = "x-workflow-id"
    session_header: str = "x-session-id"
    user_header: str = "x-user-id"
    #: Remembers the unit of a client that sends no key.
    cookie: str = "serinus_unit"
    #: Until the head of an answer has come.
    timeout_seconds: float = 15.0
    #: A canary that has not answered after this long has failed this try.
    try_seconds: float = 5.0
    #: Methods that may be sent again, to stable, when the canary failed.
    retry_methods: tuple[str, ...] = ("GET", "HEAD", "OPTIONS")
    #: The breaker in the proxy: failures in a row, and how long the canary is out.
    breaker_failures: int = 5
    breaker_seconds: float = 60.0
    #: Write ``canary.log`` into the instance's folder: a line of JSON for each request of a candidate.
    canary_log: bool = False
    #: Where Traefik polls its configuration from us; empty: it watches a file in its folder.
    provider_url: str = ""
    poll_seconds: float = 1.0

    @classmethod
    def read(cls, data: Mapping[str, Any]) -> TraefikConfig:
        """Read and check a ``driver_config``.

        Raises:
            InvalidInput: Anything that Traefik would refuse, told here in words.
        """
        config = from_json(cls, dict(data), "driver_config")
        if not config.instances:
            raise _wrong("instances", "has no instance", "Name at least one Traefik.")
        split_address(config.listen, "driver_config.listen")
        for at, instance in enumerate(config.instances):
            _check_url(instance.admin, f"instances[{at}].admin", "Like http://127.0.0.1:8081.")
            if not Path(instance.config_dir).is_absolute():
                raise _wrong(f"instances[{at}].config_dir", "is no absolute path", "Give the whole path.")
        for name in ("workflow_header", "session_header", "user_header", "cookie"):
            if not _HEADER.fullmatch(getattr(config, name).replace("_", "-")):
                raise _wrong(name, "is no header name", "Use lower-case letters, digits and dashes.")
        for name in ("timeout_seconds", "try_seconds", "breaker_failures", "breaker_seconds", "poll_seconds"):
            if getattr(config, name) <= 0:
                raise _wrong(name, "must be above 0", "Leave it out for the default.")
        if config.provider_url:
            _check_url(config.provider_url, "provider_url", "Leave it out to use a file.")
        return config


def _check_url(url: str, field: str, next_step: str) -> None:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise _wrong(field, "is no URL", next_step)


def _wrong(field: str, what: str, next_step: str) -> InvalidInput:
    where = f"driver_config.{field}"
    return InvalidInput(f"{where} {what}.", field=where, next_step=next_step)


def split_address(address: str, where: str) -> tuple[str, int]:
    """Return host and port of ``host:port`` or ``[v6]:port``.

    Raises:
        InvalidInput: It is neither.
    """
    host, _, port = address.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise InvalidInput(
            f"{address[:80]!r} is no address.", field=where, next_step="Write it as host:port."
        )
    return host, int(port)


def start_command(instance: Instance) -> str:
    """Return what starts this instance: from its folder, where the plugin lies."""
    return f"cd {instance.config_dir} && traefik --configFile={STATIC_FILE}"


def bootstrap(config: TraefikConfig, instance: Instance) -> dict[str, Any]:
    """Return the static configuration of one instance; as JSON it is YAML, which Traefik reads."""
    admin = urlsplit(instance.admin)
    return {
        "global": {"checkNewVersion": False, "sendAnonymousUsage": False},
        "log": {"level": "ERROR", "format": "json", "filePath": LOG_FILE, "maxSize": 10, "maxBackups": 1},
        # On the admin address only, which must not be reachable from outside.
        "api": {"insecure": True, "dashboard": False},
        "entryPoints": {
            "web": {"address": config.listen},
            "traefik": {"address": admin.netloc if admin.port else f"{admin.netloc}:80"},
        },
        "providers": _provider(config),
        "metrics": {
            "prometheus": {
                "entryPoint": "traefik",
                "addServicesLabels": True,
                "addEntryPointsLabels": False,
                "addRoutersLabels": False,
                "buckets": _latency_edges(),
            }
        },
        "experimental": {
            # Without the plugin nothing could be routed: better not to start than to answer 404.
            "abortOnPluginFailure": True,
            "localPlugins": {"serinus": {"moduleName": "serinus"}},
        },
    }


def _provider(config: TraefikConfig) -> dict[str, Any]:
    # The default waits two seconds after each change before it looks at the next one.
    throttle = {"providersThrottleDuration": "5ms"}
    if config.provider_url:
        poll = f"{config.poll_seconds:g}s"
        return {**throttle, "http": {"endpoint": config.provider_url, "pollInterval": poll}}
    return {**throttle, "file": {"directory": str(Path(DYNAMIC_FILE).parent), "watch": True}}


def _latency_edges() -> list[float]:
    """Return upper edges in seconds from 0.5 ms to a minute, 15 % apart: a quantile is off by 7 % at most."""
    edges, edge = [], 0.0005
    while edge < 60:
        edges.append(round(edge, 5))
        edge *= 1.15
    return [*edges, 60.0]
