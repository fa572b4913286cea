"""Replaying a rollout over recorded windows: the monitor's own decision, on a fake clock."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from serinus.core.analysis.checks import Policy
from serinus.core.analysis.evidence import Evidence, Side, Window
from serinus.core.bucketing import BUCKETS
from serinus.core.decide import decide
from serinus.core.lifecycle import moves
from serinus.core.model import Deployment, Mode, Status, Step, Stickiness, Strategy, Waiting

__all__ = ["Course", "Outcome", "Replay", "Serve", "rollout"]

#: How often the replayed monitor looks. A longer pause would not count as observed (``MAX_GAP_SECONDS``).
TICK_SECONDS = 30
#: A window is looked at this long after its end, as the sequential judge's default lag has it.
LAG_SECONDS = 5
#: Evidence reaches back at least so far, as it does in the monitor.
HORIZON_SECONDS = 300.0
#: A rollout that holds for lack of data is given up after this many times its planned time.
PATIENCE = 2.0

#: What both sides did in window ``index`` while the canary's share was so many basis points.
Serve = Callable[[int, int], list[Window]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Course:
    """How a rollout is planned. Gates are passed at once: nobody is asked in a replay."""

    steps: tuple[Step, ...]

    @classmethod
    def even(cls, shares_bp: tuple[int, ...] = (100, 500, 2500, 10_000), hold: float = 900.0) -> Course:
        """Return shares in basis points, each held equally long."""
        return cls(steps=tuple(Step(traffic_bp=share, hold_seconds=hold) for share in shares_bp))

    @property
    def seconds(self) -> float:
        """The planned time until the last step has passed."""
        return sum(step.hold_seconds for step in self.steps)

    @property
    def before_all(self) -> float:
        """The planned time until the canary has all traffic."""
        return sum(step.hold_seconds for step in self.steps if step.traffic_bp < BUCKETS)


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What became of a replayed rollout."""

    #: ``rolled_back``, ``passed`` (every step) or ``unfinished`` (it held to the end).
    ended: str
    #: Seconds from its start to its end.
    seconds: float
    #: In words, for a rollback or for what it held for.
    reason: str
    share_bp: int
    #: Canary requests, errors that the policy had seen when it ended, since ``since``.
    judged_requests: int
    #: Canary requests served until it ended, since ``since``: also those of the window not yet closed.
    exposed_requests: int
    exposed_errors: int

    @property
    def rolled_back(self) -> bool:
        """Tell whether it was rolled back."""
        return self.ended == "rolled_back"


@dataclass(kw_only=True)
class Replay:
    """One rollout on a fake clock. Its state is the deployment's, as in the monitor."""

    deployment: Deployment
    serve: Serve
    #: Unix seconds of window 0, and the windows' length.
    start: int
    width: int
    #: Seconds after which it is given up.
    limit: float
    #: Seconds from the start from which requests count as exposed.
    since: float = 0.0
    #: Follows the recorded share: asked before each look, with what is seen by then.
    steer: Callable[[Deployment, datetime], Deployment] | None = None
    _windows: list[Window] = field(default_factory=list)
    _shares: list[tuple[float, int]] = field(default_factory=list)
    _next: int = 0
    _fresh: list[int] = field(default_factory=lambda: [0, 0])

    def run(self) -> Outcome:
        """Look again and again until it has ended."""
        now = float(self.start + LAG_SECONDS)
        self._shares = [(float(self.start), self.deployment.traffic_bp)]
        while now - self.start < self.limit:
            now += TICK_SECONDS
            self._see(now)
            if self.steer:
                self.deployment = self.steer(self.deployment, _aware(now))
            self.deployment = decide(self.deployment, self._evidence(now), _aware(now)).next_state
            d = self.deployment
            if d.status is not Status.CANARY or d.waiting is Waiting.PROMOTION:
                break
            if d.traffic_bp != self._shares[-1][1]:
                self._shares.append((now, d.traffic_bp))
        return self._outcome(now)

    def _see(self, now: float) -> None:
        """Take in the windows that are closed by now."""
        self._fresh = [0, 0]
        while self.start + (self._next + 1) * self.width + LAG_SECONDS <= now:
            new = self.serve(self._next, self._share_at(self.start + self._next * self.width))
            self._windows += new
            for w in new:
                if w.side is Side.CANARY:
                    self._fresh[0] += w.errors
                    self._fresh[1] += w.requests - w.errors
            self._next += 1

    def _share_at(self, moment: float) -> int:
        return next((share for since, share in reversed(self._shares) if since <= moment), self._shares[0][1])

    def _evidence(self, now: float) -> Evidence:
        d = self.deployment
        horizon = max(HORIZON_SECONDS, d.policy.horizon_seconds)
        return Evidence(
            windows=tuple(w for w in self._windows if w.end > now - horizon - self.width),
            baseline=self._baseline(horizon) if d.traffic_bp >= BUCKETS else (),
            fresh_errors=self._fresh[0],
            fresh_successes=self._fresh[1],
        )

    def _baseline(self, horizon: float) -> tuple[Window, ...]:
        """Return stable's last windows before the canary took all traffic."""
        begun = self.deployment.step_started_at
        lost = begun.timestamp() if begun else float(self.start)
        return tuple(w for w in self._windows if w.side is Side.STABLE and lost - horizon < w.end <= lost)

    def _outcome(self, now: float) -> Outcome:
        d = self.deployment
        judged = [w for w in self._windows if w.side is Side.CANARY and w.start - self.start >= self.since]
        requests, errors = sum(w.requests for w in judged), sum(w.errors for w in judged)
        more = self._unseen(now)
        passed = d.waiting is Waiting.PROMOTION or d.status is Status.ACTIVE
        rolled = d.status is Status.ROLLED_BACK
        return Outcome(
            ended="rolled_back" if rolled else "passed" if passed else "unfinished",
            seconds=now - self.start,
            reason=d.end_reason or d.sentence,
            share_bp=self._shares[-1][1],
            judged_requests=requests,
            exposed_requests=requests + more[0],
            exposed_errors=errors + more[1],
        )

    def _unseen(self, now: float) -> tuple[int, int]:
        """Return canary requests and errors of the window that is still open."""
        begun = self.start + self._next * self.width
        if begun >= now or begun - self.start < self.since:
            return 0, 0
        part = min(1.0, (now - begun) / self.width)
        served = [w for w in self.serve(self._next, self._share_at(begun)) if w.side is Side.CANARY]
        return round(part * sum(w.requests for w in served)), round(part * sum(w.errors for w in served))


def rollout(policy: Policy, start: int, course: Course | None, share_bp: int = 0) -> Deployment:
    """Return a started deployment: automatic along a course, or by hand at a share."""
    steps = tuple(replace(step, gate=False) for step in course.steps) if course else ()
    automatic = Strategy(mode=Mode.AUTO, steps=steps, stickiness=Stickiness.HASH)
    d = Deployment(
        id="backtest",
        tenant_id="backtest",
        service_id="backtest",
        service="recorded",
        version="canary",
        stable_version="stable",
        strategy=automatic if course else replace(automatic, mode=Mode.MANUAL),
        policy=policy,
        salt="backtest",
    )
    return moves.start(d, _aware(start), bp=share_bp or None).next_state


def _aware(moment: float) -> datetime:
    return datetime.fromtimestamp(moment, UTC)
