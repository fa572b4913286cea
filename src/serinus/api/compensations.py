"""Compensation: what rollbacks have left to undo, retried or completed by hand."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Request, Response

from serinus.api.deployments import Id, answer
from serinus.api.deps import CallerDep, KeyDep, PlaneDep, make_call
from serinus.api.schemas import Answer, Approval, CompleteBody
from serinus.core.model import Role

__all__ = ["router"]

router = APIRouter(tags=["compensation"])

Name = Annotated[str, Path(max_length=60, examples=["step-2", "deployment", "task"])]


@router.get("/compensations", response_model=Answer, operation_id="listCompensations")
async def unfinished(plane: PlaneDep, caller: CallerDep) -> Any:
    """Everything that is still to be undone, the oldest first. Viewer."""
    return await plane.compensations.unfinished(caller)


@router.get(
    "/deployments/{deployment_id}/compensation", response_model=Answer, operation_id="getCompensation"
)
async def of(plane: PlaneDep, caller: CallerDep, deployment_id: Id) -> Any:
    """What a deployment's rollback undoes, in order, and how far it is. Viewer."""
    return await plane.compensations.of(caller, deployment_id)


@router.post(
    "/deployments/{deployment_id}/compensation/{name}/retry",
    response_model=Answer,
    operation_id="retryCompensation",
)
async def retry(
    request: Request,
    plane: PlaneDep,
    caller: CallerDep,
    key: KeyDep,
    deployment_id: Id,
    name: Name,
    _: Approval | None = None,
) -> Response:
    """Try one again that was given up, under the same key. Approver."""
    call = await make_call(request, caller, "compensation.retry", deployment_id, Role.APPROVER, key)
    return answer(await plane.compensations.retry(call, deployment_id, name))


@router.post(
    "/deployments/{deployment_id}/compensation/{name}/complete",
    response_model=Answer,
    operation_id="completeCompensation",
)
async def complete(
    request: Request,
    plane: PlaneDep,
    caller: CallerDep,
    key: KeyDep,
    deployment_id: Id,
    name: Name,
    body: CompleteBody,
) -> Response:
    """Say that a task, or what a hook could not do, was done by hand. Approver."""
    call = await make_call(request, caller, "compensation.complete", deployment_id, Role.APPROVER, key)
    return answer(await plane.compensations.complete(call, deployment_id, name, body.note))
