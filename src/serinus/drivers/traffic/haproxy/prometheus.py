"""HAProxy for Prometheus: the job that scrapes a service's fleet, and the PromQL of each check."""

from __future__ import annotations

import hashlib
from typing import Any

from serinus.core.analysis.queries import Query
from serinus.core.errors import InvalidInput
from serinus.core.policy.promql import duration, quoted
from serinus.drivers._address import split_address
from serinus.drivers._proxies import both_sides
from serinus.drivers.traffic.haproxy.config import HaproxyConfig
from serinus.drivers.traffic.haproxy.exposition import DURATION, ERRORS_TOTAL, REQUESTS_TOTAL
from serinus.drivers.traffic.haproxy.slots import version_key
from serinus.ports.traffic import DesiredSplit

__all__ = ["queries", "scrape_config"]


def _job(config: HaproxyConfig) -> str:
    """Return a name that no other fleet has: versions are named the same everywhere."""
    fleet = ",".join(sorted(f"{i.name} {i.admin}" for i in config.instances)) + config.metrics_listen
    return f"serinus-haproxy-{hashlib.sha256(fleet.encode()).hexdigest()[:8]}"


def scrape_config(config: HaproxyConfig) -> dict[str, Any]:
    """Return one entry of ``scrape_configs`` for all instances: a page for each slot of each.

    Raises:
        InvalidInput: They have no ``metrics_listen``.
    """
    if not config.metrics_listen:
        raise InvalidInput(
            "HAProxy offers nothing to scrape.",
            field="driver_config.metrics_listen",
            next_step="Give `metrics_listen` an address, like 0.0.0.0:8404, and reload HAProxy.",
        )
    return {
        "job_name": _job(config),
        "static_configs": [
            {
                "targets": [_target(config, instance.admin)],
                "labels": {"instance": instance.name, "slot": str(n), "__metrics_path__": f"/serinus/{n}"},
            }
            for instance in config.instances
            for n in range(1, config.max_versions + 1)
        ],
    }


def _target(config: HaproxyConfig, admin: str) -> str:
    """Return where an instance is scraped: at its own host, when its runtime API tells that."""
    host, port = split_address(config.metrics_listen, "driver_config.metrics_listen")
    if not admin.startswith("/"):
        host = split_address(admin, "driver_config.instances.admin")[0]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def queries(
    config: HaproxyConfig, desired: DesiredSplit, source: str, window_seconds: float
) -> dict[str, Query]:
    """Return the PromQL of each check, from the stick tables that the driver itself reads.

    Answers that broke off are in the driver's counters, but not here.
    """

    def grown(counter: str, version: str) -> str:
        labels = f"job={quoted(_job(config))},version={quoted(version_key(version))}"
        return f"increase({counter}{{{labels}}}[{duration(window_seconds)}])"

    def requests(version: str) -> str:
        return f"sum({grown(REQUESTS_TOTAL, version)})"

    def error_rate(version: str) -> str:
        return f"sum({grown(ERRORS_TOTAL, version)}) / {requests(version)}"

    def p95(version: str) -> str:
        buckets = grown(f"{DURATION}_bucket", version)
        return f"1000 * histogram_quantile(0.95, sum by (le) ({buckets}))"

    checks = {"requests": requests, "error rate": error_rate, "p95 latency": p95}
    return {name: both_sides(desired, source, ask) for name, ask in checks.items()}
