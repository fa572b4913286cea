"""For those who let Prometheus measure: what to scrape, and the PromQL of each check."""

from __future__ import annotations

from typing import Any

from serinus.core.errors import InvalidInput
from serinus.drivers.traffic.haproxy.config import HaproxyConfig, split_address
from serinus.drivers.traffic.haproxy.exposition import DURATION, ERRORS_TOTAL, REQUESTS_TOTAL
from serinus.drivers.traffic.haproxy.slots import version_key
from serinus.ports.traffic import DesiredSplit

__all__ = ["queries", "scrape_config"]


def scrape_config(config: HaproxyConfig, service: str) -> list[dict[str, Any]]:
    """Return the entries of ``scrape_configs`` for a service's HAProxies.

    Raises:
        InvalidInput: They have no ``metrics_listen``.
    """
    if not config.metrics_listen:
        raise InvalidInput(
            "HAProxy offers nothing to scrape.",
            field="driver_config.metrics_listen",
            next_step="Give `metrics_listen` an address, like 0.0.0.0:8404, and reload HAProxy.",
        )
    targets = [_target(config, instance.admin) for instance in config.instances]
    labels = {"service": service}
    slots = range(1, config.max_versions + 1)
    return [
        {"job_name": f"haproxy-{service}", "static_configs": [{"targets": targets, "labels": labels}]},
        {
            "job_name": f"serinus-{service}",
            "static_configs": [
                {
                    "targets": targets,
                    "labels": {**labels, "slot": str(n), "__metrics_path__": f"/serinus/{n}"},
                }
                for n in slots
            ],
        },
    ]


def _target(config: HaproxyConfig, admin: str) -> str:
    """Return where an instance is scraped: at its own host, when its runtime API tells that."""
    host, port = split_address(config.metrics_listen, "driver_config.metrics_listen")
    if not admin.startswith("/"):
        host = split_address(admin, "driver_config.instances.admin")[0]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def queries(desired: DesiredSplit, window: str = "5m") -> dict[str, dict[str, str]]:
    """Return check → side → PromQL: ``requests`` and ``error_rate`` per second, and ``p50/p95/p99_ms``.

    Failed tries that stable saved are in the canary's error rate; answers that broke off are not.
    """
    sides = {"stable": desired.stable.version}
    if desired.canary is not None:
        sides["canary"] = desired.canary.version
    made: dict[str, dict[str, str]] = {}
    for side, version in sides.items():
        selector = f"{{service={_quoted(desired.service)},version={_quoted(version_key(version))}}}"
        requests = f"sum(rate({REQUESTS_TOTAL}{selector}[{window}]))"
        errors = f"sum(rate({ERRORS_TOTAL}{selector}[{window}]))"
        buckets = f"sum by (le) (rate({DURATION}_bucket{selector}[{window}]))"
        made.setdefault("requests", {})[side] = requests
        made.setdefault("error_rate", {})[side] = f"{errors} / {requests}"
        for quantile in (50, 95, 99):
            asked = f"1000 * histogram_quantile({quantile / 100:g}, {buckets})"
            made.setdefault(f"p{quantile}_ms", {})[side] = asked
    return made


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
