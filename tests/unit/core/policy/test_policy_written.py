"""Policies written back: as files, as a schema, as sentences."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema_rs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serinus.cli.yaml_file import read_yaml
from serinus.core.policy.effective import effective
from serinus.core.policy.explain import explain
from serinus.core.policy.file import policy_file_from
from serinus.core.policy.forms import Duration, Percentage
from serinus.core.policy.presets import PRESETS
from serinus.core.policy.schema import policy_schema

ROOT = Path(__file__).parents[4]
EXAMPLES = sorted((ROOT / "examples/policies").glob("*.yaml"))
ALL = [*EXAMPLES, *sorted(PRESETS)]


def data_of(named):
    """Return the data of an example, or of a preset's name."""
    return {"version": 1, "preset": named} if isinstance(named, str) else read_yaml(named).data


@pytest.fixture(scope="module")
def schema():
    """Return what editors check with."""
    return jsonschema_rs.Draft202012Validator(policy_schema())


def test_there_are_examples():
    """One for each way to use a policy."""
    assert len(EXAMPLES) == 4


def test_the_committed_schema_is_the_codes():
    """``serinus policy schema > spec/policy.schema.json`` renews it."""
    assert json.loads((ROOT / "spec/policy.schema.json").read_text()) == policy_schema()


@pytest.mark.parametrize("named", ALL, ids=str)
def test_a_policy_written_out_is_the_same_policy(named, schema):
    """And a valid file by the schema."""
    data = data_of(named)
    file = policy_file_from(data)
    written = effective(file, data)
    again = policy_file_from(written.data)
    assert again == file
    assert effective(again, written.data).data == written.data
    assert [str(e) for e in schema.iter_errors(data)] == []
    assert [str(e) for e in schema.iter_errors(written.data)] == []


@pytest.mark.parametrize(
    "keys",
    [
        {"budgt": "1 %"},
        {"budget": 1},
        {"budget": "1 percent"},
        {"warm_up": "soon"},
        {"steps": [{"traffic": "1 %"}]},
        {"sources": {"a": {"type": "sql", "allow_hosts": []}}},
        {"checks": [{"measure": "requests"}]},
        {"name": " "},
        {"version": 2},
        {"preset": "nope"},
        {"errors": "none"},
    ],
)
def test_the_schema_refuses_what_the_reader_refuses(keys, schema):
    """As far as shapes go."""
    assert not schema.is_valid({"version": 1, **keys})
    assert schema.is_valid({"version": 1})
    assert not schema.is_valid({})


def test_every_key_is_described_and_knows_its_default():
    """For editors."""
    schema = policy_schema()
    shapes = [schema, *schema["$defs"].values()]
    assert [n for shape in shapes for n, p in shape["properties"].items() if "description" not in p] == []
    top = schema["properties"]
    assert {
        key: top[key]["default"] for key in ("preset", "budget", "warm_up", "unsure", "drift", "watch")
    } == {
        "preset": "sequential",
        "budget": "1 %",
        "warm_up": "2m",
        "unsure": "accept",
        "drift": 2,
        "watch": "30m",
    }
    assert schema["$defs"]["Errors"]["properties"]["find"]["default"] == 2
    assert schema["$defs"]["Check"]["properties"]["window"]["default"] == "5m"


def test_every_part_says_where_it_comes_from():
    """The file, its preset, or nobody."""
    data = {
        "version": 1,
        "preset": "slo",
        "judge": True,
        "budget": "2 %",
        "errors": {"ratio": 1.5},
        "steps": [{"traffic": "1 %", "hold": "1m"}],
        "checks": [{"name": "mine", "measure": "requests", "above": 1}],
    }
    origins = effective(policy_file_from(data), data).origins
    assert {
        key: origins[key] for key in ("budget", "confidence", "errors.ratio", "errors.find", "horizon")
    } == {
        "budget": "this file",
        "confidence": "preset slo",
        "errors.ratio": "this file",
        "errors.find": "preset slo",
        "horizon": "the steps",
    }
    assert (origins["checks[0]"], origins["checks[3]"]) == ("preset slo", "this file")
    assert origins["notifications"] == "default"


@given(st.floats(0, 3e8))
def test_times_read_back(seconds):
    """Whatever they are."""
    assert Duration().value(Duration().show(seconds)) == seconds


@given(st.floats(0, 1, exclude_max=True))
def test_shares_read_back(share):
    """Whatever they are."""
    assert Percentage().value(Percentage().show(share)) == share


def test_what_an_on_call_reads():
    """The whole text."""
    told = explain(
        policy_file_from(
            {
                "version": 1,
                "name": "checkout",
                "preset": "sequential",
                "latency": "off",
                "unsure": "hold",
                "on_no_data": "rollback",
                "step_up": "adaptive",
                "steps": [
                    {"traffic": "5 %", "hold": "15m", "gate": True},
                    {"traffic": "100 %", "hold": "30m"},
                ],
                "sources": {"prom": {"type": "prometheus", "url_env": "PROM"}},
                "checks": [
                    {"name": "loss", "canary": "a", "stable": "b", "at_most_ratio": 2, "on_fail": "hold"},
                    {"name": "errors", "measure": "error_rate", "below_more": "0.5 %", "on_fail": "warn"},
                    {
                        "name": "p95",
                        "measure": "latency_p95",
                        "at_most": "2.5s",
                        "label": "mode=fast",
                        "required": False,
                    },
                ],
                "gate": [{"name": "seen", "measure": "requests", "above": 1000}],
                "gate_majority": "10m",
                "slos": [{"name": "availability", "objective": "99.5 %", "total": "t", "bad": "b"}],
                "notifications": {"on": ["rollback", "warning"], "channels": ["slack"]},
            }
        )
    )
    assert told == {
        "Steps": [
            "1. 5 % of users, held for 15m. Then somebody has to approve.",
            "2. 100 % of users, held for 30m.",
            "All steps together take 45m or longer: only time in which it was measured counts.",
            "A step ends early once harm that matters is excluded, after 60s at the earliest.",
        ],
        "Rolled back at once when": [
            "5 requests to the canary fail in a row, or a breaker opens in the proxy or SDK.",
            (
                "It fails more often than stable: more than 1.1 times as often, "
                "and by more than 0.1 percentage points."
            ),
            (
                "These comparisons run all the time, per endpoint and label, and in total. A canary that is "
                "no worse than tolerated is rolled back by them in at most 1 % of rollouts, "
                "however often one looks."
            ),
            (
                "p95: p95 latency with label mode=fast is above 2500 ms over 5m; "
                "skipped where it is not reported."
            ),
        ],
        "Held while": ["loss: its value is above 2 times stable's over 5m."],
        "Only warned about": ["errors: the error rate is at or above stable's plus 0.5 % over 5m."],
        "Tolerated": ["Errors up to 1.1 times stable's, or up to 0.1 percentage points more."],
        "When it cannot tell": [
            "Missing data is never a pass: a required check without an answer holds the step.",
            "After 30m without a usable measurement it is rolled back.",
            "No step is passed with fewer than 100 canary requests in it.",
            (
                "A step is held until harm is excluded (harm the size of 2 times the errors) "
                "with 95 % confidence."
            ),
        ],
        "After 100 %": [
            "It is watched for 30m after its promotion, with automatic rollback.",
            (
                "Without stable traffic it is compared with stable's recorded history; "
                "stable itself may have become 2 times worse since."
            ),
        ],
        "A promotion by hand asks that": [
            "seen: the number of requests is above 1000 over 5m.",
            "The breaker is closed.",
            "It has been at 50 % or more for 10m.",
            "Or it is forced, which is written down.",
        ],
        "Measurements come from": [
            "prom (prometheus, address in $PROM): loss.",
            "The SDK, the proxy and the API: everything else.",
        ],
        "Objectives": ["availability: 99.5 % of requests did not fail, over 30d."],
        "Told": ["Rollbacks, warnings and holds: to slack."],
    }
