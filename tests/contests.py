"""A/B/n tests told as stories: several candidates beside one stable, under a fake clock, without any I/O."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import timedelta

from serinus.core.analysis.evidence import Evidence, Side, TrafficState, Window
from serinus.core.decide import decide
from serinus.core.decision import Decision, IntentKind
from serinus.core.histogram import Histogram
from serinus.core.lifecycle import moves
from serinus.core.model import Deployment, Strategy
from serinus.core.policy.contests import contesting
from serinus.core.policy.parse import policy_from, strategy_from
from stories import NOON, draft


def contest_of(*versions: str, policy: dict | None = None, **strategy) -> Deployment:
    """Return a draft of an A/B/n test of checkout beside v1: 20 %, then 50 %, ten minutes each."""
    d = draft(version=versions[0])
    given = {
        "type": "ab",
        "candidates": [{"version": v} for v in versions],
        "steps": [{"traffic_percentage": p, "hold_seconds": 600} for p in (20, 50)],
        **strategy,
    }
    parsed: Strategy = strategy_from(given, d.config)
    return contesting(replace(d, strategy=parsed, policy=policy_from(policy, d.config)))


class Contest:
    """An A/B/n test under a fake clock."""

    def __init__(self, deployment: Deployment) -> None:
        self.now = NOON
        self.d = moves.start(deployment, NOON).next_state
        self.windows: list[tuple[str, Window]] = []
        self.traffic = TrafficState()
        self.breakers: dict[str, str] = {}
        self.told: list[tuple[str, dict]] = []
        self.timeline: list[str] = []
        self.last: Decision | None = None
        self.chance = random.Random(7)

    def serve(self, version: str, requests: int, errors: int = 0, ms: float = 50.0) -> Contest:
        """Answer requests by a version now; latencies are log-normal around ``ms``."""
        latency = Histogram()
        for _ in range(requests):
            latency.record(ms * self.chance.lognormvariate(0, 0.4))
        self.windows.append(
            (
                version,
                Window(
                    side=Side.STABLE if version == "v1" else Side.CANARY,
                    start=int(self.now.timestamp()) // 10 * 10,
                    seconds=10,
                    requests=requests,
                    errors=errors,
                    latency=latency,
                ),
            )
        )
        return self

    def evidence(self, version: str) -> Evidence:
        """Return what was measured of one candidate, and of stable."""
        since = self.now.timestamp() - 3600
        mine = tuple(w for v, w in self.windows if v in (version, "v1") and w.end > since)
        breakers = (self.breakers[version],) if version in self.breakers else ()
        return Evidence(windows=mine, traffic=self.traffic, open_breakers=breakers)

    def tick(self, seconds: float = 10.0) -> Contest:
        """Let time pass, then look."""
        self.now += timedelta(seconds=seconds)
        first, *others = (self.evidence(c.version) for c in self.d.candidates)
        return self.take(decide(self.d, first, self.now, others))

    def run(self, ticks: int, stable: tuple = (200, 1, 50.0), **versions: tuple) -> Contest:
        """Serve the same by every version under test and tick, again and again."""
        for _ in range(ticks):
            if self.d.status.value != "canary":
                break
            self.serve("v1", *stable)
            for c in self.d.candidates:
                if c.live:
                    self.serve(c.version, *versions.get(c.version, (100, 0, 50.0)))
            self.tick()
        return self

    def ask(self, move, *args, **options) -> Contest:
        """Have a person make a move."""
        return self.take(move(self.d, self.now, *args, **options))

    def take(self, decision: Decision) -> Contest:
        """Note a decision."""
        self.last, self.d = decision, decision.next_state
        self.timeline += [reason.message for reason in decision.reasons]
        self.told += [(i.topic, dict(i.data)) for i in decision.intents if i.kind is IntentKind.TELL]
        return self
