"""The HAProxy driver: splits by HAProxy's own xxh64, changed through its runtime API without a reload."""

from __future__ import annotations

from serinus.drivers.traffic.haproxy.config import HaproxyConfig, Instance
from serinus.drivers.traffic.haproxy.driver import HaproxyDriver

__all__ = ["HaproxyConfig", "HaproxyDriver", "Instance"]
