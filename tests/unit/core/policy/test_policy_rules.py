"""Prometheus rules made of policies, judged by Prometheus' own tool."""

from __future__ import annotations

import subprocess

import pytest
import yaml

from needs import program
from serinus.cli.yaml_file import write_yaml
from serinus.core.policy.file import policy_file_from
from serinus.core.policy.presets import PRESETS
from serinus.core.policy.rules import rules_of

REQUESTS = {
    "total": "http_requests_total",
    "errors": 'http_requests_total{status=~"5.."}',
    "latency": 'seconds_bucket{job="shop"}',
    "by": "version",
    "canary_is": "canary",
    "stable_is": "stable",
    "endpoint": "path",
}
POLICY = {
    "version": 1,
    "name": "shop",
    "preset": "slo",
    "only": True,
    "sources": {"prom": {"type": "prometheus", "url": "http://prom"}},
    "requests": REQUESTS,
    "checks": [
        {"name": "errors", "measure": "error_rate", "at_most": "2 %", "min_requests": 50},
        {
            "name": "success",
            "measure": "success_rate",
            "at_least": "98 %",
            "endpoint": "/pay",
            "on_fail": "warn",
        },
        {"name": "slower", "measure": "latency_p95", "at_most_ratio": 1.2, "label": "mode=fast"},
        {"name": "more errors", "measure": "error_rate", "below_more": "0.5 %", "on_fail": "hold"},
        {"name": "seen", "measure": "requests", "above": 10, "window": "90s"},
        {"name": "loss", "canary": 'l{version="canary"}', "stable": 'l{version="stable"}', "below_ratio": 2},
        {
            "name": "queue",
            "query": "sum by (version) (q)",
            "by": "version",
            "canary_is": "canary",
            "stable_is": "stable",
            "at_most_ratio": 2,
        },
        {"name": "failures", "query": 'increase(f{version="canary"}[5m])', "zero": True},
        {"name": "mean", "measure": "latency_mean", "at_most": 100},
        {"name": "reported", "metric": "x", "at_most": 1},
    ],
    "alerts": [
        {"name": "Errors!", "check": "errors", "for": "1m30s", "severity": "info", "summary": "{{ $value }}"},
        {"name": "Down", "expr": "up == 0"},
    ],
    "slos": [
        {"name": "availability", "objective": "99.5 %"},
        {"name": "latency", "objective": "95 %", "under": "1s"},
        {"name": "weekly", "objective": "99 %", "period": "7d", "total": "t", "bad": 'b{x="y"}'},
    ],
}


@pytest.fixture(scope="module")
def promtool():
    """Return Prometheus' own checker."""
    return program("promtool", "apt-get install prometheus")


@pytest.fixture(scope="module")
def rules():
    """Return the rules of the policy above."""
    return rules_of(policy_file_from(POLICY))


def by_name(rules) -> dict:
    """Return alerts by their names."""
    return {rule["alert"]: rule for group in rules.data["groups"] for rule in group["rules"]}


def test_every_rule_is_one_for_prometheus(promtool, rules, tmp_path):
    """``promtool check rules`` parses each expression and template."""
    path = tmp_path / "rules.yaml"
    path.write_text(write_yaml(rules.data))
    done = subprocess.run([promtool, "check", "rules", path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"SUCCESS: {len(by_name(rules))} rules found" in done.stdout


def test_what_becomes_a_rule(rules):
    """Alerts, the checks that no alert is about, four burn rates an objective; the rest is told."""
    alerts = by_name(rules)
    assert [g["name"] for g in rules.data["groups"]] == [
        "serinus: shop: alerts",
        "serinus: shop: checks",
        "serinus: shop: slos",
    ]
    assert "errors" not in alerts
    canary = 'version="canary"'
    rate = f'(sum(rate(http_requests_total{{status=~"5..",{canary}}}[5m])) or vector(0))'
    counted = f"(sum(increase(http_requests_total{{{canary}}}[5m])))"
    assert alerts["Errors!"] == {
        "alert": "Errors!",
        "expr": f"({rate} / sum(rate(http_requests_total{{{canary}}}[5m]))) > 0.02 and on () {counted} >= 50",
        "for": "90s",
        "labels": {"severity": "info", "policy": "shop"},
        "annotations": {"summary": "{{ $value }}"},
    }
    assert {name: alerts[name]["labels"]["severity"] for name in ("success", "slower", "more errors")} == {
        "success": "info",
        "slower": "critical",
        "more errors": "warning",
    }
    assert 'path="/pay"' in alerts["success"]["expr"]
    assert 'mode="fast"' in alerts["slower"]["expr"]
    assert sum(name.startswith("availability") for name in alerts) == 4
    assert 'le=~"1([.]0)?"' in next(r["expr"] for n, r in alerts.items() if n.startswith("latency"))
    assert rules.left_out == (
        "check mean: an average is not in a histogram's buckets; use latency_p50 or a `query`",
        "check reported: x is reported to Serinus, not to Prometheus; give it a `query`",
    )


def test_burn_rates_are_those_of_the_workbook(rules):
    """14.4, 6, 3 and 1 over 30 days; in proportion over 7."""
    burns = [n.split("burns ")[1].split(" ")[0] for n in by_name(rules) if n.startswith("availability")]
    weekly = [n.split("burns ")[1].split(" ")[0] for n in by_name(rules) if n.startswith("weekly")]
    assert burns == ["14.4", "6", "3", "1"]
    assert weekly == ["3.36", "1.4", "0.7", "0.233"]


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_a_preset_alone_has_no_rules_and_says_why(name):
    """Nothing of it is in Prometheus."""
    made = rules_of(policy_file_from({"version": 1, "preset": name}))
    assert made.data == {"groups": []}
    assert len(made.left_out) == len(PRESETS[name].checks)


def test_the_contracts_promql_gives_rules():
    """The orchestrator's six checks, once a source is named."""
    made = rules_of(
        policy_file_from(
            {"version": 1, "preset": "orchestrator", "promql": "prom", "sources": POLICY["sources"]}
        )
    )
    assert len(by_name(made)) == 6
    loss = by_name(made)["training loss"]["expr"]
    assert (
        loss == '(rl_training_loss{version="canary"}) >= on () (2 * (rl_training_loss{version="production"}))'
    )


def fires(promtool, tmp_path, rules, series, expected, at="10m"):
    """Have Prometheus evaluate the rules over series, and compare which alerts fire."""
    (tmp_path / "rules.yaml").write_text(write_yaml(rules.data))
    tests = []
    for name in by_name(rules):
        rule = by_name(rules)[name]
        found = [{"exp_labels": {**rule["labels"], **expected[name]}, "exp_annotations": rule["annotations"]}]
        tests.append({"eval_time": at, "alertname": name, "exp_alerts": found if name in expected else []})
    test = {
        "rule_files": ["rules.yaml"],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "15s",
                "input_series": [{"series": k, "values": v} for k, v in series.items()],
                "alert_rule_test": tests,
            }
        ],
    }
    path = tmp_path / "test.yaml"
    path.write_text(yaml.safe_dump(test))
    done = subprocess.run([promtool, "test", "rules", path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


CHECKS = {
    **{k: v for k, v in POLICY.items() if k not in ("slos", "alerts")},
    "checks": [
        c for c in POLICY["checks"] if c["name"] in ("errors", "more errors", "loss", "queue", "failures")
    ],
}


class _Expected(dict):
    """Alerts that fire; asking for another's labels gives none."""

    def __missing__(self, name):
        return {}


def test_a_bad_canary_fires_each_rule(promtool, tmp_path):
    """Though the sides differ in labels: the comparison as the contract writes it never matches."""
    series = {
        'http_requests_total{version="canary",status="200"}': "0+90x40",
        'http_requests_total{version="canary",status="500"}': "0+10x40",
        'http_requests_total{version="stable",status="200"}': "0+100x40",
        'l{version="canary"}': "4x40",
        'l{version="stable"}': "2x40",
        'q{version="canary"}': "30x40",
        'q{version="stable"}': "10x40",
        'f{version="canary"}': "0x30 1x10",
    }
    side = {"version": "canary"}
    expected = _Expected({"errors": {}, "more errors": {}, "loss": {}, "queue": {}, "failures": side})
    fires(promtool, tmp_path, rules_of(policy_file_from(CHECKS)), series, expected)


def test_a_good_canary_fires_none(promtool, tmp_path):
    """Nor does one that has hardly been asked."""
    series = {
        'http_requests_total{version="canary",status="200"}': "0+100x40",
        'http_requests_total{version="stable",status="200"}': "0+100x40",
        'http_requests_total{version="stable",status="500"}': "0+1x40",
        'l{version="canary"}': "3.9x40",
        'l{version="stable"}': "2x40",
        'q{version="canary"}': "20x40",
        'q{version="stable"}': "10x40",
        'f{version="canary"}': "1x40",
    }
    fires(promtool, tmp_path, rules_of(policy_file_from(CHECKS)), series, _Expected())


def test_a_burning_budget_pages(promtool, tmp_path):
    """10 % errors for an hour are 20 times too many; the slow windows page only later or never."""
    slo = {k: v for k, v in POLICY.items() if k not in ("checks", "alerts")} | {"slos": POLICY["slos"][:1]}
    rules = rules_of(policy_file_from(slo))
    series = {
        'http_requests_total{status="200"}': "0+90x400",
        'http_requests_total{status="500"}': "0+10x400",
    }
    fast = [n for n in by_name(rules) if "14.4" in n or " 6 times" in n or " 3 times" in n]
    fires(promtool, tmp_path, rules, series, _Expected({n: {} for n in fast}), at="70m")
