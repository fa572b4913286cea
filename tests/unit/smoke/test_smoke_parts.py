"""The pure parts of smoke tests: places in JSON, variables, log lines, metrics."""

from __future__ import annotations

import pytest

from serinus.core.errors import InvalidInput
from serinus.smoke.answers import body_problems, json_problems, log_problem, metric_found, read_metrics
from serinus.smoke.file import Expect, JsonExpect, LogLine, Metric, smoke_from
from serinus.smoke.paths import MISSING, look_up
from serinus.smoke.variables import Unset, fill

DATA = {"options": [{"id": 7, "tags": ["a", "b"]}], "ok": True, "none": None, "$ref": "x"}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("options[0].id", 7),
        ("$.options[0].tags[-1]", "b"),
        ("$", DATA),
        ("$ref", "x"),
        ("none", None),
        ("options[1]", MISSING),
        ("options.id", MISSING),
        ("ok.more", MISSING),
    ],
)
def test_places_in_json(path, value):
    """Names, dots, indexes; a null is there, what is missing is not."""
    assert look_up(DATA, path) is value or look_up(DATA, path) == value


@pytest.mark.parametrize(
    ("expected", "said"),
    [
        (JsonExpect(path="ok", equals=True), ""),
        (JsonExpect(path="ok", equals=1), "ok is true, expected 1"),
        (JsonExpect(path="options", count=1), ""),
        (JsonExpect(path="options", count=3), "options has 1 elements, expected 3"),
        (JsonExpect(path="ok", count=1), "ok has no elements, expected 1"),
        (JsonExpect(path="options[0].id", at_least=7, at_most=7), ""),
        (JsonExpect(path="options[0].id", at_least=8), "options[0].id is 7, at least 8"),
        (JsonExpect(path="ok", at_most=8), "ok is true, at most 8"),
        (JsonExpect(path="none", type="null"), ""),
        (JsonExpect(path="none", type="text"), "none is null, expected a text"),
        (JsonExpect(path="options[0].tags[0]", matches="^a$"), ""),
        (JsonExpect(path="options[0].tags[0]", matches="z"), 'options[0].tags[0] is "a", expected z'),
        (JsonExpect(path="gone", exists=False), ""),
        (JsonExpect(path="gone", exists=True), "gone is missing"),
        (JsonExpect(path="ok", exists=False), "ok is true, expected nothing"),
    ],
)
def test_an_expectation_says_what_it_found(expected, said):
    """Nothing when it is met."""
    assert json_problems([expected], DATA) == ([said] if said else [])


def test_an_answer_is_held_against_status_time_headers_and_text():
    """All that is wrong at once."""
    headers = {"x-serinus-version": "v1"}
    assert body_problems(Expect(), 204, headers, "", 0.1) == []
    assert body_problems(Expect(status=(404,)), 404, headers, "", 0.1) == []
    wanted = Expect(
        status=(200, 201), within=0.05, headers={"x-serinus-version": "v2", "x": "y"}, contains="hi"
    )
    assert body_problems(wanted, 500, headers, "ho", 0.1) == [
        "status 500, expected 200 or 201",
        "took 100 ms, at most 50 ms",
        'header x-serinus-version is "v1", expected v2',
        "header x is missing, expected y",
        'its body does not contain "hi"',
    ]


def test_variables_keep_their_type_alone_and_are_quoted_in_paths():
    """And secrets come from the environment."""
    known = {"n": 7, "who": "a/b c"}
    assert fill({"x": "${n}", "y": ["n=${n}"]}, known, {}) == {"x": 7, "y": ["n=7"]}
    assert fill("/users/${who}", known, {}, in_path=True) == "/users/a%2Fb%20c"
    assert fill("Bearer ${env:TOKEN}", known, {"TOKEN": "s"}) == "Bearer s"
    for name in ("${gone}", "${env:GONE}"):
        with pytest.raises(Unset):
            fill(name, known, {})


def test_log_lines_are_json_or_text():
    """The nearest line says which fields are missing."""
    wanted = LogLine(name="rl_update", file="x", fields=("algo", "loss"))
    assert log_problem(wanted, ['{"event": "rl_update", "algo": "PPO", "loss": 0}']) == ""
    assert log_problem(wanted, ["12:00 INFO rl_update algo=PPO loss=0.3"]) == ""
    assert log_problem(wanted, ['{"event": "other"}', "rl_update_x algo=1 loss=2"]) == "no line rl_update"
    lines = ['{"event": "rl_update"}', '{"event": "rl_update", "algo": "PPO"}']
    assert log_problem(wanted, lines) == "rl_update has no loss"


def test_metrics_are_added_up_over_the_series_that_match():
    """With their labels; a metric that is missing is no zero."""
    text = '# HELP m x\nm{a="1",b="x\\"y"} 2\nm{a="2"} 3 1700000000000\nnan NaN\nbroken\n'
    samples = read_metrics(text)
    assert [value for name, _, value in samples if name == "m"] == [2, 3]
    assert metric_found(Metric(name="m"), samples) == (True, "5 in 2 series")
    assert metric_found(Metric(name="m", labels={"b": 'x"y'}, at_most=2), samples) == (True, "2")
    assert metric_found(Metric(name="m", at_most=4), samples) == (False, "5, at most 4")
    assert metric_found(Metric(name="m", labels={"a": "3"}), samples) == (False, 'm{a="3"} is missing')
    assert metric_found(Metric(name="nan", at_least=0), samples)[0] is False


def test_everything_wrong_in_a_file_is_told_by_its_place():
    """Also what only shows when its parts are seen together."""
    step = {"name": "x", "path": "/a/${dno}", "capture": {"dna": "id"}, "json": {}, "body": "x"}
    later = {"name": "y", "path": "/b/${dno}", "expect": {"json": [{"path": "a b"}]}}
    with pytest.raises(InvalidInput) as wrong:
        smoke_from({"version": 1, "base_url": "http://u:p@h", "steps": [step]})
    assert wrong.value.extra["errors"] == {
        "base_url": "holds a password: send it in a header from the environment, ${env:NAME}",
        "steps[0].body": "give either `json` or `body`",
        "steps[0].path": "no step before captures ${dno}",
    }
    with pytest.raises(InvalidInput) as wrong:
        smoke_from({"version": 1, "steps": [later], "log": []})
    assert wrong.value.extra["errors"] == {
        "log": "unknown key; did you mean 'logs'?",
        "steps[0].expect.json[0].path": "expected a place like options[0].id",
    }
    with pytest.raises(InvalidInput) as wrong:
        smoke_from(
            {
                "version": 1,
                "steps": [{**step, "path": "/", "body": ""}, {"name": "y", "path": "/b/${dno}"}],
                "logs": [{"name": "l", "step": "z"}, {"name": "l"}],
                "metrics": [{"name": "m", "at_least": 2, "at_most": 1}],
            }
        )
    assert wrong.value.extra["errors"] == {
        "steps[1].path": "no step before captures ${dno}; did you mean 'dna'?",
        "logs[0].step": "there is no step 'z'",
        "logs[1]": "give either `file` or `step`",
        "metrics[0]": "at_least 2 is above at_most 1",
    }
