"""A service's Envoy settings, and the bootstrap that an operator starts Envoy with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from serinus.core.codec import from_json
from serinus.drivers._address import split_address
from serinus.drivers._proxies import Instance, check_settings, latency_edges_ms

__all__ = [
    "CANDIDATE_HEADER",
    "CDS_FILE",
    "FAILOVER",
    "RDS_FILE",
    "ROUTE_CONFIG",
    "EnvoyConfig",
    "Instance",
    "bootstrap",
    "canary_log",
]

#: Files in an instance's folder that Envoy watches.
CDS_FILE, RDS_FILE = "cds.json", "rds.json"
ROUTE_CONFIG = "serinus"
#: How the name of every candidate's cluster ends: the version, and stable where it fails.
FAILOVER = "_or_stable"
#: On every request that goes to a candidate, and on no other, whatever a client sends: by it the log knows.
CANDIDATE_HEADER = "x-serinus-candidate"
_EXTENSIONS = "type.googleapis.com/envoy.extensions"
_POSITIVE = (
    "timeout_seconds",
    "try_seconds",
    "breaker_failures",
    "breaker_seconds",
    "canary_log_megabytes",
    "poll_seconds",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class EnvoyConfig:
    """A service's ``driver_config``."""

    instances: tuple[Instance, ...] = ()
    listen: str = "127.0.0.1:8080"
    workflow_header: str = "x-workflow-id"
    session_header: str = "x-session-id"
    user_header: str = "x-user-id"
    #: Remembers the unit of a client that sends no key.
    cookie: str = "serinus_unit"
    timeout_seconds: float = 15.0
    #: A canary that has not answered after this long has failed this try.
    try_seconds: float = 5.0
    #: Methods that may be sent again, to stable, when the canary failed.
    retry_methods: tuple[str, ...] = ("GET", "HEAD", "OPTIONS")
    #: The breaker in the proxy: failures in a row, and how long the canary is out.
    breaker_failures: int = 5
    breaker_seconds: float = 60.0
    #: A file of its own for requests of the canary, one JSON object a line, in ``config_dir`` unless
    #: the path is absolute; empty: none. At this size, in megabytes, it is moved to ``….1``.
    canary_log: str = "canary.log"
    canary_log_megabytes: float = 64.0
    #: How often an Envoy that polls asks, each time with up to as much again by chance.
    poll_seconds: float = 0.5

    @classmethod
    def read(cls, data: Mapping[str, Any], *, polled: bool = False) -> EnvoyConfig:
        """Read and check a ``driver_config``, or the settings of Envoys that poll.

        Raises:
            InvalidInput: Anything that Envoy would refuse, told here in words.
        """
        config = from_json(cls, dict(data), "driver_config")
        admin = "http://127.0.0.1:9901"
        check_settings(config, proxy="Envoy", admin=admin, positive=_POSITIVE, polled=polled)
        return config


def bootstrap(config: EnvoyConfig, instance: Instance, asked: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return the bootstrap of one instance: ``envoy -c FILE`` takes it as JSON.

    Args:
        config: The service's settings.
        instance: Which of its proxies.
        asked: Where it gets clusters and routes from, as Envoy's ``ConfigSource``; default: files that it
            watches.
    """
    admin = urlsplit(instance.admin)
    host, port = split_address(config.listen, "driver_config.listen")
    return {
        "node": {"id": instance.name, "cluster": "serinus"},
        "admin": {"address": _socket(admin.hostname or "127.0.0.1", admin.port or 9901)},
        # Histograms are merged at each flush; the default of 5 s would let latency lag behind the counts.
        "stats_flush_interval": "1s",
        "stats_config": {
            "histogram_bucket_settings": [
                {"match": {"suffix": "upstream_rq_time"}, "buckets": latency_edges_ms()}
            ]
        },
        "layered_runtime": {"layers": [{"name": "patterns", "static_layer": _PATTERNS}]},
        "dynamic_resources": {"cds_config": asked or _watched(instance.config_dir, CDS_FILE)},
        "static_resources": {
            "listeners": [
                {
                    "name": "serinus",
                    "address": _socket(host, port),
                    "filter_chains": [{"filters": [_connection_manager(config, instance, asked)]}],
                }
            ]
        },
    }


#: Pinned units are patterns of many alternatives; Envoy's own bound is 100 instructions.
_PATTERNS = {"re2": {"max_program_size": {"error_level": 50_000, "warn_level": 50_000}}}


def _connection_manager(
    config: EnvoyConfig, instance: Instance, asked: dict[str, Any] | None
) -> dict[str, Any]:
    extensions = _EXTENSIONS
    return {
        "name": "envoy.filters.network.http_connection_manager",
        "typed_config": {
            "@type": f"{extensions}.filters.network.http_connection_manager.v3.HttpConnectionManager",
            "stat_prefix": "serinus",
            "use_remote_address": True,
            "generate_request_id": True,
            "access_log": _canary_log(config, instance),
            "rds": {
                "route_config_name": ROUTE_CONFIG,
                "config_source": asked or _watched(instance.config_dir, RDS_FILE),
            },
            "http_filters": [
                {
                    "name": "envoy.filters.http.router",
                    "typed_config": {"@type": f"{extensions}.filters.http.router.v3.Router"},
                }
            ],
        },
    }


def canary_log(config: EnvoyConfig, instance: Instance) -> Path | None:
    """Return where an instance writes the canary's requests; ``None``: nowhere."""
    return Path(instance.config_dir, config.canary_log) if config.canary_log else None


def _canary_log(config: EnvoyConfig, instance: Instance) -> list[dict[str, Any]]:
    """Return the log of every request that was sent to a candidate, whoever answered it in the end.

    Neither queries nor keys nor cookies are in it: they may be secret.
    """
    path = canary_log(config, instance)
    if path is None:
        return []
    return [
        {
            "name": "envoy.access_loggers.file",
            # An expression on the cluster's name would cost each request some 4 µs, stable's too.
            "filter": {"header_filter": {"header": {"name": CANDIDATE_HEADER, "present_match": True}}},
            "typed_config": {
                "@type": f"{_EXTENSIONS}.access_loggers.file.v3.FileAccessLog",
                "path": str(path),
                "log_format": {"json_format": _LOGGED},
            },
        }
    ]


#: ``cluster`` names the version that was asked first, ``version`` the one that has answered.
_LOGGED = {
    "time": "%START_TIME%",
    "method": "%REQ(:method)%",
    "path": "%PATH(NQ)%",
    "status": "%RESPONSE_CODE%",
    "why": "%RESPONSE_CODE_DETAILS%",
    "flags": "%RESPONSE_FLAGS%",
    "cluster": "%UPSTREAM_CLUSTER%",
    "version": "%UPSTREAM_METADATA(serinus:version)%",
    "tries": "%UPSTREAM_REQUEST_ATTEMPT_COUNT%",
    "duration_ms": "%DURATION%",
    "request_id": "%REQ(x-request-id)%",
}


def _watched(folder: str, file: str) -> dict[str, Any]:
    return {
        "resource_api_version": "V3",
        "path_config_source": {"path": f"{folder}/{file}", "watched_directory": {"path": folder}},
    }


def _socket(host: str, port: int) -> dict[str, Any]:
    return {"socket_address": {"address": host, "port_value": port}}
