"""A service's Traefik settings, and the static configuration that an operator starts Traefik with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from serinus.core.codec import from_json
from serinus.drivers._proxies import Instance, check_settings, latency_edges_ms

__all__ = [
    "CANARY_LOG",
    "DYNAMIC_FILE",
    "LOG_FILE",
    "METRICS_PATH",
    "PLUGIN_FOLDER",
    "PLUGIN_PATH",
    "STATE_PATH",
    "STATIC_FILE",
    "Instance",
    "TraefikConfig",
    "bootstrap",
    "plugin_files",
    "start_command",
]

#: Files in an instance's folder. Traefik looks for plugins below the folder that it was started in.
STATIC_FILE, LOG_FILE, CANARY_LOG = "traefik.yml", "traefik.log", "canary.log"
DYNAMIC_FILE = "dynamic/serinus.yml"
PLUGIN_FOLDER = "plugins-local/src/serinus"
#: Where our plugin answers on the admin address: its state as JSON, and for Prometheus.
PLUGIN_PATH = "/serinus"
STATE_PATH, METRICS_PATH = f"{PLUGIN_PATH}/state", f"{PLUGIN_PATH}/metrics"
_POSITIVE = ("timeout_seconds", "try_seconds", "breaker_failures", "breaker_seconds", "poll_seconds")


@dataclass(frozen=True, kw_only=True, slots=True)
class TraefikConfig:
    """A service's ``driver_config``."""

    instances: tuple[Instance, ...] = ()
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
    #: How often a Traefik that polls asks.
    poll_seconds: float = 0.5

    @classmethod
    def read(cls, data: Mapping[str, Any], *, polled: bool = False) -> TraefikConfig:
        """Read and check a ``driver_config``, or the settings of Traefiks that poll.

        Raises:
            InvalidInput: Anything that Traefik would refuse, told here in words.
        """
        config = from_json(cls, dict(data), "driver_config")
        admin = "http://127.0.0.1:8081"
        check_settings(config, proxy="Traefik", admin=admin, positive=_POSITIVE, polled=polled)
        return config


def start_command(instance: Instance) -> str:
    """Return what starts this instance: from its folder, where the plugin lies."""
    return f"cd {instance.config_dir} && traefik --configFile={STATIC_FILE}"


def plugin_files() -> dict[str, str]:
    """Return the source of our plugin, by its path in the folder that Traefik is started in."""
    plugin = files("serinus.drivers.traffic.traefik") / "plugin"
    return {f"{PLUGIN_FOLDER}/{source.name}": source.read_text() for source in plugin.iterdir()}


def bootstrap(
    config: TraefikConfig, instance: Instance, provider: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Return the static configuration of one instance; as JSON it is YAML, which Traefik reads.

    Args:
        config: The service's settings.
        instance: Which of its proxies.
        provider: Where its dynamic configuration comes from; default: a file that it watches.
    """
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
        "providers": {
            # The default waits two seconds after each change before it looks at the next one.
            "providersThrottleDuration": "5ms",
            **(provider or {"file": {"directory": str(Path(DYNAMIC_FILE).parent), "watch": True}}),
        },
        "metrics": {
            "prometheus": {
                "entryPoint": "traefik",
                "addServicesLabels": True,
                "addEntryPointsLabels": False,
                "addRoutersLabels": False,
                "buckets": [round(edge / 1000, 5) for edge in latency_edges_ms()],
            }
        },
        "experimental": {
            # Without the plugin nothing could be routed: better not to start than to answer 404.
            "abortOnPluginFailure": True,
            "localPlugins": {"serinus": {"moduleName": "serinus"}},
        },
    }
