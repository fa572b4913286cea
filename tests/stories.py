"""Rollouts told as stories: a deployment, a fake clock, and traffic, tick by tick, without any I/O."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from serinus.core.analysis.evidence import Evidence, Sample, Side, TrafficState, Window
from serinus.core.decide import decide
from serinus.core.decision import Decision, IntentKind
from serinus.core.histogram import Histogram
from serinus.core.lifecycle import moves
from serinus.core.model import Deployment, Mode, Step, Stickiness, Strategy
from serinus.core.policy.presets import ORCHESTRATOR

NOON = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)


def draft(**changes) -> Deployment:
    """Return a draft of checkout v2 beside v1 that walks 1, 5, 25, 100 % in steps of a minute."""
    steps = tuple(Step(traffic_bp=bp, hold_seconds=60) for bp in (100, 500, 2500, 10_000))
    base = Deployment(
        id="dep_1",
        tenant_id="ten_1",
        service_id="svc_1",
        service="checkout",
        version="v2",
        stable_version="v1",
        strategy=Strategy(mode=Mode.AUTO, steps=steps, stickiness=Stickiness.HASH),
        policy=ORCHESTRATOR,
        salt="dep_1",
    )
    return replace(base, **changes)


class Story:
    """A rollout under a fake clock. ``serve`` is what happens between two ticks."""

    def __init__(self, deployment: Deployment | None = None) -> None:
        self.now = NOON
        self.d = moves.start(deployment or draft(), NOON).next_state
        self.windows: list[Window] = []
        self.samples: list[Sample] = []
        self.traffic = TrafficState()
        self.open_breakers: tuple[str, ...] = ()
        self.told: list[str] = []
        self.timeline: list[str] = []
        self._fresh = [0, 0]
        self.last: Decision | None = None

    def serve(self, side: str, requests: int, errors: int = 0, ms: float = 20.0, label: str = "") -> Story:
        """Answer requests on one side now."""
        latency = Histogram()
        if requests:
            latency.record(ms, requests)
        self.windows.append(
            Window(
                side=Side(side),
                start=int(self.now.timestamp()) // 10 * 10,
                seconds=10,
                requests=requests,
                errors=errors,
                latency=latency,
                label=label,
            )
        )
        if side == "canary":
            self._fresh[0] += errors
            self._fresh[1] += requests - errors
        return self

    def tick(self, seconds: float = 10.0) -> Story:
        """Let time pass, then look."""
        self.now += timedelta(seconds=seconds)
        horizon = self.now.timestamp() - self.d.policy.horizon_seconds
        lost = self.d.step_started_at.timestamp() if self.d.step_started_at else 0
        baseline = [w for w in self.windows if w.side is Side.STABLE and lost - 300 < w.end <= lost]
        evidence = Evidence(
            windows=tuple(w for w in self.windows if w.end > horizon),
            samples=tuple(self.samples),
            baseline=tuple(baseline) if self.d.traffic_bp == 10_000 else (),
            traffic=self.traffic,
            open_breakers=self.open_breakers,
            fresh_errors=self._fresh[0],
            fresh_successes=self._fresh[1],
        )
        self._fresh = [0, 0]
        self._take(decide(self.d, evidence, self.now))
        return self

    def run(self, ticks: int, canary: tuple = (40, 0, 20.0), stable: tuple = (400, 0, 20.0)) -> Story:
        """Serve the same on both sides and tick, again and again."""
        for _ in range(ticks):
            if self.d.status.value != "canary":
                break
            self.serve("canary", *canary)
            if self.d.traffic_bp < 10_000:
                self.serve("stable", *stable)
            self.tick()
        return self

    def ask(self, move, *args, **options) -> Story:
        """Have a person make a move."""
        self._take(move(self.d, self.now, *args, **options))
        return self

    def _take(self, decision: Decision) -> None:
        self.last = decision
        self.d = decision.next_state
        self.timeline += [reason.message for reason in decision.reasons]
        self.told += [i.topic for i in decision.intents if i.kind is IntentKind.TELL]
