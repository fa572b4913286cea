"""Bodies and answers as OpenAPI describes them, with examples."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator

__all__ = [
    "Address",
    "Answer",
    "Approval",
    "ApproveBody",
    "CompleteBody",
    "DeploymentList",
    "DeploymentView",
    "Judgement",
    "MemberChanges",
    "Name",
    "NewDeploymentBody",
    "NewMemberBody",
    "NewServiceBody",
    "NewTokenBody",
    "OverrideBody",
    "Problem",
    "PromoteBody",
    "RollbackBody",
    "ScheduleBody",
    "ServiceChanges",
    "ServiceName",
    "StartBody",
    "Text",
    "TrafficBody",
    "UpdateBody",
]

#: Text that a database and a screen can carry: no control characters but newline and tab.
Text = Annotated[str, Field(pattern=r"^[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f]*$", max_length=20_000)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_. /:@+-]*$", min_length=1, max_length=120)]
#: It stands in paths of the API, which a slash would cut.
ServiceName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_. :@+-]*$", min_length=1, max_length=120)]
Percentage = Annotated[
    float,
    Field(
        description="0 to 100, in steps of 0.01.",
        json_schema_extra={"minimum": 0, "maximum": 100, "multipleOf": 0.01},
    ),
]
Units = Annotated[list[Annotated[str, Field(min_length=1, max_length=256)]], Field(max_length=1000)]
RoleName = Literal["sdk", "agent", "viewer", "approver", "admin"]
#: A name as its bearer writes it, in any script; no control characters, no space at either end.
PersonName = Annotated[
    str,
    Field(pattern=r"^[^\x00-\x20\x7f]([^\x00-\x1f\x7f]*[^\x00-\x20\x7f])?$", min_length=1, max_length=120),
]
Email = Annotated[str, Field(pattern=r"^([^\s@\x00-\x1f\x7f]+@[^\s@\x00-\x1f\x7f]+)?$", max_length=254)]
Address = Annotated[str, Field(min_length=3, max_length=255)]


class Body(BaseModel):
    """A request body: unknown keys are errors, numbers are not read out of texts."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Problem(BaseModel):
    """An error (RFC 9457), with the field that caused it and what to do next."""

    model_config = ConfigDict(extra="allow")

    type: str = Field(examples=["https://serinus.dev/problems/invalid-input"])
    title: str = Field(examples=["Bad Request"])
    status: int = Field(examples=[400])
    detail: str = Field(examples=["traffic_percentage is 101, outside 0 to 100."])
    instance: str = Field(default="", examples=["req_5b0c7f0c8f1d2e3a"])
    field: str = Field(default="", examples=["traffic_percentage"])
    next_step: str = Field(default="", examples=["Give a number from 0 to 100, with at most two decimals."])


class CanaryConfigBody(Body):
    """How the canary grows and which thresholds hold (contract 1)."""

    initial_traffic_percentage: Percentage = 10
    increment: Percentage = 10
    duration_minutes: float = Field(default=60, ge=0, le=1_000_000, description="Minutes per step.")
    success_threshold: float = Field(default=0.95, ge=0, le=1)
    error_threshold: float = Field(default=0.05, ge=0, le=1)


class NewDeploymentBody(Body):
    """A new draft. ``service_id`` and ``ruleset_id`` both name a service, by id or name."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_extra={
            "examples": [
                {
                    "ruleset_id": "checkout",
                    "version": "v2.0.0",
                    "changelog": "Faster discounts",
                    "canary_config": {
                        "initial_traffic_percentage": 10,
                        "increment": 10,
                        "duration_minutes": 60,
                    },
                }
            ]
        },
    )

    service_id: Name | None = None
    ruleset_id: Name | None = None
    version: Name
    changelog: Text = ""
    canary_config: CanaryConfigBody | None = None
    compensation_strategy: Literal["rollback_only", "notify_and_rollback", "manual"] = "rollback_only"
    strategy: dict[str, Any] | None = Field(
        default=None,
        examples=[
            {"mode": "auto", "steps": [{"traffic_percentage": 5, "hold_seconds": 900, "gate": True}]},
            {"type": "blue_green", "warm_seconds": 60, "hold_seconds": 900, "keep_warm_seconds": 3600},
        ],
    )
    analysis: dict[str, Any] | None = Field(default=None, examples=[{"preset": "orchestrator"}])
    addresses: Annotated[list[Address], Field(max_length=100)] = Field(
        default=[], description="Where the new version answers, for services behind a proxy."
    )

    @model_validator(mode="after")
    def _names_one_service(self) -> NewDeploymentBody:
        names = {n for n in (self.service_id, self.ruleset_id) if n}
        if len(names) != 1:
            raise ValueError("give service_id or ruleset_id; both only if they are the same")
        return self

    @property
    def service(self) -> str:
        """The service that is named."""
        return self.service_id or self.ruleset_id or ""


class UpdateBody(Body):
    """Changes of a draft; what is left out stays."""

    changelog: Text | None = None
    canary_config: CanaryConfigBody | None = None
    compensation_strategy: Literal["rollback_only", "notify_and_rollback", "manual"] | None = None
    strategy: dict[str, Any] | None = None
    analysis: dict[str, Any] | None = None


class FilterBody(Body):
    """Units named by hand."""

    user_ids: Units = []
    workflow_ids: Units = []


class StartBody(Body):
    """How the canary starts; without anything, with the configured percentage."""

    model_config = ConfigDict(
        extra="forbid", strict=True, json_schema_extra={"examples": [{"canary_pct": 10}]}
    )

    canary_pct: Percentage | None = None
    canary_target_filter: FilterBody | None = None


class PlanBody(StartBody, NewDeploymentBody):
    """A draft and its start at once, to be looked at only."""

    model_config = NewDeploymentBody.model_config


class ScheduleBody(StartBody):
    """When and how the canary starts."""

    model_config = ConfigDict(
        extra="forbid", strict=True, json_schema_extra={"examples": [{"start_at": "2099-01-31T06:00:00Z"}]}
    )

    # A text in JSON, which strict reading would refuse.
    start_at: AwareDatetime = Field(strict=False, description="With its UTC offset.")


class TrafficBody(Body):
    """The wanted share."""

    model_config = ConfigDict(
        extra="forbid", strict=True, json_schema_extra={"examples": [{"traffic_percentage": 50}]}
    )

    traffic_percentage: Percentage
    force: bool = Field(
        default=False, description="Past a step's minimum time, or to a side that does not answer."
    )


class PromoteBody(Body):
    """Whether to promote past a gate that is not met, and which of several candidates."""

    force: bool = False
    version: Name | None = Field(
        default=None, description="A/B/n: which candidate; left out, the best if there is one."
    )


class RollbackBody(Body):
    """Why, and whether compensation runs."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_extra={"examples": [{"reason": "error rate 8 %, limit 5 %", "apply_compensation": True}]},
    )

    reason: Text = Field(min_length=1, max_length=2000)
    apply_compensation: bool = True
    force: bool = Field(
        default=False, description="At once, and to a stable side that does not answer as well."
    )
    version: Name | None = Field(
        default=None, description="A/B/n: only this candidate; its units go to stable, the others go on."
    )
    across_irreversible: bool = Field(
        default=False, description="Also across an irreversible step that was completed."
    )


class ApproveBody(Body):
    """Why a gate is passed; it goes onto the timeline and into the audit log."""

    reason: Text = Field(default="", max_length=2000, examples=["The dashboards look well."])


class CompleteBody(Body):
    """What was done by hand; it goes onto the timeline and into the audit log."""

    note: Text = Field(min_length=1, max_length=2000, examples=["Refunded 12 orders, ticket 4711."])


class OverrideBody(Body):
    """Why a freeze is overridden; it goes onto the timeline and into the audit log."""

    reason: Text = Field(min_length=1, max_length=2000, examples=["A security fix that cannot wait."])


class Approval(Body):
    """Nothing to say: the call itself is what is meant."""


class NewServiceBody(Body):
    """A service: what has versions and receives requests."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_extra={
            "examples": [
                {
                    "name": "checkout",
                    "kind": "application",
                    "stable_version": "v1",
                    "driver": "in-process",
                    "upstreams": {"v1": ["127.0.0.1:9001"]},
                }
            ]
        },
    )

    name: ServiceName
    kind: Literal["application", "feature", "ruleset"] = "application"
    stable_version: Name | Literal[""] = ""
    driver: Name = "in-process"
    driver_config: dict[str, Any] = {}
    upstreams: dict[Name, Annotated[list[Address], Field(max_length=100)]] = {}


class ServiceChanges(Body):
    """Changes of a service; what is left out stays."""

    stable_version: Name | None = None
    driver: Name | None = None
    driver_config: dict[str, Any] | None = None
    upstreams: dict[Name, Annotated[list[Address], Field(max_length=100)]] | None = None


class NewTokenBody(Body):
    """A new token; its secret is in the answer, once."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_extra={
            "examples": [{"name": "ci", "role": "approver", "expires_in_days": 90, "services": ["checkout"]}]
        },
    )

    name: Name
    role: RoleName
    expires_in_days: float | None = Field(default=None, gt=0, le=3650)
    member: Annotated[str, Field(max_length=120)] = Field(
        default="", description="Whose it is: id or name. Its role must reach the token's."
    )
    services: Annotated[list[Name], Field(max_length=100)] = Field(
        default=[], description="The only services that it is for, by id or name; none: every one."
    )


class NewMemberBody(Body):
    """Somebody who belongs to the tenant: a person, or a program."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_extra={
            "examples": [{"name": "Ada Lovelace", "role": "approver", "email": "ada@example.com"}]
        },
    )

    name: PersonName
    role: RoleName
    kind: Literal["person", "service_account"] = "person"
    email: Email = Field(default="", description="A person has one, a service account none.")


class MemberChanges(Body):
    """Another role for a member."""

    role: RoleName


class Answer(BaseModel):
    """An answer whose members may grow."""

    model_config = ConfigDict(extra="allow")


class JudgedCheck(Answer):
    """One check of the sequential judge: both sides, and how much worse the canary is."""

    check: str = Field(examples=["errors"])
    finding: Literal["harm", "safe", "not_yet", "cannot_tell"]
    sentence: str
    canary: float | None
    stable: float | None
    estimate: float | None = Field(description="Canary ÷ stable, or canary − stable: see `scale`.")
    low: float | None = Field(description="Lower bound, valid at every look.")
    high: float | None = Field(description="Upper bound, valid at every look.")
    requests_needed: int | None = Field(description="Canary requests until it knows, at the present rate.")
    seconds_needed: float | None


class Judgement(Answer):
    """What the sequential judge says."""

    finding: Literal["harm", "safe", "not_yet", "cannot_tell"]
    sentence: str = Field(description="What is known so far, with the numbers.")
    budget_used: float = Field(description="The largest part of the error budget claimed so far, 0 to 1.")
    checks: list[JudgedCheck]
    slices: list[dict[str, Any]] = Field(description="Where the harm shows, worst first.")
    warnings: list[str] = Field(description="What is wrong with the set-up of the comparison.")


class Sticking(Answer):
    """Whether units stick: of the few that are watched, those served by more than one version."""

    watched: int
    flipped: int = Field(description="Served by more than one version without a reason.")
    fewer_side: int = Field(description="Watched units on the side that has fewer of them.")
    tolerated: float = Field(description="The part of `fewer_side` up to which it is normal, 0 to 1.")
    sentence: str = Field(description="What to do about it; empty while it is normal.")


class DeploymentView(Answer):
    """One deployment."""

    deployment_id: str = Field(examples=["dep_3f9a61b2c04d"])
    service_id: str
    ruleset_id: str
    service: str = Field(examples=["checkout"])
    version: str = Field(examples=["v2.0.0"])
    stable_version: str = Field(examples=["v1.0.0"])
    status: Literal["draft", "scheduled", "canary", "active", "rolled_back", "deprecated"]
    sentence: str = Field(description="What it does now and why.")
    traffic_percentage: float
    revision: int
    created_at: datetime | None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    scheduled_for: datetime | None = Field(default=None, description="When it starts by itself.")
    gate_role: Literal["approver", "admin"] | None = Field(
        default=None, description="Who may pass the gate of the present step."
    )
    going_back: dict[str, Any] | None = Field(
        default=None, description="A rollback that is under way, or held while stable does not answer."
    )
    warm_until: datetime | None = Field(
        default=None, description="Until when the old side is kept for an instant switch back."
    )
    judge: Judgement | None = Field(default=None, description="None for fixed thresholds.")
    stickiness: Sticking | None = Field(default=None, description="None before anybody looked.")
    watch: dict[str, Any] | None = Field(
        default=None, description="After promotion: until when it is watched, and against what."
    )


class DeploymentList(Answer):
    """A page of deployments."""

    deployments: list[DeploymentView]
    total: int
    page: int
    page_size: int
