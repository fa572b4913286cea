"""What an operator starts HAProxy with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from serinus.drivers._start import StartWith, choose
from serinus.drivers.traffic.haproxy.config import CONFIG_FILE, HaproxyConfig
from serinus.drivers.traffic.haproxy.doctor import start_command
from serinus.drivers.traffic.haproxy.template import render

__all__ = ["start_with"]


def start_with(data: Mapping[str, Any], name: str | None) -> StartWith:
    """Return what one instance is started with.

    Raises:
        InvalidInput: The settings are wrong, or have no such instance.
    """
    config = HaproxyConfig.read(data)
    instance = choose(config.instances, name)
    return StartWith(
        file=CONFIG_FILE,
        text=render(config, instance, {}),
        notes=(
            f"HAProxy's configuration for {instance.name}, before any version has an address.",
            f"Serinus (or `serinus agent`) writes it into {instance.config_dir} by itself, with its maps;",
            "put it there only to look at it. What a split changes, it changes by the runtime API.",
            f"Start, once the folder is written: {start_command(instance)}",
        ),
    )
