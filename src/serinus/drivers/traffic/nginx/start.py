"""What an operator starts NGINX with, with our scripts or plain."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from serinus.drivers._start import StartWith, choose
from serinus.drivers.traffic.nginx.binary import INSTALL, command, probe
from serinus.drivers.traffic.nginx.config import NginxConfig, ReloadConfig
from serinus.drivers.traffic.nginx.reload import TEMPLATE
from serinus.drivers.traffic.nginx.render import configuration, text_of

__all__ = ["reload_start_with", "start_with"]


def start_with(data: Mapping[str, Any], name: str | None) -> StartWith:
    """Return what one instance of an NGINX with Lua or njs is started with.

    Raises:
        InvalidInput: The settings are wrong, or have no such instance.
    """
    config = NginxConfig.read(data)
    instance = choose(config.instances, name)
    return StartWith(
        file="nginx.conf",
        text=configuration(config, instance, probe(config.binary)),
        notes=(
            f"NGINX's configuration for {instance.name}, with {config.module} ({INSTALL[config.module]}).",
            f"Serinus (or `serinus agent`) writes it into {instance.config_dir} by itself, with its scripts;",
            "put it there only to look at it. Your own lines go into http.d/ and server.d/ there.",
            f"Start, once the folder is written: {shlex.join(command(config.binary, instance.config_dir))}",
        ),
    )


def reload_start_with(data: Mapping[str, Any], name: str | None) -> StartWith:
    """Return what one instance of a plain NGINX is started with: the template, which is the operator's.

    Raises:
        InvalidInput: The settings are wrong, or have no such instance.
    """
    config = ReloadConfig.read(data)
    instance = choose(config.instances, name)
    folder = instance.config_dir
    return StartWith(
        file=TEMPLATE,
        text=text_of("reload.conf.template"),
        notes=(
            f"The template of NGINX's configuration for {instance.name}. Save it as {folder}/{TEMPLATE} and",
            "change what you like; without it, Serinus (or `serinus agent`) puts this one there.",
            "nginx.conf is made of it whenever a share changes, tested, and NGINX reloaded.",
            f"Start, once nginx.conf is there: {shlex.join(command(config.binary, folder))}",
        ),
    )
