"""The Traefik driver: Traefik routes, and our plugin in it hashes as the SDK does."""

from __future__ import annotations

from serinus.drivers.traffic.traefik.config import Instance, TraefikConfig, bootstrap
from serinus.drivers.traffic.traefik.driver import TraefikDriver

__all__ = ["Instance", "TraefikConfig", "TraefikDriver", "bootstrap"]
