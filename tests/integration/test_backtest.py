"""The backtest against a real Prometheus that holds a recorded day, and as a soak a whole week."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright

from fixtures_prometheus import INSTALL, Exporter, Prometheus
from needs import free_port, program
from recorded.week import DAY_STORY, WEEK, Story, write

pytestmark = [pytest.mark.real, pytest.mark.timeout(600)]


class Kept(Prometheus):
    """A server that scrapes nothing and keeps what is old."""

    def start(self) -> None:
        """Start it with a retention that outlasts any date."""
        (self.folder / "prometheus.yml").write_text("{}")
        super().start()


@dataclass
class Recorded:
    """A served story."""

    story: Story
    url: str
    samples: int

    def backtest(
        self, *words: str, code: int | None = 0, hours: float | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run the command as a user would, over the whole story or its first hours."""
        end = self.end if hours is None else self.story.start + hours * 3600
        first, last = (datetime.fromtimestamp(t, UTC).isoformat() for t in (self.story.start, end))
        return command(*words, "--prometheus", self.url, "--from", first, "--to", last, code=code)

    @property
    def end(self) -> float:
        """When the story ends, in Unix seconds."""
        return self.story.start + self.story.seconds


def command(*words: str, code: int | None = 0) -> subprocess.CompletedProcess[str]:
    """Run ``serinus backtest``."""
    done = subprocess.run(
        [sys.executable, "-m", "serinus", "backtest", *words],
        env={**os.environ, "COLUMNS": "200", "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Traceback" not in done.stderr, done.stderr
    assert code in (None, done.returncode), done.stdout + done.stderr
    return done


def served(story: Story):
    """Write a story, serve it, and take it away again."""
    with tempfile.TemporaryDirectory(prefix="serinus-record-", ignore_cleanup_errors=True) as folder:
        samples = write(story, Path(folder), program("promtool", INSTALL))
        server = Kept(Path(folder), Exporter(), retention="10y")
        server.start()
        yield Recorded(story, server.url, samples)
        server.stop()


@pytest.fixture(scope="module")
def day():
    """Return a recorded day: a bad release at 6, a slow one at 11, a good one at 16 o'clock."""
    yield from served(DAY_STORY)


@pytest.fixture(scope="module")
def told(day, tmp_path_factory):
    """Return what was found for two presets, and the page."""
    html = tmp_path_factory.mktemp("report") / "report.html"
    done = day.backtest(
        "in-app", "--compare", "rulesets", "--fault-rollouts", "8", "--json", "--html", str(html), code=1
    )
    return json.loads(done.stdout), html


def test_the_record_is_read_whole(day, told):
    """Every request, every error, the gap of the scrapes, and the restart."""
    record = told[0]["record"]
    assert (len(record["instances"]), len(record["endpoints"])) == (6, 4)
    assert record["versions"] == ["v1", "v2", "v3", "v4"]
    (gap,) = record["gaps"]
    assert datetime.fromisoformat(gap["from"]).strftime("%H:%M") in ("08:58", "08:59", "09:00")
    assert 120 <= gap["seconds"] <= 300
    # Only what changed after its last zero counts as a reset: requests of four endpoints, twice.
    assert record["counter_resets"] == 8
    assert record["requests"] == pytest.approx(60 * 86_400, rel=0.03)


def test_past_releases_are_found_at_their_times(told):
    """And what the record shows of their ends."""
    releases = told[0]["policies"][0]["releases"]
    shown = [(r["version"], r["stable"], r["from"][11:16], r["seconds"], r["record"]) for r in releases]
    assert [s[0:2] for s in shown] == [("v2", "v1"), ("v3", "v1"), ("v4", "v1")]
    assert [s[4] for s in shown] == ["rolled_back", "rolled_back", "promoted"]
    assert [s[2] for s in shown] == ["06:00", "11:00", "16:00"]
    assert all(abs(s[3] - 3600) <= 60 for s in shown)


def test_each_preset_ends_the_release_that_its_checks_can_see(told):
    """Two percent more errors break in-app's 99 %; rulesets' twice the p95 sees the slow one."""
    fates = {
        p["name"]: {r["version"]: r["replayed"]["rolled_back"] for r in p["releases"]}
        for p in told[0]["policies"]
    }
    assert fates["in-app"]["v2"] is True
    assert fates["in-app"]["v3"] is False
    assert fates["rulesets"]["v3"] is True


def test_the_fixed_thresholds_break_the_budget_and_it_says_so(told):
    """What was measured of them before: many false alarms where a step has few requests."""
    for p in told[0]["policies"]:
        h = p["healthy"]
        assert (h["budget_is"], p["good"]) == ("broken", False)
        assert 0.1 < h["low"] < h["rate"] < h["high"]
        assert h["all_splits"]["rollouts"] == 4 * h["rollouts"]
        outage = next(f for f in p["faults"] if f["name"] == "outage")
        assert outage["found"] == outage["rollouts"] > 0
        assert outage["median_seconds"] == 65
    assert "which breaks the budget of 1 %" in told[0]["answer"][0]


def test_the_sequential_policy_is_replayed_by_default(day):
    """It ends the bad release and the slow one, and lets the good one through."""
    shown = json.loads(day.backtest("--fault-rollouts", "3", "--splits", "1", "--json", code=None).stdout)
    (policy,) = shown["policies"]
    assert policy["name"] == "sequential"
    assert [r["replayed"]["rolled_back"] for r in policy["releases"]] == [True, True, False]
    outages = [f for f in policy["faults"] if "outage" in f["name"]]
    assert all(f["found"] == f["rollouts"] > 0 for f in outages)


def test_a_policy_file_brings_its_own_steps(day, tmp_path):
    """Unless others are asked for; its gates are passed at once."""
    file = tmp_path / "shop.yaml"
    steps = "steps: [{traffic: 10 %, hold: 5m, gate: true}, {traffic: 100 %, hold: 10m}]"
    file.write_text(f"version: 1\nname: shop\npreset: rulesets\n{steps}\n")
    words = ("--splits", "1", "--fault-rollouts", "1", "--every", "2h", "--json")
    shown = json.loads(day.backtest(str(file), *words, code=None, hours=5).stdout)
    assert shown["plan"]["steps"] == [
        {"traffic_percentage": 10.0, "hold_seconds": 300.0},
        {"traffic_percentage": 100.0, "hold_seconds": 600.0},
    ]
    other = json.loads(
        day.backtest(str(file), *words, "--steps", "50", "--hold", "4m", code=None, hours=5).stdout
    )
    assert other["plan"]["steps"] == [{"traffic_percentage": 50.0, "hold_seconds": 240.0}]


def test_the_same_seed_gives_the_same_report(day):
    """Byte for byte, in one process and in two."""
    words = ("rulesets", "--every", "90m", "--splits", "2", "--fault-rollouts", "1", "--json")
    one, two = (day.backtest(*words, "--jobs", jobs, code=None, hours=5).stdout for jobs in ("1", "2"))
    assert one == two
    assert json.loads(one)["plan"]["seed"] == 1


def test_the_page_asks_for_nothing_and_fits_a_phone(told):
    """In Chromium, wide and narrow: no request, no message, nothing beside the page."""
    asked, said = [], []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=program("chromium", "apt-get install chromium"),
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
        )
        for width in (390, 1100):
            page = browser.new_page(viewport={"width": width, "height": 900})
            page.on("request", lambda request: asked.append(request.url))
            page.on("console", lambda message: said.append(message.text))
            page.goto(told[1].as_uri())
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            assert page.locator(".answer p").count() == 3
            said_first = page.locator(".answer p").all_text_contents()
            assert [s.replace("\u00a0", " ") for s in said_first] == told[0]["answer"]
            assert page.locator(".strip").count() == 3
            page.close()
        browser.close()
    assert asked == [told[1].as_uri()] * 2
    assert said == []


def test_a_prometheus_that_is_away_is_3_and_a_wrong_option_2(day):
    """In plain words, with what to do next."""
    away = command("rulesets", "--prometheus", f"http://127.0.0.1:{free_port()}", code=3).stderr
    assert "Prometheus cannot be asked: connection refused" in away
    assert "next" in away
    assert "no preset of this name" in day.backtest("nope", code=2).stderr
    assert (
        "no_such_total has no samples" in day.backtest("--requests", "no_such_total", code=2, hours=1).stderr
    )
    assert "no duration" in day.backtest("--hold", "soon", code=2).stderr
    assert "is empty" in command("--prometheus", day.url, "--from", "1d", "--to", "2d", code=2).stderr


@pytest.mark.soak
def test_a_whole_week_within_its_time():
    """Five million samples are written, served, read and replayed."""
    begun = time.monotonic()
    for week in served(WEEK):
        shown = json.loads(week.backtest("rulesets", "--json", code=1).stdout)
    assert [r["from"][8:13] for r in shown["policies"][0]["releases"]] == ["03T14", "05T10", "06T11"]
    assert shown["policies"][0]["healthy"]["rollouts"] > 150
    assert week.samples > 4_000_000
    assert time.monotonic() - begun < 300
