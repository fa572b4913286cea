"""Members, service accounts and tokens."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request, Response

from serinus.api.deployments import answer
from serinus.api.deps import CallerDep, KeyDep, PlaneDep, make_call
from serinus.api.schemas import Answer, MemberChanges, NewMemberBody, NewTokenBody
from serinus.control.access.tokens import NewToken
from serinus.core.model import Role
from serinus.ports.people import MemberKind

__all__ = ["router"]

router = APIRouter(tags=["access"])

Named = Annotated[str, Path(max_length=120, examples=["mem_3f9a61b2c04d"])]


@router.get("/members", response_model=Answer, operation_id="listMembers")
async def list_members(plane: PlaneDep, caller: CallerDep) -> Any:
    """List members: people and service accounts. Admin."""
    return await plane.people.all(caller)


@router.post("/members", status_code=201, response_model=Answer, operation_id="addMember")
async def add_member(
    request: Request, plane: PlaneDep, caller: CallerDep, key: KeyDep, body: NewMemberBody
) -> Response:
    """Add a person or a service account; what it may do, its tokens do. Admin."""
    call = await make_call(request, caller, "member.add", body.name, Role.ADMIN, key)
    return answer(await plane.people.add(call, MemberKind(body.kind), body.name, Role(body.role), body.email))


@router.patch("/members/{member_id}", response_model=Answer, operation_id="setMemberRole")
async def set_member_role(
    request: Request, plane: PlaneDep, caller: CallerDep, member_id: Named, body: MemberChanges
) -> Response:
    """Give a member another role; its tokens can do no more than that from now on. Admin."""
    call = await make_call(request, caller, "member.role", member_id, Role.ADMIN)
    return answer(await plane.people.set_role(call, member_id, Role(body.role)))


@router.delete("/members/{member_id}", response_model=Answer, operation_id="removeMember")
async def remove_member(request: Request, plane: PlaneDep, caller: CallerDep, member_id: Named) -> Response:
    """Take a member out; its tokens and sessions end at once. Admin."""
    call = await make_call(request, caller, "member.remove", member_id, Role.ADMIN)
    return answer(await plane.people.remove(call, member_id))


@router.get("/tokens", response_model=Answer, operation_id="listTokens")
async def list_tokens(plane: PlaneDep, caller: CallerDep) -> Any:
    """List tokens, without their secrets. Admin."""
    tokens = await plane.access.all(caller)
    return {"tokens": tokens, "total": len(tokens)}


@router.post("/tokens", status_code=201, response_model=Answer, operation_id="createToken")
async def create_token(
    request: Request, plane: PlaneDep, caller: CallerDep, key: KeyDep, body: NewTokenBody
) -> Response:
    """Make a token; the answer is the only place that ever shows its secret. Admin."""
    call = await make_call(request, caller, "token.create", body.name, Role.ADMIN, key)
    expires = None
    if body.expires_in_days is not None:
        expires = plane.context.clock.now() + timedelta(days=body.expires_in_days)
    new = NewToken(
        name=body.name,
        role=Role(body.role),
        expires_at=expires,
        member=body.member,
        services=tuple(body.services),
    )
    made = answer(await plane.access.create(call, new))
    made.headers["Cache-Control"] = "no-store"
    return made


@router.delete("/tokens/{token_id}", status_code=204, operation_id="revokeToken")
async def revoke_token(request: Request, plane: PlaneDep, caller: CallerDep, token_id: Named) -> Response:
    """End a token at once. Admin."""
    call = await make_call(request, caller, "token.revoke", token_id, Role.ADMIN)
    return answer(await plane.access.revoke(call, token_id))
