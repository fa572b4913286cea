"""What Prometheus finds at ``metrics_listen``: HAProxy's own exporter, and counters by version.

HAProxy's exporter knows backends and servers by slot, and no histograms. So a second page gives what our
stick tables count, by the version's name.
"""

from __future__ import annotations

from serinus.drivers.traffic.haproxy.config import HaproxyConfig

__all__ = ["listener"]


def listener(config: HaproxyConfig, split: str) -> str:
    """Return the listener that Prometheus scrapes."""
    return "\n".join(
        [
            "listen serinus_metrics",
            f"    bind {config.metrics_listen}",
            "    http-request use-service prometheus-exporter if { path /metrics }",
            "    http-request deny deny_status 404",
            "",
        ]
    )
