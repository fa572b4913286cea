"""NGINX for Prometheus: the job that scrapes a service's fleet, and the PromQL of each check."""

from __future__ import annotations

from typing import Any

from serinus.core.analysis.queries import Query
from serinus.core.errors import InvalidInput
from serinus.core.policy.promql import duration, quoted
from serinus.drivers._proxies import both_sides, job_name, scrape_targets
from serinus.drivers.traffic.nginx.config import Common
from serinus.ports.traffic import DesiredSplit

__all__ = ["queries", "scrape_config"]


def scrape_config(config: Common, driver: str) -> dict[str, Any]:
    """Return one entry of ``scrape_configs`` for all instances.

    Raises:
        InvalidInput: An admin address is a socket, which Prometheus cannot ask.
    """
    if any(instance.admin.startswith("unix:") for instance in config.instances):
        raise InvalidInput(
            "Prometheus cannot scrape an admin address that is a unix socket.",
            field="driver_config.instances",
            next_step="Give the instance an `admin` like http://127.0.0.1:9902.",
        )
    return {
        "job_name": job_name(driver, config.instances),
        "scheme": "http",
        "metrics_path": "/metrics",
        "static_configs": scrape_targets(config.instances),
    }


def queries(
    config: Common, driver: str, desired: DesiredSplit, source: str, window_seconds: float
) -> dict[str, Query]:
    """Return the PromQL of each check, from the counters that the driver itself reads."""

    def grown(counter: str, version: str) -> str:
        labels = f"job={quoted(job_name(driver, config.instances))},version={quoted(version)}"
        return f"increase(serinus_edge_{counter}{{{labels}}}[{duration(window_seconds)}])"

    def requests(version: str) -> str:
        return f"sum({grown('request_seconds_count', version)})"

    def error_rate(version: str) -> str:
        return f"clamp_max(sum({grown('errors_total', version)}) / {requests(version)}, 1)"

    def p95(version: str) -> str:
        inner = f"sum by (le) ({grown('request_seconds_bucket', version)})"
        return f"1000 * histogram_quantile(0.95, {inner})"

    checks = {"requests": requests, "error rate": error_rate, "p95 latency": p95}
    return {name: both_sides(desired, source, ask) for name, ask in checks.items()}
