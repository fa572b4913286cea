"""Routes of the dashboard. They show the views that the API answers, and call the same commands."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse, StreamingResponse
from fastapi.staticfiles import StaticFiles
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from serinus.control.context import Caller
from serinus.control.judgement import FINDINGS
from serinus.control.judgement import SIGNS as FINDING_SIGNS
from serinus.control.plane import Plane
from serinus.control.unit import Call
from serinus.core.errors import Forbidden, SerinusError, Unauthenticated
from serinus.core.model import Role, Status
from serinus.ports.store import Page
from serinus.web.charts import charts, sparkline
from serinus.web.contest import contest_panel
from serinus.web.verdict import panel, watch_text
from serinus.web.words import choose, translator

__all__ = ["SESSION_COOKIE", "install"]

log = logging.getLogger("serinus.web")

SESSION_COOKIE = "serinus_session"
LANGUAGE_COOKIE = "serinus_lang"
#: Everything comes from this server; nothing is inline.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
#: A page is sent again at most this often.
PAUSE_SECONDS = 0.5
LOOK_SECONDS = 1.0
HEARTBEATS = 10
#: What each button does, in the words of its confirm page.
ACTIONS = {
    "rollback": (
        "Roll back",
        (
            "Everyone is on {stable} again within about a second. Assignments to {version} are cleared, "
            "the team is told, and this deployment has ended: a new try needs a new deployment."
        ),
    ),
    "promote": (
        "Promote",
        "Everyone gets {version} at once; {stable} is stable no longer. It can still be rolled back.",
    ),
    "pause": ("Pause", "The share stays where it is. Automatic rollback stays on."),
    "resume": ("Resume", "It goes on from where it was paused."),
    "approve": ("Approve", "It passes this step and goes on to the next one."),
    "traffic": ("Set traffic", "The canary gets this share, at once."),
    "cancel": ("Cancel the start", "It does not start by itself any more; it is a draft again."),
    "override-freeze": ("Override the freeze", "It starts and grows although a freeze is on."),
}
STATES = {
    "draft": ("○", "draft"),
    "scheduled": ("◷", "scheduled"),
    "canary": ("◐", "running"),
    "active": ("●", "active"),
    "rolled_back": ("↩", "rolled back"),
    "deprecated": ("◌", "deprecated"),
}
SIGNS = {"pass": "✔", "fail": "✘", "inconclusive": "·", "error": "!"}

_templates = Environment(
    loader=PackageLoader("serinus.web"), autoescape=select_autoescape(), undefined=StrictUndefined
)


def install(app: FastAPI, plane: Plane) -> None:
    """Add the pages to ``app``."""
    pages = _Pages(plane)
    static = Path(__file__).parent / "static"
    app.mount("/static", StaticFiles(directory=static), name="static")
    for method, path, page in (
        ("GET", "/login", pages.login),
        ("POST", "/login", pages.sign_in),
        ("POST", "/logout", pages.sign_out),
        ("GET", "/", pages.listed),
        ("GET", "/live", pages.listed_live),
        ("GET", "/deployments/{deployment_id}", pages.deployment),
        ("GET", "/deployments/{deployment_id}/live", pages.deployment_live),
        ("GET", "/deployments/{deployment_id}/{action}", pages.confirm),
        ("POST", "/deployments/{deployment_id}/{action}", pages.act),
    ):
        app.add_api_route(path, _guarded(page), methods=[method], include_in_schema=False)


Handler = Callable[[Request], Awaitable[Response]]


def _guarded(page: Handler) -> Handler:
    """Turn refusals into pages, and put the security headers on every answer."""

    async def handle(request: Request) -> Response:
        try:
            answer = await page(request)
        except Unauthenticated:
            answer = RedirectResponse(f"/login?next={request.url.path}", status_code=303)
        except SerinusError as error:
            answer = _failed(request, error)
        except Exception:  # the page's edge: people get words, the log gets the rest
            log.exception("page failed", extra={"action": "web.failed", "path": request.url.path})
            answer = _render(
                request,
                "error.html",
                500,
                title="Something went wrong",
                detail="This page could not be made. Nothing was changed.",
                next_step="Load it again; if it stays, the control plane's log says why.",
            )
        answer.headers["Content-Security-Policy"] = POLICY
        answer.headers.setdefault("Cache-Control", "no-store")
        return answer

    return handle


def _language(request: Request) -> str:
    asked, remembered = request.query_params.get("lang"), request.cookies.get(LANGUAGE_COOKIE)
    return choose(asked, remembered, request.headers.get("accept-language", ""))


def _render(request: Request, name: str, status: int = 200, **values: Any) -> HTMLResponse:
    language = _language(request)
    page = _templates.get_template(name).render(
        t=translator(language),
        language=language,
        path=request.url.path,
        states=STATES,
        signs=SIGNS,
        findings=FINDINGS,
        finding_signs=FINDING_SIGNS,
        **{"caller": None, "csrf": "", **values},
    )
    answer = HTMLResponse(page, status_code=status)
    if "lang" in request.query_params:
        answer.set_cookie(LANGUAGE_COOKIE, language, max_age=31536000, samesite="lax")
    return answer


def _failed(request: Request, error: SerinusError) -> Response:
    status = {"not-found": 404, "forbidden": 403, "unavailable": 503, "invalid-input": 400}
    code = status.get(error.kind, 409)
    title = {404: "Not here", 403: "Not yours to do", 503: "Not now", 400: "That does not work"}
    return _render(
        request,
        "error.html",
        code,
        title=title.get(code, "Not in this state"),
        detail=error.detail,
        next_step=error.next_step,
    )


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


class _Pages:
    """The pages of one control plane."""

    def __init__(self, plane: Plane) -> None:
        self._plane = plane

    # -- signing in -----------------------------------------------------------------------------

    async def login(self, request: Request) -> Response:
        """Ask for a token; a one-time link signs in by itself."""
        following = _local(request.query_params.get("next", "/"))
        code = request.query_params.get("code")
        if code:
            try:
                return self._signed_in(request, await self._plane.access.spend_code(code), following)
            except Unauthenticated as error:
                return _render(request, "login.html", 401, problem=error.detail, following=following)
        return _render(request, "login.html", problem="", following=following)

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
            return _render(request, "login.html", 401, problem=error.detail, following=following)
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
        await self._posted(request)
        await self._plane.access.close_session(request.cookies.get(SESSION_COOKIE, ""))
        answer = RedirectResponse("/login", status_code=303)
        answer.delete_cookie(SESSION_COOKIE)
        return answer

    async def _caller(self, request: Request) -> Caller:
        session = request.cookies.get(SESSION_COOKIE)
        if not session:
            raise Unauthenticated
        return await self._plane.access.session(session, getattr(request.state, "request_id", ""))

    async def _posted(self, request: Request) -> tuple[Caller, dict[str, str]]:
        """Return caller and form of a POST that really comes from our page.

        Raises:
            Forbidden: Another site sent it, or its form is not of this session.
        """
        caller, form = await self._caller(request), await _form(request)
        token = _csrf(request.cookies.get(SESSION_COOKIE, ""))
        if not _same_origin(request) or not hmac.compare_digest(form.get("csrf", ""), token):
            raise Forbidden("This form is not of your session.", next_step="Open the page again, and repeat.")
        return caller, form

    # -- pages ----------------------------------------------------------------------------------

    async def listed(self, request: Request) -> Response:
        """The list."""
        return _render(request, "list.html", **await self._list_values(request))

    async def _list_values(self, request: Request) -> dict[str, Any]:
        caller = await self._caller(request)
        asked = request.query_params
        status = Status(asked["status"]) if asked.get("status") in {s.value for s in Status} else None
        found = await self._plane.queries.deployments(caller, Page(size=100), asked.get("service"), status)
        views = found["deployments"]
        for view in views:
            view["spark"] = sparkline(view["strategy"]["steps"], view["traffic_percentage"])
        services = (await self._plane.queries.services(caller))["services"]
        jobs = (await self._plane.queries.jobs(caller))["jobs"]
        return {
            "caller": caller,
            "csrf": _csrf(request.cookies.get(SESSION_COOKIE, "")),
            "running": [v for v in views if _under_way(v)],
            "earlier": [v for v in views if not _under_way(v)],
            "services": services,
            "chosen": {"service": asked.get("service", ""), "status": asked.get("status", "")},
            "monitor": jobs[0]["state"] if jobs else "not running",
            "live": "/live?" + str(asked),
        }

    async def deployment(self, request: Request) -> Response:
        """One deployment."""
        return _render(request, "deployment.html", **await self._deployment_values(request))

    async def _deployment_values(self, request: Request) -> dict[str, Any]:
        caller = await self._caller(request)
        page = await self._plane.queries.page(caller, request.path_params["deployment_id"])
        view, language = page["deployment"], _language(request)
        judged = {c["check"] for c in (view["judge"] or {}).get("checks", ())}
        return {
            "caller": caller,
            "csrf": _csrf(request.cookies.get(SESSION_COOKIE, "")),
            "page": page,
            "d": view,
            "charts": charts(page["series"], self._plane.context.window_seconds),
            "may": page["may"]["act"],
            "buttons": _buttons(view),
            "verdict": panel(view, language),
            "contest": contest_panel(view, language),
            "watched": watch_text(view["watch"], view, language),
            "fixed": [c for c in view["checks"] if c["check"] not in judged],
            "live": f"/deployments/{view['deployment_id']}/live",
        }

    async def confirm(self, request: Request) -> Response:
        """Say what a button will do before it is done."""
        values = await self._deployment_values(request)
        action = request.path_params["action"]
        if action not in ACTIONS or action not in {b for b, _ in values["buttons"]}:
            raise SerinusError(
                f"This cannot be done while it is {STATES[values['d']['status']][1]}.",
                next_step="Go back to its page.",
            )
        label, consequence = ACTIONS[action]
        gate: list[dict[str, Any]] = []
        advice: dict[str, Any] = {}
        if action == "promote":
            comparison = await self._plane.queries.comparison(values["caller"], values["d"]["deployment_id"])
            gate, advice = comparison["gate"], comparison["comparison"]
        contested = values["contest"] and values["contest"]["running"]
        name = "the chosen candidate" if contested and action == "promote" else values["d"].get("tested")
        name = name or values["d"]["version"]
        words = consequence.format(version=name, stable=values["d"]["stable_version"])
        return _render(
            request,
            "confirm.html",
            **values,
            action=action,
            label=label,
            consequence=words,
            gate=gate,
            advice=advice,
        )

    async def act(self, request: Request) -> Response:
        """Do it, as the API would."""
        caller, form = await self._posted(request)
        identity, action = request.path_params["deployment_id"], request.path_params["action"]
        call = Call(
            caller=caller,
            action=f"deployment.{action}",
            target=identity[:200],
            needs=Role.ADMIN if action == "override-freeze" else Role.APPROVER,
        )
        commands = self._plane.commands
        match action:
            case "rollback":
                at_once = form.get("force") == "yes"
                which, reason = form.get("version", ""), form.get("reason", "")
                await commands.roll_back(call, identity, reason, force=at_once, version=which)
            case "promote":
                which, force = form.get("version", ""), form.get("force") == "yes"
                await commands.promote(call, identity, force=force, version=which)
            case "pause":
                await commands.pause(call, identity)
            case "resume":
                await commands.resume(call, identity)
            case "approve":
                await commands.approve(call, identity, form.get("reason", ""))
            case "cancel":
                await commands.cancel(call, identity)
            case "override-freeze":
                await commands.override_freeze(call, identity, form.get("reason", ""))
            case "traffic":
                await commands.traffic(call, identity, _number(form.get("percentage", "")))
            case _:
                raise SerinusError(f"There is no {action[:40]!r}.", next_step="Go back to its page.")
        return RedirectResponse(f"/deployments/{identity}", status_code=303)

    # -- live -----------------------------------------------------------------------------------

    async def listed_live(self, request: Request) -> Response:
        """The list's content, again whenever it changes."""
        await self._caller(request)

        async def look() -> str:
            values = await self._list_values(request)
            return bytes(_render(request, "_list.html", **values).body).decode()

        return await self._stream(request, look)

    async def deployment_live(self, request: Request) -> Response:
        """A deployment's content, again whenever it changes."""
        await self._deployment_values(request)  # refuse before the stream begins

        async def look() -> str:
            values = await self._deployment_values(request)
            return bytes(_render(request, "_deployment.html", **values).body).decode()

        return await self._stream(request, look)

    async def _stream(self, request: Request, look: Callable[[], Awaitable[str]]) -> Response:
        caller, bell = await self._caller(request), self._plane.context.bell

        async def events() -> AsyncIterator[str]:
            sent, quiet = "", 0
            while True:
                rung = bell.count(caller.tenant_id)
                html = await look()
                quiet += 1
                if html != sent:
                    sent, quiet = html, 0
                    lines = "\n".join(f"data: {line}" for line in html.splitlines())
                    yield f"event: page\n{lines}\n\n"
                elif quiet % HEARTBEATS == 0:
                    yield ": still here\n\n"
                await asyncio.sleep(PAUSE_SECONDS)
                await bell.wait(caller.tenant_id, rung, LOOK_SECONDS)

        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        return StreamingResponse(events(), media_type="text/event-stream", headers=headers)


def _number(text: str) -> object:
    try:
        return float(text)
    except ValueError:
        return text


def _under_way(view: dict[str, Any]) -> bool:
    """Tell whether something may still happen by itself: it rolls out, or is watched after promotion."""
    return view["status"] in ("canary", "draft", "scheduled") or bool(view["watch"])


def _buttons(view: dict[str, Any]) -> list[tuple[str, str]]:
    """Return what can be done now, the way out first."""
    if view["status"] == "active":
        return [("rollback", "Roll back")]
    frozen = [("override-freeze", "Override the freeze")] if _held_by_freeze(view) else []
    if view["status"] == "scheduled":
        return [("cancel", "Cancel the start"), *frozen]
    if view["status"] != "canary":
        return []
    if view["going_back"]:
        return [("rollback", "Roll back")]
    listed = [("rollback", "Roll back")]
    listed.append(("resume", "Resume") if view["paused"] else ("pause", "Pause"))
    if view["waiting"] == "approval":
        listed.append(("approve", "Approve"))
    return [*listed, *frozen, ("promote", "Promote"), ("traffic", "Set traffic")]


def _held_by_freeze(view: dict[str, Any]) -> bool:
    return bool(view["strategy"].get("freeze")) and not view["freeze_override"]
