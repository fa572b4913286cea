"""Rulesets, their immutable versions, tests, executions (contract 1)."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import ConfigDict, Field

from serinus.api.deployments import answer
from serinus.api.deps import CallerDep, KeyDep, PageDep, PlaneDep, make_call
from serinus.api.schemas import Answer, Body, Name, ServiceName, Text
from serinus.control.rules.rulesets import NewVersion
from serinus.core.model import Role
from serinus.core.rules import Case, RuleSettings

__all__ = ["router"]

router = APIRouter(prefix="/rulesets", tags=["rulesets"])

Id = Annotated[str, Path(max_length=120, examples=["pricing"])]
Version = Annotated[str, Path(max_length=120, examples=["v2.0.0"])]
Unit = Annotated[str | None, Field(max_length=256)]
Share = Annotated[float, Field(ge=0, le=100)]
#: A path in an input: keys and indexes joined by dots, ``*`` for any.
Paths = Annotated[
    list[Annotated[str, Field(pattern=r"^[^.]+(\.[^.]+)*$", max_length=200)]], Field(max_length=100)
]
_SCRIPT = 'def decide(input):\n    return {"discount": 0.1 if input["amount"] > 100 else 0}\n'


class CaseBody(Body):
    """A test case: stored with the version, run before a rollout of it starts."""

    name: Annotated[str, Field(max_length=200)] = ""
    input: Any
    expected_output: Any


class VersionBody(Body):
    """A version: immutable once it is stored, addressed by the SHA-256 of its rules."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_extra={
            "examples": [
                {
                    "version": "v2.0.0",
                    "engine": "starlark",
                    "content": _SCRIPT,
                    "changelog": "10 % from 100 on",
                    "test_cases": [{"input": {"amount": 200}, "expected_output": {"discount": 0.1}}],
                }
            ]
        },
    )

    version: Name
    engine: Name = Field(default="zen", description="zen, starlark, or one that joined by entry point.")
    content: dict[str, Any] | str = Field(description="A decision model (zen), or a script (starlark).")
    changelog: Text = ""
    test_cases: Annotated[list[CaseBody], Field(max_length=200)] | None = Field(
        default=None, description="Left out: the cases of the newest version."
    )

    def made(self) -> NewVersion:
        """Return it as the shell takes it."""
        cases = None
        if self.test_cases is not None:
            cases = tuple(
                Case(name=c.name or f"case {at}", input=c.input, expected_output=c.expected_output)
                for at, c in enumerate(self.test_cases, 1)
            )
        return NewVersion(
            version=self.version,
            engine=self.engine,
            content=self.content,
            changelog=self.changelog,
            cases=cases,
        )


class RulesetBody(VersionBody):
    """A ruleset with its first version, which is its stable one."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_extra={
            "examples": [{"name": "pricing", "version": "v1.0.0", "engine": "starlark", "content": _SCRIPT}]
        },
    )

    name: ServiceName
    redact: Paths = Field(default=[], description="Paths in inputs and outputs that are never logged.")
    log_percent: Share = Field(default=10, description="Good executions logged; failed ones always are.")
    shadow_percent: Share = Field(default=0, description="Calls on which the canary runs beside stable.")


class SettingsBody(Body):
    """Changes of a ruleset's settings; what is left out stays."""

    redact: Paths | None = None
    log_percent: Share | None = None
    shadow_percent: Share | None = None


class TestBody(Body):
    """An input with what should come out; nothing at all runs the stored cases."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_extra={"examples": [{"input": {"amount": 200}, "expected_output": {"discount": 0.1}}]},
    )

    input: Any = None
    expected_output: Any = None
    version: Name | None = Field(default=None, description="The newest by default.")


class ExecuteBody(Body):
    """An input, and whose it is: the first of workflow, session, user decides the version."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_extra={"examples": [{"input": {"amount": 200}, "user_id": "ada"}]},
    )

    input: Any
    user_id: Unit = None
    session_id: Unit = None
    workflow_id: Unit = None


class TestAnswer(Answer):
    """What came out; without an input, what became of each stored case (``cases``)."""

    version: str = Field(examples=["v2.0.0"])
    output: Any = None
    match: bool | None = Field(default=None, description="None when there was nothing to compare with.")
    diff: list[dict[str, Any]] = Field(
        default=[], description="Each with path, kind, both values and a line."
    )
    error: str | None = None
    latency_ms: float = 0


class ExecuteAnswer(Answer):
    """The output, and which version gave it."""

    output: Any
    version: str = Field(examples=["v2.0.0"])
    is_canary: bool
    priority: str | None = Field(description="Which key decided.")
    deployment_id: str | None
    execution_id: str
    latency_ms: float
    fell_back: bool = Field(description="The canary's rules failed, and stable's served.")


@router.get("", response_model=Answer, operation_id="listRulesets")
async def list_rulesets(plane: PlaneDep, caller: CallerDep) -> Any:
    """Rulesets by name: which version serves, which is the newest, what rolls out. Viewer."""
    return await plane.rulesets.all(caller)


@router.post("", status_code=201, response_model=Answer, operation_id="createRuleset")
async def create(
    request: Request, plane: PlaneDep, caller: CallerDep, key: KeyDep, body: RulesetBody
) -> Response:
    """Make a ruleset with its first version, which is its stable one. Approver."""
    call = await make_call(request, caller, "ruleset.create", body.name, Role.APPROVER, key)
    settings = RuleSettings(
        redact=tuple(body.redact), log_percent=body.log_percent, shadow_percent=body.shadow_percent
    )
    return answer(await plane.rulesets.create(call, body.name, settings, body.made()))


@router.get("/{ruleset_id}", response_model=Answer, operation_id="getRuleset")
async def one(plane: PlaneDep, caller: CallerDep, ruleset_id: Id) -> Any:
    """One ruleset, by id or name. Viewer."""
    return await plane.rulesets.one(caller, ruleset_id)


@router.patch("/{ruleset_id}", response_model=Answer, operation_id="updateRuleset")
async def change(
    request: Request, plane: PlaneDep, caller: CallerDep, key: KeyDep, ruleset_id: Id, body: SettingsBody
) -> Response:
    """Change what is logged, redacted and shadowed; versions never change. Approver."""
    call = await make_call(request, caller, "ruleset.update", ruleset_id, Role.APPROVER, key)
    given = body.model_dump(exclude_none=True)
    if "redact" in given:
        given["redact"] = tuple(given["redact"])
    return answer(await plane.rulesets.change(call, ruleset_id, given))


@router.get("/{ruleset_id}/versions", response_model=Answer, operation_id="listRulesetVersions")
async def versions(plane: PlaneDep, caller: CallerDep, page: PageDep, ruleset_id: Id) -> Any:
    """Versions, newest first. Viewer."""
    return await plane.rulesets.versions(caller, ruleset_id, page)


@router.post(
    "/{ruleset_id}/versions",
    status_code=201,
    response_model=Answer,
    operation_id="createRulesetVersion",
    responses={200: {"model": Answer, "description": "The very same version was stored before."}},
)
async def add_version(
    request: Request, plane: PlaneDep, caller: CallerDep, key: KeyDep, ruleset_id: Id, body: VersionBody
) -> Response:
    """Store a version; it never changes. Approver."""
    call = await make_call(request, caller, "ruleset.version", ruleset_id, Role.APPROVER, key)
    return answer(await plane.rulesets.add_version(call, ruleset_id, body.made()))


# A version may be named like a branch, with slashes.
@router.get("/{ruleset_id}/versions/{version:path}", response_model=Answer, operation_id="getRulesetVersion")
async def version(plane: PlaneDep, caller: CallerDep, ruleset_id: Id, version: Version) -> Any:
    """One version with its rules and test cases. Viewer."""
    return await plane.rulesets.version(caller, ruleset_id, version)


@router.post("/{ruleset_id}/test", response_model=TestAnswer, operation_id="testRuleset")
async def test(plane: PlaneDep, caller: CallerDep, ruleset_id: Id, body: TestBody) -> Any:
    """Run a version on an input and compare; changes nothing, counts nowhere. Viewer."""
    named = body.version or ""
    if "input" not in body.model_fields_set:
        return await plane.rule_tests.test_cases(caller, ruleset_id, named)
    compare = "expected_output" in body.model_fields_set
    return await plane.rule_tests.test(
        caller, ruleset_id, named, body.input, body.expected_output, compare=compare
    )


@router.post("/{ruleset_id}/execute", response_model=ExecuteAnswer, operation_id="executeRuleset")
async def execute(plane: PlaneDep, caller: CallerDep, ruleset_id: Id, body: ExecuteBody) -> Response:
    """Run the rules on the version that this unit is on; measured and logged. SDK, Approver."""
    done = await plane.executor.execute(
        caller,
        ruleset_id,
        body.input,
        user_id=body.user_id or "",
        session_id=body.session_id or "",
        workflow_id=body.workflow_id or "",
    )
    return Response(done.body(), media_type="application/json")


@router.get("/{ruleset_id}/executions", response_model=Answer, operation_id="listExecutions")
async def executions(
    plane: PlaneDep,
    caller: CallerDep,
    page: PageDep,
    ruleset_id: Id,
    deployment_id: Annotated[str, Query(max_length=120)] = "",
    failed: Annotated[bool, Query(description="Only those that failed.")] = False,
    canary: Annotated[bool, Query(description="Only those of the version under test.")] = False,
    differs: Annotated[bool, Query(description="Only shadows whose output differs.")] = False,
) -> Any:
    """The execution log, newest first, redacted. Viewer."""
    return await plane.rulesets.executions(
        caller, ruleset_id, page, deployment_id, failed=failed, canary=canary, differs=differs
    )


@router.get("/{ruleset_id}/shadow", response_model=Answer, operation_id="getShadow")
async def shadow(
    plane: PlaneDep,
    caller: CallerDep,
    ruleset_id: Id,
    deployment_id: Annotated[str, Query(max_length=120, description="The newest by default.")] = "",
) -> Any:
    """How often the canary's rules would have answered differently, with examples. Viewer."""
    return await plane.rulesets.shadow(caller, ruleset_id, deployment_id)
