"""Proxies that poll for what they should carry: Envoy by REST xDS, Traefik by its HTTP provider.

The questions and answers are Envoy's and Traefik's own; only errors are ours.
"""

from __future__ import annotations

import json
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request, Response

from serinus.api.deps import CallerDep, PlaneDep
from serinus.api.fleet import Name, Service
from serinus.api.schemas import Answer
from serinus.core.errors import InvalidInput, NotFound
from serinus.core.model import Role
from serinus.ports.polling import Ask

__all__ = ["discovery", "router"]

#: At the root: Envoy knows no other place.
discovery = APIRouter(tags=["fleets"])
router = APIRouter(prefix="/services/{service_id}", tags=["fleets"])

#: What an Envoy that polls gets from us; its listeners are its own host's.
KINDS = ("clusters", "routes")
#: What a poll that finds nothing new is answered.
_UNCHANGED: dict[int | str, dict[str, Any]] = {304: {"description": "Nothing but what it has."}}


@discovery.post(
    "/v3/discovery:{kind}",
    response_model=Answer,
    operation_id="discover",
    responses=_UNCHANGED,
    openapi_extra={
        "requestBody": {"required": True, "content": {"application/json": {"schema": {"type": "object"}}}}
    },
)
async def discover(
    request: Request,
    plane: PlaneDep,
    caller: CallerDep,
    kind: Annotated[str, Path(max_length=40, examples=["routes"])],
) -> Response:
    """An Envoy's DiscoveryRequest (xDS v3, REST): clusters or routes of the service that it carries. Agent.

    The service is the node's ``cluster``, the instance its ``id``. What ``version_info`` names is in force
    there; 304 while it is what is wanted.
    """
    caller.must_reach(Role.AGENT)
    if kind not in KINDS:
        raise NotFound(
            f"An Envoy gets no {kind[:40]!r} here, only {' and '.join(KINDS)}.",
            next_step="`serinus proxy config envoy --poll URL` prints a bootstrap that has the rest.",
        )
    data = await _object(request)
    node = _part(data, "node")
    service, name = _text(node, "cluster", "node.cluster"), _text(node, "id", "node.id")
    ask = Ask(
        kind=kind,
        version=_text(data, "version_info", "version_info", needed=False),
        refusal=_text(_part(data, "error_detail"), "message", "error_detail.message", needed=False),
        release=_release(node),
    )
    return _answered(await plane.polls.answer(caller, service, name, "envoy", ask))


@router.get(
    "/instances/{name}/traefik", response_model=Answer, operation_id="pollTraefik", responses=_UNCHANGED
)
async def traefik(plane: PlaneDep, caller: CallerDep, service_id: Service, name: Name) -> Response:
    """What a Traefik of this name should carry, for its HTTP provider (``providers.http``). Agent."""
    return _answered(await plane.polls.answer(caller, service_id, name, "traefik", Ask()))


def _answered(body: str) -> Response:
    return Response(body, media_type="application/json") if body else Response(status_code=304)


async def _object(request: Request) -> dict[str, Any]:
    try:
        data = json.loads(await request.body())
    except (ValueError, RecursionError) as error:
        raise _wrong("body", "is no JSON") from error
    if not isinstance(data, dict):
        raise _wrong("body", "is no object")
    return data


def _part(data: dict[str, Any], name: str) -> dict[str, Any]:
    part = data.get(name) or {}
    if not isinstance(part, dict):
        raise _wrong(name, "is no object")
    return part


def _text(data: dict[str, Any], key: str, field: str, *, needed: bool = True) -> str:
    text = data.get(key) or ""
    if not isinstance(text, str) or len(text) > 4000 or (needed and not text):
        raise _wrong(field, "is missing" if not text else "is no text")
    return text


def _release(node: dict[str, Any]) -> str:
    """Return an Envoy's version, where it names one."""
    built = _part(node, "user_agent_build_version")
    parts = [_part(built, "version").get(name, 0) for name in ("major_number", "minor_number", "patch")]
    return ".".join(map(str, parts)) if built and all(isinstance(part, int) for part in parts) else ""


def _wrong(field: str, what: str) -> InvalidInput:
    return InvalidInput(
        f"{field} {what}.",
        field=field,
        next_step="Send a DiscoveryRequest of xDS v3: node.id is the instance, node.cluster the service.",
    )
