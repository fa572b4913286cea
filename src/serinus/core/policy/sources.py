"""Metric sources as people write them: checked, and never with a secret in them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from serinus.core.analysis.queries import RequestsFrom, Source, SourceType
from serinus.core.codec import also, at
from serinus.core.policy.forms import Duration
from serinus.core.policy.inputs import HttpInput, PrometheusInput, SqlInput
from serinus.core.policy.promql import is_label, is_selector
from serinus.core.policy.units import plain

__all__ = ["check_requests", "source_from", "written_source"]

_SCHEMES = {
    SourceType.PROMETHEUS: ("http://", "https://"),
    SourceType.HTTP: ("http://", "https://"),
    SourceType.SQL: ("sqlite:///", "postgresql://", "postgres://"),
}
#: Credentials before the host, however badly they are quoted; and those in a query.
_LOGIN = re.compile(r"://[^@\s]*:[^@\s]*@")
_HIDDEN = re.compile(r"[?&][^=&]*(?:password|passwd|token|secret|key|signature|auth)[^=&]*=", re.IGNORECASE)
_SECRET_HEADER = re.compile(r"auth|cookie|token|secret|key|password", re.IGNORECASE)
_INPUTS = {
    SourceType.PROMETHEUS: PrometheusInput,
    SourceType.HTTP: HttpInput,
    SourceType.SQL: SqlInput,
}


def source_from(
    name: str, given: PrometheusInput | HttpInput | SqlInput, where: str, problems: dict[str, str]
) -> Source:
    """Return the source that is meant; what is wrong is added to ``problems``."""
    kind = SourceType(given.type)
    _check_address(given, kind, where, problems)
    _check_sign_in(given, where, problems)
    for header in getattr(given, "headers", None) or {}:
        if _SECRET_HEADER.search(header):
            problems[at(where, f"headers.{header}")] = "looks like a secret: use bearer_token_env"
    known = {f.name for f in fields(Source)}
    values: dict[str, Any] = {"name": name, "type": kind}
    for field in fields(given):
        value = getattr(given, field.name)
        target = field.name if field.name in known else also(field)
        if target != "type" and value is not None:
            values[target] = value
    return Source(**values)


def _check_address(
    given: PrometheusInput | HttpInput | SqlInput, kind: SourceType, where: str, problems: dict[str, str]
) -> None:
    if bool(given.url) == bool(given.url_env):
        problems[at(where, "url")] = "give either `url` or `url_env`"
    if not given.url:
        return
    if not given.url.startswith(_SCHEMES[kind]):
        problems[at(where, "url")] = f"expected an address that begins with {' or '.join(_SCHEMES[kind])}"
    if _LOGIN.search(given.url) or _HIDDEN.search(given.url):
        problems[at(where, "url")] = (
            "holds a secret: put the whole address into an environment variable and name that as `url_env`"
        )


def _check_sign_in(
    given: PrometheusInput | HttpInput | SqlInput, where: str, problems: dict[str, str]
) -> None:
    if not isinstance(given, PrometheusInput):
        return
    if bool(given.username) != bool(given.password_env):
        problems[at(where, "username")] = "`username` and `password_env` go together"
    if given.username and given.bearer_token_env:
        problems[at(where, "bearer_token_env")] = "give either this, or `username` and `password_env`"


def check_requests(
    given: RequestsFrom, sources: Mapping[str, Source], where: str, problems: dict[str, str]
) -> RequestsFrom:
    """Return the block with its source; what is wrong is added to ``problems``."""
    usable = [s.name for s in sources.values() if s.type is SourceType.PROMETHEUS]
    name = given.source or (usable[0] if len(usable) == 1 else "")
    if name not in usable:
        problems[at(where, "source")] = "expected one of `sources` that is a Prometheus" + (
            f": {', '.join(usable)}" if usable else "; there is none"
        )
    for key in ("total", "errors", "latency"):
        text = getattr(given, key)
        if text and not is_selector(text):
            problems[at(where, key)] = "expected one metric with its labels, without a range or a function"
    for key in ("by", "endpoint"):
        if not is_label(getattr(given, key)) and (key == "by" or given.endpoint):
            problems[at(where, key)] = "expected the name of a label"
    values = {f.name: getattr(given, f.name) for f in fields(given)}
    return RequestsFrom(**{**values, "source": name})


def written_source(source: Source) -> dict[str, Any]:
    """Return a source as a person would write it."""
    written: dict[str, Any] = {"type": source.type.value}
    for field in fields(_INPUTS[source.type]):
        target = field.name if hasattr(source, field.name) else also(field)
        value = getattr(source, target)
        if field.name != "type" and value:
            written[field.name] = Duration().show(value) if target.endswith("_seconds") else _listed(value)
    return written


def _listed(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else plain(value)
