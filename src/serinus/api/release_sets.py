"""Release sets, regional waves, and the tenant's freezes."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import Field

from serinus.api.deployments import answer
from serinus.api.deps import CallerDep, KeyDep, PageDep, PlaneDep, make_call
from serinus.api.schemas import Address, Answer, Approval, ApproveBody, Body, Name, Text
from serinus.core.model import Role
from serinus.core.release_sets import SetState

__all__ = ["freezes", "router"]

router = APIRouter(prefix="/release-sets", tags=["release sets"])
freezes = APIRouter(prefix="/freezes", tags=["freezes"])

Id = Annotated[str, Path(max_length=120, examples=["set_3f9a61b2c04d"])]
FreezeName = Annotated[str, Path(max_length=120, examples=["year's end"])]
Document = dict[str, Any]


class NewSetBody(Body):
    """A release set has ``members``; regional waves have ``service``, ``version`` and ``waves``."""

    name: Text = Field(min_length=1, max_length=120, examples=["shop 2026.4"])
    members: list[Document] | None = Field(
        default=None,
        max_length=100,
        examples=[
            [{"service": "pricing", "version": "v12"}, {"service": "checkout", "version": "v7", "order": 2}]
        ],
    )
    service: Name | None = None
    version: Name | None = None
    waves: list[Document] | None = Field(
        default=None,
        max_length=100,
        examples=[[{"regions": ["eu"], "bake_seconds": 1800}, {"regions": ["us"]}]],
    )
    addresses: dict[str, list[Address]] | None = Field(default=None, max_length=100)
    on_harm: Literal["all", "region", "hold"] | None = None
    changelog: Text | None = None
    auto_promote: bool | None = None
    bake_seconds: float | None = Field(default=None, ge=0, le=100_000_000)
    gate: bool | dict[str, Any] | None = None
    strategy: Document | None = None
    analysis: Document | None = None
    canary_config: Document | None = None
    compensation_strategy: Literal["rollback_only", "notify_and_rollback", "manual"] | None = None


class SetRollbackBody(Body):
    """Why every member goes back."""

    reason: Text = Field(min_length=1, max_length=2000, examples=["Invoices are wrong since 12:40."])


class FreezeBody(Body):
    """When nothing is rolled out: two clock times, two days with times, or two dates with times."""

    from_: Text = Field(alias="from", max_length=40, examples=["fri 16:00", "2026-12-20 00:00", "20:00"])
    until: Text = Field(max_length=40, examples=["mon 08:00", "2027-01-04 08:00", "07:00"])
    days: list[Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]] = Field(default=[], max_length=7)
    zone: Text = Field(default="UTC", max_length=60, examples=["Europe/Berlin"])
    services: list[Annotated[str, Field(min_length=1, max_length=120)]] = Field(
        default=[], max_length=200, examples=[["checkout", "checkout@*"]]
    )
    reason: Text = Field(min_length=1, max_length=2000, examples=["Nobody is in the office."])


@router.post("", status_code=201, response_model=Answer, operation_id="createReleaseSet")
async def create(
    request: Request, plane: PlaneDep, caller: CallerDep, key: KeyDep, body: NewSetBody
) -> Response:
    """Check a release set whole, and start it. Approver."""
    call = await make_call(request, caller, "release-set.create", body.name, Role.APPROVER, key)
    return answer(await plane.release_sets.create(call, body.model_dump(exclude_none=True)))


@router.get("", response_model=Answer, operation_id="listReleaseSets")
async def listed(plane: PlaneDep, caller: CallerDep, page: PageDep, state: SetState | None = None) -> Any:
    """List release sets, newest first. Viewer."""
    return await plane.release_sets.list(caller, page, state)


@router.get("/{set_id}", response_model=Answer, operation_id="getReleaseSet")
async def read(plane: PlaneDep, caller: CallerDep, set_id: Id, response: Response) -> Any:
    """Read one, with its members in their order. Viewer."""
    view = await plane.release_sets.get(caller, set_id)
    response.headers["ETag"] = f'"{view["revision"]}"'
    return view


@router.get("/{set_id}/events", response_model=Answer, operation_id="listReleaseSetEvents")
async def events(
    plane: PlaneDep,
    caller: CallerDep,
    set_id: Id,
    after: Annotated[int, Query(ge=0, le=2**53)] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 200,
) -> Any:
    """The timeline: every decision on it, who or what caused it. Viewer."""
    return await plane.release_sets.events(caller, set_id, after, limit)


@router.post("/{set_id}/approve", response_model=Answer, operation_id="approveReleaseSet")
async def approve(
    request: Request,
    plane: PlaneDep,
    caller: CallerDep,
    key: KeyDep,
    set_id: Id,
    body: ApproveBody | None = None,
) -> Response:
    """Let the next stage begin. Approver, or the role that the gate asks for."""
    call = await make_call(request, caller, "release-set.approve", set_id, Role.APPROVER, key)
    return answer(await plane.release_sets.approve(call, set_id, body.reason if body else ""))


@router.post("/{set_id}/promote", response_model=Answer, operation_id="promoteReleaseSet")
async def promote(
    request: Request,
    plane: PlaneDep,
    caller: CallerDep,
    key: KeyDep,
    set_id: Id,
    body: ApproveBody | None = None,
) -> Response:
    """Have the present stage promoted, where that waits for a person. Approver."""
    call = await make_call(request, caller, "release-set.promote", set_id, Role.APPROVER, key)
    return answer(await plane.release_sets.promote(call, set_id, body.reason if body else ""))


@router.post("/{set_id}/pause", response_model=Answer, operation_id="pauseReleaseSet")
async def pause(
    request: Request, plane: PlaneDep, caller: CallerDep, key: KeyDep, set_id: Id, _: Approval | None = None
) -> Response:
    """Begin and promote nothing more; automatic rollback stays on. Approver."""
    call = await make_call(request, caller, "release-set.pause", set_id, Role.APPROVER, key)
    return answer(await plane.release_sets.pause(call, set_id))


@router.post("/{set_id}/resume", response_model=Answer, operation_id="resumeReleaseSet")
async def resume(
    request: Request, plane: PlaneDep, caller: CallerDep, key: KeyDep, set_id: Id, _: Approval | None = None
) -> Response:
    """Go on where it was paused, or after the harm that held it. Approver."""
    call = await make_call(request, caller, "release-set.resume", set_id, Role.APPROVER, key)
    return answer(await plane.release_sets.resume(call, set_id))


@router.post("/{set_id}/rollback", response_model=Answer, operation_id="rollBackReleaseSet")
async def roll_back(
    request: Request, plane: PlaneDep, caller: CallerDep, key: KeyDep, set_id: Id, body: SetRollbackBody
) -> Response:
    """Roll back every member, the last first. Approver."""
    call = await make_call(request, caller, "release-set.rollback", set_id, Role.APPROVER, key)
    return answer(await plane.release_sets.roll_back(call, set_id, body.reason))


@freezes.get("", response_model=Answer, operation_id="listFreezes")
async def freezes_listed(plane: PlaneDep, caller: CallerDep) -> Any:
    """List the tenant's freezes, and which is on. Viewer."""
    return await plane.freezes.list(caller)


@freezes.put("/{name}", response_model=Answer, operation_id="setFreeze")
async def freeze_set(
    request: Request, plane: PlaneDep, caller: CallerDep, name: FreezeName, body: FreezeBody
) -> Response:
    """Set a freeze, in place of one of that name; 201 when it is new. Admin."""
    call = await make_call(request, caller, "freeze.set", name, Role.ADMIN)
    data = body.model_dump(by_alias=True)
    return answer(await plane.freezes.put(call, name, data))


@freezes.delete("/{name}", status_code=204, operation_id="removeFreeze")
async def freeze_removed(request: Request, plane: PlaneDep, caller: CallerDep, name: FreezeName) -> Response:
    """Remove a freeze. Admin."""
    call = await make_call(request, caller, "freeze.remove", name, Role.ADMIN)
    return answer(await plane.freezes.remove(call, name))
