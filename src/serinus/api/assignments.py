"""Units: who is on which side and why, putting one there by hand, and resets."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import Field, model_validator

from serinus.api.deployments import Id, answer
from serinus.api.deps import CallerDep, KeyDep, PageDep, PlaneDep, make_call
from serinus.api.schemas import Answer, Body, Text
from serinus.control.assignments.assigning import Unit
from serinus.core.lifecycle.placing import PlacedOn
from serinus.core.model import Role

__all__ = ["router"]

router = APIRouter()

Key = Annotated[str, Query(max_length=256)]
Reason = Annotated[Text, Field(max_length=1000)]
Named = Annotated[Text, Field(max_length=256)]


class UnitBody(Body):
    """One unit, by the key that its requests are decided by."""

    user_id: Named = ""
    session_id: Named = ""
    workflow_id: Named = ""
    reason: Reason = ""

    def unit(self) -> Unit:
        """Return who is meant."""
        return Unit(self.workflow_id, self.session_id, self.user_id)


class PlaceBody(UnitBody):
    """A unit, and the side that it is put on."""

    to: Literal["canary", "stable"] = Field(examples=["canary"])


class ResetBody(UnitBody):
    """A unit, or everybody."""

    everyone: bool = Field(default=False, description="All units; then name none.")

    @model_validator(mode="after")
    def _one_or_all(self) -> ResetBody:
        if self.everyone and (self.user_id or self.session_id or self.workflow_id):
            raise ValueError("give one unit, or everyone: not both")
        return self


@router.get(
    "/deployments/{deployment_id}/assignments",
    response_model=Answer,
    tags=["deployments"],
    operation_id="listAssignments",
)
async def assignments(
    plane: PlaneDep,
    caller: CallerDep,
    page: PageDep,
    deployment_id: Id,
    user_id: Key = "",
    workflow_id: Key = "",
    session_id: Key = "",
) -> Any:
    """Units on a side by hand, then units that were on the canary. The first key given finds one. Viewer."""
    given = {"workflow_id": workflow_id, "session_id": session_id, "user_id": user_id}
    priority, key = next(((name, value) for name, value in given.items() if value), ("", ""))
    return await plane.assigning.listed(caller, deployment_id, page, priority, key)


@router.post(
    "/deployments/{deployment_id}/assignments",
    response_model=Answer,
    tags=["deployments"],
    operation_id="placeUnit",
)
async def place(
    request: Request, plane: PlaneDep, caller: CallerDep, key: KeyDep, deployment_id: Id, body: PlaceBody
) -> Response:
    """Put a unit on the canary or on stable, whatever the hash says. Approver."""
    call = await make_call(request, caller, "deployment.assign", deployment_id, Role.APPROVER, key)
    done = await plane.assigning.place(call, deployment_id, body.unit(), PlacedOn(body.to), body.reason)
    return answer(done)


@router.post(
    "/deployments/{deployment_id}/assignments/reset",
    response_model=Answer,
    tags=["deployments"],
    operation_id="resetUnits",
)
async def reset(
    request: Request, plane: PlaneDep, caller: CallerDep, key: KeyDep, deployment_id: Id, body: ResetBody
) -> Response:
    """Forget where a unit was, or everybody: the hash decides again, by the present share. Approver."""
    call = await make_call(request, caller, "deployment.reset", deployment_id, Role.APPROVER, key)
    unit = None if body.everyone else body.unit()
    return answer(await plane.assigning.reset(call, deployment_id, unit, body.reason))


@router.get(
    "/sdk/assignments/{book}/{slice_index}",
    tags=["sdk"],
    operation_id="getAssignmentSlice",
    response_class=Response,
    responses={200: {"content": {"application/octet-stream": {"schema": {"type": "string"}}}}},
)
async def slice_(
    plane: PlaneDep,
    caller: CallerDep,
    book: Annotated[str, Path(max_length=60, examples=["dep_3f9a61b2c04d"])],
    slice_index: Annotated[int, Path(ge=0, le=99)],
) -> Response:
    """A slice of the units that stay on a canary: its version, then hashes, 8 big-endian bytes each. SDK."""
    body = await plane.assigning.slice(caller, book, slice_index)
    return Response(body, media_type="application/octet-stream")
