"""Policy files: what they mean, and everything that can be wrong with them."""

from __future__ import annotations

import json
from dataclasses import fields, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serinus.core.analysis.checks import Check, Comparison, Measure, OnFail, OnNoData, Policy, evaluate
from serinus.core.analysis.evidence import Evidence, Sample, SampleKind, Side
from serinus.core.analysis.queries import MetricQuery, Query, RequestsFrom, Source, SourceType
from serinus.core.analysis.sequential.plan import (
    ErrorHarm,
    LatencyHarm,
    MetricHarm,
    Plan,
    StepUp,
    Unsure,
)
from serinus.core.analysis.verdict import Outcome
from serinus.core.codec import from_json, to_json
from serinus.core.errors import InvalidInput
from serinus.core.model import CanaryConfig, Step
from serinus.core.notices import Notifications, Topic
from serinus.core.policy.file import policy_file_from
from serinus.core.policy.inputs import ErrorsInput, LatencyInput, MetricInput, PolicyInput
from serinus.core.policy.judging import PLAN_KEYS
from serinus.core.policy.parse import policy_from
from serinus.core.policy.presets import PRESETS, SEQUENTIAL
from serinus.core.policy.slos import Alert, Severity, Slo

PROM = {"prom": {"type": "prometheus", "url": "http://prom:9090"}}


def read(**keys):
    """Return a policy file of these keys."""
    return policy_file_from({"version": 1, **keys})


def wrong(**keys) -> dict[str, str]:
    """Return what is wrong with these keys, by place."""
    with pytest.raises(InvalidInput) as refusal:
        read(**keys)
    return refusal.value.extra["errors"]


def test_an_empty_file_is_the_sequential_policy():
    """Every default is the judge's own."""
    file = read()
    assert (file.name, file.preset, file.steps) == ("sequential", "sequential", ())
    assert file.policy == SEQUENTIAL


def test_the_whole_shape():
    """Each key lands where it belongs."""
    file = read(
        name="checkout",
        budget="2 %",
        confidence="90%",
        errors={"ratio": 1.2, "points": 0.2, "find": 3},
        latency={"slower": "10 %", "find": 0.2},
        warm_up="1m30s",
        lag="500ms",
        min_requests=50,
        step_up="adaptive",
        min_step=30,
        unsure="hold",
        watch="1h30m",
        drift=3,
        slices=False,
        on_no_data="rollback",
        no_data_deadline="10m",
        breaker=False,
        steps=[{"traffic": "1 %", "hold": "15m"}, {"traffic": 0.25, "hold": 60, "gate": True}],
        metrics=[{"name": "conversion", "higher_is_better": True, "tolerate": "2 %"}],
        notifications={"on": ["rollback"], "channels": ["slack"]},
    )
    assert file.policy.judge == Plan(
        budget=0.02,
        confidence=0.9,
        errors=ErrorHarm(ratio=1.2, points=0.2, find=3.0),
        latency=LatencyHarm(slower=0.1, find=0.2),
        metrics=(MetricHarm(name="conversion", higher_is_better=True, tolerate=0.02),),
        warm_up=90,
        lag=0.5,
        min_requests=50,
        step_up=StepUp.ADAPTIVE,
        min_step=30,
        unsure=Unsure.HOLD,
        horizon=960,  # the steps below 100 %
        watch=5400,
        drift=3,
        slices=False,
    )
    assert file.steps == (
        Step(traffic_bp=100, hold_seconds=900),
        Step(traffic_bp=2500, hold_seconds=60, gate=True),
    )
    assert file.policy.on_no_data is OnNoData.ROLLBACK
    assert (file.policy.no_data_deadline_seconds, file.policy.breaker) == (600, False)
    assert file.notifications == Notifications(on=(Topic.ROLLBACK,), channels=("slack",))
    assert from_json(Policy, json.loads(json.dumps(to_json(file.policy)))) == file.policy


@pytest.mark.parametrize("off", ["off", False])
def test_a_part_of_the_judge_can_be_off(off):
    """YAML 1.1 reads ``off`` as false, YAML 1.2 as a text; both mean it."""
    plan = read(errors=off).policy.judge
    assert (plan.errors, plan.latency) == (None, LatencyHarm())


def test_a_preset_is_the_base():
    """The file's checks come on top; ``only`` drops the preset's, and its judge."""
    mine = {"name": "error rate", "measure": "error_rate", "below": "1 %"}
    policy = read(preset="slo", checks=[mine]).policy
    assert [(c.name, c.limit, c.strict) for c in policy.checks] == [
        ("availability", 0.995, False),
        ("p95 latency", 800, False),
        ("error rate", 0.01, True),
    ]
    assert [c.name for c in read(preset="slo", only=True, checks=[mine]).policy.checks] == ["error rate"]
    assert read(only=True, checks=[mine]).policy.judge is None
    assert read(preset="slo", judge=True, budget="2 %").policy.judge == Plan(budget=0.02)
    assert read(judge=False, checks=[mine]).policy.judge is None


@pytest.mark.parametrize(
    ("bound", "comparison", "floor", "strict", "limit"),
    [
        ({"at_most": "800ms"}, "absolute", False, False, 800),
        ({"at_most": "2.5 s"}, "absolute", False, False, 2500),
        ({"below": 900}, "absolute", False, True, 900),
        ({"at_least": 1}, "absolute", True, False, 1),
        ({"above": 1}, "absolute", True, True, 1),
        ({"below_ratio": 2}, "ratio", False, True, 2),
        ({"at_most_ratio": "120 %"}, "ratio", False, False, 1.2),
        ({"at_least_more": "10ms"}, "difference", True, False, 10),
        ({"zero": True}, "zero", False, False, 0),
        ({"comparison": "ratio", "limit": 2, "floor": True, "strict": True}, "ratio", True, True, 2),
    ],
)
def test_limits(bound, comparison, floor, strict, limit):
    """One key says side, strictness, and what it is held against."""
    (check,) = read(only=True, checks=[{"name": "x", "measure": "latency_p95", **bound}]).policy.checks
    assert (check.comparison.value, check.floor, check.strict, check.limit) == (
        comparison,
        floor,
        strict,
        limit,
    )


def test_queries_are_samples_named_after_their_check():
    """Both sides apart, one query by a label, and the only source by default."""
    file = read(
        sources=PROM,
        checks=[
            {"name": "loss", "canary": "loss_c", "stable": "loss_s", "below_ratio": 2, "window": "10m"},
            {
                "name": "queue",
                "source": "prom",
                "query": "avg by (v) (q)",
                "by": "v",
                "canary_is": "c",
                "at_most": 5,
            },
        ],
        metrics=[{"name": "conversion", "canary": "a", "stable": "b"}],
    )
    loss = Query(source="prom", canary="loss_c", stable="loss_s")
    assert file.policy.checks[0] == Check(
        name="loss",
        measure=Measure.SAMPLE,
        metric="loss",
        comparison=Comparison.RATIO,
        limit=2,
        strict=True,
        window_seconds=600,
        query=loss,
    )
    assert file.policy.queries() == (
        MetricQuery(name="loss", query=loss),
        MetricQuery(name="queue", query=Query(source="prom", canary="avg by (v) (q)", by="v", canary_is="c")),
        MetricQuery(name="conversion", query=Query(source="prom", canary="a", stable="b")),
    )
    assert file.policy.source("prom") == Source(
        name="prom", type=SourceType.PROMETHEUS, url="http://prom:9090"
    )
    samples = tuple(
        Sample(side=side, name="loss", start=990, value=value, kind=SampleKind.GAUGE)
        for side, value in ((Side.CANARY, 3.0), (Side.STABLE, 1.0))
    )
    assert evaluate(file.policy.checks[0], Evidence(samples=samples), 1000).outcome is Outcome.FAIL


def test_sources_name_variables_instead_of_secrets():
    """Each type has its own keys."""
    file = read(
        sources={
            "prom": {
                **PROM["prom"],
                "bearer_token_env": "SERINUS_SOURCE_PROM_TOKEN",
                "timeout": "2s",
                "max_age": "1m",
            },
            "shop": {"type": "http", "url": "https://shop/x.json", "allow_hosts": ["10.0.0.0/8"]},
            "db": {"type": "sql", "url_env": "SERINUS_SOURCE_SHOP_DB", "window": "10m"},
        },
        requests={"source": "prom", "total": "http_requests_total", "errors": 'e{status=~"5{1}.."}'},
    )
    assert file.sources == (
        Source(
            name="prom",
            type=SourceType.PROMETHEUS,
            url="http://prom:9090",
            bearer_token_env="SERINUS_SOURCE_PROM_TOKEN",
            timeout_seconds=2,
            max_age_seconds=60,
        ),
        Source(name="shop", type=SourceType.HTTP, url="https://shop/x.json", allow_hosts=("10.0.0.0/8",)),
        Source(name="db", type=SourceType.SQL, url_env="SERINUS_SOURCE_SHOP_DB", window_seconds=600),
    )
    assert file.policy.requests == RequestsFrom(
        source="prom", total="http_requests_total", errors='e{status=~"5{1}.."}'
    )
    assert SourceType.HTTP.driver == "http-json"


@pytest.mark.parametrize(
    "source",
    [
        {"type": "prometheus", "url": "http://me:hunter2@prom"},
        {"type": "sql", "url": "postgresql://me:hun/ter2@db/x"},
        {"type": "http", "url": "https://x/y?api_key=hunter2"},
        {"type": "http", "url": "https://x/y", "headers": {"Authorization": "Bearer hunter2"}},
        {"type": "prometheus", "url": "http://x", "bearer_token_env": "hunter2-is-secret"},
        {"type": "prometheus", "url": "http://x", "password": "hunter2"},
    ],
)
def test_a_secret_is_refused_and_not_repeated(source):
    """Whoever reads the error must not learn it."""
    problems = wrong(sources={"a": source})
    assert problems
    assert "hunter2" not in json.dumps(problems)


@pytest.mark.parametrize(
    ("keys", "place", "words"),
    [
        ({"budgt": 1}, "budgt", "unknown key; did you mean 'budget'?"),
        ({"budget": 1}, "budget", "1 could mean 1 % or 100 %: write the % sign"),
        ({"budget": "0 %"}, "budget", "0 % is outside 0 % to 100 %"),
        ({"budget": "lots"}, "budget", "expected a share like `1 %` or 0.01"),
        ({"warm_up": "soon"}, "warm_up", "expected a time like 90s, 5m or 1h30m, or a number of seconds"),
        ({"warm_up": -1}, "warm_up", "a time of -1 s makes no sense here"),
        ({"watch": "9999d"}, "watch", "that is more than ten years"),
        ({"version": 2}, "version", "expected 1"),
        ({"version": True}, "version", "expected 1"),
        ({"preset": "slow"}, "preset", "there is no policy preset 'slow'"),
        ({"preset": "slo", "budget": "1 %"}, "budget", "has no effect: this policy has no sequential judge"),
        ({"errors": {"ratio": 3}}, "errors.find", "must be above what is tolerated (`ratio`)"),
        ({"errors": {"ratoi": 3}}, "errors.ratoi", "did you mean 'ratio'?"),
        ({"steps": []}, "steps", "expected at least one step"),
        (
            {"steps": [{"traffic": "5 %", "hold": 1}, {"traffic": "5%", "hold": 1}]},
            "steps[1].traffic",
            "must be above the step before",
        ),
        ({"steps": [{"traffic": "0.001 %", "hold": 1}]}, "steps[0].traffic", "finer than 0.01 %"),
        ({"steps": [{"traffic": "0 %", "hold": 1}]}, "steps[0].traffic", "shows nothing"),
        ({"steps": [{"traffic": "1 %"}]}, "steps[0].hold", "missing"),
        ({"checks": [{"name": "a", "zero": True}]}, "checks[0].measure", "missing: give `measure`"),
        ({"checks": [{"name": "a", "measure": "requests"}]}, "checks[0]", "no limit: give one of at_most"),
        (
            {"checks": [{"name": "a", "measure": "requests", "above": 1, "below": 2}]},
            "checks[0]",
            "more than one limit: below, above",
        ),
        (
            {"checks": [{"name": "a", "measure": "error_rate", "at_most": "5ms"}]},
            "checks[0].at_most",
            "a time is no limit for this",
        ),
        (
            {"checks": [{"name": "a", "measure": "error_rate", "at_most": 5}]},
            "checks[0].at_most",
            "5 could mean 5 %: write the % sign",
        ),
        (
            {"checks": [{"name": "a", "measure": "latency_p95", "at_most": "5 %"}]},
            "checks[0].at_most",
            "a share is no limit",
        ),
        (
            {"checks": [{"name": "a", "query": "up", "zero": True}]},
            "checks[0].source",
            "missing: add it to `sources`",
        ),
        (
            {"sources": PROM, "checks": [{"name": "a", "source": "x", "query": "up", "zero": True}]},
            "checks[0].source",
            "there is no source 'x'; `sources` has prom",
        ),
        (
            {"sources": PROM, "checks": [{"name": "a", "query": "up", "below_ratio": 2}]},
            "checks[0].stable",
            "missing: this limit is about stable's value",
        ),
        (
            {"sources": PROM, "checks": [{"name": "a", "query": "up", "label": "x=y", "zero": True}]},
            "checks[0]",
            "put them into the query",
        ),
        ({"sources": PROM, "metrics": [{"name": "a", "query": "up"}]}, "metrics[0].stable", "missing"),
        (
            {"sources": PROM, "requests": {"total": "rate(x[5m])"}},
            "requests.total",
            "expected one metric with its labels",
        ),
        ({"requests": {"total": "x"}}, "requests.source", "there is none"),
        ({"sources": {"a": {"type": "graphite"}}}, "sources.a", "type must be one of: prometheus, http, sql"),
        ({"sources": {"a": {"type": "sql"}}}, "sources.a.url", "give either `url` or `url_env`"),
        ({"sources": {"a": {"type": "sql", "url": "http://x"}}}, "sources.a.url", "begins with sqlite:///"),
        ({"promql": "prom"}, "promql", "expected one of `sources` that is a Prometheus"),
        (
            {"sources": PROM, "promql": "prom"},
            "promql",
            "the preset sequential has no PromQL; orchestrator has",
        ),
        ({"slos": [{"name": "a", "objective": "99 %"}]}, "slos[0]", "nothing to measure it by"),
        ({"alerts": [{"name": "a"}]}, "alerts[0]", "give either `check` or `expr`"),
        (
            {"alerts": [{"name": "a", "check": "b"}]},
            "alerts[0].check",
            "there is no check 'b'; there are: none",
        ),
        ({"alerts": [{"name": "a", "expr": "up", "for_": 1}]}, "alerts[0].for_", "unknown key"),
        ({"notifications": {"on": ["rollbak"]}}, "notifications.on[0]", "did you mean 'rollback'?"),
        ({"gate": [{"name": "a\nb", "measure": "requests", "above": 1}]}, "gate[0].name", "on one line"),
        ({"speed": 0}, "speed", "must be above 0"),
    ],
)
def test_a_mistake_is_told_with_its_place(keys, place, words):
    """One problem, at the place where it has to be corrected."""
    problems = wrong(**keys)
    assert list(problems) == [place], problems
    assert words in problems[place]


def test_all_mistakes_are_told_at_once():
    """Of shape and of meaning, in every part."""
    assert set(
        wrong(
            budget=5,
            steps=[
                {"traffic": "5 %", "hold": "1m"},
                {"traffic": "1 %", "hold": "x"},
                {"traffic": 0.01, "hold": 1},
            ],
            checks=[{"name": "a", "measure": "nope"}, {"name": "b", "measure": "requests"}],
            sources={"p": {"type": "sql", "url": "x", "urls": 1}},
            alerts=[{"name": "a", "check": "zzz"}],
        )
    ) == {
        "budget",
        "steps[1].hold",
        "steps[2].traffic",
        "checks[0].measure",
        "checks[1]",
        "sources.p.urls",
        "alerts[0].check",
    }


def test_a_name_is_given_once():
    """Checks, alerts, objectives; and two queries of one name would be mixed."""
    twice = [{"name": "a", "measure": "requests", "above": 1}] * 2
    assert wrong(checks=twice) == {"checks[1].name": "there is another 'a' above"}
    queries = {"sources": PROM, "checks": [{"name": "a", "query": "x", "zero": True}]}
    assert (
        "two different queries"
        in wrong(**queries, gate=[{"name": "a", "query": "y", "zero": True}])["checks"]
    )
    assert read(**queries, gate=[{"name": "a", "query": "x", "zero": True}]).policy.queries() == (
        MetricQuery(name="a", query=Query(source="prom", canary="x")),
    )


def test_a_file_without_its_version_is_refused():
    """And the next step is in the words."""
    with pytest.raises(InvalidInput) as refusal:
        policy_file_from({"preset": "slo"})
    assert refusal.value.extra["errors"] == {"version": "missing: write `version: 1`"}


def test_slos_and_alerts():
    """With their defaults."""
    file = read(
        preset="slo",
        slos=[{"name": "a", "objective": "99.5 %", "total": "t", "bad": "b"}],
        alerts=[{"name": "x", "check": "error rate", "for": "5m", "severity": "critical"}],
    )
    assert file.slos == (Slo(name="a", objective=0.995, total="t", bad="b"),)
    assert file.alerts == (Alert(name="x", check="error rate", for_=300, severity=Severity.CRITICAL),)


def test_the_orchestrator_can_ask_prometheus():
    """``promql`` puts the contract's questions in the place of the built-in measures."""
    policy = read(preset="orchestrator", sources=PROM, promql="prom").policy
    loss = policy.checks[-1]
    assert loss.query == Query(
        source="prom",
        canary='rl_training_loss{version="canary"}',
        stable='rl_training_loss{version="production"}',
    )
    assert [q.name for q in policy.queries()] == [c.name for c in PRESETS["orchestrator"].checks]


def test_the_apis_analysis_takes_a_whole_file():
    """A file says its version; without it the API's own defaults hold."""
    data = {"version": 1, "name": "x", "budget": "2 %", "steps": [{"traffic": "1 %", "hold": "1m"}]}
    assert policy_from(data, CanaryConfig()) == policy_file_from(data).policy
    assert policy_from({}, CanaryConfig()).name == "sequential"
    with pytest.raises(InvalidInput) as refusal:
        policy_from({**data, "budget": "x"}, CanaryConfig())
    assert refusal.value.field == "analysis.budget"


def test_the_apis_own_form_still_holds():
    """Seconds, selectors and comparisons as before."""
    check = {
        "name": "p95",
        "measure": "latency_p95",
        "comparison": "ratio",
        "limit": 1.5,
        "window_seconds": 60,
        "selector": {"label": "mode=fast"},
        "on_fail": "hold",
    }
    given = {
        "only": True,
        "checks": [check],
        "gate": [],
        "gate_majority_seconds": 5,
        "no_data_deadline_seconds": 9,
    }
    policy = policy_from(given, CanaryConfig())
    assert policy.name == "sequential, changed"
    assert (policy.gate, policy.gate_majority_seconds, policy.no_data_deadline_seconds) == ((), 5, 9)
    (made,) = policy.checks
    assert (made.limit, made.window_seconds, made.selector.label) == (1.5, 60, "mode=fast")
    assert made.on_fail is OnFail.HOLD


def test_the_keys_are_those_of_the_plan():
    """What the judge can be asked, a file can say."""
    for keys, kind in (
        (PolicyInput, Plan),
        (ErrorsInput, ErrorHarm),
        (LatencyInput, LatencyHarm),
        (MetricInput, MetricHarm),
    ):
        assert {f.name for f in fields(kind)} - {f.name for f in fields(keys)} <= {"candidates"}
    assert set(PLAN_KEYS) == {f.name for f in fields(Plan)} - {"candidates"}


_KEYS = [f.name for f in fields(PolicyInput)]
_WORDS = [
    "1 %",
    "5m",
    "off",
    "prom",
    "x",
    "",
    "up",
    "error_rate",
    "rollback",
    "prometheus",
    "sql",
    "http://a:b@c",
]
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(_WORDS) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["name", "type", "url", "query", "traffic", "hold", "measure", "on", "check", "zero"]
            )
            | st.sampled_from(_KEYS)
            | st.text(max_size=5),
            inner,
            max_size=5,
        )
    ),
    max_leaves=12,
)


@settings(max_examples=300, deadline=None)
@given(data=_JSON | st.dictionaries(st.sampled_from(_KEYS), _JSON, max_size=6))
def test_whatever_is_given_only_invalid_input_is_raised(data):
    """By the file's reader and by the API's."""
    for reader in (policy_file_from, lambda d: policy_from(d if isinstance(d, dict) else {}, CanaryConfig())):
        try:
            made = reader({"version": 1, **data} if isinstance(data, dict) else data)
        except InvalidInput:
            continue
        policy = getattr(made, "policy", made)
        assert replace(policy, name="") == replace(from_json(Policy, to_json(policy)), name="")


@pytest.mark.parametrize("data", [None, [], "x", 5, {"budget": 10**400}, {"checks": [[[]]] * 3}])
def test_what_is_no_policy_at_all(data):
    """Is refused in words."""
    with pytest.raises(InvalidInput):
        policy_file_from(data)


def test_deeply_nested_data_is_refused():
    """Without running out of stack."""
    deep: list = []
    for _ in range(100_000):
        deep = [deep]
    assert "name" in wrong(name=deep)
