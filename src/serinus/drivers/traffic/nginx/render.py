"""The files that an instance of ``nginx`` runs by: its configuration, its scripts, its token."""

from __future__ import annotations

import hashlib
import json
import re
import secrets
import shlex
from collections.abc import Iterable, Iterator
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any

from serinus.drivers._proxies import replace_file
from serinus.drivers.traffic.nginx.binary import Program, command
from serinus.drivers.traffic.nginx.config import Common, Instance, Module, NginxConfig, admin_listen
from serinus.drivers.traffic.nginx.document import addresses

__all__ = [
    "CONNECT_SECONDS",
    "COOKIE_ENDS",
    "TOKEN_FILE",
    "configuration",
    "digest",
    "lay_out",
    "lua_table",
    "milliseconds",
    "save",
    "scripts_digest",
    "text_of",
    "token_of",
]

#: What is carried after the next start.
_SAVED = {Module.LUA: "split", Module.NJS: "split.json"}
#: njs: addresses with a name of their own, whose connections are kept.
_UPSTREAMS = "upstreams.conf"
TOKEN_FILE = "admin-token.conf"  # noqa: S105
_SCRIPTS = {
    Module.LUA: ("serinus_xxh64.lua", "serinus_split.lua", "serinus_edge.lua", "serinus_admin.lua"),
    Module.NJS: ("serinus_split.js", "serinus_edge.js", "serinus_admin.js"),
}
_LOADED = {
    Module.LUA: ("ndk_http_module.so", "ngx_http_lua_module.so"),
    Module.NJS: ("ngx_http_js_module.so",),
}
#: A version on the same host, or near it, takes a connection in milliseconds.
CONNECT_SECONDS = 1.0
#: How the cookie of a new unit ends: a month.
COOKIE_ENDS = "; Path=/; Max-Age=2592000; HttpOnly; SameSite=Lax"


#: How a candidate is asked that may fail over.
_TRIED = """\
proxy_read_timeout @TRY@;
proxy_next_upstream off;
proxy_intercept_errors on;
error_page 500 502 503 504 = @serinus_stable;
proxy_pass http://$serinus_target;"""


def text_of(name: str) -> str:
    """Return one of the files that are rendered or laid out as they are."""
    return resources.files("serinus.drivers.traffic.nginx").joinpath("edge", name).read_text()


def digest(config: NginxConfig, instance: Instance) -> str:
    """Return what names an instance's settings: an NGINX that runs by others has another."""
    # The fleet's other members, and what only the driver does, are no reason to reload this one.
    mine = replace(config, instances=(instance,), canary_log_megabytes=1.0)
    return hashlib.sha256(repr(mine).encode()).hexdigest()[:16]


def scripts_digest(module: Module) -> str:
    """Return what names the scripts and the configuration of this release."""
    texts = [text_of(name) for name in (*_SCRIPTS[module], f"{module}.conf")]
    return hashlib.sha256("".join(texts).encode()).hexdigest()[:16]


def lay_out(config: NginxConfig, instance: Instance, program: Program | None) -> None:
    """Write what an instance starts with, as far as it differs from what is there.

    Raises:
        OSError: The folder cannot be written.
    """
    folder = Path(instance.config_dir)
    for name in ("tmp", "http.d", "server.d"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for name in _SCRIPTS[config.module]:
        replace_file(folder / name, text_of(name))
    token_of(instance)
    replace_file(folder / "nginx.conf", configuration(config, instance, program))


def save(config: NginxConfig, instance: Instance, text: str) -> None:
    """Write what an instance carries after its next start.

    Raises:
        OSError: The folder cannot be written.
    """
    path = Path(instance.config_dir, _SAVED[config.module])
    if config.module is Module.LUA:
        replace_file(path, text, mode=0o600)
        return
    before: dict[str, str] = {}
    if path.exists():
        before = json.loads(path.read_text())["kept"]
    kept = {a: "serinus_" + re.sub(r"\W", "_", a) for a in addresses(text)}
    # A start between the two files finds every name that it is told of.
    names = sorted({**before, **kept}.items())
    replace_file(path.with_name(_UPSTREAMS), "".join([*map(_upstream, names), *_targets(names)]))
    saved = {"settings": _settings(config, instance), "kept": kept, "text": text}
    replace_file(path, json.dumps(saved, indent=1), mode=0o600)


def _upstream(named: tuple[str, str]) -> str:
    address, name = named
    return f"upstream {name} {{ server {address} max_fails=0; keepalive 256; keepalive_requests 1000000; }}\n"


def _targets(names: list[tuple[str, str]]) -> Iterator[str]:
    """Return the lines that find the name of an address, where it has one."""
    listed = "".join(f' "{address}" {name};' for address, name in names)
    for which in ("", "stable_", "mirror_"):
        yield f"map $serinus_{which}to $serinus_{which}target {{ default $serinus_{which}to;{listed} }}\n"


def configuration(config: NginxConfig, instance: Instance, program: Program | None) -> str:
    """Return an instance's ``nginx.conf``."""
    settings = _settings(config, instance)
    return _fill(
        text_of(f"{config.module}.conf"),
        config,
        instance,
        MODULES=_load(config, program),
        SETTINGS=lua_table(settings),
        TRIED=_TRIED.replace("\n", "\n            "),
    )


def _fill(template: str, config: Common, instance: Instance, **more: str) -> str:
    """Return a template with its ``@…@`` filled in."""
    folder = instance.config_dir.rstrip("/")
    log = f"access_log {folder}/{config.canary_log} serinus if=$serinus_candidate;"
    values = {
        "ADMIN": admin_listen(instance),
        **more,
        "BODY": f"{config.max_body_megabytes}m" if config.max_body_megabytes else "0",
        "WORKFLOW": variable(config.workflow_header),
        "SESSION": variable(config.session_header),
        "USER": variable(config.user_header),
        "COOKIE": config.cookie,
        "COMMAND": shlex.join(command(config.binary, folder)),
        "FOLDER": folder,
        "LISTEN": config.listen,
        "LOG": log if config.canary_log else "",
        "WORKERS": str(config.workers or "auto"),
        "TIMEOUT": milliseconds(config.timeout_seconds),
        "TRY": milliseconds(config.try_seconds),
        "CONNECT": milliseconds(min(CONNECT_SECONDS, config.try_seconds)),
    }
    for name, value in values.items():
        template = template.replace(f"@{name}@", value)
    return template


def variable(header: str) -> str:
    """Return the name that NGINX has for a request's header."""
    return "http_" + header.replace("-", "_")


def milliseconds(seconds: float) -> str:
    """Return a time as NGINX has it."""
    return f"{max(1, round(seconds * 1000))}ms"


def _load(config: NginxConfig, program: Program | None) -> str:
    """Return the lines that load the module, unless it is built in."""
    if program is not None and program.has("njs" if config.module is Module.NJS else "lua"):
        return ""
    files: Iterable[Path] = (
        program.loadable(*_LOADED[config.module])
        if program
        else [Path("/usr/lib/nginx/modules", name) for name in _LOADED[config.module]]
    )
    return "".join(f"load_module {file};\n" for file in files)


def _settings(config: NginxConfig, instance: Instance) -> dict[str, Any]:
    headers = (config.workflow_header, config.session_header, config.user_header)
    return {
        "folder": instance.config_dir.rstrip("/"),
        "digest": digest(config, instance),
        "scripts": scripts_digest(config.module),
        "keys": [*map(variable, headers), f"cookie_{config.cookie}"],
        "cookie": config.cookie,
        "cookie_ends": COOKIE_ENDS,
        "repeats": dict.fromkeys(config.retry_methods, True),
        "timeout_seconds": config.timeout_seconds,
        "try_seconds": config.try_seconds,
        "connect_seconds": min(CONNECT_SECONDS, config.try_seconds),
        "breaker_failures": config.breaker_failures,
        "breaker_seconds": config.breaker_seconds,
    }


def lua_table(settings: dict[str, Any]) -> str:
    """Return settings as the inside of a Lua table; their texts are plain, since they were checked.

    >>> print(lua_table({"cookie": "unit", "keys": ["a"], "repeats": {"GET": True}, "try_seconds": 5.0}))
                cookie = "unit",
                keys = { "a" },
                repeats = { GET = true },
                try_seconds = 5.0,
    """

    def value(given: Any) -> str:
        if isinstance(given, dict):
            return "{ " + ", ".join(f"{name} = {value(one)}" for name, one in given.items()) + " }"
        return (
            "{ " + ", ".join(map(json.dumps, given)) + " }" if isinstance(given, list) else json.dumps(given)
        )

    return "\n".join(f"            {name} = {value(given)}," for name, given in settings.items())


def token_of(instance: Instance) -> str:
    """Return the token of an instance's admin address; it is made where there is none.

    Raises:
        OSError: The file can neither be read nor written.
    """
    path = Path(instance.config_dir, TOKEN_FILE)
    if not path.exists():
        secret = secrets.token_urlsafe(32)
        replace_file(path, f'if ($http_x_serinus_token != "{secret}") {{ return 403; }}\n', mode=0o600)
    return path.read_text().partition('"')[2].partition('"')[0]
