"""Contract 3's walk: start a rollout, follow it stage by stage, and answer by exit code.

The control plane walks; this only watches. It may be ended and started again at any time.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from serinus.cli.client import Api, Unreachable
from serinus.cli.judged import brief, judge_lines
from serinus.cli.render import fixed_checks, name_of, traffic_line, tree

__all__ = ["EARLY", "HELD", "Walk"]

#: Without a terminal a line is printed this often while observing.
QUIET_SECONDS = 15.0
#: Exit code when somebody promoted it before every stage had passed.
EARLY = 7
#: Exit code when it held, or took, longer than it may.
HELD = 6
#: Events that are printed as they are, without a warning's colour.
_WARNED = (
    *("holding", "drift", "warning", "breaker", "not_carried"),
    *("going_back", "candidate_dropped"),
)
_NOTED = (
    *("carried", "going_on", "approved", "traffic", "released", "winner"),
    *("scheduled", "cancelled", "freeze_overridden"),
)


@dataclass(kw_only=True)
class Walk:
    """Follows one deployment to its end."""

    api: Api
    out: Console
    err: Console
    deployment_id: str
    #: Seconds between two looks.
    poll: float = 1.0
    #: Promote without asking.
    yes: bool = False
    #: Seconds of holding after which the walk gives up (0: never).
    max_hold: float = 0.0
    #: Never ask anybody; what waits for a person ends the walk.
    silent: bool = False
    #: Seconds after which the walk gives up, whatever it is at (0: never).
    max_seconds: float = 0.0
    stages: list[dict[str, Any]] = field(default_factory=list)
    _seen: int = 0
    _away: bool = False
    _held_since: float | None = None
    _progress: Progress | None = None
    _said_at: float = 0.0
    _began: float = field(default_factory=time.monotonic)
    #: What the judge said when it was last looked at.
    _judge: dict[str, Any] | None = None

    def follow(self) -> tuple[int, dict[str, Any]]:
        """Watch until it has ended or waits for a person; return the exit code and the last view."""
        last: dict[str, Any] | None = None
        try:
            while True:
                view = self._look()
                last = view or last
                code = self._step(view) if view is not None else None
                if code is None and self._too_long():
                    code = HELD
                if code is not None:
                    return code, last or self.api.get(f"/deployments/{self.deployment_id}")
                time.sleep(self.poll)
        finally:
            self._end_progress()

    def _too_long(self) -> bool:
        return 0 < self.max_seconds < time.monotonic() - self._began

    def _look(self) -> dict[str, Any] | None:
        """Read news and state; while the control plane is away say so once, and try again."""
        try:
            events = self._news(self._seen)
            view: dict[str, Any] = self.api.get(f"/deployments/{self.deployment_id}")
            if view["waiting"] or view["status"] != "canary":
                # It may have got there after the events were read, and there may be no look after this one.
                events += self._news(events[-1]["event_id"] if events else self._seen)
        except Unreachable as error:
            if not self._away:
                self._away = True
                self._end_progress()
                self.err.print(f"[yellow]! {escape(str(error))} The rollout is safe; waiting for it.[/]")
            return None
        if self._away:
            self._away = False
            self.err.print("[green]· The control plane is back.[/]")
        for event in events:
            self._seen = event["event_id"]
            self._tell(event, view)
        self._judge = view.get("judge")
        return view

    def _news(self, after: int) -> list[dict[str, Any]]:
        events: list[dict[str, Any]] = self.api.get(f"/deployments/{self.deployment_id}/events", after=after)[
            "events"
        ]
        return events

    def _tell(self, event: dict[str, Any], view: dict[str, Any]) -> None:
        """Print what an event means for the walk."""
        kind, data = event["kind"], event["data"]
        if kind == "started":
            self._stage(view, 1, data["traffic_bp"] / 100)
        elif kind == "step_passed":
            self._validated(data.get("verdicts", []), view, self._judge or view.get("judge"), passed=True)
            self.out.print(f"  next        {_next(view, data)}")
            if "to_bp" in data:
                self._stage(view, len(self.stages) + 1, data["to_bp"] / 100)
        elif kind == "promoted" and event.get("actor") == "monitor":
            self._validated(view["checks"], view, view.get("judge"), passed=True)
        elif kind == "rolled_back":
            self._validated(data.get("verdicts", []), view, view.get("judge"), passed=False)
            self._end_progress()
            self.out.print(f"\n[bold red]↩ {escape(event['message'])}[/]")
        elif kind in _WARNED:
            self._end_progress()
            self.out.print(f"  [yellow]! {escape(event['message'])}[/]")
        elif kind in _NOTED:
            self._end_progress()
            self.out.print(f"  [dim]· {escape(event['message'])}[/]")

    def _stage(self, view: dict[str, Any], number: int, percentage: float) -> None:
        self._end_progress()
        self.stages.append({"percentage": percentage, "outcome": "observing", "checks": []})
        total = view["step"]["of"] or 1
        self.out.print(f"\n[bold]Stage {number} of {total}[/]")
        self.out.print(f"  traffic     {traffic_line(view, percentage)}")
        step = view["strategy"]["steps"][number - 1 : number]
        if step and step[0].get("mirror_percentage"):
            copies = f"{step[0]['mirror_percentage']:g} % of requests to {view['version']}"
            self.out.print(f"  mirror      {escape(copies)}; nobody sees its answers")

    def _validated(
        self,
        checks: list[dict[str, Any]],
        view: dict[str, Any],
        judge: dict[str, Any] | None,
        *,
        passed: bool,
    ) -> None:
        """Print what a stage ended with; ``judge`` is what the judge had said by then."""
        self._end_progress()
        if self.stages:
            self.stages[-1].update(outcome="passed" if passed else "failed", checks=checks, judge=judge)
        fixed = fixed_checks({"checks": checks, "judge": judge})
        if judge:
            for line in judge_lines(judge, view):
                self.out.print(f"  {line}")
        if fixed or not judge:
            self.out.print("  metrics")
            for line in tree(fixed, "  "):
                self.out.print(line)
        unsure = passed and judge is not None and judge["finding"] != "safe"
        why = " [dim]no harm found; it goes on looking[/]" if unsure else ""
        self.out.print(f"  validation  {'[bold green]PASSED[/]' if passed else '[bold red]FAILED[/]'}{why}")

    def _step(self, view: dict[str, Any]) -> int | None:
        """Act on the state; return an exit code when the walk is over."""
        if view["status"] == "rolled_back":
            return 1
        if view["status"] == "draft":
            return HELD  # its scheduled start was cancelled
        if view["status"] in ("active", "deprecated"):
            return self._promoted(view)
        if view["waiting"] == "promotion":
            return self._promote(view)
        if view["waiting"] in ("approval", "move") and self.silent:
            return HELD
        if view["phase"].startswith("holding") and self.max_hold:
            self._held_since = self._held_since or time.monotonic()
            if time.monotonic() - self._held_since > self.max_hold:
                return HELD
        elif not view["phase"].startswith("holding"):
            self._held_since = None
            self._observe(view)
        return None

    def _promote(self, view: dict[str, Any]) -> int | None:
        """Every stage passed: promote if that was asked for or is answered, else say how."""
        if not self.yes and not self.silent and self.out.is_terminal and self.err.is_terminal:
            self.yes = self.out.input("\nEvery stage passed. Promote? [y/N] ").strip().lower() in ("y", "yes")
        if not self.yes:
            return 0
        self.api.post(f"/deployments/{view['deployment_id']}/promote", {})
        return None

    def _promoted(self, view: dict[str, Any]) -> int:
        """Somebody may have promoted it by force: exit code 0 is for stages that all passed."""
        passed = sum(stage["outcome"] == "passed" for stage in self.stages)
        return EARLY if self.stages and passed < view["step"]["of"] else 0

    def _observe(self, view: dict[str, Any]) -> None:
        hold, done = view["step"]["hold_seconds"], view["step"]["observed_seconds"]
        if hold is None or not self.stages:
            return
        if not self.err.is_terminal:
            if time.monotonic() - self._said_at >= QUIET_SECONDS:
                self._said_at = time.monotonic()
                said = view["judge"]["sentence"] if view.get("judge") else view["sentence"]
                self.out.print(f"  observing   {done:.0f} of {hold:.0f} s: {escape(said)}")
            return
        if self._progress is None:
            self._progress = Progress(
                TextColumn("  observing  "),
                BarColumn(bar_width=20),
                TextColumn("{task.completed:.0f}/{task.total:.0f} s"),
                TimeRemainingColumn(),
                TextColumn("{task.description}", markup=False),
                console=self.err,
                transient=True,
            )
            self._progress.add_task("", total=hold)
            self._progress.start()
        said = brief(view["judge"]) if view.get("judge") else ""
        task = self._progress.task_ids[0]
        self._progress.update(task, completed=min(done, hold), total=hold, description=said)

    def _end_progress(self) -> None:
        if self._progress:
            self._progress.stop()
            self._progress = None


def _next(view: dict[str, Any], data: dict[str, Any]) -> str:
    """Say what comes after a stage that passed."""
    if "to_bp" not in data:
        if view["waiting"] == "approval":
            return f"an approval: serinus rollout approve {view['deployment_id']}"
        if view["waiting"] == "move":
            return f"your move: serinus rollout traffic {view['deployment_id']} N"
        return f"the promotion of {escape(name_of(view))}"
    steps = view["strategy"]["steps"]
    holds = [s["hold_seconds"] for s in steps if s["traffic_percentage"] == data["to_bp"] / 100]
    watch = f", observed for {holds[0]:g} s" if holds else ""
    return f"{data['to_bp'] / 100:g} % on {escape(name_of(view))}{watch}"
