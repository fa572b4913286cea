"""Presets exactly as the contracts say, and reading what users write."""

from __future__ import annotations

import pytest

from serinus.core.analysis.checks import Comparison, Measure
from serinus.core.errors import InvalidInput
from serinus.core.model import CanaryConfig, Mode, parse_percentage
from serinus.core.policy.parse import policy_from, salt_from, strategy_from
from serinus.core.policy.presets import PRESETS

CONFIG = CanaryConfig()


def rows(checks):
    """Return checks as short rows."""
    return [
        (c.name, c.measure.value, c.comparison.value, ">=" if c.floor else "<=", c.limit, c.window_seconds)
        for c in checks
    ]


def test_rulesets_is_contract_1():
    """5 % errors and twice stable's p95 over 5 minutes, 95 % success over 10; the gate beside it."""
    assert rows(PRESETS["rulesets"].checks) == [
        ("error rate", "error_rate", "absolute", "<=", 0.05, 300),
        ("p95 latency", "latency_p95", "ratio", "<=", 2.0, 300),
        ("success rate", "success_rate", "absolute", ">=", 0.95, 600),
    ]
    assert rows(PRESETS["rulesets"].gate) == [
        ("success rate", "success_rate", "absolute", ">=", 0.95, 600),
        ("error rate", "error_rate", "absolute", "<=", 0.05, 300),
        ("p95 latency", "latency_p95", "ratio", "<=", 1.2, 300),
        ("success not below stable", "success_rate", "difference", ">=", 0.0, 600),
    ]


def test_in_app_is_contract_2():
    """5 % errors, 2 s p95, 99 % availability; promote below +0.5 pp, +10 %, above 1,000 requests."""
    assert rows(PRESETS["in-app"].checks) == [
        ("error rate", "error_rate", "absolute", "<=", 0.05, 300),
        ("p95 latency", "latency_p95", "absolute", "<=", 2000.0, 300),
        ("availability", "success_rate", "absolute", ">=", 0.99, 300),
    ]
    assert rows(PRESETS["in-app"].gate) == [
        ("error rate increase", "error_rate", "difference", "<=", 0.005, 300),
        ("p95 increase", "latency_p95", "ratio", "<=", 1.1, 300),
        ("canary requests", "requests", "absolute", ">=", 1000, 300),
    ]
    assert all(c.strict for c in PRESETS["in-app"].gate)


def test_orchestrator_is_contract_3():
    """p95 per mode, errors below 0.5 %, no schema failure, loss below twice production's."""
    assert rows(PRESETS["orchestrator"].checks) == [
        ("p95 latency (fast)", "latency_p95", "absolute", "<=", 2500, 300),
        ("p95 latency (balanced)", "latency_p95", "absolute", "<=", 3200, 300),
        ("p95 latency (creative)", "latency_p95", "absolute", "<=", 4500, 300),
        ("error rate", "error_rate", "absolute", "<=", 0.005, 300),
        ("schema failures", "sample", "zero", "<=", 0.0, 300),
        ("training loss", "sample", "ratio", "<=", 2.0, 300),
    ]


def test_slo_is_contract_5():
    """Availability 99.5 %, p95 800 ms, errors 0.5 %."""
    assert rows(PRESETS["slo"].checks) == [
        ("availability", "success_rate", "absolute", ">=", 0.995, 300),
        ("p95 latency", "latency_p95", "absolute", "<=", 800.0, 300),
        ("error rate", "error_rate", "absolute", "<=", 0.005, 300),
    ]


def test_canary_config_moves_the_contracts_thresholds():
    """``success_threshold`` and ``error_threshold`` of contract 1 are the checks' limits."""
    policy = policy_from({"preset": "rulesets"}, CanaryConfig(success_threshold=0.9, error_threshold=0.1))
    assert {c.name: c.limit for c in policy.checks} == {
        "error rate": 0.1,
        "p95 latency": 2.0,
        "success rate": 0.9,
    }


def test_thresholds_that_somebody_wrote_stand_beside_the_judge():
    """The default keeps ``canary_config``'s thresholds as hard limits: those that were typed, no others."""
    config = CanaryConfig(error_threshold=0.02)
    assert policy_from({}, config).checks == ()
    judged = policy_from({}, config, ("error_threshold",))
    assert judged.judge is not None
    assert [(c.name, c.limit) for c in judged.checks] == [("error rate", 0.02)]


def test_a_users_check_takes_the_presets_place():
    """One of the same name replaces it; others are added."""
    mine = [
        {"name": "error rate", "measure": "error_rate", "limit": 0.01},
        {"name": "p99", "measure": "latency_p99", "comparison": "ratio", "limit": 1.5},
    ]
    policy = policy_from({"preset": "orchestrator", "checks": mine}, CONFIG)
    assert [c.name for c in policy.checks][-2:] == ["error rate", "p99"]
    assert policy.checks[-1].measure is Measure.LATENCY_P99
    assert policy.checks[-1].comparison is Comparison.RATIO
    assert sum(c.name == "error rate" for c in policy.checks) == 1


def test_speed_compresses_every_time():
    """60 makes five minutes five seconds."""
    policy = policy_from({"preset": "rulesets", "speed": 60}, CONFIG)
    assert [c.window_seconds for c in policy.checks] == [5, 5, 10]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"preset": "orchestrater"}, "no policy preset"),
        ({"chekcs": []}, "did you mean 'checks'"),
        ({"checks": [{"name": "x", "measure": "error_rat"}]}, "did you mean 'error_rate'"),
        ({"checks": [{"name": "x", "measure": "error_rate", "limit": "5 %"}]}, "expected a number"),
        ({"checks": {}}, "expected a list"),
        ({"speed": 0}, "above 0"),
        ({"speed": float("nan")}, "finite number"),
    ],
)
def test_a_policy_that_is_wrong_says_where(data, words):
    """Unknown keys name the nearest known one."""
    with pytest.raises(InvalidInput) as refusal:
        policy_from(data, CONFIG)
    assert words in str(refusal.value)
    assert refusal.value.field.startswith("analysis")


def test_all_mistakes_are_told_at_once():
    """Nobody should have to correct them one by one."""
    with pytest.raises(InvalidInput) as refusal:
        policy_from({"a": 1, "b": 2, "breaker": "yes"}, CONFIG)
    assert set(refusal.value.extra["errors"]) == {"analysis.a", "analysis.b", "analysis.breaker"}


def test_auto_mode_without_steps_walks_the_configured_increments():
    """10 % and increments of 10, an hour each (contract 1's defaults)."""
    strategy = strategy_from({"mode": "auto"}, CONFIG)
    assert [s.traffic_bp for s in strategy.steps] == list(range(1000, 10_001, 1000))
    assert {s.hold_seconds for s in strategy.steps} == {3600}
    assert strategy_from(None, CONFIG).mode is Mode.MANUAL


@pytest.mark.parametrize(
    ("data", "field"),
    [
        ({"mode": "auto", "steps": [{"traffic_percentage": 101}]}, "strategy.steps[0].traffic_percentage"),
        (
            {"steps": [{"traffic_percentage": 5}, {"traffic_percentage": 5}]},
            "strategy.steps[1].traffic_percentage",
        ),
        ({"steps": [{"traffic_percentage": 5, "hold_seconds": -1}]}, "strategy.steps[0].hold_seconds"),
        ({"mode": "automatic"}, "strategy.mode"),
    ],
)
def test_a_strategy_that_is_wrong_says_where(data, field):
    """The field is named as the user wrote it."""
    with pytest.raises(InvalidInput) as refusal:
        strategy_from(data, CONFIG)
    assert refusal.value.field == field


@pytest.mark.parametrize("bad", [-1, 101, "ten", float("nan"), float("inf"), True, None, 33.333, [5]])
def test_what_is_no_percentage_is_refused(bad):
    """With the field and what to do."""
    with pytest.raises(InvalidInput) as refusal:
        parse_percentage(bad)
    assert refusal.value.field == "traffic_percentage"
    assert "0 to 100" in refusal.value.next_step


@pytest.mark.parametrize(("good", "bp"), [(0, 0), (0.01, 1), (33.33, 3333), (100, 10_000), (5.0, 500)])
def test_percentages_become_basis_points(good, bp):
    """Exactly, in steps of 0.01."""
    assert parse_percentage(good) == bp


def test_a_salt_must_survive_every_proxy():
    """Letters, digits and three signs."""
    assert salt_from({"salt": "exp-1"}, "dep") == "exp-1"
    assert salt_from(None, "dep_9") == "dep_9"
    with pytest.raises(InvalidInput, match="salt"):
        salt_from({"salt": r"a\1"}, "dep")
