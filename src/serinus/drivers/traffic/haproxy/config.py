"""A service's HAProxy settings."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from serinus.core.codec import from_json
from serinus.core.errors import InvalidInput
from serinus.drivers._address import split_address
from serinus.drivers._proxies import Instance

__all__ = ["CONFIG_FILE", "HaproxyConfig", "Instance"]

#: What an operator starts HAProxy with, in an instance's folder.
CONFIG_FILE = "haproxy.cfg"
_NAME = re.compile(r"[a-z0-9-]{1,100}")
_METHOD = re.compile(r"[A-Z]{1,20}")
#: Words that stand in the configuration as they are: nothing that could begin another directive.
_WORD = re.compile(r"[A-Za-z0-9@:/._\[\]-]{1,200}")
_PLACE = re.compile(r"/[A-Za-z0-9@._+/-]{0,200}")


@dataclass(frozen=True, kw_only=True, slots=True)
class HaproxyConfig:
    """A service's ``driver_config``."""

    #: ``admin`` is the runtime API: a socket's path, or host:port.
    instances: tuple[Instance, ...]
    listen: str = "127.0.0.1:8080"
    #: Where Prometheus finds HAProxy's exporter (/metrics) and ours (/serinus); empty: nowhere.
    metrics_listen: str = ""
    workflow_header: str = "x-workflow-id"
    session_header: str = "x-session-id"
    user_header: str = "x-user-id"
    #: Remembers the unit of a client that sends no key.
    cookie: str = "serinus_unit"
    timeout_seconds: float = 15.0
    #: A canary that has not answered after this long has failed this try.
    try_seconds: float = 5.0
    #: Methods that may be sent again, to stable, when the canary failed.
    retry_methods: tuple[str, ...] = ("GET", "HEAD", "OPTIONS")
    #: The breaker in the proxy: failures in a row, and how long the canary is out.
    breaker_failures: int = 5
    breaker_seconds: float = 60.0
    #: Asked of every address by HAProxy itself; empty: no active checks.
    health_path: str = ""
    health_seconds: float = 2.0
    #: Where canary requests are logged, as HAProxy's ``log`` takes it: stdout, fd@3, 127.0.0.1:514, …
    canary_log_target: str = "stdout"
    #: Room for versions and for addresses of each: HAProxy has to be started with it.
    max_versions: int = 6
    max_addresses: int = 8

    @classmethod
    def read(cls, data: Mapping[str, Any]) -> HaproxyConfig:
        """Read and check a ``driver_config``.

        Raises:
            InvalidInput: Anything that HAProxy would refuse, told here in words.
        """
        config = from_json(cls, dict(data), "driver_config")
        _check_instances(config)
        split_address(config.listen, "driver_config.listen")
        if config.metrics_listen:
            split_address(config.metrics_listen, "driver_config.metrics_listen")
        for name in ("workflow_header", "session_header", "user_header", "cookie"):
            if not _NAME.fullmatch(getattr(config, name).replace("_", "-")):
                raise _wrong(name, "is no header name", "Use lower-case letters, digits and dashes.")
        for name in ("timeout_seconds", "try_seconds", "breaker_failures", "breaker_seconds"):
            if getattr(config, name) <= 0:
                raise _wrong(name, "must be above 0", "Leave it out for the default.")
        if not all(_METHOD.fullmatch(method) for method in config.retry_methods):
            raise _wrong("retry_methods", "has something that is no method", "Like GET, in capitals.")
        if config.health_path and not _PLACE.fullmatch(config.health_path):
            raise _wrong("health_path", "is no path", "Like /health.")
        if config.health_seconds <= 0:
            raise _wrong("health_seconds", "must be above 0", "Leave it out for the default.")
        if not _WORD.fullmatch(config.canary_log_target):
            raise _wrong("canary_log_target", "is no log target", "Like stdout, fd@3 or 127.0.0.1:514.")
        if not 2 <= config.max_versions <= 32:
            raise _wrong("max_versions", "must be 2 to 32", "Leave it out for 6.")
        if not 1 <= config.max_addresses <= 100:
            raise _wrong("max_addresses", "must be 1 to 100", "Leave it out for 8.")
        return config


def _check_instances(config: HaproxyConfig) -> None:
    if not config.instances:
        raise _wrong("instances", "has no instance", "Name at least one HAProxy.")
    for at, instance in enumerate(config.instances):
        where = f"instances[{at}].admin"
        if instance.admin.startswith("/"):
            if not _PLACE.fullmatch(instance.admin) or len(instance.admin.encode()) > 97:
                hint = "Letters, digits and -._+/ only, 97 bytes at most."
                raise _wrong(where, "is no socket's path that HAProxy takes", hint)
        else:
            split_address(instance.admin, f"driver_config.{where}")
        if not _PLACE.fullmatch(instance.config_dir):
            hint = "Give the whole path, of letters, digits and -._+/."
            raise _wrong(f"instances[{at}].config_dir", "is no absolute path that HAProxy takes", hint)
    folders = [Path(i.config_dir) for i in config.instances]
    if len(set(folders)) != len(folders):
        raise _wrong("instances", "share a config_dir", "Give each instance a folder of its own.")


def _wrong(field: str, what: str, next_step: str) -> InvalidInput:
    where = f"driver_config.{field}"
    return InvalidInput(f"{where} {what}.", field=where, next_step=next_step)
