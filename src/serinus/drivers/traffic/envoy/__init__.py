"""The Envoy driver: splits by Envoy's own consistent hash, changed without a restart."""

from __future__ import annotations

from serinus.drivers.traffic.envoy.config import EnvoyConfig, Instance, bootstrap
from serinus.drivers.traffic.envoy.driver import EnvoyDriver

__all__ = ["EnvoyConfig", "EnvoyDriver", "Instance", "bootstrap"]
