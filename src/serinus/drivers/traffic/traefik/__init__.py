"""The Traefik driver: Traefik routes, and our plugin in it hashes as the SDK does."""

from __future__ import annotations

from serinus.drivers.traffic.traefik.config import Instance, TraefikConfig, bootstrap
from serinus.drivers.traffic.traefik.driver import TraefikDriver
from serinus.drivers.traffic.traefik.provider import ProviderEndpoint

__all__ = ["Instance", "ProviderEndpoint", "TraefikConfig", "TraefikDriver", "bootstrap"]
