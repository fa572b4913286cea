"""Routes of the dashboard. They show the views that the API answers, and call the same commands."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from urllib.parse import quote

from fastapi import FastAPI, Request, Response
from fastapi.responses import RedirectResponse
from fastapi.staticfiles import StaticFiles

from serinus.control.plane import Plane
from serinus.core.errors import SerinusError, Unauthenticated
from serinus.web.deployment import DeploymentPages
from serinus.web.listing import Listing
from serinus.web.members import MemberPages
from serinus.web.release_sets import SetPages
from serinus.web.rendering import refused, rendered
from serinus.web.rulesets import RulesetPages
from serinus.web.visits import Visits

__all__ = ["install"]

log = logging.getLogger("serinus.web")

#: Everything comes from this server; nothing is inline.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)


def install(app: FastAPI, plane: Plane) -> None:
    """Add the pages to ``app``."""
    visits = Visits(plane)
    listing, deployment = Listing(plane, visits), DeploymentPages(plane, visits)
    rulesets, sets = RulesetPages(plane, visits), SetPages(plane, visits)
    members = MemberPages(plane, visits)
    static = Path(__file__).parent / "static"
    app.mount("/static", StaticFiles(directory=static), name="static")
    for method, path, page in (
        ("GET", "/login", visits.login),
        ("POST", "/login", visits.sign_in),
        ("POST", "/logout", visits.sign_out),
        ("GET", "/", listing.page),
        ("GET", "/live", listing.live),
        ("GET", "/rulesets", rulesets.all),
        ("GET", "/rulesets/{ruleset_id}", rulesets.one),
        ("GET", "/rulesets/{ruleset_id}/live", rulesets.live),
        ("GET", "/rulesets/{ruleset_id}/version", rulesets.version),
        ("GET", "/rulesets/{ruleset_id}/diff", rulesets.diff),
        ("GET", "/rulesets/{ruleset_id}/executions", rulesets.executions),
        ("POST", "/rulesets/{ruleset_id}/test", rulesets.test),
        ("GET", "/rulesets/{ruleset_id}/rollout", rulesets.rollout),
        ("POST", "/rulesets/{ruleset_id}/rollout", rulesets.start),
        ("GET", "/release-sets", sets.all),
        ("GET", "/release-sets/{set_id}", sets.one),
        ("GET", "/release-sets/{set_id}/live", sets.live),
        ("GET", "/release-sets/{set_id}/{action}", sets.confirm),
        ("POST", "/release-sets/{set_id}/{action}", sets.act),
        ("GET", "/members", members.all),
        ("GET", "/members/add", members.new),
        ("POST", "/members/add", members.add),
        ("GET", "/members/{member_id}/{action}", members.confirm),
        ("POST", "/members/{member_id}/{action}", members.act),
        ("GET", "/tokens/{token_id}/revoke", members.revoking),
        ("POST", "/tokens/{token_id}/revoke", members.revoke),
        ("GET", "/deployments/{deployment_id}", deployment.page),
        ("GET", "/deployments/{deployment_id}/live", deployment.live),
        ("GET", "/deployments/{deployment_id}/{action}", deployment.confirm),
        ("POST", "/deployments/{deployment_id}/{action}", deployment.act),
    ):
        app.add_api_route(path, _guarded(page), methods=[method], include_in_schema=False)


Handler = Callable[[Request], Awaitable[Response]]


def _guarded(page: Handler) -> Handler:
    """Turn refusals into pages, and put the security headers on every answer."""

    async def handle(request: Request) -> Response:
        try:
            answer = await page(request)
        except Unauthenticated:
            here = request.url.path + (f"?{request.url.query}" if request.url.query else "")
            answer = RedirectResponse(f"/login?next={quote(here)}", status_code=303)
        except SerinusError as error:
            answer = refused(request, error)
        except Exception:  # the page's edge: people get words, the log gets the rest
            log.exception("page failed", extra={"action": "web.failed", "path": request.url.path})
            answer = rendered(
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
