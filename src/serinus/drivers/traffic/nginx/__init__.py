"""The NGINX drivers: one by scripts inside NGINX and without reloads, one for plain NGINX by reloads."""

from __future__ import annotations

from serinus.drivers.traffic.nginx.config import NginxConfig, ReloadConfig
from serinus.drivers.traffic.nginx.driver import NginxDriver
from serinus.drivers.traffic.nginx.reload import NginxReloadDriver

__all__ = ["NginxConfig", "NginxDriver", "NginxReloadDriver", "ReloadConfig"]
