"""Carrying splits by agents beside proxies on other hosts."""

from serinus.drivers.traffic.agents.driver import AgentsDriver

__all__ = ["AgentsDriver"]
