"""Envoy for Prometheus: the job that scrapes a service's fleet, and the PromQL of each check."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from serinus.core.analysis.queries import Query
from serinus.core.policy.promql import duration, quoted
from serinus.drivers._address import plain_name
from serinus.drivers._proxies import job_name, scrape_targets
from serinus.drivers.traffic.envoy.clusters import failover_name
from serinus.drivers.traffic.envoy.config import EnvoyConfig
from serinus.ports.traffic import DesiredSplit

__all__ = ["queries", "scrape_config"]

#: What the queries need; everything else that an Envoy counts stays where it is.
_SCRAPED = r"^cluster\..*\.(endpoint\..*|upstream_rq_time|upstream_cx_protocol_error)$"


def scrape_config(config: EnvoyConfig) -> dict[str, Any]:
    """Return one entry of ``scrape_configs`` for all instances."""
    return {
        "job_name": job_name("envoy", config.instances),
        "scheme": urlsplit(config.instances[0].admin).scheme,
        "metrics_path": "/stats/prometheus",
        "params": {"filter": [_SCRAPED]},
        "static_configs": scrape_targets(config.instances),
    }


def queries(
    config: EnvoyConfig, desired: DesiredSplit, source: str, window_seconds: float
) -> dict[str, Query]:
    """Return the PromQL of each check, from the counters that the driver itself reads."""

    def both(ask: Callable[..., str]) -> Query:
        canary = desired.canary
        return Query(
            source=source,
            canary=ask(plain_name(canary.version), failover_name(canary.version)) if canary else "",
            stable=ask(plain_name(desired.stable.version)),
        )

    def grown(counter: str, *clusters: str) -> str:
        named = quoted("|".join(clusters))
        labels = f"job={quoted(job_name('envoy', config.instances))},envoy_cluster_name=~{named}"
        return f"increase(envoy_cluster_{counter}{{{labels}}}[{duration(window_seconds)}])"

    def requests(cluster: str, *_: str) -> str:
        # A refused connection never became a request for Envoy; for us it was one, and it failed.
        return " + ".join(f"sum({grown(f'endpoint_{c}', cluster)})" for c in ("rq_total", "cx_connect_fail"))

    def error_rate(cluster: str, *_: str) -> str:
        counters = ("endpoint_rq_error", "upstream_cx_protocol_error")
        failed = " + ".join(f"sum({grown(c, cluster)})" for c in counters)
        return f"clamp_max(({failed}) / ({requests(cluster)}), 1)"

    def p95(*clusters: str) -> str:
        return f"histogram_quantile(0.95, sum by (le) ({grown('upstream_rq_time_bucket', *clusters)}))"

    return {"requests": both(requests), "error rate": both(error_rate), "p95 latency": both(p95)}
