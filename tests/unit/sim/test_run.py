"""Rollouts, summaries, and the command."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from serinus.cli.app import app
from serinus.core.policy.presets import PRESETS
from serinus.sim.library import Set, shipped
from serinus.sim.pool import simulate
from serinus.sim.report import page
from serinus.sim.run import End, Options, rollout
from serinus.sim.summary import Verdict

WORLDS = {world.name: world for world in shipped(Set.ALL)}
SHORT = replace(WORLDS["plain-200"], steps=((5, 300), (25, 300)))


def runs(name, policy, count=5, **options):
    """Roll out a few times."""
    return [rollout(WORLDS[name], PRESETS[policy], run, Options(**options)) for run in range(count)]


def test_a_healthy_rollout_walks_its_steps_and_takes_their_time():
    """Ten minutes in two steps, sixty windows."""
    outcome = rollout(SHORT, PRESETS["rulesets"], 0, Options())
    assert (outcome.end, outcome.promoted, outcome.seconds, outcome.reason) == (End.PROMOTED, 600, 600, "")
    assert outcome.requests == pytest.approx(0.05 * 60_000 + 0.25 * 60_000, rel=0.03)


def test_an_outage_is_found_in_the_first_window_by_the_breaker():
    """And one that begins later is counted from its onset."""
    for name in ("outage", "outage-later"):
        for outcome in runs(name, "sequential"):
            assert (outcome.end, outcome.reason, outcome.early) == (End.ROLLED_BACK, "breaker", False)
            assert outcome.delay <= 20


def test_a_rollback_before_the_fault_is_a_false_alarm():
    """A rash policy does not get credit for luck."""
    world = replace(WORLDS["late-errors-x3"], error_rate=0.03)
    outcomes = [rollout(world, PRESETS["slo"], run, Options()) for run in range(10)]
    assert all(o.early and o.end is End.ROLLED_BACK and o.requests == 0 for o in outcomes)
    report = simulate([world], PRESETS["slo"], faulty_runs=10, jobs=1)
    assert (report.faulty[0].early.hits, report.faulty[0].found.of, report.faulty[0].ratio) == (10, 0, None)


def test_without_measurements_it_is_stuck_and_not_promoted():
    """Missing data is never a pass."""
    dark = replace(SHORT, holes=replace(SHORT.holes, gap_seconds=10**6))
    assert rollout(dark, PRESETS["rulesets"], 0, Options()).end is End.STUCK


def test_after_100_percent_it_is_watched_as_long_as_asked():
    """A fault that begins then is found then."""
    world = replace(WORLDS["outage-later"], steps=((25, 600),))
    assert rollout(world, PRESETS["rulesets"], 0, Options()).end is End.PROMOTED
    watched = rollout(world, PRESETS["rulesets"], 0, Options(watch=900))
    assert (watched.end, watched.promoted) == (End.ROLLED_BACK, 600)


def test_the_answer_hangs_on_the_seed_and_not_on_the_number_of_processes():
    """Bit for bit."""
    worlds = [SHORT, WORLDS["errors-5-points"]]
    one, two, other = (
        simulate(worlds, PRESETS["in-app"], runs=40, faulty_runs=24, options=Options(seed=seed), jobs=jobs)
        for seed, jobs in ((1, 1), (1, 2), (2, 1))
    )
    assert one == two
    assert one.faulty != other.faulty


def test_the_judge_keeps_its_budget_and_finds_what_is_wrong():
    """A few rollouts only: enough to see that it is neither rash nor blind."""
    worlds = [WORLDS["plain-200"], WORLDS["errors-5-points"], WORLDS["latency-x2"]]
    report = simulate(worlds, PRESETS["sequential"], runs=8, faulty_runs=10, jobs=1)
    assert report.healthy[0].rolled_back.hits <= 1
    assert [line.found.value for line in report.faulty] == [1.0, 1.0]
    assert report.budget == PRESETS["sequential"].judge.budget
    assert report.healthy[0].verdict is Verdict.UNCLEAR
    assert not report.kept


def test_the_report_is_one_file_that_asks_nobody():
    """With a world's title escaped, whatever it says."""
    odd = replace(WORLDS["errors-5-points"], title="<script>alert(1)</script>")
    html = page(simulate([SHORT, odd], PRESETS["rulesets"], runs=5, faulty_runs=5, jobs=1))
    assert html.startswith("<!doctype html>")
    assert "<script" not in html
    assert "http" not in html
    assert "prefers-color-scheme" in html
    assert html.count("<svg") == 3


def command(*words):
    """Run it as a user would."""
    return CliRunner().invoke(app, ["simulate", *words], env={"NO_COLOR": "1"})


def test_json_has_what_a_program_needs():
    """And the exit code says that the budget is broken."""
    worlds = ("--world", "frequent-errors", "--world", "outage", "--runs", "20", "--faulty-runs", "20")
    done = command("slo", *worlds, "--jobs", "1", "--json")
    assert done.exit_code == 1
    data = json.loads(done.stdout)
    assert (data["kept"], data["broken"], data["policy"]) == (False, ["frequent-errors"], "slo")
    assert data["healthy"][0]["rolled_back"]["hits"] == 20
    assert set(data["faulty"][0]) == {
        "world", "title", "family", "found", "early", "requests", "seconds", "users",
        "oracle_requests", "oracle_seconds", "ratio", "reasons", "example",
    }  # fmt: skip
    assert data["faulty"][0]["found"] == {
        "hits": 20,
        "of": 20,
        "low": pytest.approx(0.8316, abs=1e-4),
        "high": 1,
    }


def test_a_kept_budget_ends_with_0(tmp_path):
    """Where a short rollout can be shown to keep it: 300 of them."""
    file = tmp_path / "mine.yaml"
    file.write_text("{name: mine, title: Mine., steps: [[25, 20]]}")
    done = command("rulesets", "--world", str(file), "--runs", "300", "--jobs", "1")
    assert done.exit_code == 0, done.output
    assert "✔ Every healthy world keeps the budget of 1.0 % false rollbacks." in done.stdout


def test_the_list_and_what_a_caller_gets_wrong():
    """Exit code 2, and what to do next."""
    assert "one-percent-slower" in command("--list", "--set", "all").stdout
    for words, says in (
        (("--world", "driftt"), "Did you mean 'drift'?"),
        (("--set", "tund"), "Use tuned, held-out or all."),
        (("sequental",), "sequential"),
        (("nowhere.yaml",), "nowhere.yaml"),
    ):
        done = command(*words)
        assert done.exit_code == 2, done.output
        assert says in done.output


def test_a_policy_file_is_read(tmp_path):
    """The same files as everywhere."""
    file = tmp_path / "policy.yaml"
    file.write_text("version: 1\npreset: slo\n")
    done = command(str(file), "--world", "quiet-1", "--runs", "3", "--jobs", "1", "--json")
    assert json.loads(done.stdout)["policy"] == "slo"
