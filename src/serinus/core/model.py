"""The nouns: services, versions, deployments, steps. Frozen values, changed by ``replace``.

Services, roles and percentages are modules of their own, and found here, too.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from serinus.core.analysis.checks import Policy
from serinus.core.analysis.flips import Flips
from serinus.core.analysis.sequential.answer import Answer
from serinus.core.analysis.verdict import Verdict
from serinus.core.breaker import CLOSED_BREAKER, OPEN, Breaker
from serinus.core.bucketing import BUCKETS
from serinus.core.candidates import Candidate, listed
from serinus.core.errors import InvalidInput
from serinus.core.hooks import Ask, Hook, Phase
from serinus.core.percentages import parse_percentage, percent
from serinus.core.roles import Role
from serinus.core.services import Service, ServiceKind, Upstream
from serinus.core.strategy import (
    Blocked,
    Entrant,
    FreezeCalendar,
    GoingBack,
    GradualRollback,
    OnTie,
    Preview,
    StrategyType,
    TenantFreeze,
)

__all__ = [
    "CanaryConfig",
    "CompensationStrategy",
    "Deployment",
    "Intended",
    "Mode",
    "Role",
    "Scheduled",
    "Service",
    "ServiceKind",
    "Status",
    "Step",
    "Stickiness",
    "Strategy",
    "TargetFilter",
    "Upstream",
    "Waiting",
    "parse_percentage",
    "percent",
]


class Status(StrEnum):
    """Where a deployment stands (contract 1)."""

    DRAFT = "draft"  #: made, no traffic yet
    SCHEDULED = "scheduled"  #: starts by itself at its time
    CANARY = "canary"  #: rolling out
    ACTIVE = "active"  #: promoted: everyone is on it
    ROLLED_BACK = "rolled_back"  #: ended, everyone is on stable
    DEPRECATED = "deprecated"  #: a newer version took over


class Mode(StrEnum):
    """Who walks the steps."""

    AUTO = "auto"  #: Serinus walks them by itself
    MANUAL = "manual"  #: it waits for traffic and promote calls


class Stickiness(StrEnum):
    """What happens to a unit on the canary when the percentage shrinks."""

    PERSISTENT = "persistent"  #: it stays until rollback or promotion
    HASH = "hash"  #: the hash alone decides


class Waiting(StrEnum):
    """What a deployment waits for."""

    NOTHING = ""  #: it goes on by itself, or its mode is manual
    APPROVAL = "approval"  #: somebody has to pass a step's gate
    PROMOTION = "promotion"  #: every step passed; somebody has to promote
    MOVE = "move"  #: a manual step: somebody has to set the traffic


class CompensationStrategy(StrEnum):
    """What a rollback does beside moving traffic (contract 1)."""

    ROLLBACK_ONLY = "rollback_only"  #: no data touched
    NOTIFY_AND_ROLLBACK = "notify_and_rollback"  #: and tell the team at once
    MANUAL = "manual"  #: and open a task that someone must complete


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """One traffic percentage held for a time."""

    traffic_bp: int
    #: Seconds of acknowledged, observed traffic before the step may end.
    hold_seconds: float
    #: Wait for a person after this step passed, and which role may pass it.
    gate: bool = False
    gate_role: Role = Role.APPROVER
    #: A person ends it, by a traffic or promote call.
    manual: bool = False
    #: Observed seconds before which the share does not grow: not by itself, and not by hand without force.
    min_seconds: float = 0.0
    #: Copies of so many requests go to the canary, and nobody sees its answers.
    mirror_bp: int = 0
    #: Once it was completed, nothing goes back across it by itself.
    irreversible: bool = False
    #: Undoes it, when it was completed and the deployment is rolled back.
    compensate: Hook | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class CanaryConfig:
    """Contract 1's ``canary_config`` with its defaults."""

    initial_traffic_percentage: float = 10
    increment: float = 10
    duration_minutes: float = 60
    success_threshold: float = 0.95
    error_threshold: float = 0.05

    def steps(self) -> tuple[Step, ...]:
        """Return the steps: the initial percentage, then increments up to 100, each held equally long."""
        at, by = parse_percentage(self.initial_traffic_percentage), parse_percentage(self.increment)
        if by == 0:
            raise InvalidInput(
                "increment is 0: the rollout would never grow.",
                field="canary_config.increment",
                next_step="Give at least 0.01, or explicit steps in `strategy`.",
            )
        hold = self.duration_minutes * 60
        levels = [*range(at or by, BUCKETS, by), BUCKETS]
        return tuple(Step(traffic_bp=level, hold_seconds=hold) for level in levels)


@dataclass(frozen=True, kw_only=True, slots=True)
class Strategy:
    """How a deployment moves."""

    mode: Mode = Mode.MANUAL
    steps: tuple[Step, ...] = ()
    stickiness: Stickiness = Stickiness.PERSISTENT
    #: Promote by itself once every step has passed; otherwise wait for a person.
    auto_promote: bool = False
    #: Other people's programs, called at their phases.
    hooks: tuple[Hook, ...] = ()
    #: Undoes the deployment as a whole, after its steps.
    compensate: Hook | None = None
    type: StrategyType = StrategyType.CANARY
    preview: Preview | None = None
    #: Blue-green: how long after the switch the old side is kept, for an instant switch back.
    keep_warm_seconds: float = 0.0
    #: Do not begin before this moment.
    start_at: datetime | None = None
    #: ``None``: a rollback moves everyone at once.
    rollback: GradualRollback | None = None
    freeze: FreezeCalendar | None = None
    #: A/B/n: the candidates as they were named, and who chooses among those that are equally good.
    candidates: tuple[Entrant, ...] = ()
    on_tie: OnTie = OnTie.ASK


@dataclass(frozen=True, kw_only=True, slots=True)
class TargetFilter:
    """Units named by hand. They are on the canary whatever the percentage."""

    user_ids: tuple[str, ...] = ()
    workflow_ids: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        """Tell whether it names anybody."""
        return bool(self.user_ids or self.workflow_ids)


@dataclass(frozen=True, kw_only=True, slots=True)
class Intended:
    """A move that somebody asked for, and that waits until its hooks have said yes."""

    #: Which hooks are asked, and so which move it is: start, more traffic, or promotion.
    phase: Phase
    at: datetime
    bp: int | None = None
    target: TargetFilter = TargetFilter()
    #: A/B/n: which candidate is to be promoted.
    version: str = ""
    #: More traffic past a step's minimum time, or to a side that does not answer.
    force: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Scheduled:
    """A start that was asked for and has not come yet."""

    at: datetime
    #: As the start call gave them.
    bp: int | None = None
    target: TargetFilter = TargetFilter()


@dataclass(frozen=True, kw_only=True, slots=True)
class Deployment:
    """One rollout of one version of one service: everything that a decision reads or changes."""

    id: str
    tenant_id: str
    service_id: str
    service: str
    version: str
    stable_version: str
    status: Status = Status.DRAFT
    #: The release set that it is a member of; empty: it goes by itself.
    release_set: str = ""
    changelog: str = ""
    config: CanaryConfig = CanaryConfig()
    strategy: Strategy = Strategy()
    policy: Policy = Policy()
    #: ``canary_config``, ``strategy`` and ``analysis`` as they were written; defaults are not in it.
    written: dict[str, Any] = field(default_factory=dict)
    compensation_strategy: CompensationStrategy = CompensationStrategy.ROLLBACK_ONLY
    salt: str = ""
    #: Wanted share of units on the canary, in basis points.
    traffic_bp: int = 0
    #: Highest share so far; units between it and the wanted share may stay (persistent).
    peak_bp: int = 0
    #: How often units were reset; what a process saw of them before that is out of date.
    reset_epoch: int = 0
    #: The last of those that was for everybody.
    all_reset_epoch: int = 0
    target_filter: TargetFilter = TargetFilter()
    #: Only the named units, nobody by hash (until the percentage is changed).
    filter_only: bool = False
    step_index: int = 0
    #: So many steps were completed: the rollout has once gone past them, by itself or by hand.
    passed: int = 0
    #: Seconds of this step during which the monitor looked and the proxy carried the split.
    observed_seconds: float = 0.0
    #: Seconds of this step without a usable measurement.
    blind_seconds: float = 0.0
    #: Seconds at 50 % or more so far: one of the promotion gate's conditions.
    majority_seconds: float = 0.0
    step_started_at: datetime | None = None
    last_tick_at: datetime | None = None
    paused: bool = False
    waiting: Waiting = Waiting.NOTHING
    approved: bool = False
    intended: Intended | None = None
    #: The hooks asked of late, and what they said.
    asks: tuple[Ask, ...] = ()
    breaker: Breaker = CLOSED_BREAKER
    scheduled: Scheduled | None = None
    going_back: GoingBack | None = None
    blocked: Blocked | None = None
    #: Causes in spite of which a person has decided to go on.
    accepted: tuple[str, ...] = ()
    #: The data plane can hold units that are on the canary while its share shrinks.
    keeps_units: bool = True
    #: Why a side cannot be sent traffic, in words; empty: it can, or nobody knows.
    stable_down: str = ""
    canary_down: str = ""
    #: Stable has answered a knock of ours before: silence would mean something.
    stable_reached: bool = False
    #: Blue-green: until when the old side is kept for an instant switch back; ``None``: it is not.
    warm_until: datetime | None = None
    #: The tenant's freezes that hold it, as they were at the last look.
    tenant_freezes: tuple[TenantFreeze, ...] = ()
    #: Why this deployment goes on in a freeze, when an admin has said so.
    freeze_override: str = ""
    verdicts: tuple[Verdict, ...] = ()
    #: The sequential judge: its state (opaque), the time up to which it has seen, its newest answer.
    judge: str = ""
    judged_until: float = 0.0
    answer: Answer | None = None
    #: Whether units stick; ``None``: nobody has looked yet.
    flips: Flips | None = None
    #: A/B/n: every candidate, the canary first; empty with one canary, which is the fields above.
    candidates: tuple[Candidate, ...] = ()
    #: The candidate that was promoted; from then on it is the canary, and the others are history.
    winner: str = ""
    #: What it is at, for telling a change from a repetition: ``observing``, ``holding:no-data``, …
    phase: str = "observing"
    #: One sentence: what it does now and why.
    sentence: str = ""
    revision: int = 0
    created_at: datetime | None = None
    created_by: str = ""
    started_at: datetime | None = None
    ended_at: datetime | None = None
    end_reason: str = ""

    @property
    def book(self) -> str:
        """The name under which its assignments are kept: a new one since everybody was reset."""
        return f"{self.id}.{self.all_reset_epoch}" if self.all_reset_epoch else self.id

    @property
    def awaits_start(self) -> bool:
        """Tell whether it has been started and its hooks have not let anything reach it yet."""
        return self.intended is not None and self.intended.phase is Phase.CONFIRM_ROLLOUT

    @property
    def contested(self) -> bool:
        """Tell whether several candidates are under test."""
        return bool(self.candidates) and not self.winner

    @property
    def arm(self) -> int:
        """Which candidate's measurements are its canary's: 0 with one canary."""
        versions = [c.version for c in self.candidates]
        return versions.index(self.version) if self.version in versions else 0

    @property
    def tested(self) -> str:
        """What is under test, for people: the canary, or every candidate that is not out."""
        if not self.contested:
            return self.version
        left = [c for c in self.candidates if c.live] or self.candidates
        return listed([c.version for c in left])

    @property
    def weight_bp(self) -> int:
        """The share that the hash decides: nothing unless it is rolling out or active."""
        if self.status is Status.ACTIVE:
            return BUCKETS
        if self.status is not Status.CANARY or self.filter_only or self.tripped:
            return 0
        return self.traffic_bp

    @property
    def tripped(self) -> bool:
        """Tell whether an open breaker keeps everyone on stable.

        A rollback under way takes its own way, and one that is blocked leaves units where they are.
        """
        return self.breaker.state == OPEN and self.going_back is None and self.blocked is None

    @property
    def step(self) -> Step | None:
        """The current step, or ``None`` in manual mode and after the last one."""
        if self.strategy.mode is Mode.AUTO and self.step_index < len(self.strategy.steps):
            return self.strategy.steps[self.step_index]
        return None
