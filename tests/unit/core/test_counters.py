"""Counter samples become growth by window: exact, and missing where it is not known."""

from __future__ import annotations

from itertools import accumulate, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serinus.core.analysis.counters import RawSeries, increases

counts = st.lists(st.integers(0, 50), min_size=20, max_size=120)


def one(samples, **labels):
    """Return a series."""
    return RawSeries(labels=labels, samples=samples)


def read_every(step, values, at=0.0):
    """Return values read at a steady pace."""
    return [(at + i * step, float(v)) for i, v in enumerate(values)]


def grown(series, *, start=0, end, width=10, by=(), **more):
    """Return windows without their group, when there is only one."""
    told = increases(series, start=start, end=end, width=width, by=by, **more)
    return {at: value for (_, at), value in told.windows.items()}


@given(counts, st.integers(1, 5), st.integers(5, 40))
def test_windows_add_up_to_the_whole_growth(steps, pace, width):
    """Nothing is lost, invented or made a fraction between the first and the last edge."""
    samples = read_every(pace, accumulate(steps))
    last = samples[-1][0]
    windows = grown([one(samples)], end=last, width=width)
    edge = last // width * width
    total = [v for t, v in samples if t <= edge][-1] - samples[0][1]
    assert sum(windows.values()) == total
    assert sorted(windows) == list(range(0, int(edge), width))
    assert all(value == int(value) >= 0 for value in windows.values())


@given(counts, st.sets(st.integers(1, 119)), st.integers(5, 40))
def test_resets_count_from_zero(steps, restarts, width):
    """Each restart is seen when the value falls; then the value itself is the growth."""
    values, total = [], 0
    for i, step in enumerate(steps):
        total = step if i in restarts else total + step
        values.append(total)
    samples = read_every(1, values)
    end = (len(samples) - 1) // width * width
    told = increases([one(samples)], start=0, end=end, width=width)
    expected = sum(b - a if b >= a else b for a, b in pairwise(values[: end + 1]))
    assert sum(told.windows.values()) == expected
    assert told.resets == sum(b < a for a, b in pairwise(values[: end + 1]))


@given(st.lists(counts, min_size=2, max_size=4))
def test_groups_are_the_sum_of_their_series(many):
    """Summing by no label is the sum over every value of a label."""
    size = min(map(len, many))
    series = [one(read_every(1, accumulate(s[:size])), pod=str(i)) for i, s in enumerate(many)]
    by_pod = increases(series, start=0, end=size, width=5, by=("pod",)).windows
    whole = increases(series, start=0, end=size, width=5).windows
    assert whole == {
        ((), at): sum(v for (_, w), v in by_pod.items() if w == at) for at in {w for _, w in by_pod}
    }


@given(counts, st.integers(2, 118), st.integers(1, 20))
def test_what_is_given_without_a_read_is_what_was_given_with_it(steps, lost, length):
    """A hole takes windows away; it changes none that stay."""
    samples = read_every(1, accumulate(steps))
    holed = [s for s in samples if not lost <= s[0] < lost + length]
    end = samples[-1][0]
    full, part = grown([one(samples)], end=end), grown([one(holed)], end=end)
    if length == 1:
        assert all(abs(full[at] - part[at]) <= 50 for at in part)
    else:
        assert part == {at: full[at] for at in part}


def test_a_window_needs_reads_on_both_sides():
    """Late data are missing keys, not zeros."""
    samples = read_every(5, range(0, 100, 5), at=12)
    assert grown([one(samples)], start=0, end=200) == dict.fromkeys(range(20, 100, 10), 10.0)


def test_a_hole_is_missing_also_for_the_group():
    """The growth inside a hole belongs to no window, and a sum without one series is too small."""
    holed = [s for s in read_every(2, range(50)) if not 31 <= s[0] < 47]
    steady = read_every(2, range(50))
    assert sorted(grown([one(holed)], end=90)) == [0, 10, 20, 50, 60, 70, 80]
    assert sorted(grown([one(holed, pod="a"), one(steady, pod="b")], end=90)) == [0, 10, 20, 50, 60, 70, 80]


def test_a_pod_that_went_away_is_closed_and_its_successor_goes_on():
    """A rolling restart leaves no hole in the service's counts."""
    old = one(read_every(2, range(0, 100, 2), at=0)[:21], pod="old")
    new = one(read_every(2, range(0, 100, 2), at=43)[:30], pod="new")
    assert grown([old, new], end=90) == {
        **dict.fromkeys(range(0, 90, 10), 10.0),
        40: 6.0,
    }


def test_a_late_pod_holds_the_windows_back():
    """Half of the service is not the service."""
    ahead, late = one(read_every(5, range(30)), pod="a"), one(read_every(5, range(28)), pod="b")
    assert sorted(grown([ahead], end=140)) == list(range(0, 140, 10))
    assert max(grown([ahead, late], end=140)) == 120


def test_a_new_series_starts_at_its_first_sample():
    """A pod that was born at 1000 has not grown by 1000 here."""
    steady = one(read_every(2, range(50)), pod="a")
    newborn = one(read_every(2, range(1000, 1030), at=41), pod="b")
    assert max(grown([steady, newborn], end=90).values()) == 10.0


TARGET = {"job": "app", "instance": "10.0.0.1:80"}


def test_the_first_error_of_a_process_counts():
    """A target that was read without the series had it at zero: growth by one is growth."""
    fine = one(read_every(2, range(50)), **TARGET, status="200")
    error = one(read_every(2, [1.0] * 28, at=44), **TARGET, status="500")
    told = increases([fine, error], start=0, end=90, width=10, by=("status",))
    assert {w: v for (s, w), v in told.windows.items() if s == ("500",)} == {
        **dict.fromkeys(range(0, 90, 10), 0.0),
        40: 1.0,
    }


def test_another_witness_than_a_sibling_will_do():
    """When each target was scraped is known from ``up`` too."""
    failures = one(read_every(2, [1.0] * 28, at=44), **TARGET)
    assert sum(grown([failures], end=90).values()) == 0
    seen = {("app", "10.0.0.1:80"): [float(t) for t in range(0, 100, 2)]}
    assert sum(grown([failures], end=90, seen=seen).values()) == 1


def test_a_renamed_series_is_not_a_birth():
    """When one of the target's series ends as another appears, nothing has grown."""
    old = one(read_every(2, range(500, 522)), **TARGET, team="a")
    new = one(read_every(2, range(522, 550), at=44), **TARGET, team="b")
    other = one(read_every(2, range(50)), **TARGET)
    assert max(grown([old, new, other], end=90).values()) <= 10.0


def test_errors_never_pass_requests():
    """Both are read at once, so a window's errors are among its requests."""
    requests = grown([one(read_every(3, accumulate([7] * 40), at=1.5))], end=110)
    errors = grown([one(read_every(3, accumulate([0, 7] * 20), at=1.5))], end=110)
    assert requests
    assert all(errors[at] <= requests[at] for at in requests)


@pytest.mark.parametrize("samples", [[], [(1.0, float("nan"))], [(1.0, float("inf"))]])
def test_without_a_finite_sample_there_is_a_problem(samples):
    """And no window."""
    told = increases([one(samples)], start=0, end=100, width=10)
    assert (told.windows, told.newest_sample_at, told.problem) == ({}, None, "no samples")


def test_nan_among_samples_is_a_missing_read():
    """One is bridged, as one failed read is."""
    samples = read_every(2, range(50))
    samples[17] = (samples[17][0], float("nan"))
    assert grown([one(samples)], end=90) == grown([one(read_every(2, range(50)))], end=90)
