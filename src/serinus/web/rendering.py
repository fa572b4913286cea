"""Making a page: the templates, the reader's language, and refusals as pages with words."""

from __future__ import annotations

import json
import shlex
from typing import Any

from fastapi import Request, Response
from fastapi.responses import HTMLResponse
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup, escape

from serinus.control.showing.judge_words import FINDINGS
from serinus.control.showing.judge_words import SIGNS as FINDING_SIGNS
from serinus.control.words.spoken import spoken
from serinus.core.errors import SerinusError
from serinus.web.words import choose, lasting, translator

__all__ = ["STATES", "language_of", "refused", "rendered"]

LANGUAGE_COOKIE = "serinus_lang"
#: A status as a sign and a word: never by colour alone.
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
_templates.filters["shell"] = shlex.quote
_templates.filters["spelled"] = lambda data: json.dumps(data, ensure_ascii=False, indent=2)


def language_of(request: Request) -> str:
    """Return the language of the answer: asked for, remembered, or the browser's."""
    asked, remembered = request.query_params.get("lang"), request.cookies.get(LANGUAGE_COOKIE)
    return choose(asked, remembered, request.headers.get("accept-language", ""))


def rendered(request: Request, name: str, status: int = 200, **values: Any) -> HTMLResponse:
    """Return a template as an answer; the language that was asked for is remembered."""
    language = language_of(request)
    page = _templates.get_template(name).render(
        t=translator(language),
        language=language,
        lasting=lambda seconds: lasting(seconds, language),
        path=request.url.path,
        states=STATES,
        signs=SIGNS,
        told=lambda text: _told(text, language),
        findings=FINDINGS,
        finding_signs=FINDING_SIGNS,
        token_ends=getattr(request.state, "token_ends", ""),
        # A refusal is shown with the way on to the other pages to whoever is signed in.
        **{"caller": None, "csrf": "", **getattr(request.state, "visitor", {}), **values},
    )
    answer = HTMLResponse(page, status_code=status)
    if "lang" in request.query_params:
        answer.set_cookie(LANGUAGE_COOKIE, language, max_age=31536000, samesite="lax")
    return answer


def _told(text: str, language: str) -> Markup:
    """Return a sentence of the core in the reader's language; one that stays English is marked as that."""
    said = spoken(text, language)
    words = escape(said.replace(" ×", "\u00a0×"))
    return words if language == "en" or said != text else Markup('<span lang="en">{}</span>').format(words)


def refused(request: Request, error: SerinusError) -> Response:
    """Return the page of a refusal: what is wrong, and what to do next."""
    status = {"not-found": 404, "forbidden": 403, "unavailable": 503, "invalid-input": 400}
    code = status.get(error.kind, 409)
    title = {404: "Not here", 403: "Not yours to do", 503: "Not now", 400: "That does not work"}
    return rendered(
        request,
        "error.html",
        code,
        title=title.get(code, "Not in this state"),
        detail=error.detail,
        next_step=error.next_step,
    )
