"""Services, jobs, the audit log, who am I."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Request, Response
from fastapi.responses import PlainTextResponse

from serinus.api.deployments import answer
from serinus.api.deps import CallerDep, KeyDep, PageDep, PlaneDep, make_call
from serinus.api.schemas import Answer, Approval, NewServiceBody, ServiceChanges
from serinus.control.commands import NewService
from serinus.control.context import stamp
from serinus.control.showing import exposition
from serinus.core.model import Role, ServiceKind

__all__ = ["router"]

router = APIRouter()

Named = Annotated[str, Path(max_length=120, examples=["checkout"])]


@router.post(
    "/services", status_code=201, response_model=Answer, tags=["services"], operation_id="createService"
)
async def create_service(
    request: Request, plane: PlaneDep, caller: CallerDep, key: KeyDep, body: NewServiceBody
) -> Response:
    """Make a service. Approver."""
    call = await make_call(request, caller, "service.create", body.name, Role.APPROVER, key)
    new = NewService(
        name=body.name,
        kind=ServiceKind(body.kind),
        stable_version=body.stable_version,
        driver=body.driver,
        driver_config=body.driver_config,
        upstreams={version: tuple(addresses) for version, addresses in body.upstreams.items()},
    )
    return answer(await plane.commands.create_service(call, new))


@router.get("/services", response_model=Answer, tags=["services"], operation_id="listServices")
async def list_services(plane: PlaneDep, caller: CallerDep) -> Any:
    """List services. Viewer."""
    return await plane.queries.services(caller)


@router.get("/services/{service_id}", response_model=Answer, tags=["services"], operation_id="getService")
async def read_service(plane: PlaneDep, caller: CallerDep, service_id: Named) -> Any:
    """Read one, with what its proxies carry. Viewer."""
    return await plane.queries.service(caller, service_id)


@router.patch(
    "/services/{service_id}", response_model=Answer, tags=["services"], operation_id="updateService"
)
async def update_service(
    request: Request, plane: PlaneDep, caller: CallerDep, service_id: Named, body: ServiceChanges
) -> Response:
    """Change one while nothing rolls out. Approver."""
    call = await make_call(request, caller, "service.update", service_id, Role.APPROVER)
    changes = body.model_dump(exclude_none=True)
    if "upstreams" in changes:
        changes["upstreams"] = {v: tuple(a) for v, a in changes["upstreams"].items()}
    return answer(await plane.commands.update_service(call, service_id, changes))


@router.get("/whoami", response_model=Answer, tags=["access"], operation_id="whoAmI")
async def whoami(plane: PlaneDep, caller: CallerDep) -> Any:
    """Which token this is, and what it may do. Any role."""
    return {
        "name": caller.name,
        "role": caller.role.value,
        "tenant_id": caller.tenant_id,
        "member_id": caller.member_id,
        "services": sorted(caller.services),
        "expires_at": stamp(caller.expires_at),
        "version": plane.version,
    }


@router.post("/login-code", status_code=201, response_model=Answer, tags=["access"], operation_id="loginCode")
async def login_code(
    request: Request, plane: PlaneDep, caller: CallerDep, key: KeyDep, _: Approval | None = None
) -> Response:
    """Return a link that opens one dashboard session within minutes. Viewer."""
    await make_call(request, caller, "login.code", caller.token_id, Role.VIEWER, key)
    caller.must_reach(Role.VIEWER)
    code = await plane.access.login_code(caller)
    return Response(
        content=f'{{"code":"{code}","path":"/login?code={code}"}}',
        status_code=201,
        media_type="application/json",
        headers={"Cache-Control": "no-store"},
    )


@router.get("/scheduler/jobs", response_model=Answer, tags=["operation"], operation_id="listJobs")
async def jobs(plane: PlaneDep, caller: CallerDep) -> Any:
    """The background jobs with state, last and next run. Viewer."""
    return await plane.queries.jobs(caller)


@router.get("/audit", response_model=Answer, tags=["operation"], operation_id="listAudit")
async def audit(plane: PlaneDep, caller: CallerDep, page: PageDep) -> Any:
    """Who did what, newest first. Admin."""
    return await plane.audit.page(caller, page)


@router.get("/audit/head", response_model=Answer, tags=["operation"], operation_id="auditHead")
async def audit_head(plane: PlaneDep, caller: CallerDep) -> Any:
    """The last entry's number and hash: kept elsewhere, they show entries missing at the end. Admin."""
    return await plane.audit.head(caller)


@router.get(
    "/metrics", response_class=PlainTextResponse, tags=["operation"], operation_id="prometheusMetrics"
)
async def prometheus(plane: PlaneDep, caller: CallerDep) -> Response:
    """Contract 1's metrics in the Prometheus text format. Viewer. Also at ``/metrics``."""
    found = await plane.queries.running(caller)
    return Response(exposition.render(found), media_type=exposition.CONTENT_TYPE)
