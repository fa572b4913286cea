"""Errors as RFC 9457 problem details: what, where, what to do next, and never our internals."""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import Any, get_args

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from serinus.core.codec import nearest
from serinus.core.errors import (
    Conflict,
    Forbidden,
    InvalidInput,
    NotFound,
    RuleFailed,
    SerinusError,
    Unauthenticated,
    Unavailable,
)

__all__ = ["BASE", "install", "of", "problem"]

log = logging.getLogger("serinus.api")

#: Prefix of every problem type. The rest is stable, so programs may compare it.
BASE = "https://serinus.dev/problems/"
MEDIA_TYPE = "application/problem+json"

_STATUS: tuple[tuple[type[SerinusError], int], ...] = (
    (InvalidInput, 400),
    (Unauthenticated, 401),
    (Forbidden, 403),
    (NotFound, 404),
    (Conflict, 409),
    (RuleFailed, 422),
    (Unavailable, 503),
)


def problem(
    request: Request,
    status: int,
    kind: str,
    detail: str,
    *,
    headers: dict[str, str] | None = None,
    **more: Any,
) -> JSONResponse:
    """Return a problem details answer; empty members are left out."""
    body = {
        "type": BASE + kind,
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "instance": getattr(request.state, "request_id", ""),
        **more,
    }
    kept = {k: v for k, v in body.items() if v not in ("", None)}
    return JSONResponse(kept, status_code=status, headers=headers, media_type=MEDIA_TYPE)


async def _ours(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, SerinusError)
    return of(request, error)


def of(request: Request, error: SerinusError) -> JSONResponse:
    """Return one of our errors as its problem."""
    status = next((code for kind, code in _STATUS if isinstance(error, kind)), 500)
    extra = dict(error.extra)
    kind = str(extra.pop("kind", error.kind))
    errors = extra.pop("errors", None)
    if isinstance(errors, dict):
        extra["errors"] = [{"field": field, "message": message} for field, message in errors.items()]
    headers = {}
    if status == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="serinus"'
    if status == 503:
        headers["Retry-After"] = "2"
    return problem(
        request,
        status,
        kind,
        error.detail,
        headers=headers,
        field=error.field,
        next_step=error.next_step,
        **extra,
    )


async def _malformed(request: Request, error: Exception) -> JSONResponse:
    """Tell every field that the schema refused; the value itself is not repeated."""
    assert isinstance(error, RequestValidationError)
    found = error.errors()
    unread = _unread(request, found[0])
    if unread:
        what, next_step = unread
        return problem(request, 400, "invalid-input", what, field="body", next_step=next_step)
    errors = [{"field": _place(e["loc"]), "message": _message(request, e)} for e in found]
    first = errors[0]
    return problem(
        request,
        400,
        "invalid-input",
        f"{first['field']}: {first['message']}"
        + (f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""),
        field=first["field"],
        errors=errors,
        next_step="Correct the fields listed in `errors`.",
    )


def _message(request: Request, error: dict[str, Any]) -> str:
    if error["type"] != "extra_forbidden":
        return str(error["msg"]).removeprefix("Value error, ")
    *inside, key = (part for part in error["loc"] if part != "body")
    return "unknown key" + nearest(str(key), _keys(request, inside))


def _keys(request: Request, inside: list[int | str]) -> list[str]:
    """Return the keys that a request's body may have at a place; none where that is not known."""
    body = getattr(request.scope.get("route"), "body_field", None)
    kind = body.field_info.annotation if body else None
    for part in inside:
        if isinstance(part, str):
            found = _model(kind)
            kind = found.model_fields[part].annotation if found and part in found.model_fields else None
    found = _model(kind)
    return [field.alias or name for name, field in found.model_fields.items()] if found else []


def _model(kind: Any) -> type[BaseModel] | None:
    """Return the model in an annotation: ``Model``, ``Model | None``, ``list[Model]``."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return kind
    return next((found for part in get_args(kind) if (found := _model(part))), None)


def _unread(request: Request, first: dict[str, Any]) -> tuple[str, str] | None:
    """Say why a body was not even looked into, and what to do; ``None`` when it was."""
    if first["type"] == "json_invalid":
        where = f"at character {first['loc'][-1]}: {first.get('ctx', {}).get('error', 'unexpected')}"
        return f"The body is no JSON, {where}.", "Send what /api/v1/openapi.json describes."
    sent_as = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if first["loc"] == ("body",) and not sent_as.endswith("json"):
        kind = sent_as[:80] or "nothing in particular"
        what = f"The body is not read as JSON: it was sent as {kind}."
        return what, "Send the header `Content-Type: application/json`."
    return None


def _place(loc: tuple[int | str, ...]) -> str:
    parts = [p for p in loc if p not in ("body", "query", "path", "header")]
    return ".".join(str(p) for p in parts) or str(loc[0] if loc else "body")


async def _http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    kinds = {400: "invalid-input", 404: "not-found", 405: "method-not-allowed"}
    details = {
        # A body that is no JSON at all, or is nested deeper than anybody reads.
        400: "The body cannot be read as JSON.",
        404: f"There is nothing at {request.url.path[:200]}.",
        405: f"{request.method} is not possible here.",
    }
    status = error.status_code
    return problem(
        request,
        status,
        kinds.get(status, "http"),
        details.get(status, str(error.detail)),
        headers=dict(error.headers or {}),
        next_step="The API is described at /api/v1/openapi.json." if status in kinds else "",
    )


async def _unexpected(request: Request, error: Exception) -> JSONResponse:
    log.error("unexpected", exc_info=error, extra={"action": "api.unexpected", "path": request.url.path})
    return problem(
        request,
        500,
        "internal",
        "Something went wrong inside Serinus; nothing was changed.",
        next_step="Try again; if it stays, tell the operator the `instance`: it is in the log.",
    )


def install(app: FastAPI) -> None:
    """Answer every error of ``app`` as a problem."""
    app.add_exception_handler(SerinusError, _ours)
    app.add_exception_handler(RequestValidationError, _malformed)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _unexpected)
