"""Metric sources from what a policy says: drivers by name, secrets by the name of their variable.

Whoever may make a deployment writes its policy, and must not get at the server's other secrets or its
network with it: only variables with our prefix may be named, databases only through such a variable, and
private hosts only where the operator allows them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from serinus.bootstrap.metrics import open_metrics
from serinus.core.analysis.queries import Source, SourceType
from serinus.core.errors import InvalidInput
from serinus.ports.metrics import MetricSource

__all__ = ["HOSTS", "PREFIX", "source_factory"]

#: Environment variables that a policy may name begin with this.
PREFIX = "SERINUS_SOURCE_"
#: Names the private hosts and networks that an ``http`` source may ask, with commas between.
HOSTS = "SERINUS_SOURCE_HOSTS"


def source_factory(environment: Mapping[str, str]) -> Callable[[Source], MetricSource]:
    """Return what makes sources.

    The returned function raises :class:`InvalidInput` for a variable that is not set or may not be named,
    for a private host that is not allowed, and for settings that the driver refuses.
    """

    def make(source: Source) -> MetricSource:
        url = _secret(source.url_env, source, environment) if source.url_env else source.url
        return open_metrics(source.type.driver, url=url, **_options(source, environment))

    return make


def _options(source: Source, environment: Mapping[str, str]) -> dict[str, Any]:
    common: dict[str, Any] = {"timeout_seconds": source.timeout_seconds}
    if source.type is SourceType.SQL:
        if not source.url_env:
            raise InvalidInput(
                f"The database of source {source.name!r} is given by its address.",
                field=f"sources.{source.name}.url",
                next_step=f"Put it into a variable {PREFIX}… of the server, and name that as `url_env`.",
            )
        return {**common, "window_seconds": source.window_seconds}
    common |= {"headers": dict(source.headers or {}), "ca_file": source.ca_file or None}
    if source.type is SourceType.HTTP:
        return {**common, "allow_hosts": _allowed(source, environment)}
    if source.bearer_token_env:
        common["bearer_token"] = _secret(source.bearer_token_env, source, environment)
    if source.username:
        common["basic_auth"] = (source.username, _secret(source.password_env, source, environment))
    return {**common, "max_age_seconds": source.max_age_seconds}


def _allowed(source: Source, environment: Mapping[str, str]) -> tuple[str, ...]:
    allowed = {host.strip() for host in environment.get(HOSTS, "").split(",") if host.strip()}
    refused = [host for host in source.allow_hosts if host not in allowed]
    if refused:
        raise InvalidInput(
            f"The server does not allow private hosts for source {source.name!r}: {', '.join(refused)}.",
            field=f"sources.{source.name}.allow_hosts",
            next_step=f"Ask its operator to add them to {HOSTS}.",
        )
    return source.allow_hosts


def _secret(name: str, source: Source, environment: Mapping[str, str]) -> str:
    if not name.startswith(PREFIX):
        raise InvalidInput(
            f"Source {source.name!r} names the variable {name}.",
            field=f"sources.{source.name}",
            next_step=f"Only variables of the server that begin with {PREFIX} may be named.",
        )
    if not environment.get(name):
        raise InvalidInput(
            f"The variable {name} of source {source.name!r} is not set at the server.",
            field=f"sources.{source.name}",
            next_step="Ask its operator to set it.",
        )
    return environment[name]
