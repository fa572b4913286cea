"""The demo's story: start everything, release a good version, release a bad one, tell what happened."""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console
from rich.markup import escape

from serinus.demo.parts import Trouble
from serinus.demo.stage import SERVICE, Stage
from serinus.demo.summary import print_summary, shown, title

__all__ = ["main"]

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
class Demo(Stage):
    """One run of the demo."""

    speed: float
    headless: bool
    began: float = field(default_factory=time.monotonic)
    report: dict[str, Any] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    #: Which versions answered whom, up to the moment at which v3 begins to fail.
    calm: dict[str, list[str]] = field(default_factory=dict)

    def _policy(self) -> Path:
        """Write the demo's policy: the default one, the sequential judge, in compressed time.

        At 1 % and this rate a stage sees some twenty canary requests, so a stage may end from eight on. All
        parts run on one machine: a few milliseconds more are the machine's, and not the release's.
        """
        policy = {
            "version": 1,
            "name": "demo",
            "preset": "sequential",
            "warm_up": f"{WARM_UP / self.speed:g}s",
            "lag": "0.5s",
            "min_requests": 8,
            "latency": {"slower": "50 %", "find": "100 %"},
            "watch": f"{OBSERVATION / self.speed:g}s",
            "gate": [],
        }
        path = self.folder / "policy.yaml"
        path.write_text(json.dumps(policy))  # JSON is YAML
        return path

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
            sys.executable, "-m", "serinus", *command, env=self.environment()
        )
        code = await child.wait()
        if not report.exists():
            raise Trouble(f"`serinus rollout run` ended with {code} before it began")
        return dict(json.loads(report.read_text()))

    async def good_release(self) -> None:
        """Release v2: it walks to 100 % and is promoted."""
        title(self.console, "1. A good release: v2")
        done = await self._release("v2")
        self.report["good"] = shown(done)
        self._expect(done["exit_code"] == 0 and done["outcome"] == "promoted", "v2 was not promoted")
        passed = [s["percentage"] for s in done["stages"] if s["outcome"] == "passed"]
        self._expect(passed == [float(s) for s in STAGES.split(",")], f"v2 passed {passed}, not {STAGES}")

    async def bad_release(self) -> None:
        """Release v3, which breaks under way: it is caught, rolled back and told."""
        title(self.console, "2. A bad release: v3 breaks under way")
        breaking = asyncio.create_task(self._break_under_way())
        try:
            done = await self._release("v3")
        finally:
            breaking.cancel()
            await asyncio.gather(breaking, return_exceptions=True)
        self._expect(done["exit_code"] == 1 and done["outcome"] == "rolled_back", "v3 was not rolled back")
        self.report["bad"] = shown(done)
        await self._messages()
        await self._time_to_zero(done["deployment_id"])

    async def _break_under_way(self) -> None:
        """Wait for the stage at which v3 breaks, then break it."""
        while True:
            await asyncio.sleep(0.1)
            found = (await self.api("GET", "/deployments?status=canary"))["deployments"]
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
        events = (await self.api("GET", f"/deployments/{deployment_id}/events"))["events"]
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
        print_summary(self.console, self.report)

    async def stay(self) -> None:
        """Stay up for the user to play with."""
        code = await self.api("POST", "/login-code", {})
        self.console.print(f"\nDashboard  [bold]{self.url}{code['path']}[/]  (the link works once)")
        self.console.print(
            f"Commands   export SERINUS_URL={self.url} SERINUS_TOKEN={self.token}", markup=False
        )
        self.console.print("           serinus rollout list · serinus watch checkout")
        self.console.print("Everything keeps running. Ctrl-C ends it.")
        await asyncio.Event().wait()

    def _expect(self, true: bool, problem: str) -> None:
        if not true:
            self.problems.append(problem)


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
