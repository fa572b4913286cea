"""Where measurements of somebody else come from: sources, and what they are asked.

Nothing here asks anybody. The control plane reads these values, asks, and gives what it got to the
judge and the checks as evidence. No secret is here either, only names of environment variables.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from serinus.core.codec import told

__all__ = ["MetricQuery", "Query", "RequestsFrom", "Source", "SourceType"]


class SourceType(StrEnum):
    """What answers."""

    PROMETHEUS = "prometheus"
    HTTP = "http"
    SQL = "sql"

    @property
    def driver(self) -> str:
        """The driver's name in the catalogue."""
        return "http-json" if self is SourceType.HTTP else self.value


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """Somebody who keeps measurements. What a type has no use for is empty."""

    name: str
    type: SourceType
    #: Without a secret; empty when ``url_env`` names the variable that holds it.
    url: str = ""
    url_env: str = ""
    #: The variable that holds the token; or a user, and the variable that holds the password.
    bearer_token_env: str = ""
    username: str = ""
    password_env: str = ""
    headers: dict[str, str] | None = None
    #: Private hosts and networks that may be asked (http).
    allow_hosts: tuple[str, ...] = ()
    ca_file: str = ""
    timeout_seconds: float = 5.0
    #: A number made of older samples is stale (prometheus).
    max_age_seconds: float = 120.0
    #: What a SELECT gets as ``:since`` lies so far before ``:until`` (sql).
    window_seconds: float = 300.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Query:
    """What a source is asked for one measurement of both sides.

    Without ``by`` the canary's and stable's values are asked apart. With it ``canary`` is asked once
    and answers with both, told apart by the value of the label ``by``.
    """

    source: str
    canary: str
    #: Empty: stable is not measured, or in the same answer (``by``).
    stable: str = ""
    by: str = ""
    #: Label values; empty: the rollout's own version, and the stable one.
    canary_is: str = ""
    stable_is: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class MetricQuery:
    """Where the samples of this name come from."""

    name: str
    query: Query


@dataclass(frozen=True, kw_only=True, slots=True)
class RequestsFrom:
    """Prometheus counters that take the place of the built-in counting of requests."""

    source: str = told("Which source; may be left out when there is only one.", "")
    total: str = told("Selector of the counter of all requests, without a range.", required=True)
    errors: str = told("Selector of the counter of failed requests.", "")
    latency: str = told("Selector of the latency histogram's buckets (`…_bucket`), in seconds.", "")
    by: str = told("The label that tells the versions apart.", "version")
    canary_is: str = told("Its value at the canary; left out: the rollout's version.", "")
    stable_is: str = told("Its value at stable; left out: the stable version.", "")
    endpoint: str = told("The label that is taken as the endpoint; left out: totals only.", "")
