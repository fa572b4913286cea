"""Traefik for Prometheus: the job that scrapes a service's fleet, and the PromQL of each check."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from serinus.core.analysis.queries import Query
from serinus.core.policy.promql import duration, quoted
from serinus.drivers._proxies import both_sides, job_name, scrape_targets
from serinus.drivers.traffic.traefik.config import METRICS_PATH, TraefikConfig
from serinus.drivers.traffic.traefik.dynamic import versions
from serinus.ports.traffic import DesiredSplit

__all__ = ["queries", "scrape_config"]


def scrape_config(config: TraefikConfig) -> dict[str, Any]:
    """Return one entry of ``scrape_configs`` for all instances: Traefik's own metrics, and our plugin's."""
    # A target's own path wins over the job's. ``part`` keeps the two targets of an instance apart.
    plugin = {"part": "plugin", "__metrics_path__": METRICS_PATH}
    return {
        "job_name": job_name("traefik", config.instances),
        "scheme": urlsplit(config.instances[0].admin).scheme,
        "metrics_path": "/metrics",
        "static_configs": [*scrape_targets(config.instances), *scrape_targets(config.instances, **plugin)],
    }


def queries(
    config: TraefikConfig, desired: DesiredSplit, source: str, window_seconds: float
) -> dict[str, Query]:
    """Return the PromQL of each check, from the counters that the driver itself reads."""
    job, window = quoted(job_name("traefik", config.instances)), duration(window_seconds)

    def traefiks(counter: str, version: str, more: str = "") -> str:
        names = "|".join(name for name, counts_for in versions(desired).items() if counts_for == version)
        labels = f"job={job},service=~{quoted(f'({names})@(file|http)')}{more}"
        return f"increase(traefik_service_{counter}{{{labels}}}[{window}])"

    def broken_off(version: str) -> str:
        return f"sum(increase(serinus_broken_off_total{{job={job},version={quoted(version)}}}[{window}]))"

    def requests(version: str) -> str:
        whole = f"sum({traefiks('requests_total', version)})"
        if version == desired.stable.version:
            return whole
        # Traefik does not count an answer that broke off after its head; one that always does has no
        # series there at all.
        return f"({whole} or vector(0)) + {broken_off(version)}"

    def error_rate(version: str) -> str:
        more = ',code=~"5.."'
        failed = f"(sum({traefiks('requests_total', version, more)}) or vector(0))"
        if version == desired.stable.version:
            return f"{failed} / {requests(version)}"
        return f"({failed} + {broken_off(version)}) / ({requests(version)})"

    def p95(version: str) -> str:
        # A policy's limits are milliseconds, Traefik's histogram counts seconds.
        rate = traefiks("request_duration_seconds_bucket", version)
        return f"1000 * histogram_quantile(0.95, sum by (le) ({rate}))"

    checks = {"requests": requests, "error rate": error_rate, "p95 latency": p95}
    return {name: both_sides(desired, source, ask) for name, ask in checks.items()}
