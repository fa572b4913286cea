"""Server-sent events, and what SDKs pull and push."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Annotated, Any

from fastapi import APIRouter, Header, Path, Request, Response
from fastapi.responses import StreamingResponse

from serinus.api.deps import CallerDep, PlaneDep
from serinus.api.schemas import Answer
from serinus.control.context import Caller
from serinus.control.plane import Plane
from serinus.core.errors import InvalidInput, Unauthenticated
from serinus.core.model import Role
from serinus.ports.store import Page

__all__ = ["SSE_HEADERS", "events", "router"]

router = APIRouter()

#: A comment that keeps proxies from closing an idle stream.
HEARTBEAT_SECONDS = 10.0
#: Other replicas' changes are looked for this often.
LOOK_SECONDS = 1.0
#: People need no more than this many updates a second.
PAUSE_SECONDS = 0.4
SSE_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


async def events(
    plane: Plane,
    caller: Caller,
    bell: str,
    name: str,
    look: Callable[[], Awaitable[tuple[str, str]]],
    pause: float,
) -> AsyncIterator[str]:
    """Yield an event at once and whenever ``look`` answers another ``(id, data)``.

    It ends with the caller's token. ``bell`` names what rings on a change: mostly the tenant.
    """
    sent: str | None = None
    idle = 0.0
    while True:
        rung = plane.context.bell.count(bell)
        try:
            await plane.access.ensure_live(caller)
        except Unauthenticated:
            return
        revision, data = await look()
        if revision != sent:
            sent, idle = revision, 0.0
            yield f"event: {name}\nid: {revision}\ndata: {data}\n\n"
        elif idle >= HEARTBEAT_SECONDS:
            idle = 0.0
            yield ": still here\n\n"
        await asyncio.sleep(pause)
        await plane.context.bell.wait(bell, rung, LOOK_SECONDS)
        idle += LOOK_SECONDS


def _stream(body: AsyncIterator[str]) -> StreamingResponse:
    return StreamingResponse(body, media_type="text/event-stream", headers=SSE_HEADERS)


def _dumped(view: Any) -> tuple[str, str]:
    data = json.dumps(view, separators=(",", ":"))
    return str(hash(data)), data


@router.get("/deployments/{deployment_id}/stream", tags=["deployments"], operation_id="streamDeployment")
async def deployment_stream(
    plane: PlaneDep, caller: CallerDep, deployment_id: Annotated[str, Path(max_length=120)]
) -> Response:
    """The page of a deployment, again whenever it changes (``event: page``). Viewer."""
    await plane.queries.deployment(caller, deployment_id)  # refuse before the stream begins

    async def look() -> tuple[str, str]:
        return _dumped(await plane.queries.page(caller, deployment_id))

    return _stream(events(plane, caller, caller.tenant_id, "page", look, PAUSE_SECONDS))


@router.get("/stream", tags=["deployments"], operation_id="streamList")
async def list_stream(plane: PlaneDep, caller: CallerDep) -> Response:
    """The newest deployments, again whenever they change (``event: list``). Viewer."""
    caller.must_reach(Role.VIEWER)

    async def look() -> tuple[str, str]:
        return _dumped(await plane.queries.deployments(caller, Page(size=50)))

    return _stream(events(plane, caller, caller.tenant_id, "list", look, PAUSE_SECONDS))


@router.get("/sdk/snapshot", response_model=Answer, tags=["sdk"], operation_id="getSnapshot")
async def snapshot(
    plane: PlaneDep,
    caller: CallerDep,
    if_none_match: Annotated[str | None, Header(max_length=200)] = None,
) -> Response:
    """What each service routes right now; 304 when it is the one that the caller has. SDK."""
    caller.must_reach(Role.SDK)
    current = await plane.snapshots.part(caller.tenant_id, caller.services)
    etag = f'"{current.revision}"'
    if if_none_match is not None and etag in if_none_match:
        return Response(status_code=304, headers={"ETag": etag})
    return Response(current.body, media_type="application/json", headers={"ETag": etag})


@router.get("/sdk/stream", tags=["sdk"], operation_id="streamSnapshot")
async def snapshot_stream(plane: PlaneDep, caller: CallerDep) -> Response:
    """The snapshot at once, and again whenever it changes (``event: snapshot``). SDK."""
    caller.must_reach(Role.SDK)

    async def look() -> tuple[str, str]:
        current = await plane.snapshots.part(caller.tenant_id, caller.services)
        return current.revision, current.body

    return _stream(events(plane, caller, caller.tenant_id, "snapshot", look, 0.0))


@router.post(
    "/sdk/telemetry", status_code=202, response_model=Answer, tags=["sdk"], operation_id="sendTelemetry"
)
async def telemetry(request: Request, plane: PlaneDep, caller: CallerDep) -> Any:
    """Take one process's measurements; sent again under the same number they are not counted again. SDK."""
    caller.must_reach(Role.SDK)
    try:
        data = json.loads(await request.body(), parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise InvalidInput(
            "The batch is no JSON.", field="batch", next_step="Send one JSON object."
        ) from error
    await plane.ingest.submit_for(caller, data)
    return {"accepted": True}


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is no JSON")
