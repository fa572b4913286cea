"""Release sets: several deployments above which one coordinator decides.

A set is a row of stages. A stage's members start together and are promoted together, in their order, once
each has passed its steps; then the next stage begins. Regional waves are such a set: the same version in
one region after another. Every member is an ordinary deployment with its own judge, gates and page.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from serinus.core.model import CompensationStrategy, Deployment, Role, Waiting

__all__ = [
    "LIVE",
    "Member",
    "OnHarm",
    "Order",
    "OrderKind",
    "ReleaseSet",
    "SetDecision",
    "SetKind",
    "SetReason",
    "SetState",
    "Stage",
    "Standing",
    "Told",
]


class SetKind(StrEnum):
    """What people call it."""

    RELEASE_SET = "release_set"  #: several services, promoted or rolled back together
    WAVES = "waves"  #: one service, region after region


class SetState(StrEnum):
    """Where a set stands."""

    RUNNING = "running"  #: stage after stage
    WATCHED = "watched"  #: everything is promoted and still watched
    DONE = "done"  #: promoted, and nothing happens by itself any more
    ROLLING_BACK = "rolling_back"  #: every member is on its way to stable
    ROLLED_BACK = "rolled_back"  #: ended, no member is out


#: The states in which the coordinator has something to do.
LIVE = (SetState.RUNNING, SetState.WATCHED, SetState.ROLLING_BACK)


class OnHarm(StrEnum):
    """What a member's rollback does to the others."""

    ALL = "all"  #: they are rolled back as well, the last first
    REGION = "region"  #: nothing: it alone goes back, the others go on
    HOLD = "hold"  #: nothing more begins or is promoted until somebody decides


@dataclass(frozen=True, kw_only=True, slots=True)
class Member:
    """One version of one service in a set, and what its deployment is made from."""

    service: str
    version: str
    region: str = ""
    changelog: str = ""
    compensation_strategy: CompensationStrategy = CompensationStrategy.ROLLBACK_ONLY
    #: As a deployment takes them; ``None``: its defaults.
    strategy: dict[str, object] | None = None
    analysis: dict[str, object] | None = None
    canary_config: dict[str, object] | None = None
    addresses: tuple[str, ...] = ()
    #: Made when its stage begins.
    deployment_id: str = ""
    #: Why it went back and counts no more; empty: it does count.
    lost: str = ""

    @property
    def words(self) -> str:
        """Service and version."""
        return f"{self.service} {self.version}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Stage:
    """Members that go together, and what lies between them and the next stage."""

    name: str
    members: tuple[Member, ...]
    #: Seconds after its promotion during which the next stage does not begin.
    bake_seconds: float = 0.0
    #: Who lets the next stage begin; ``None``: it begins by itself.
    gate: Role | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ReleaseSet:
    """A set as it is stored: what was asked for, and how far it is."""

    id: str
    tenant_id: str
    name: str
    kind: SetKind
    stages: tuple[Stage, ...]
    on_harm: OnHarm = OnHarm.ALL
    #: Promote a stage by itself once all of it has passed; otherwise wait for a person.
    auto_promote: bool = True
    state: SetState = SetState.RUNNING
    #: Index of the present stage.
    stage: int = 0
    #: Seconds since the present stage was promoted, as far as somebody looked.
    baked_seconds: float = 0.0
    #: The present stage is promoted.
    baking: bool = False
    #: Somebody said yes to what it waits for.
    approved: bool = False
    #: ``approval`` of the next stage, or ``promotion`` of this one.
    waiting: Waiting = Waiting.NOTHING
    paused: bool = False
    #: Why it goes back.
    reason: str = ""
    #: What was refused when it was last tried, in words.
    trouble: str = ""
    #: What it is at, for telling a change from a repetition.
    phase: str = "running"
    sentence: str = ""
    last_tick_at: datetime | None = None
    revision: int = 0
    created_at: datetime | None = None
    created_by: str = ""
    ended_at: datetime | None = None

    @property
    def present(self) -> Stage:
        """The stage that it is at."""
        return self.stages[self.stage]

    @property
    def members(self) -> tuple[Member, ...]:
        """Every member, in the order in which they go."""
        return tuple(m for stage in self.stages for m in stage.members)

    def with_member(self, changed: Member) -> ReleaseSet:
        """Return the set with another state of the member of that service."""
        stages = tuple(
            replace(
                stage, members=tuple(changed if m.service == changed.service else m for m in stage.members)
            )
            for stage in self.stages
        )
        return replace(self, stages=stages)


@dataclass(frozen=True, kw_only=True, slots=True)
class Standing:
    """How a member's deployment stands; ``unmet`` is what its promotion gate lacks, in words."""

    d: Deployment
    unmet: tuple[str, ...] = ()
    #: Which freeze holds it, in words; empty: none.
    frozen: str = ""


class OrderKind(StrEnum):
    """What the coordinator has done to a member."""

    START = "start"
    PROMOTE = "promote"
    ROLL_BACK = "rollback"


@dataclass(frozen=True, kw_only=True, slots=True)
class Order:
    """One move of a member; harmless when it was made already."""

    kind: OrderKind
    member: Member
    reason: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class SetReason:
    """One line of a set's timeline."""

    kind: str
    message: str
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Told:
    """What people are told: ``warning``, ``waiting`` or ``promoted``, and whether it is harm."""

    topic: str
    message: str
    harm: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class SetDecision:
    """What follows for a set. Nothing has happened yet."""

    next_state: ReleaseSet
    #: In the order in which they are made; the first that is refused holds the rest, rollbacks excepted.
    orders: tuple[Order, ...] = ()
    reasons: tuple[SetReason, ...] = ()
    told: tuple[Told, ...] = ()
    #: The present stage's deployments are to be made before anything else.
    create: bool = False
