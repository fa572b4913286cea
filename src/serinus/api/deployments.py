"""Deployments: contract 1's calls."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.responses import JSONResponse

from serinus.api.deps import CallerDep, KeyDep, PageDep, PlaneDep, make_call
from serinus.api.schemas import (
    Answer,
    Approval,
    ApproveBody,
    DeploymentList,
    DeploymentView,
    NewDeploymentBody,
    OverrideBody,
    PromoteBody,
    RollbackBody,
    ScheduleBody,
    StartBody,
    TrafficBody,
    UpdateBody,
)
from serinus.control.moving.drafts import NewDeployment
from serinus.control.unit import Answer as Done
from serinus.core.errors import InvalidInput
from serinus.core.model import CompensationStrategy, Role, Status, TargetFilter

__all__ = ["Id", "answer", "drafted", "router"]

router = APIRouter(prefix="/deployments", tags=["deployments"])

Id = Annotated[str, Path(max_length=120, examples=["dep_3f9a61b2c04d"])]


def answer(done: Done) -> Response:
    """Return what a call answered, and say so when it was given before."""
    headers = {"Idempotency-Replayed": "true"} if done.replayed else {}
    if done.status == 204:
        return Response(status_code=204, headers=headers)
    if isinstance(done.body, dict) and "revision" in done.body:
        headers["ETag"] = f'"{done.body["revision"]}"'
    return JSONResponse(done.body, status_code=done.status, headers=headers)


def drafted(body: NewDeploymentBody) -> NewDeployment:
    """Return the draft that a body asks for."""
    return NewDeployment(
        service=body.service,
        named_in="service_id" if body.service_id else "ruleset_id",
        version=body.version,
        changelog=body.changelog,
        canary_config=body.canary_config.model_dump(exclude_unset=True) if body.canary_config else None,
        compensation_strategy=CompensationStrategy(body.compensation_strategy),
        strategy=body.strategy,
        analysis=body.analysis,
        addresses=tuple(body.addresses),
    )


@router.post("", status_code=201, response_model=DeploymentView, operation_id="createDeployment")
async def create(
    request: Request, plane: PlaneDep, caller: CallerDep, key: KeyDep, body: NewDeploymentBody
) -> Response:
    """Make a draft. Approver."""
    call = await make_call(request, caller, "deployment.create", body.service, Role.APPROVER, key)
    return answer(await plane.commands.create(call, drafted(body)))


@router.get("", response_model=DeploymentList, operation_id="listDeployments")
async def listed(
    plane: PlaneDep,
    caller: CallerDep,
    page: PageDep,
    ruleset_id: Annotated[str | None, Query(max_length=120)] = None,
    service_id: Annotated[str | None, Query(max_length=120)] = None,
    status: Status | None = None,
) -> Any:
    """List deployments, newest first. Viewer."""
    if ruleset_id and service_id and ruleset_id != service_id:
        raise InvalidInput("ruleset_id and service_id differ.", field="service_id", next_step="Give one.")
    return await plane.queries.deployments(caller, page, service_id or ruleset_id, status)


@router.get("/{deployment_id}", response_model=DeploymentView, operation_id="getDeployment")
async def read(plane: PlaneDep, caller: CallerDep, deployment_id: Id, response: Response) -> Any:
    """Read one. Viewer."""
    view = await plane.queries.deployment(caller, deployment_id)
    response.headers["ETag"] = f'"{view["revision"]}"'
    return view


@router.patch("/{deployment_id}", response_model=DeploymentView, operation_id="updateDeployment")
async def update(
    request: Request, plane: PlaneDep, caller: CallerDep, deployment_id: Id, body: UpdateBody
) -> Response:
    """Change a draft. Approver."""
    call = await make_call(request, caller, "deployment.update", deployment_id, Role.APPROVER)
    changes = body.model_dump(exclude_none=True, exclude_unset=True)
    if "compensation_strategy" in changes:
        changes["compensation_strategy"] = CompensationStrategy(changes["compensation_strategy"])
    return answer(await plane.commands.update(call, deployment_id, changes))


@router.delete("/{deployment_id}", status_code=204, operation_id="deleteDeployment")
async def delete(request: Request, plane: PlaneDep, caller: CallerDep, deployment_id: Id) -> Response:
    """Delete a draft. Admin."""
    call = await make_call(request, caller, "deployment.delete", deployment_id, Role.ADMIN)
    return answer(await plane.commands.delete(call, deployment_id))


@router.post("/{deployment_id}/start-canary", response_model=DeploymentView, operation_id="startCanary")
async def start(
    request: Request,
    plane: PlaneDep,
    caller: CallerDep,
    key: KeyDep,
    deployment_id: Id,
    body: StartBody | None = None,
) -> Response:
    """Put the canary under traffic. Approver."""
    call = await make_call(request, caller, "deployment.start", deployment_id, Role.APPROVER, key)
    body = body or StartBody()
    return answer(await plane.commands.start(call, deployment_id, body.canary_pct, named(body)))


def named(body: StartBody) -> TargetFilter | None:
    """Return the units that a start names; ``None`` for none."""
    named = body.canary_target_filter
    if named is None:
        return None
    return TargetFilter(user_ids=tuple(named.user_ids), workflow_ids=tuple(named.workflow_ids)) or None


@router.post("/{deployment_id}/schedule", response_model=DeploymentView, operation_id="scheduleDeployment")
async def schedule(
    request: Request, plane: PlaneDep, caller: CallerDep, key: KeyDep, deployment_id: Id, body: ScheduleBody
) -> Response:
    """Have it start by itself at a later time; until then it can be cancelled. Approver."""
    call = await make_call(request, caller, "deployment.schedule", deployment_id, Role.APPROVER, key)
    done = await plane.commands.schedule(call, deployment_id, body.start_at, body.canary_pct, named(body))
    return answer(done)


@router.post("/{deployment_id}/cancel", response_model=DeploymentView, operation_id="cancelDeployment")
async def cancel(
    request: Request,
    plane: PlaneDep,
    caller: CallerDep,
    key: KeyDep,
    deployment_id: Id,
    _: Approval | None = None,
) -> Response:
    """Take a scheduled start back: it is a draft again. Approver."""
    call = await make_call(request, caller, "deployment.cancel", deployment_id, Role.APPROVER, key)
    return answer(await plane.commands.cancel(call, deployment_id))


@router.post("/{deployment_id}/override-freeze", response_model=DeploymentView, operation_id="overrideFreeze")
async def override_freeze(
    request: Request, plane: PlaneDep, caller: CallerDep, key: KeyDep, deployment_id: Id, body: OverrideBody
) -> Response:
    """Let it start and grow in a freeze, for a reason. Admin."""
    call = await make_call(request, caller, "deployment.override-freeze", deployment_id, Role.ADMIN, key)
    return answer(await plane.commands.override_freeze(call, deployment_id, body.reason))


@router.put("/{deployment_id}/traffic", response_model=DeploymentView, operation_id="setTraffic")
async def traffic(
    request: Request, plane: PlaneDep, caller: CallerDep, deployment_id: Id, body: TrafficBody
) -> Response:
    """Change the share, up or down. Approver."""
    call = await make_call(request, caller, "deployment.traffic", deployment_id, Role.APPROVER)
    done = await plane.commands.traffic(call, deployment_id, body.traffic_percentage, force=body.force)
    return answer(done)


@router.post("/{deployment_id}/pause", response_model=DeploymentView, operation_id="pauseDeployment")
async def pause(
    request: Request,
    plane: PlaneDep,
    caller: CallerDep,
    key: KeyDep,
    deployment_id: Id,
    _: Approval | None = None,
) -> Response:
    """Hold the share where it is; automatic rollback stays on. Approver."""
    call = await make_call(request, caller, "deployment.pause", deployment_id, Role.APPROVER, key)
    return answer(await plane.commands.pause(call, deployment_id))


@router.post("/{deployment_id}/resume", response_model=DeploymentView, operation_id="resumeDeployment")
async def resume(
    request: Request,
    plane: PlaneDep,
    caller: CallerDep,
    key: KeyDep,
    deployment_id: Id,
    _: Approval | None = None,
) -> Response:
    """Go on where it was paused. Approver."""
    call = await make_call(request, caller, "deployment.resume", deployment_id, Role.APPROVER, key)
    return answer(await plane.commands.resume(call, deployment_id))


@router.post("/{deployment_id}/approve", response_model=DeploymentView, operation_id="approveDeployment")
async def approve(
    request: Request,
    plane: PlaneDep,
    caller: CallerDep,
    key: KeyDep,
    deployment_id: Id,
    body: ApproveBody | None = None,
) -> Response:
    """Pass the gate that it waits at, or go on where a rollback is blocked. Approver, or the gate's role."""
    call = await make_call(request, caller, "deployment.approve", deployment_id, Role.APPROVER, key)
    return answer(await plane.commands.approve(call, deployment_id, body.reason if body else ""))


@router.post("/{deployment_id}/promote", response_model=DeploymentView, operation_id="promoteDeployment")
async def promote(
    request: Request,
    plane: PlaneDep,
    caller: CallerDep,
    key: KeyDep,
    deployment_id: Id,
    body: PromoteBody | None = None,
) -> Response:
    """Give everyone the new version, if the gate is met or forced. Approver."""
    call = await make_call(request, caller, "deployment.promote", deployment_id, Role.APPROVER, key)
    body = body or PromoteBody()
    done = await plane.commands.promote(call, deployment_id, force=body.force, version=body.version or "")
    return answer(done)


@router.post("/{deployment_id}/rollback", response_model=DeploymentView, operation_id="rollBackDeployment")
async def roll_back(
    request: Request,
    plane: PlaneDep,
    caller: CallerDep,
    key: KeyDep,
    deployment_id: Id,
    body: RollbackBody,
) -> Response:
    """Put everyone on stable. Approver."""
    call = await make_call(request, caller, "deployment.rollback", deployment_id, Role.APPROVER, key)
    done = await plane.commands.roll_back(
        call,
        deployment_id,
        body.reason,
        compensate=body.apply_compensation,
        force=body.force,
        version=body.version or "",
        across=body.across_irreversible,
    )
    return answer(done)


@router.post("/{deployment_id}/deprecate", response_model=DeploymentView, operation_id="deprecateDeployment")
async def deprecate(
    request: Request,
    plane: PlaneDep,
    caller: CallerDep,
    key: KeyDep,
    deployment_id: Id,
    _: Approval | None = None,
) -> Response:
    """Retire an active deployment. Approver."""
    call = await make_call(request, caller, "deployment.deprecate", deployment_id, Role.APPROVER, key)
    return answer(await plane.commands.deprecate(call, deployment_id))


@router.get("/{deployment_id}/metrics", response_model=Answer, operation_id="getMetrics")
async def metrics(plane: PlaneDep, caller: CallerDep, deployment_id: Id) -> Any:
    """Both versions' numbers; ``null`` for a version without requests. Viewer."""
    return await plane.queries.metrics(caller, deployment_id)


@router.get("/{deployment_id}/comparison", response_model=Answer, operation_id="getComparison")
async def comparison(plane: PlaneDep, caller: CallerDep, deployment_id: Id) -> Any:
    """Which version is better, and what to do. Viewer."""
    return await plane.queries.comparison(caller, deployment_id)


@router.get("/{deployment_id}/health", response_model=Answer, operation_id="getHealth")
async def health(plane: PlaneDep, caller: CallerDep, deployment_id: Id) -> Any:
    """Healthy, degraded or unhealthy, with warnings. Viewer."""
    return await plane.queries.health(caller, deployment_id)


@router.get("/{deployment_id}/events", response_model=Answer, operation_id="listEvents")
async def events(
    plane: PlaneDep,
    caller: CallerDep,
    deployment_id: Id,
    after: Annotated[int, Query(ge=0, le=2**53)] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 200,
) -> Any:
    """The timeline: every decision with its evidence, who or what caused it. Viewer."""
    return await plane.queries.events(caller, deployment_id, after, limit)


@router.get("/{deployment_id}/notifications", response_model=Answer, operation_id="listNotifications")
async def notifications(plane: PlaneDep, caller: CallerDep, deployment_id: Id) -> Any:
    """Every notification with its delivery. Viewer."""
    return await plane.queries.notifications(caller, deployment_id)


@router.get(
    "/{deployment_id}/notifications/{notification_id}", response_model=Answer, operation_id="getNotification"
)
async def notification(
    plane: PlaneDep,
    caller: CallerDep,
    deployment_id: Id,
    notification_id: Annotated[str, Path(max_length=120)],
) -> Any:
    """One notification: what it says and what became of it. Viewer."""
    return await plane.queries.notification(caller, deployment_id, notification_id)


@router.get("/{deployment_id}/page", response_model=Answer, operation_id="getPage")
async def page_view(plane: PlaneDep, caller: CallerDep, deployment_id: Id) -> Any:
    """Everything that the page and ``serinus watch`` show. Viewer."""
    return await plane.queries.page(caller, deployment_id)
