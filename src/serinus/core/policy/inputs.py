"""The keys of a policy file, with their forms and meanings: the one place that names them.

The reader, the JSON Schema, ``policy show`` and the documentation are made from these classes.
``None`` means "not given": the preset decides.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from serinus.core.analysis.checks import Comparison, Measure, OnFail, OnNoData
from serinus.core.analysis.evidence import Selector
from serinus.core.analysis.queries import RequestsFrom
from serinus.core.analysis.sequential.plan import StepUp, Unsure
from serinus.core.codec import told
from serinus.core.notices import Notifications
from serinus.core.policy.forms import (
    Amount,
    AmountForm,
    Choice,
    Duration,
    EnvName,
    Exactly,
    Name,
    Number,
    OrOff,
    Percentage,
    Seconds,
    Tagged,
)
from serinus.core.policy.presets import PRESETS
from serinus.core.policy.slos import Alert, Slo

__all__ = [
    "CheckInput",
    "ErrorsInput",
    "HttpInput",
    "LatencyInput",
    "MetricInput",
    "PolicyInput",
    "PrometheusInput",
    "SqlInput",
    "StepInput",
]

_Limit = Annotated[Amount, AmountForm()]
_AboveZero = Annotated[float, Duration(above_zero=True)]


@dataclass(frozen=True, kw_only=True, slots=True)
class StepInput:
    """One traffic percentage held for a time."""

    traffic: Annotated[float, Percentage(inside=False, step="0.0001")] = told(
        "Share of users on the canary.", required=True
    )
    hold: Seconds = told("How long it is observed there.", required=True)
    gate: bool = told("Wait for a person after this step.", default=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class ErrorsInput:
    """Which difference in errors is harm; tolerated is what stays inside either bound."""

    ratio: Annotated[float, Number(low=1)] | None = told("Tolerated ratio canary ÷ stable.")
    points: Annotated[float, Number()] | None = told("Tolerated difference in percentage points.")
    find: Annotated[float, Number(low=1)] | None = told(
        "The smallest ratio worth finding: `safe` means that it is excluded."
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class LatencyInput:
    """Which difference in latency is harm."""

    slower: Annotated[float, Percentage(high=None)] | None = told("Tolerated slowdown.")
    find: Annotated[float, Percentage(high=None)] | None = told("The smallest slowdown worth finding.")


@dataclass(frozen=True, kw_only=True, slots=True)
class _Asked:
    """Where a value comes from when the service does not report it itself."""

    source: str = told("Which source is asked; may be left out when there is only one.", "")
    canary: str = told("What it is asked for the canary.", "")
    stable: str = told("What it is asked for stable.", "")
    query: str = told(
        "What it is asked instead of `canary`; with `by` one answer that holds both versions.", ""
    )
    by: str = told("The label that tells the versions apart in the answer to `query`.", "")
    canary_is: str = told("Its value at the canary; left out: the rollout's version.", "")
    stable_is: str = told("Its value at stable; left out: the stable version.", "")


@dataclass(frozen=True, kw_only=True, slots=True)
class MetricInput(_Asked):
    """A gauge or business metric, compared window by window by the sequential judge."""

    name: Name = told("Its name; also the one under which a service reports it.", required=True)
    higher_is_better: bool | None = told("Higher is better (conversion) instead of lower (queue length).")
    tolerate: Annotated[float, Percentage(high=None)] | None = told(
        "Tolerated relative difference of the means."
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckInput(_Asked):
    """A fixed threshold: one rule on one measurement over its own window."""

    name: Name = told("Its name, for people.", required=True)
    measure: Measure | None = told("What is measured; left out for a query or a reported `metric`.")
    metric: str = told("A metric that the service reports by this name.", "")
    at_most: _Limit | None = told("Fails above this: `0.5 %` for rates, `800ms` for latency, or a number.")
    below: _Limit | None = told("Fails from this on.")
    at_least: _Limit | None = told("Fails below this.")
    above: _Limit | None = told("Fails down from this.")
    at_most_ratio: _Limit | None = told("Fails above this many times stable's value.")
    below_ratio: _Limit | None = told("Fails from this many times stable's value on.")
    at_least_ratio: _Limit | None = told("Fails below this many times stable's value.")
    above_ratio: _Limit | None = told("Fails down from this many times stable's value.")
    at_most_more: _Limit | None = told("Fails above stable's value plus this.")
    below_more: _Limit | None = told("Fails from stable's value plus this on.")
    at_least_more: _Limit | None = told("Fails below stable's value plus this.")
    above_more: _Limit | None = told("Fails down from stable's value plus this.")
    zero: bool = told("One is enough to fail.", default=False)
    label: str = told("Only requests with this label, such as `mode=fast`.", "")
    endpoint: str = told("Only requests to this endpoint.", "")
    window: _AboveZero | None = told("How far back it looks.", also="window_seconds")
    min_requests: Annotated[int, Number(whole=True)] | None = told(
        "Canary requests in the window below which it says nothing."
    )
    on_fail: OnFail | None = told("What a failure does.")
    required: bool | None = told("A step does not pass while this says nothing.")
    comparison: Comparison | None = told("As the API writes it: what `limit` is held against.")
    limit: float | None = told("As the API writes it: the limit.")
    floor: bool | None = told("As the API writes it: the limit is a floor.")
    strict: bool | None = told("As the API writes it: the limit itself fails.")
    selector: Selector | None = told("As the API writes it: `endpoint` and `label`.")


@dataclass(frozen=True, kw_only=True, slots=True)
class _SourceInput:
    """What every source has."""

    url: str = told("Its address, without a password.", "")
    url_env: EnvName | None = told("The environment variable that holds the address, when that is secret.")
    timeout: _AboveZero | None = told("An answer that takes longer is none.", also="timeout_seconds")


@dataclass(frozen=True, kw_only=True, slots=True)
class PrometheusInput(_SourceInput):
    """A Prometheus server, or what speaks like one."""

    type: Annotated[str, Exactly("prometheus", "must be prometheus")] = told("prometheus", required=True)
    bearer_token_env: EnvName | None = told("The environment variable that holds the token.")
    username: str = told("A user, with `password_env`.", "")
    password_env: EnvName | None = told("The environment variable that holds the password.")
    headers: dict[str, str] | None = told("Sent along, such as X-Scope-OrgID; no secrets.")
    ca_file: str = told("PEM file of the authorities to trust instead of the system's.", "")
    max_age: _AboveZero | None = told("A number made of older samples is stale.", also="max_age_seconds")


@dataclass(frozen=True, kw_only=True, slots=True)
class HttpInput(_SourceInput):
    """A JSON document by HTTP; a query is a path in it, such as `data.errors.0`."""

    type: Annotated[str, Exactly("http", "must be http")] = told("http", required=True)
    bearer_token_env: EnvName | None = told("The environment variable that holds the token.")
    headers: dict[str, str] | None = told("Sent along; no secrets.")
    ca_file: str = told("PEM file of the authorities to trust instead of the system's.", "")
    allow_hosts: tuple[str, ...] = told("Private hosts and networks (10.0.0.0/8) that may be asked.", ())


@dataclass(frozen=True, kw_only=True, slots=True)
class SqlInput(_SourceInput):
    """A database; a query is one SELECT with :since, :until, :version and :side."""

    type: Annotated[str, Exactly("sql", "must be sql")] = told("sql", required=True)
    window: _AboveZero | None = told("How far `:since` lies before `:until`.", also="window_seconds")


_SOURCES = {"prometheus": PrometheusInput, "http": HttpInput, "sql": SqlInput}


@dataclass(frozen=True, kw_only=True, slots=True)
class PolicyInput:
    """A Serinus policy: what a new version is held to, and what follows."""

    version: Annotated[int, Exactly(1, "expected 1")] | None = told("Of this format: 1.")
    name: Name | None = told("The policy's name.")
    preset: Annotated[str, Choice("policy preset", tuple(sorted(PRESETS)))] | None = told(
        "What this file starts from; its own keys come on top."
    )
    only: bool = told("Take no checks and no judge from the preset.", default=False)
    judge: bool | None = told("Use the sequential judge, beside the checks if there are any.")
    budget: Annotated[float, Percentage(inside=True)] | None = told(
        "Chance that a canary that is no worse is ever rolled back: all looks, the whole rollout."
    )
    confidence: Annotated[float, Percentage(low=0.5, inside=True)] | None = told(
        "Confidence of `safe` and of the intervals."
    )
    errors: Annotated[Any, OrOff(ErrorsInput)] | None = told("Which difference in errors is harm; or off.")
    latency: Annotated[Any, OrOff(LatencyInput)] | None = told("Which difference in latency is harm; or off.")
    metrics: tuple[MetricInput, ...] | None = told("Gauges and business metrics that are compared.")
    warm_up: Seconds | None = told(
        "Latency at the beginning of each step that is not held against the canary."
    )
    lag: Seconds | None = told("A window is closed this long after its end.")
    min_requests: Annotated[int, Number(whole=True)] | None = told(
        "Canary requests of a step below which nothing is accepted."
    )
    step_up: StepUp | None = told("When a step may end: at its time, or as soon as harm is excluded.")
    min_step: Seconds | None = told("A step lasts at least this long under `adaptive`.")
    unsure: Unsure | None = told("What happens at a step's time when the judge cannot say safe.")
    horizon: _AboveZero | None = told(
        "How long the rollout is planned to take; left out: the sum of the steps below 100 %."
    )
    drift: Annotated[float, Number(low=1)] | None = told(
        "After 100 %, how much worse than its history stable may itself have become."
    )
    watch: Seconds | None = told("How long the judge goes on after promotion, with automatic rollback.")
    slices: bool | None = told("Compare per endpoint and label; otherwise only totals.")
    on_no_data: OnNoData | None = told("What happens when a required check has no answer.")
    no_data_deadline: Seconds | None = told(
        "Time without a usable measurement after which `rollback` applies.", also="no_data_deadline_seconds"
    )
    breaker: bool | None = told("Roll back at once when a circuit breaker opens.")
    steps: tuple[StepInput, ...] | None = told("The walk: rising shares, each held for its time.")
    sources: dict[str, Annotated[Any, Tagged("type", _SOURCES)]] | None = told(
        "Who is asked for measurements, by a name of yours."
    )
    promql: str = told("Source that is asked the contract's PromQL of the preset's checks.", "")
    checks: tuple[CheckInput, ...] | None = told(
        "Fixed thresholds; one of the same name takes the place of the preset's."
    )
    requests: RequestsFrom | None = told("The judge's counts from Prometheus instead of the built-in ones.")
    gate: tuple[CheckInput, ...] | None = told("What must hold for a promotion by hand without force.")
    gate_majority: Seconds | None = told(
        "Time at 50 % or more that the gate asks for.", also="gate_majority_seconds"
    )
    slos: tuple[Slo, ...] = told("Objectives of the service, for burn-rate alerts.", ())
    alerts: tuple[Alert, ...] = told("Prometheus alerts of your own.", ())
    notifications: Notifications | None = told("What people are told, and where.")
    speed: float = told("Divides every time of the preset: 60 makes five minutes five seconds.", 1.0)
