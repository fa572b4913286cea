"""Who calls: token or dashboard session; and the call as the shell takes it."""

from __future__ import annotations

import hashlib
import re
from typing import Annotated, Any
from urllib.parse import urlsplit

from fastapi import Depends, Header, Query, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from serinus.control.context import Caller
from serinus.control.plane import Plane
from serinus.control.unit import Call
from serinus.core.errors import Forbidden, InvalidInput, Unauthenticated
from serinus.core.model import Role
from serinus.ports.store import Page

__all__ = ["SESSION_COOKIE", "CallerDep", "KeyDep", "PageDep", "PlaneDep", "make_call"]

SESSION_COOKIE = "serinus_session"
_KEY = re.compile(r"[\x21-\x7e]{1,200}")
_bearer = HTTPBearer(auto_error=False, description="A token: `serinus token create`, or POST /tokens.")


def _plane(request: Request) -> Plane:
    plane: Plane = request.app.state.plane
    return plane


PlaneDep = Annotated[Plane, Depends(_plane)]


async def _caller(
    request: Request,
    plane: PlaneDep,
    credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
) -> Caller:
    """Return who calls.

    Raises:
        Unauthenticated: No token, or one that is not live.
        Forbidden: A dashboard session is used from another site.
    """
    request_id = request.state.request_id
    if credentials is not None:
        caller = await plane.access.caller(credentials.credentials, request_id)
        request.state.token_ends = plane.access.warning(caller)
        return caller
    session = request.cookies.get(SESSION_COOKIE)
    if session is None:
        raise Unauthenticated(next_step="Send `Authorization: Bearer TOKEN`; an admin can make one.")
    if request.method not in ("GET", "HEAD") and not _same_origin(request):
        raise Forbidden("A dashboard session cannot be used from another site.")
    return await plane.access.session(session, request_id)


def _same_origin(request: Request) -> bool:
    if request.headers.get("sec-fetch-site") == "same-origin":
        return True
    origin = request.headers.get("origin", "")
    return bool(origin) and urlsplit(origin).netloc == request.headers.get("host")


CallerDep = Annotated[Caller, Depends(_caller)]


async def _key(
    idempotency_key: Annotated[
        str | None,
        Header(description="Makes the call safe to repeat: the same key gives the same answer."),
    ] = None,
) -> str:
    if idempotency_key is None:
        return ""
    if not _KEY.fullmatch(idempotency_key):
        raise InvalidInput(
            "The Idempotency-Key is not usable.",
            field="Idempotency-Key",
            next_step="Use 1 to 200 visible ASCII characters, a UUID for instance.",
        )
    return idempotency_key


KeyDep = Annotated[str, Depends(_key)]


async def _page(
    page: Annotated[int, Query(ge=1, le=1_000_000)] = 1,
    page_size: Annotated[int, Query(ge=1, le=500)] = 50,
) -> Page:
    return Page(number=page, size=page_size)


PageDep = Annotated[Page, Depends(_page)]


async def make_call(
    request: Request, caller: Caller, action: str, target: str, needs: Role, key: str = ""
) -> Call:
    """Return the call with its idempotency key and the revision that the caller looked at."""
    data: dict[str, Any] = {}
    match = request.headers.get("if-match")
    if match is not None:
        revision = match.strip().removeprefix("W/").strip('"')
        if not revision.isdigit() or len(revision) > 9:
            raise InvalidInput(
                "If-Match is no revision.", field="If-Match", next_step="Send the ETag that you were given."
            )
        data["expected_revision"] = int(revision)
    # A token for some services is given no answer that was another's, whatever its key.
    whose = f"{caller.token_id}:" if caller.services else ""
    digest = hashlib.sha256(f"{request.method} {request.url.path}\n".encode() + await request.body())
    return Call(
        caller=caller,
        action=action,
        target=target[:200],
        needs=needs,
        key=f"{action}:{whose}{key}" if key else "",
        fingerprint=digest.hexdigest(),
        data=data,
    )
