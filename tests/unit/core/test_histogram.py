"""Exponential histograms: exact counts, bounded error, exact merges."""

from __future__ import annotations

import json
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serinus.core.histogram import Histogram

values = st.lists(st.floats(min_value=0.01, max_value=1e6), min_size=1, max_size=200)


def histogram_of(items, scale=6):
    """Record all items."""
    h = Histogram(scale)
    for item in items:
        h.record(item)
    return h


@given(values, st.sampled_from([0.5, 0.95, 0.99]))
def test_a_quantile_is_within_one_percent(items, q):
    """The nearest-rank quantile is off by at most 0.55 % at the default scale."""
    exact = sorted(items)[max(0, -(-int(q * 1000) * len(items) // 1000) - 1)]
    assert histogram_of(items).quantile(q) == pytest.approx(exact, rel=0.0056)


@given(values, values)
def test_merging_is_recording_all(one, two):
    """A merge loses nothing, in either order."""
    merged = histogram_of(one)
    merged.merge(histogram_of(two))
    assert merged == histogram_of(one + two)
    assert merged.count == len(one) + len(two)


@given(values, values, st.integers(0, 6), st.integers(0, 6))
def test_merging_scales_keeps_counts(one, two, a, b):
    """Histograms of different scales meet at the coarser one."""
    merged = histogram_of(one, a)
    merged.merge(histogram_of(two, b))
    assert (merged.scale, merged.count) == (min(a, b), len(one) + len(two))
    assert merged == histogram_of(one + two, min(a, b))


@given(values)
def test_the_wire_form_comes_back(items):
    """JSON and back is the same histogram."""
    h = histogram_of([0.0, *items])
    back = Histogram.from_json(json.loads(json.dumps(h.to_json())))
    assert (back, back.count, back.total) == (h, h.count, h.total)


@given(values)
def test_cumulative_counts_never_fall_and_end_at_the_count(items):
    """What Prometheus expects of buckets."""
    counts = histogram_of(items).cumulative([1, 10, 100, 1000, inf])
    assert counts == sorted(counts)
    assert counts[-1] == len(items)


@pytest.mark.parametrize("odd", [-1.0, float("nan"), inf, 0.0])
def test_odd_values_are_counted_as_zero(odd):
    """A clock that steps back must not lose the request."""
    h = histogram_of([odd])
    assert (h.count, h.zero, h.quantile(0.5), h.total) == (1, 1, 0.0, 0.0)


def test_an_empty_histogram_has_no_quantile():
    """Nothing recorded is nothing known."""
    assert (Histogram().quantile(0.95), Histogram().mean) == (None, None)


def test_cumulative_buckets_of_a_proxy_are_read():
    """Each bucket's values are placed at its middle; the open one at the last edge."""
    h = Histogram.from_cumulative({10.0: 5, 20.0: 10, inf: 11}, total=150.0)
    assert (h.count, h.total) == (11, 150.0)
    assert h.quantile(0.6) == pytest.approx(14.14, rel=0.01)
    assert h.quantile(1.0) == pytest.approx(20.0, rel=0.01)


@pytest.mark.parametrize(
    "bad",
    [
        {"scale": 99, "zero": 0, "buckets": {}},
        {"scale": 6, "zero": -1, "buckets": {}},
        {"scale": 6, "zero": 0, "buckets": {"1": -4}},
        {"scale": 6, "zero": 0, "total": float("nan"), "buckets": {}},
    ],
)
def test_nonsense_on_the_wire_is_refused(bad):
    """A batch cannot smuggle negative counts in."""
    with pytest.raises(ValueError, match="histogram"):
        Histogram.from_json(bad)
