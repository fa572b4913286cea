"""What the command line's tools ask: plans, notes, a service's health and error budgets."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import Field

from serinus.api.deployments import answer, drafted, named
from serinus.api.deps import CallerDep, KeyDep, PlaneDep, make_call
from serinus.api.schemas import Answer, Body, PlanBody, Text
from serinus.core.model import Role
from serinus.core.policy.budget import CONTRACT
from serinus.core.policy.slos import Slo

__all__ = ["router"]

router = APIRouter()

Named = Annotated[str, Path(max_length=120, examples=["checkout"])]


class NoteBody(Body):
    """A line for the timeline: what somebody, or something outside, did or found."""

    kind: Literal["note", "verified", "drill", "guard", "smoke"] = "note"
    message: Text = Field(min_length=1, max_length=2000, examples=["Smoke tests: 12 of 12 passed."])
    data: dict[str, Any] = Field(default={}, max_length=50)


@router.post("/deployments/plan", response_model=Answer, tags=["deployments"], operation_id="planDeployment")
async def plan(request: Request, plane: PlaneDep, caller: CallerDep, body: PlanBody) -> Response:
    """Check everything that making and starting it would check; nothing is stored or moved. Approver."""
    call = await make_call(request, caller, "deployment.plan", body.service, Role.APPROVER)
    return answer(await plane.tools.plan(call, drafted(body), body.canary_pct, named(body)))


@router.post(
    "/deployments/{deployment_id}/notes",
    status_code=201,
    response_model=Answer,
    tags=["deployments"],
    operation_id="noteOnDeployment",
)
async def note(
    request: Request, plane: PlaneDep, caller: CallerDep, key: KeyDep, deployment_id: Named, body: NoteBody
) -> Response:
    """Put a line on the timeline. Approver."""
    call = await make_call(request, caller, "deployment.note", deployment_id, Role.APPROVER, key)
    return answer(await plane.tools.note(call, deployment_id, body.kind, body.message, body.data))


@router.get(
    "/services/{service_id}/health",
    response_model=Answer,
    tags=["services"],
    operation_id="getServiceHealth",
)
async def health(plane: PlaneDep, caller: CallerDep, service_id: Named) -> Any:
    """How the stable version is: proxies, monitor, its numbers of the last five minutes. Viewer."""
    return await plane.tools.health(caller, service_id)


@router.get(
    "/services/{service_id}/slos", response_model=Answer, tags=["services"], operation_id="getServiceSlos"
)
async def slos(
    plane: PlaneDep,
    caller: CallerDep,
    service_id: Named,
    availability: Annotated[float, Query(gt=0, lt=1)] = CONTRACT[0].objective,
    p95_ms: Annotated[float, Query(gt=0, le=3_600_000)] = (CONTRACT[1].under or 0) * 1000,
    errors: Annotated[float, Query(gt=0, lt=1)] = 0.005,
    period_days: Annotated[float, Query(gt=0, le=366)] = 30,
) -> Any:
    """Error budgets and burn rates, from what was recorded while versions were compared. Viewer."""
    period = period_days * 86400
    objectives = (
        Slo(name="availability", objective=availability, period=period),
        Slo(name="p95 latency", objective=0.95, under=p95_ms / 1000, period=period),
        Slo(name="errors", objective=round(1 - errors, 12), period=period),
    )
    return await plane.tools.budgets(caller, service_id, objectives)
