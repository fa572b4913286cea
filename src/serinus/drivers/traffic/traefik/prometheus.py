"""For those who let Prometheus scrape: what to scrape, and what to ask for each check."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from serinus.drivers.traffic.traefik.config import TraefikConfig
from serinus.drivers.traffic.traefik.dynamic import versions
from serinus.ports.traffic import DesiredSplit

__all__ = ["queries", "scrape_config"]


def scrape_config(config: TraefikConfig) -> dict[str, Any]:
    """Return one job for Prometheus' ``scrape_configs``, with every instance's name as a label."""
    return {
        "job_name": "serinus-traefik",
        "metrics_path": "/metrics",
        "static_configs": [
            {"targets": [urlsplit(i.admin).netloc], "labels": {"proxy": i.name}} for i in config.instances
        ],
    }


def queries(desired: DesiredSplit, *, window: str = "5m") -> dict[str, dict[str, str]]:
    """Return PromQL by check and version's role (``stable``, ``canary``).

    A failed canary answer is a 5xx of the canary's service here, though a repeat on stable saved the
    client; one that broke off after its head is not (only our own statistics have those).

    Args:
        desired: The split; without a canary there are only stable's queries.
        window: Range of each rate, as Prometheus writes durations.
    """
    roles = {"stable": desired.stable}
    if desired.canary is not None:
        roles["canary"] = desired.canary
    selectors = {}
    for role, upstream in roles.items():
        names = [name for name, version in versions(desired).items() if version == upstream.version]
        selectors[role] = f'service=~"({"|".join(names)})@(file|http)"'
    return {check: {r: ask(s, window) for r, s in selectors.items()} for check, ask in _CHECKS.items()}


def _error_rate(select: str, window: str) -> str:
    failed = f'sum(rate(traefik_service_requests_total{{{select},code=~"5.."}}[{window}]))'
    return f"({failed} or vector(0)) / {_request_rate(select, window)}"


def _request_rate(select: str, window: str) -> str:
    return f"sum(rate(traefik_service_requests_total{{{select}}}[{window}]))"


def _quantile(share: float) -> Any:
    def ask(select: str, window: str) -> str:
        rate = f"rate(traefik_service_request_duration_seconds_bucket{{{select}}}[{window}])"
        return f"histogram_quantile({share:g}, sum by (le) ({rate}))"

    return ask


_CHECKS = {
    "request_rate": _request_rate,
    "error_rate": _error_rate,
    "latency_p50": _quantile(0.5),
    "latency_p95": _quantile(0.95),
    "latency_p99": _quantile(0.99),
}
