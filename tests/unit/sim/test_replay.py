"""Replaying recorded windows: what is read, how it is split, and what the policy would have done."""

from __future__ import annotations

import json
from dataclasses import replace
from math import inf

import numpy as np
import pytest

from serinus.core.analysis.checks import Check, Measure, Policy
from serinus.core.analysis.evidence import Side
from serinus.core.errors import InvalidInput, Unavailable
from serinus.core.histogram import Histogram
from serinus.ports.metrics import Increases, Reading
from serinus.sim.backtest import Plan, run
from serinus.sim.backtest_page import page
from serinus.sim.backtest_text import lines
from serinus.sim.backtest_view import view
from serinus.sim.injected import FAULTS, Fault, slowed
from serinus.sim.proportion import clopper_pearson
from serinus.sim.quiet import Halves, Trial, starts, try_out
from serinus.sim.reading import Question, read
from serinus.sim.recorded import Cell, Key, Record, Shape
from serinus.sim.releases import find_releases, replay_release
from serinus.sim.replay import Course

NOON = 1_772_452_800
WIDTH = 60
SHAPE = Shape(width=WIDTH, endpoints=("/", "/pay"), edges=(50.0, 100.0, 200.0, inf))
COURSE = Course.even(hold=300)

#: Far from healthy traffic: rolls back on real harm only.
CALM = Policy(
    name="calm", checks=(Check(name="error rate", measure=Measure.ERROR_RATE, limit=0.2, min_requests=10),)
)
#: Rolls back whatever it sees.
NERVOUS = Policy(name="nervous", checks=(Check(name="requests", measure=Measure.REQUESTS, limit=-1.0),))


def cell(length: int, rate: int = 600, errors: int = 3, first: int = 0, seed: int = 0) -> Cell:
    """Return an instance that answers ``rate`` requests a window."""
    rng = np.random.default_rng(seed)
    counts = np.zeros((length, 6), dtype=np.int64)
    counts[:, 0], counts[:, 1] = rate, errors
    counts[:, 2:] = rng.multinomial(rate, (0.3, 0.4, 0.25, 0.05), size=length)
    return Cell(first=first, counts=counts, known=np.ones(length, dtype=bool))


def record(length: int = 120, instances: int = 4, **more: Cell) -> Record:
    """Return a service with equal instances."""
    cells = {
        Key(f"i{n}", "v1", path): cell(length, seed=n) for n in range(instances) for path in SHAPE.endpoints
    }
    return Record(start=NOON, length=length, shape=SHAPE, cells=cells)


def test_the_halves_carry_the_wanted_split():
    """At 1 % and 25 % of what is served, the canary's part is that; at 100 % stable serves nothing."""
    halves = Halves(trial=Trial(first=0, split=0), record=record(), length=100, onset=0)
    for share_bp in (100, 2500, 7500, 10_000):
        served = [w for i in range(60) for w in halves.serve(i, share_bp)]
        ours = sum(w.requests for w in served if w.side is Side.CANARY)
        assert ours / sum(w.requests for w in served) == pytest.approx(share_bp / 10_000, rel=0.05)


def test_the_same_seed_gives_the_same_windows_and_another_split_others():
    """Chance is an input."""
    one, same, other = (
        Halves(trial=Trial(first=0, split=split), record=record(instances=6), length=100, onset=0)
        for split in (0, 0, 1)
    )
    assert one.serve(7, 500) == same.serve(7, 500)
    assert one.serve(7, 500) != other.serve(7, 500)


def test_a_window_that_one_instance_lacks_is_missing_for_its_side_and_never_zero():
    """A sum without it would be too small."""
    made = record()
    hole = made.cells[Key("i0", "v1", "/pay")]
    hole.known[5] = False
    halves = Halves(trial=Trial(first=0, split=0), record=made, length=100, onset=0)
    assert len(halves.serve(4, 5000)) == 4
    assert len(halves.serve(5, 5000)) == 3
    assert made.gaps == [(5, 6)]


def test_what_lies_before_and_after_an_instance_is_no_gap():
    """It was not there, and served nothing for certain."""
    made = record()
    cells = {**made.cells, Key("late", "v1", "/"): cell(10, first=50)}
    grown = replace(made, cells=cells)
    assert grown.gaps == []
    assert grown.alive(0, 50) == ("i0", "i1", "i2", "i3")
    assert grown.slice(0, 120).counts[55, 0, 0] == 5 * 600


def test_a_calm_policy_lets_healthy_rollouts_through_and_finds_an_outage():
    """Each step is held for its time; the fault is found after the first window with it."""
    healthy = try_out(record(), CALM, COURSE, Trial(first=0, split=0))
    assert (healthy.outcome.ended, healthy.outcome.share_bp) == ("passed", 10_000)
    assert COURSE.seconds <= healthy.outcome.seconds <= COURSE.seconds + 120
    outage = next(f for f in FAULTS if f.name == "outage")
    ill = try_out(record(), CALM, COURSE, Trial(first=0, split=0, fault=outage))
    assert (ill.outcome.ended, ill.outcome.seconds, ill.outcome.share_bp) == ("rolled_back", WIDTH + 5, 100)
    assert ill.outcome.exposed_errors == ill.outcome.exposed_requests >= ill.outcome.judged_requests > 0


def test_a_late_fault_counts_from_its_onset():
    """What was served before is not exposed to it."""
    late = next(f for f in FAULTS if f.name == "late outage")
    tried = try_out(record(), CALM, COURSE, Trial(first=0, split=0, fault=late))
    assert tried.onset == 720
    assert (tried.outcome.rolled_back, tried.seconds) == (True, 65)
    assert tried.outcome.exposed_errors == tried.outcome.exposed_requests


def test_no_data_holds_and_is_never_a_pass():
    """A policy that needs ten requests gets none."""
    made = record()
    for one in made.cells.values():
        one.known[20:] = False
    tried = try_out(made, CALM, COURSE, Trial(first=15, split=0))
    assert tried.outcome.ended == "unfinished"
    assert "not enough measured" in tried.outcome.reason
    assert starts(made, COURSE, 60.0)[-1] <= 10


def test_faults_are_laid_over_what_was_recorded():
    """Twice the errors, more of them, slower answers: the number of requests stays."""
    rng = np.random.default_rng(1)
    counts = np.array([[100_000, 1000, 30_000, 40_000, 25_000, 5_000]])
    rates = np.array([0.01])

    def laid(fault: Fault) -> list[int]:
        return fault.laid_over(counts, rates, slowed(SHAPE.edges, fault.slower), rng)[0].tolist()

    assert laid(Fault(name="×2", errors_times=2))[1] == pytest.approx(2000, rel=0.1)
    assert laid(Fault(name="+5", errors_plus=0.05))[1] == pytest.approx(5950, rel=0.1)
    assert laid(Fault(name="out", errors_plus=1.0))[1] == 100_000
    slow = laid(Fault(name="slow", slower=2.0))
    assert slow[:2] == [100_000, 1000]
    assert slow[2:] == pytest.approx([15_000, 15_000, 40_000, 30_000], rel=0.05)


def test_histograms_are_those_that_the_monitor_makes_of_buckets():
    """The same places for the same buckets."""
    window = SHAPE.windows(Side.CANARY, NOON, np.array([[10, 1, 3, 4, 2, 1]]), np.array([True]))[0]
    made = Histogram.from_cumulative({50.0: 3, 100.0: 7, 200.0: 9, inf: 10}, total=1.0)
    assert (window.latency, window.latency.count, window.latency.edges) == (made, 10, made.edges)


def release(errors: int, kept: bool) -> Record:
    """Return a record in which v2 joins v1 for 30 windows."""
    made = record(length=120)
    cells = dict(made.cells)
    for n in range(4):
        long = 80 if kept else 30
        cells[Key(f"i{n}", "v2", "/")] = cell(long, rate=60, errors=errors, first=40)
        if kept:
            for path in SHAPE.endpoints:
                cells[Key(f"i{n}", "v1", path)] = cell(70, seed=n)
    return replace(made, cells=cells)


def test_past_releases_are_found_and_looked_at_as_they_were():
    """A bad one is rolled back at its share; a good one is let through."""
    bad, good = release(errors=30, kept=False), release(errors=0, kept=True)
    (found,), (other,) = find_releases(bad), find_releases(good)
    assert (found.version, found.stable, found.first, found.last) == ("v2", "v1", 40, 70)
    assert (found.ended, other.ended) == ("rolled_back", "promoted")
    fate = replay_release(bad, CALM, found).outcome
    assert fate is not None
    assert (fate.ended, fate.seconds) == ("rolled_back", 65)
    assert "error rate: canary 50 %" in fate.reason
    assert replay_release(good, CALM, other).outcome.ended == "unfinished"


def test_quiet_rollouts_keep_clear_of_releases_and_of_what_is_excluded():
    """And never start where their windows would not fit."""
    first = starts(record(), COURSE, 600.0, busy=[(40, 70)])
    assert first == [0, 10, 70, 80, 90]


def test_a_policy_that_rolls_back_everything_finds_nothing():
    """Each fault is held against its twin without the fault."""
    plan = Plan(course=COURSE, splits=2, fault_rollouts=3)
    found = run(record(), [NERVOUS, CALM], plan)
    nervous, calm = found.findings
    assert (nervous.false_count, nervous.budget_is, nervous.good) == (
        len(nervous.independent),
        "broken",
        False,
    )
    assert all(f.trials == 0 and f.anyway == len(f.tried) for f in nervous.faults)
    assert (calm.false_count, calm.budget_is, calm.outages_found, calm.good) == (0, "open", True, True)


def test_the_report_answers_in_three_sentences_and_asks_for_nothing():
    """Text, JSON and page say the same; names are escaped."""
    policy = replace(CALM, name="<calm>")
    found = run(release(errors=30, kept=False), [policy], Plan(course=COURSE, splits=2, fault_rollouts=2))
    shown = view(found)
    assert len(shown["answer"]) == 3
    assert shown["answer"][0].startswith("Of 1 healthy rollout made from the quiet hours <calm> would have")
    assert "rolled back v2 after 65 s (the record shows it taken back after 30 min)" in shown["answer"][1]
    assert lines(shown)[:3] == shown["answer"]
    assert json.loads(json.dumps(shown, allow_nan=False)) == shown
    html = page(found, shown)
    assert "&lt;calm&gt;" in html
    assert "<calm>" not in html
    for trace in ("http:", "https:", "<script", "<link", "<img", "url(", "@import"):
        assert trace not in html


def test_the_interval_is_exact():
    """Clopper and Pearson's, by their defining tails."""
    assert clopper_pearson(0, 367)[1] > 0.01 >= clopper_pearson(0, 368)[1]
    low, high = clopper_pearson(3, 100)
    assert (low, high) == (pytest.approx(0.00623, abs=1e-5), pytest.approx(0.08518, abs=1e-5))
    assert clopper_pearson(0, 0) == (0.0, 1.0)
    assert clopper_pearson(5, 5) == (pytest.approx(0.025 ** (1 / 5)), 1.0)


class Source:
    """Answers from a table, and refuses questions longer than it likes."""

    name = "fake"

    def __init__(self, longest: int = 10**9, trouble: str = "") -> None:
        self.longest, self.trouble, self.asked = longest, trouble, []

    async def instant(self, expression: str, at: float) -> tuple[Reading, ...]:
        """Not asked."""
        raise NotImplementedError

    async def increases(
        self, selector: str, start: float, end: float, width: int, by: tuple[str, ...]
    ) -> Increases:
        """Two instances; one has its first error late, one window is missing."""
        self.asked.append((selector, start, end))
        if self.trouble:
            return Increases(problem=self.trouble)
        if end - start > self.longest:
            return Increases(problem="timed out after 5 s")
        at = range(int(start), int(end), width)
        if selector == "r":
            found = {((i, "v1", "/"), t): 100.0 for i in "ab" for t in at if (i, t) != ("a", NOON + 300)}
            return Increases(windows=found)
        if selector == "e":
            return Increases(windows={(("a", "v1", "/"), t): 1.0 for t in at if t >= NOON + 600})
        return Increases(problem="no series matched")

    async def close(self) -> None:
        """Nothing is open."""


async def test_reading_keeps_gaps_and_takes_a_missing_series_of_errors_for_none():
    """Before its first error a process had none; a window without requests is unknown."""
    question = Question(requests="r", errors="e", latency="l")
    made = await read(Source(), question, NOON, NOON + 3600)
    a, b = (made.cells[Key(i, "v1", "/")] for i in "ab")
    assert (len(a.known), a.known.sum(), a.known[5]) == (60, 59, False)
    assert a.counts[[9, 10], 1].tolist() == [0, 1]
    assert b.counts[:, 1].sum() == 0
    assert made.notes == ["No latency was recorded, so no check of latency could be judged."]
    assert made.gaps == [(5, 6)]


async def test_a_question_that_is_too_much_is_halved():
    """Until it is answered; the windows are those of one long answer."""
    source, question = Source(longest=3600), Question(requests="r", errors="e", latency="")
    made = await read(source, question, NOON, NOON + 4 * 3600)
    assert len(made.cells[Key("b", "v1", "/")].known) == 240
    assert all(known for known in made.cells[Key("b", "v1", "/")].known)


@pytest.mark.parametrize(
    ("source", "error"),
    [
        (Source(trouble="connection refused: is it running?"), Unavailable),
        (Source(longest=0), Unavailable),
        (Source(trouble="no series matched"), InvalidInput),
    ],
)
async def test_trouble_is_told_apart_from_silence(source, error):
    """A server that is away is no empty week."""
    with pytest.raises(error):
        await read(source, Question(requests="r", errors="e"), NOON, NOON + 3600)
