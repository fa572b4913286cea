"""Objectives of a service, and alerts: what Prometheus is made to watch besides rollouts."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

from serinus.core.codec import told
from serinus.core.policy.forms import Duration, Name, Percentage, Seconds

__all__ = ["Alert", "Severity", "Slo"]


class Severity(StrEnum):
    """How soon somebody has to look."""

    CRITICAL = "critical"  #: now
    WARNING = "warning"  #: today
    INFO = "info"  #: some time


@dataclass(frozen=True, kw_only=True, slots=True)
class Slo:
    """A service level objective: this share of requests is good over the period."""

    name: Name = told("Its name.", required=True)
    objective: Annotated[float, Percentage(inside=True)] = told(
        "Share of requests that has to be good, such as 99.5 %.", required=True
    )
    under: Annotated[float, Duration(above_zero=True)] | None = told(
        "A request is good when it took no longer than this (one of the histogram's bucket edges) instead "
        "of when it did not fail."
    )
    period: Annotated[float, Duration(above_zero=True)] = told(
        "The time that the error budget is for.", 30 * 86400.0
    )
    total: str = told("Selector of the counter of all requests; left out: that of `requests`.", "")
    bad: str = told("Selector of the counter of bad requests; left out: that of `requests`.", "")


@dataclass(frozen=True, kw_only=True, slots=True)
class Alert:
    """A Prometheus alert of the user's own, or one on a check of this policy."""

    name: Name = told("Its name.", required=True)
    check: str = told("A check of this policy: the alert fires when it fails.", "")
    expr: str = told("PromQL: the alert fires when it gives something.", "")
    for_: Seconds = told("How long it must be so.", 0.0, also="for")
    severity: Severity = told("How soon somebody has to look.", Severity.WARNING)
    summary: str = told("One sentence for whoever is on call.", "")
