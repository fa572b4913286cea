"""One rollout of a policy in a world, on a fake clock: what the monitor would have done, and when."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from itertools import chain

from serinus.core.analysis.checks import Policy
from serinus.core.analysis.evidence import Evidence, Side, Window
from serinus.core.analysis.verdict import Outcome as Judged
from serinus.core.bucketing import BUCKETS
from serinus.core.decide import decide
from serinus.core.decision import Decision
from serinus.core.lifecycle import moves
from serinus.core.model import Deployment, Mode, Status, Step, Stickiness, Strategy
from serinus.sim.totals import SummedEvidence, Totals
from serinus.sim.traffic import EPOCH, Traffic
from serinus.sim.weather import STABLE, WIDTH
from serinus.sim.world import World

__all__ = ["End", "Options", "Outcome", "rollout"]


class End(StrEnum):
    """How a rollout ended."""

    ROLLED_BACK = "rolled_back"
    PROMOTED = "promoted"  #: it reached 100 %, and nothing came after that in the time watched
    STUCK = "stuck"  #: it held for so long that we stopped waiting


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """How rollouts are run."""

    seed: int = 1
    #: Seconds of windows that a decision is given at least; fixed checks get as much as they look at.
    horizon: float = 60.0
    #: A rollout that takes this many times its steps' length is stuck.
    patience: float = 2.0
    #: Seconds after 100 % in which a rollback still counts.
    watch: float = 0.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one rollout."""

    run: int
    end: End
    #: Seconds from the start until it ended.
    seconds: float
    #: Seconds and canary requests from the fault's onset until then; from the start without a fault.
    delay: float
    requests: int
    #: It was rolled back before the fault began: a false alarm.
    early: bool
    #: Seconds until 100 %, if it got there.
    promoted: float | None
    #: Which rule, and which checks.
    reason: str
    #: The reason as people are told it.
    sentence: str


def rollout(world: World, policy: Policy, run: int, options: Options) -> Outcome:
    """Run one rollout to its end. The same arguments give the same answer."""
    return _Rollout(world, policy, run, options).play()


class _Rollout:
    """The state of one rollout under way."""

    def __init__(self, world: World, policy: Policy, run: int, options: Options) -> None:
        self.world, self.run, self.options = world, run, options
        self.count = int((world.duration * options.patience + options.watch) // WIDTH)
        self.traffic = Traffic(world, options.seed, run, self.count)
        self.totals = Totals(self.traffic.grid, self.count)
        looks_back = max([options.horizon, *(check.window_seconds for check in policy.checks)])
        self.recent: deque[list[Window]] = deque(maxlen=int(looks_back // WIDTH) + 1)
        self.history: deque[list[Window]] = deque(maxlen=int(policy.horizon_seconds // WIDTH))
        self.d = _started(world, policy, options)
        #: A window is looked at as soon as it is closed.
        self.lag = policy.judge.lag if policy.judge else 0.0
        self.since_onset = 0
        self.promoted: float | None = None

    def play(self) -> Outcome:
        for at in range(self.count):
            decision = self._tick(at)
            if self.d.status is Status.ROLLED_BACK:
                return self._outcome(End.ROLLED_BACK, at, decision)
            if self.d.traffic_bp >= BUCKETS and self.promoted is None:
                self.promoted = (at + 1) * WIDTH
            if self.promoted is not None and (at + 1) * WIDTH >= self.promoted + self.options.watch:
                return self._outcome(End.PROMOTED, at, decision)
        return self._outcome(End.STUCK, self.count - 1, decision)

    def _tick(self, at: int) -> Decision:
        served, known = self.traffic.serve(at, self.d.weight_bp / BUCKETS)
        if (at + 1) * WIDTH > self.world.onset:
            self.since_onset += served
        fresh: list[Window] = []
        for side, number, windows, latency in known:
            self.totals.take(side, number, windows, latency)
            fresh += windows
            if side == STABLE and self.d.traffic_bp < BUCKETS:
                self.history.append(windows)
        self.recent.append(fresh)
        now = datetime.fromtimestamp(EPOCH + (at + 1) * WIDTH + self.lag, UTC)
        decision = decide(self.d, self._evidence(fresh), now)
        self.d = decision.next_state
        return decision

    def _evidence(self, fresh: list[Window]) -> Evidence:
        alone = self.d.status is Status.CANARY and self.d.traffic_bp >= BUCKETS
        canary = [window for window in fresh if window.side is Side.CANARY]
        failed = sum(window.errors for window in canary)
        windows = tuple(chain.from_iterable(self.recent))
        if self.world.holes.late_share:
            windows = tuple(sorted(windows, key=_start))  # as a store returns them
        return SummedEvidence(
            windows=windows,
            baseline=tuple(chain.from_iterable(self.history)) if alone else (),
            fresh_errors=failed,
            fresh_successes=sum(window.requests for window in canary) - failed,
            totals=self.totals,
        )

    def _outcome(self, end: End, at: int, decision: Decision) -> Outcome:
        seconds = (at + 1) * WIDTH + (self.lag if end is End.ROLLED_BACK else 0.0)
        rolled_back = end is End.ROLLED_BACK
        return Outcome(
            run=self.run,
            end=end,
            seconds=seconds,
            delay=max(0.0, seconds - self.world.onset),
            requests=self.since_onset,
            early=rolled_back and (at + 1) * WIDTH <= self.world.onset,
            promoted=self.promoted,
            reason=_reason(decision) if rolled_back else "",
            sentence=(self.d.end_reason or self.d.sentence) if end is not End.PROMOTED else "",
        )


def _start(window: Window) -> int:
    return window.start


def _started(world: World, policy: Policy, options: Options) -> Deployment:
    steps = [Step(traffic_bp=round(percent * 100), hold_seconds=hold) for percent, hold in world.steps]
    steps.append(Step(traffic_bp=BUCKETS, hold_seconds=options.watch))
    draft = Deployment(
        id="simulated",
        tenant_id="simulated",
        service_id="simulated",
        service=world.name,
        version="canary",
        stable_version="stable",
        strategy=Strategy(mode=Mode.AUTO, steps=tuple(steps), stickiness=Stickiness.HASH, auto_promote=True),
        policy=policy,
    )
    return moves.start(draft, datetime.fromtimestamp(EPOCH, UTC)).next_state


def _reason(decision: Decision) -> str:
    """Name the rule that rolled back, and the checks that failed."""
    rules = [str(reason.data["rule"]) for reason in decision.reasons if "rule" in reason.data]
    checks = [v.check for v in decision.next_state.verdicts if v.outcome is Judged.FAIL]
    if rules and rules[-1] != "check":
        return rules[-1]
    return ", ".join(checks) or "unknown"
