"""Agents beside proxies on other hosts: their orders, their reports, and who they are."""

from __future__ import annotations

import json
from typing import Annotated, Any

from fastapi import APIRouter, Header, Path, Request, Response
from fastapi.responses import StreamingResponse

from serinus.api.deployments import answer
from serinus.api.deps import CallerDep, PlaneDep, make_call
from serinus.api.schemas import Answer
from serinus.api.streams import SSE_HEADERS, events
from serinus.core.errors import InvalidInput
from serinus.core.model import Role

__all__ = ["router"]

router = APIRouter(prefix="/services/{service_id}", tags=["fleets"])

Service = Annotated[str, Path(max_length=120, examples=["checkout"])]
Name = Annotated[str, Path(max_length=200, examples=["edge-1"])]


@router.get("/split", response_model=Answer, operation_id="getSplit")
async def split(
    plane: PlaneDep,
    caller: CallerDep,
    service_id: Service,
    if_none_match: Annotated[str | None, Header(max_length=200)] = None,
) -> Response:
    """What instances of this service should carry; 304 when it is what the caller has. Agent."""
    revision, body = await plane.fleet.ordered(await plane.fleet.service_for(caller, service_id))
    etag = f'"{revision}"'
    if if_none_match is not None and etag in if_none_match:
        return Response(status_code=304, headers={"ETag": etag})
    return Response(body, media_type="application/json", headers={"ETag": etag})


@router.get("/split/stream", operation_id="streamSplit")
async def split_stream(plane: PlaneDep, caller: CallerDep, service_id: Service) -> Response:
    """The same at once, and again whenever it changes (``event: split``). Agent."""
    found = await plane.fleet.service_for(caller, service_id)

    async def look() -> tuple[str, str]:
        return await plane.fleet.ordered(found)

    body = events(plane, caller, plane.fleet.bell(found), "split", look, 0.0)
    return StreamingResponse(body, media_type="text/event-stream", headers=SSE_HEADERS)


@router.get("/instances", response_model=Answer, operation_id="listInstances")
async def listed(plane: PlaneDep, caller: CallerDep, service_id: Service) -> Any:
    """The instances: what each carries, since when it does not follow, and why. Viewer."""
    return await plane.fleet.all(caller, service_id)


@router.put("/instances/{name}", response_model=Answer, operation_id="reportInstance")
async def report(
    request: Request, plane: PlaneDep, caller: CallerDep, service_id: Service, name: Name
) -> Any:
    """Take an agent's report; the first one registers it. Answers the revision that is wanted. Agent."""
    caller.must_reach(Role.AGENT)
    try:
        data = json.loads(await request.body())
    except (ValueError, RecursionError) as error:
        raise InvalidInput(
            "The report is no JSON.", field="report", next_step="Send one JSON object."
        ) from error
    return await plane.fleet.report(caller, service_id, name, data)


@router.delete("/instances/{name}", status_code=204, operation_id="forgetInstance")
async def forget(
    request: Request, plane: PlaneDep, caller: CallerDep, service_id: Service, name: Name
) -> Response:
    """Forget an instance that is gone for good; one that is not registers anew. Approver."""
    call = await make_call(request, caller, "fleet.forget", f"{service_id}/{name}", Role.APPROVER)
    return answer(await plane.fleet.forget(call, service_id, name))
