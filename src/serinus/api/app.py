"""The application: routers, errors, OpenAPI."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from functools import cache
from typing import Any

from fastapi import FastAPI, Response
from fastapi.openapi.utils import get_openapi
from fastapi.responses import JSONResponse
from starlette.routing import BaseRoute

from serinus.api import (
    access,
    admin,
    assignments,
    compensations,
    deployments,
    fleet,
    polls,
    problems,
    release_sets,
    rulesets,
    streams,
    tools,
)
from serinus.api.deps import CallerDep, PlaneDep
from serinus.api.fast import FastExecute
from serinus.api.middleware import Envelope
from serinus.api.schemas import Problem
from serinus.control.context import Caller
from serinus.control.monitor import MONITOR
from serinus.control.plane import Plane
from serinus.control.showing import exposition
from serinus.core.errors import SerinusError
from serinus.core.model import Role

__all__ = ["create_app"]

PREFIX = "/api/v1"
_REFUSALS: dict[int | str, dict[str, Any]] = {
    code: {"model": Problem, "description": text}
    for code, text in {
        400: "Something in the call is wrong; nothing was changed.",
        401: "No token, or one that is not live.",
        403: "The role does not allow this.",
        404: "There is no such thing in this tenant.",
        409: "The current state does not allow this.",
        413: "The body is too large.",
        422: "The rules gave no answer.",
        503: "The database does not answer; try again.",
    }.items()
}

Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]


def create_app(plane: Plane, *, lifespan: Lifespan | None = None) -> FastAPI:
    """Return the application that serves ``plane``."""
    app = FastAPI(
        title="Serinus",
        version=plane.version,
        summary="Progressive delivery for anything that has a version.",
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
    )
    app.state.plane = plane
    problems.install(app)
    app.add_middleware(FastExecute, plane=plane, prefix=PREFIX)
    app.add_middleware(Envelope)
    app.router.routes.extend(_calls())
    _add_openapi(app)
    _add_operation(app)
    return app


@cache
def _calls() -> tuple[BaseRoute, ...]:
    """Return the routes of every call, which all applications of a process share.

    FastAPI reads their types when the first request comes, and takes a third of a second for it.
    """
    every = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
    for part in (
        tools.router,
        deployments.router,
        assignments.router,
        release_sets.router,
        release_sets.freezes,
        compensations.router,
        rulesets.router,
        admin.router,
        access.router,
        fleet.router,
        polls.router,
        streams.router,
    ):
        every.include_router(part, prefix=PREFIX, responses=_REFUSALS)
    every.include_router(polls.discovery, responses=_REFUSALS)
    return tuple(every.routes)


def _add_openapi(app: FastAPI) -> None:
    def described() -> dict[str, Any]:
        if app.openapi_schema is None:
            schema = get_openapi(title=app.title, version=app.version, summary=app.summary, routes=app.routes)
            for path in schema["paths"].values():
                for operation in path.values():
                    _as_problems(operation)
            app.openapi_schema = schema
        return app.openapi_schema

    app.openapi = described  # type: ignore[method-assign]

    @app.get(f"{PREFIX}/openapi.json", include_in_schema=False)
    async def openapi() -> JSONResponse:
        return JSONResponse(described())


def _as_problems(operation: dict[str, Any]) -> None:
    """Errors are problem+json, and a body that the schema refuses is a 400 like every other mistake."""
    if not operation["operationId"].startswith("executeRuleset"):
        operation["responses"].pop("422", None)
    for code, response in operation["responses"].items():
        content = response.get("content", {})
        if int(code) >= 400 and "application/json" in content:
            content["application/problem+json"] = content.pop("application/json")


def _add_operation(app: FastAPI) -> None:
    @app.get("/healthz", include_in_schema=False)
    async def healthz() -> dict[str, str]:
        return {"status": "up"}

    @app.get("/readyz", include_in_schema=False)
    async def readyz(plane: PlaneDep) -> Response:
        system = Caller(tenant_id="", name="readyz", role=Role.VIEWER)
        try:
            jobs = (await plane.queries.jobs(system))["jobs"]
        except SerinusError as error:
            return JSONResponse({"ready": False, "database": error.detail}, status_code=503)
        monitor = any(j["name"] == MONITOR and j["state"] == "running" for j in jobs)
        body = {"ready": monitor, "database": "ok", "monitor": "running" if monitor else "not running"}
        return JSONResponse(body, status_code=200 if monitor else 503)

    @app.get("/metrics", include_in_schema=False)
    async def metrics(plane: PlaneDep, caller: CallerDep) -> Response:
        return Response(
            exposition.render(await plane.queries.running(caller)), media_type=exposition.CONTENT_TYPE
        )
