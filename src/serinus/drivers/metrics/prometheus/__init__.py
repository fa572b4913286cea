"""Prometheus, and whatever speaks its query API: Thanos, Mimir, VictoriaMetrics."""

from serinus.drivers.metrics.prometheus.source import PrometheusSource

__all__ = ["PrometheusSource"]
