"""A pipeline's stages: guard, deploy, smoke, watch, promote; and taking back what went wrong."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape

from serinus.cli.client import Api, Refused, Unreachable
from serinus.cli.edge import Carrying, read_back
from serinus.cli.reports import Case, Stage
from serinus.cli.smoke import run_smoke, where_of
from serinus.cli.walk import Walk

__all__ = ["Pipeline"]

#: Contract 5: a canary is deployed within five minutes, and rolled back within ten.
DEPLOY_SECONDS, ROLLBACK_SECONDS = 300.0, 600.0


class _Failed(Exception):
    """A stage failed; carries why, for the rollback."""


@dataclass(kw_only=True)
class Pipeline:
    """One run, stage by stage. Whatever goes wrong after the canary started is rolled back."""

    control: Api
    out: Console
    service: str
    version: str
    body: dict[str, Any]
    smoke: Any
    smoke_folder: Path
    smoke_url: str
    walk: dict[str, float]
    #: Why freezes that are on are overridden; empty: they are not.
    override: str = ""
    stages: list[Stage] = field(default_factory=list)
    deployment_id: str = ""
    outcome: str = ""
    reason: str = ""
    rollback_seconds: float | None = None
    _since: float = field(default_factory=time.monotonic)
    _started: datetime = field(default_factory=lambda: datetime.now(UTC))

    def run(self, guard: Callable[[], Stage]) -> int:
        """Run every stage; return the exit code."""
        self.out.print(f"[bold]Pipeline[/] {escape(self.service)} → {escape(self.version)}")
        stages = {
            "guard": guard,
            "deploy": self._deploy,
            "smoke": self._smoke,
            "watch": self._watch,
            "promote": self._promote,
        }
        try:
            for number, (name, work) in enumerate(stages.items(), 1):
                self.out.print(f"\n[bold]{number}/{len(stages)} {name}[/]")
                self._stage(name, work)
            self.outcome = "promoted"
        except (_Failed, Refused, Unreachable) as why:
            codes = {Refused: 1 if self.deployment_id else 4, Unreachable: 3}
            return self._take_back(str(why), codes.get(type(why), 1))
        except KeyboardInterrupt:
            return self._take_back("the pipeline was ended", 5)
        self._summary()
        return 0

    def _stage(self, name: str, work: Callable[[], Stage]) -> None:
        """Run one stage, and keep what came of it."""
        began, stage = time.monotonic(), Stage(name=name, outcome="failed", message="it was ended")
        try:
            stage = work()
        except (_Failed, Refused, Unreachable) as why:
            stage = Stage(name=name, outcome="failed", message=str(why))
            raise
        finally:
            stage.seconds = time.monotonic() - began
            self.stages.append(stage)
            word = {"passed": "[green]✔[/]", "failed": "[red]✘[/]", "skipped": "[dim]–[/]"}[stage.outcome]
            self.out.print(f"  {word} {escape(stage.message)} [dim]({stage.seconds:.1f} s)[/]")
        if stage.outcome == "failed":
            raise _Failed(f"{name}: {stage.message}")

    def _deploy(self) -> Stage:
        self.control.post("/deployments/plan", self.body)
        made = self.control.post("/deployments", self.body, key=uuid.uuid4().hex)
        self.deployment_id = made["deployment_id"]
        if self.override and self.control.get(f"/services/{self.service}/health")["freezes"]:
            body = {"reason": self.override}
            self.control.post(f"{self._path}/override-freeze", body, key=uuid.uuid4().hex)
        since = self._looked_at()
        begun = self.control.post(f"{self._path}/start-canary", {}, key=uuid.uuid4().hex)
        if begun["status"] == "scheduled":  # nobody would watch it then
            return Stage(name="deploy", outcome="failed", message=begun["sentence"])
        share = made["strategy"]["steps"][0]["traffic_percentage"]
        carried = self._carried(share, DEPLOY_SECONDS, since)
        return Stage(
            name="deploy",
            outcome="passed" if carried.ok else "failed",
            message=f"{self.version} has {share:g} %: {carried.words}" if carried.ok else carried.words,
        )

    def _carried(self, share: float, timeout: float, since: str) -> Carrying:
        return read_back(
            self.control, self.service, share, since=since, timeout=timeout, clock=time.monotonic
        )

    def _looked_at(self) -> str:
        """Return when the data plane was last read back."""
        proxy = self.control.get(f"/services/{self.service}/health")["proxy"] or {}
        return str(proxy.get("at", ""))

    @property
    def _path(self) -> str:
        return f"/deployments/{self.deployment_id}"

    def _smoke(self) -> Stage:
        if self.smoke is None:
            return Stage(name="smoke", message="no smoke tests are named")
        where = self.smoke_url or where_of(
            self.smoke, canary=True, service=self.service, control=self.control
        )
        found = run_smoke(self.smoke, where, self.smoke_folder, self.out, canary=True)
        told = f"{found['passed']} passed, {found['failed'] + found['skipped']} not"
        self.control.post(f"{self._path}/notes", {"kind": "smoke", "message": f"Smoke tests: {told}."})
        cases = [
            Case(
                name=f"{r['kind']} {r['name']}",
                outcome=r["outcome"],
                message=r["message"],
                seconds=r["seconds"],
            )
            for r in found["results"]
        ]
        bad = found["failed"] or found["skipped"]
        return Stage(name="smoke", outcome="failed" if bad else "passed", message=told, cases=cases)

    def _watch(self) -> Stage:
        walk = Walk(
            api=self.control,
            out=self.out,
            err=self.out,
            deployment_id=self.deployment_id,
            silent=True,
            **self.walk,  # type: ignore[arg-type]
        )
        code, view = walk.follow()
        passed = code == 0 and view["waiting"] == "promotion"
        cases = [_case(c) for c in view["checks"]]
        if passed:
            return Stage(name="watch", outcome="passed", message="every check held", cases=cases)
        if code == 0:
            raise _Failed(f"somebody moved it meanwhile: {view['sentence']}")
        why = (
            view["end_reason"] if view["status"] == "rolled_back" else f"not sure in time: {view['sentence']}"
        )
        cases = cases or [Case(name="watch", outcome="failed", message=why)]
        if not any(c.outcome == "failed" for c in cases):
            cases.append(Case(name="in time", outcome="failed", message=why))
        return Stage(name="watch", outcome="failed", message=why, cases=cases)

    def _promote(self) -> Stage:
        view = self.control.post(f"{self._path}/promote", {}, key=uuid.uuid4().hex)
        return Stage(name="promote", outcome="passed", message=view["sentence"])

    def _take_back(self, why: str, code: int) -> int:
        """Roll back what was begun, and prove that it is; return the exit code."""
        self.outcome, self.reason = "refused", why
        if self.deployment_id:
            began, stage = time.monotonic(), Stage(name="rollback", outcome="failed")
            self.out.print("\n[bold]rollback[/]")
            try:
                self._roll_back(stage, why)
            except (Refused, Unreachable) as error:
                stage.message = f"it could not be rolled back: {error}"
                self.outcome, code = "unknown", 3
            stage.seconds = time.monotonic() - began
            if self.outcome == "rolled_back" and stage.outcome == "passed":
                self.rollback_seconds = stage.seconds
            self.stages.append(stage)
            sign = "[green]✔[/]" if stage.outcome == "passed" else "[red]✘[/]"
            self.out.print(f"  {sign} {escape(stage.message)} [dim]({stage.seconds:.1f} s)[/]")
        self._summary()
        return code

    def _roll_back(self, stage: Stage, why: str) -> None:
        """Put everyone on stable, whatever state it is in; the monitor may have been faster.

        Raises:
            Refused: The control plane refuses.
            Unreachable: It does not answer.
        """
        view = self.control.get(self._path)
        if view["status"] == "scheduled":
            view = self.control.post(f"{self._path}/cancel", {}, key=uuid.uuid4().hex)
        if view["status"] == "draft":
            stage.outcome, stage.message = "passed", "it had no traffic yet; its draft stays"
            return
        if view["status"] not in ("canary", "rolled_back"):
            stage.message, self.outcome = f"nothing was taken back: {view['sentence']}", "moved_by_hand"
            return
        since = ""
        if view["status"] == "canary":
            since, reason = self._looked_at(), f"pipeline: {why}"[:2000]
            self.control.post(f"{self._path}/rollback", {"reason": reason}, key=uuid.uuid4().hex)
        carried = self._carried(0, ROLLBACK_SECONDS, since)
        self.outcome = "rolled_back"
        stage.outcome = "passed" if carried.ok else "failed"
        stage.message = f"everyone is on stable: {carried.words}" if carried.ok else carried.words

    def _summary(self) -> None:
        colour = "green" if self.outcome == "promoted" else "red"
        words = self.outcome.replace("_", " ").upper()
        took = time.monotonic() - self._since
        why = f": {escape(self.reason)}" if self.reason else ""
        self.out.print(f"\nPipeline [bold {colour}]{words}[/] in {took:.1f} s{why}")
        if self.deployment_id:
            self.out.print(f"  [dim]next[/]  serinus rollout status {self.deployment_id}")

    def report(self, code: int) -> dict[str, Any]:
        """Return the machine-readable report."""
        deploy = next((s.seconds for s in self.stages if s.name == "deploy"), None)
        return {
            "service": self.service,
            "version": self.version,
            "outcome": self.outcome,
            "exit_code": code,
            "reason": self.reason,
            "deployment_id": self.deployment_id,
            "started_at": self._started.isoformat(timespec="seconds").replace("+00:00", "Z"),
            "seconds": round(time.monotonic() - self._since, 3),
            "deploy_seconds": None if deploy is None else round(deploy, 3),
            "rollback_seconds": None if self.rollback_seconds is None else round(self.rollback_seconds, 3),
            "stages": [stage.to_json() for stage in self.stages],
        }


def _case(check: dict[str, Any]) -> Case:
    outcomes = {"pass": "passed", "fail": "failed"}
    return Case(
        name=check["check"], outcome=outcomes.get(check["outcome"], "skipped"), message=check["message"]
    )
