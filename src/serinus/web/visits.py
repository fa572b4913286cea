"""Who visits: sessions, forms that really come from our pages, signing in and out."""

from __future__ import annotations

import hashlib
import hmac
from typing import Any
from urllib.parse import parse_qs, urlsplit

from fastapi import Request, Response
from fastapi.responses import RedirectResponse

from serinus.control.context import Caller
from serinus.control.plane import Plane
from serinus.core.errors import Forbidden, Unauthenticated
from serinus.core.model import Role
from serinus.web.rendering import rendered

__all__ = ["SESSION_COOKIE", "Visits", "number", "whole"]

SESSION_COOKIE = "serinus_session"


class Visits:
    """Sessions of one control plane; every page asks here who is looking."""

    def __init__(self, plane: Plane) -> None:
        """Keep where sessions are."""
        self._plane = plane

    async def caller(self, request: Request) -> Caller:
        """Return who is signed in.

        Raises:
            Unauthenticated: Nobody is; the page's edge leads to the login.
        """
        session = request.cookies.get(SESSION_COOKIE)
        if not session:
            raise Unauthenticated
        access = self._plane.access
        caller = await access.session(session, getattr(request.state, "request_id", ""))
        request.state.token_ends = access.warning(caller)
        request.state.visitor = {"caller": caller, "csrf": _csrf(session)}
        return caller

    async def posted(self, request: Request) -> tuple[Caller, dict[str, str]]:
        """Return caller and form of a POST that really comes from our page.

        Raises:
            Forbidden: Another site sent it, or its form is not of this session.
        """
        caller, form = await self.caller(request), await _form(request)
        token = _csrf(request.cookies.get(SESSION_COOKIE, ""))
        if not _same_origin(request) or not hmac.compare_digest(form.get("csrf", ""), token):
            raise Forbidden("This form is not of your session.", next_step="Open the page again, and repeat.")
        return caller, form

    async def known(self, request: Request) -> dict[str, Any]:
        """Return what every page of somebody signed in shows: who it is, and the token of its forms."""
        await self.caller(request)
        return dict(request.state.visitor)

    async def login(self, request: Request) -> Response:
        """Ask for a token; a one-time link signs in by itself."""
        following = _local(request.query_params.get("next", "/"))
        code = request.query_params.get("code")
        if code:
            try:
                return self._signed_in(request, await self._plane.access.spend_code(code), following)
            except Unauthenticated as error:
                return rendered(request, "login.html", 401, problem=error.detail, following=following)
        return rendered(request, "login.html", problem="", following=following)

    async def sign_in(self, request: Request) -> Response:
        """Open a session for a token."""
        form = await _form(request)
        following = _local(form.get("next", "/"))
        if not _same_origin(request):
            raise Forbidden("This form was sent from another site.")
        try:
            caller = await self._plane.access.caller(form.get("token", "").strip())
            caller.must_reach(Role.VIEWER)
        except (Unauthenticated, Forbidden) as error:
            return rendered(request, "login.html", 401, problem=error.detail, following=following)
        return self._signed_in(request, await self._plane.access.open_session(caller), following)

    def _signed_in(self, request: Request, session: str, following: str) -> Response:
        answer = RedirectResponse(following, status_code=303)
        secure = request.url.scheme == "https"
        # Lax, so that a link from a message opens the page that it names.
        answer.set_cookie(
            SESSION_COOKIE, session, httponly=True, samesite="lax", secure=secure, max_age=43200
        )
        return answer

    async def sign_out(self, request: Request) -> Response:
        """End the session."""
        await self.posted(request)
        await self._plane.access.close_session(request.cookies.get(SESSION_COOKIE, ""))
        answer = RedirectResponse("/login", status_code=303)
        answer.delete_cookie(SESSION_COOKIE)
        return answer


async def _form(request: Request) -> dict[str, str]:
    """Return a form's fields; the body is bounded by the application's envelope."""
    fields = parse_qs((await request.body()).decode("utf-8", "replace"), max_num_fields=50)
    return {name: values[-1] for name, values in fields.items()}


def _csrf(session: str) -> str:
    return hmac.new(session.encode(), b"serinus form", hashlib.sha256).hexdigest()


def _same_origin(request: Request) -> bool:
    origin = request.headers.get("origin")
    if origin is None or origin == "null":
        return request.headers.get("sec-fetch-site", "same-origin") == "same-origin"
    return urlsplit(origin).netloc == request.headers.get("host")


def _local(path: str) -> str:
    """Return a path of ours to go on to, never another site."""
    return path if path.startswith("/") and not path.startswith(("//", "/\\")) else "/"


def number(text: str) -> object:
    """Return what a form says as a number; other text as it is, for the command to refuse."""
    try:
        return float(text)
    except ValueError:
        return text


def whole(text: str | None) -> int:
    """Return the number of a page; one that nobody can mean is the first."""
    return min(10_000, max(1, int(text))) if text and text.isdecimal() and len(text) < 9 else 1
