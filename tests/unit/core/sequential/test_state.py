"""The judge's memory: exact, finite, and refused when it is somebody else's."""

from __future__ import annotations

import json
import random
from math import isfinite

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serinus.core.analysis.sequential.judge import Counts, Judge, Moment, Pair
from serinus.core.analysis.sequential.latency import Buckets, buckets_of
from serinus.core.analysis.sequential.plan import MetricHarm, Plan
from serinus.core.histogram import Histogram

PLAN = Plan(warm_up=30.0, metrics=(MetricHarm(name="queue"),))


def latencies(rnd: random.Random, many: int) -> Buckets:
    """Return what an SDK sends."""
    histogram = Histogram()
    for _ in range(many):
        histogram.record(rnd.lognormvariate(3.0, 0.5))
    return buckets_of(histogram)


def rollout(seed: int) -> list[Moment]:
    """Return windows of everything: endpoints that come and go, steps, metrics, and the canary alone."""
    rnd, found = random.Random(seed), []
    for n in range(40):
        strata = {
            f"/e{k}": Pair(
                Counts(90, rnd.randrange(3), latencies(rnd, 40)),
                Counts(30, rnd.randrange(2), latencies(rnd, 15) if k else None),
            )
            for k in range(1 + rnd.randrange(4))
        }
        found.append(
            Moment(
                start=1e9 + 10 * n,
                seconds=10,
                strata=strata,
                step=str(n // 10),
                share=0.25,
                alone=n >= 32,
                metrics={"queue": (rnd.gauss(1, 1), rnd.gauss(1, 1))} if n % 3 else {},
            )
        )
    return found


@pytest.mark.parametrize("seed", range(3))
def test_restored_after_every_window_it_answers_the_same(seed):
    """Bit for bit: state and answer equal those of the judge that was never stopped."""
    uninterrupted, kept = Judge(PLAN), ""
    for moment in rollout(seed):
        expected = uninterrupted.feed(moment, left=600.0)
        again = Judge.restore(PLAN, kept)
        assert again.feed(moment, left=600.0) == expected
        kept = again.state()
        assert kept == uninterrupted.state()


def test_writing_and_reading_change_nothing():
    """What is read back is what was written."""
    judge = Judge(PLAN)
    for moment in rollout(9):
        judge.take(moment)
    assert Judge.restore(PLAN, judge.state()).book == judge.book
    assert Judge.restore(PLAN, "").book == Judge(PLAN).book


edges = st.lists(st.floats(1e-3, 1e7), max_size=8, unique=True).map(sorted)
buckets = edges.flatmap(
    lambda e: st.builds(
        Buckets,
        edges=st.just(tuple(e)),
        counts=st.tuples(*(st.integers(0, 10**9) for _ in e)),
    )
)
counts = st.builds(
    Counts, requests=st.integers(0, 10**12), errors=st.integers(0, 10**12), latency=st.none() | buckets
)
windows = st.lists(
    st.builds(
        Moment,
        start=st.floats(-1e10, 1e10),
        seconds=st.floats(0, 1e5),
        strata=st.dictionaries(
            st.text(max_size=3), st.builds(Pair, stable=counts, canary=counts), max_size=4
        ),
        step=st.sampled_from(["", "a", "b"]),
        share=st.none() | st.floats(1e-4, 1),
        alone=st.booleans(),
        metrics=st.dictionaries(st.just("queue"), st.tuples(st.floats(), st.floats())),
    ),
    max_size=12,
)


def numbers(value) -> list[float]:
    """Return every number in JSON data."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return [n for item in value for n in numbers(item)]
    return [value] if isinstance(value, int | float) else []


@settings(max_examples=60, deadline=None, derandomize=True)
@given(windows)
def test_no_window_breaks_it(moments):
    """Whatever arrives, in whatever order: no error, finite numbers, JSON that reads back the same."""
    judge = Judge(PLAN)
    for moment in moments:
        answer = judge.feed(moment, left=60.0)
        assert isfinite(answer.evidence)
        assert 0 <= answer.budget_used <= 1
        assert answer.sentence.endswith(".")
    kept = json.loads(judge.state())
    assert all(isfinite(n) for n in numbers(kept))
    assert Judge.restore(PLAN, judge.state()).state() == judge.state()


def _changed(**changes) -> str:
    return json.dumps({**json.loads(Judge(PLAN).state()), **changes})


@pytest.mark.parametrize(
    "text",
    [
        "no JSON",
        "[]",
        "{}",
        "7",
        "null",
        _changed(v=0),
        _changed(whole=[]),
        _changed(parts=[]),
        _changed(parts={"/a": 1}),
        _changed(references={"/a": [1]}),
        _changed(references={"/a": [0.5, [], [], []]}),
        _changed(dispersion=[1, 2, 3, 4, 5, 6]),
        _changed(watch=[]),
        _changed(metrics=3),
    ],
)
def test_foreign_states_are_refused(text):
    """Never half read: a ValueError says what is wrong."""
    with pytest.raises(ValueError):
        Judge.restore(PLAN, text)
