"""Latency as counts: the weights, the mean against exact sums, and where buckets go."""

from __future__ import annotations

import random
from math import comb, exp, inf, log

import pytest

from serinus.core.analysis.sequential.latency import (
    Buckets,
    Harm,
    Reference,
    _log_mean,
    buckets_of,
    merge,
    tables,
)
from serinus.core.analysis.sequential.plan import Bets, Plan
from serinus.core.histogram import Histogram

HARMS = Bets.of(Plan()).harms


def exact_log_mean(counts: list[int], weights: list[float], drawn: int) -> float:
    """Return ln E[prod g**C] when ``drawn`` of the pool are drawn, by adding up bucket after bucket."""
    sums = [1.0] + [0.0] * drawn
    for n, g in zip(counts, weights, strict=True):
        sums = [
            sum(sums[total - c] * comb(n, c) * g**c for c in range(min(n, total) + 1))
            for total in range(drawn + 1)
        ]
    return log(sums[drawn] / comb(sum(counts), drawn))


def recorded(values: list[float]) -> Buckets:
    """Return values as the judge gets them from the SDK."""
    histogram = Histogram()
    for value in values:
        histogram.record(value)
    return buckets_of(histogram)


def lognormal(rnd: random.Random, many: int, factor: float = 1.0) -> Buckets:
    """Return latencies around 20 ms."""
    return recorded([rnd.lognormvariate(3.0, 0.5) * factor for _ in range(many)])


def learned(rnd: random.Random) -> Reference:
    """Return a reference that has seen 2,000 requests."""
    seen = lognormal(rnd, 2000)
    reference = Reference.of(seen)
    reference.learn(reference.place(seen))
    return reference


def test_the_mean_hardly_falls_short_in_small_pools():
    """Against exact sums, with weights that differ tenfold: by at most half a nat over the pool's size."""
    rnd = random.Random(5)
    worst = 0.0
    for _ in range(400):
        size = rnd.randint(2, 8)
        counts = [rnd.randint(1, 12) for _ in range(size)]
        weights = sorted(rnd.choice([0.3, 0.7, 1.0, 1.5, 3.0]) * rnd.uniform(0.8, 1.2) for _ in range(size))
        whole = sum(counts)
        drawn = rnd.randint(1, whole - 1)
        found = _log_mean([float(c) for c in counts], weights, drawn, whole)
        worst = max(worst, (exact_log_mean(counts, weights, drawn) - found) * whole)
    assert worst <= 0.5


def test_the_mean_is_close_in_pools_of_some_size():
    """A pool of 200, whatever the share: never short but for the largest harm, and little given away."""
    reference = learned(random.Random(1))
    known = tables(reference.edges, reference.shape, HARMS)
    pool = reference.place(lognormal(random.Random(2), 200))
    filled = [b for b, n in enumerate(pool) if n]
    counts = [pool[b] for b in filled]
    for harm, row in zip(HARMS, known.weights, strict=True):
        weights = [row[b] for b in filled]
        for drawn in (10, 50, 100, 150, 180, 190):
            given = _log_mean([float(c) for c in counts], weights, drawn, 200)
            exact = exact_log_mean(counts, weights, drawn)
            assert (-0.3 if harm.factor > 1.5 else -0.02) / 200 < given - exact < 0.01


def test_no_bet_gains_on_average_over_every_draw():
    """A pool of eight requests in three buckets, five of them the canary's: all 56 draws together."""
    pool = [8.0, 16.0, 16.0, 16.0, 32.0, 32.0, 64.0, 64.0]
    reference = Reference.of(recorded(pool * 50))
    reference.learn(reference.place(recorded(pool * 50)))
    from itertools import combinations

    sums, draws = [0.0] * len(HARMS), 0
    for chosen in combinations(range(8), 5):
        mine = recorded([pool[i] for i in chosen])
        rest = recorded([pool[i] for i in range(8) if i not in chosen])
        logs = reference.log_ratios(reference.place(mine), reference.place(rest), HARMS)
        sums = [s + exp(g) for s, g in zip(sums, logs, strict=True)]
        draws += 1
    assert draws == 56
    assert max(sums) / draws <= 1 + 1e-3


def test_slower_gains_alike_loses():
    """A fifth slower is seen within one window of 400 requests; the same latency loses over ten."""
    rnd = random.Random(3)
    reference = learned(rnd)
    stable = reference.place(lognormal(rnd, 2000))
    slow = reference.log_ratios(reference.place(lognormal(rnd, 400, 1.2)), stable, HARMS)
    windows = [reference.log_ratios(reference.place(lognormal(rnd, 400)), stable, HARMS) for _ in range(10)]
    assert max(slow) > 10
    assert all(sum(window[k] for window in windows) < -5 for k in range(4))


def test_a_slow_tail_is_seen_where_the_typical_request_is_as_fast():
    """Two percent of requests five times slower."""
    rnd = random.Random(4)
    reference = learned(rnd)
    stable = reference.place(lognormal(rnd, 8000))
    values = [rnd.lognormvariate(3.0, 0.5) * (5 if rnd.random() < 0.02 else 1) for _ in range(4000)]
    found = reference.log_ratios(reference.place(recorded(values)), stable, HARMS)
    assert found.index(max(found)) == HARMS.index(Harm(5.0, 0.02))
    assert max(found) > 5


@pytest.mark.parametrize("harm", [*HARMS, Harm(1.05), Harm(4.0), Harm(30.0)], ids=str)
def test_weights_are_above_zero_and_bounded(harm):
    """No request decides alone, in neither direction."""
    reference = learned(random.Random(1))
    (row,) = tables(reference.edges, reference.shape, (harm,)).weights
    assert all(0.015 < g <= 40.0 for g in row)


def test_without_a_shape_nothing_is_said():
    """The first window only teaches."""
    first = lognormal(random.Random(1), 100)
    reference = Reference.of(first)
    counts = reference.place(first)
    assert reference.log_ratios(counts, counts, HARMS) == [0.0] * len(HARMS)
    reference.learn(counts)
    assert reference.log_ratios(counts, [0] * len(counts), HARMS) == [0.0] * len(HARMS)


def test_the_shape_is_renewed_as_the_requests_double():
    """What is learned from a window is used from the next on, and the weights stay put for a while."""
    rnd = random.Random(1)
    reference = learned(rnd)
    shape = reference.shape
    reference.learn(reference.place(lognormal(rnd, 1000)))
    assert reference.shape == shape
    reference.learn(reference.place(lognormal(rnd, 1000)))
    assert sum(reference.shape) == 4000


@pytest.mark.parametrize(
    "buckets",
    [
        Buckets((5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0, inf), (3, 9, 40, 55, 20, 9, 4, 1, 2)),
        Buckets((100.0, inf), (7, 3)),
        Buckets((inf,), (12,)),
        Buckets((), ()),
        Buckets((20.0,), (5,)),
        Buckets(tuple(10.0 * n for n in range(1, 120)), tuple(range(119))),
    ],
    ids=["prometheus", "one edge", "no edge", "nothing", "one bucket", "a hundred edges"],
)
def test_placing_keeps_the_total(buckets):
    """Coarse edges of a user, one bucket, none: every request is counted once, in either reference."""
    for reference in (Reference.of(buckets), learned(random.Random(1))):
        assert sum(reference.place(buckets)) == buckets.total


def test_a_users_own_edges_are_kept_and_thinned_evenly():
    """Somebody's 119 edges reach as far as before, with fewer between."""
    few = Buckets((5.0, 10.0, 25.0, 50.0, 100.0, inf), (1, 2, 3, 4, 5, 6))
    assert Reference.of(few).edges == (5.0, 10.0, 25.0, 50.0, 100.0)
    many = Buckets(tuple(10.0 * n for n in range(1, 120)), tuple(range(119)))
    edges = Reference.of(many).edges
    assert len(edges) <= 48
    assert edges[-1] > 1100


def test_an_exponential_histogram_keeps_its_counts_and_edges():
    """Buckets rise, gaps are named, and every value lies in its bucket."""
    histogram = Histogram()
    for value in (0.0, 3.0, 3.0, 900.0):
        histogram.record(value)
    buckets = buckets_of(histogram)
    assert list(buckets.edges) == sorted(set(buckets.edges))
    assert (buckets.total, buckets.counts[0], buckets.counts[-1]) == (4, 1, 1)
    assert buckets.edges[-2] < 900.0 <= buckets.edges[-1]


def test_zeros_are_placed_alike_whatever_else_was_measured():
    """A clock that stepped back gives a zero; it is the fastest bucket on both sides."""
    reference = learned(random.Random(1))
    with_fast, with_slow = Histogram(), Histogram()
    for histogram, other in ((with_fast, 8.0), (with_slow, 300.0)):
        histogram.record(0.0, 10)
        histogram.record(other)
    assert reference.place(buckets_of(with_fast))[0] >= 10
    assert reference.place(buckets_of(with_slow))[0] == 10


def test_a_bucket_that_nobody_can_have_measured_does_no_harm():
    """A broken client's index far outside: counted at the end, no overflow."""
    for index in (10**6, -(10**6)):
        broken = Histogram.from_json({"scale": 6, "buckets": {"300": 2, str(index): 1}})
        buckets = buckets_of(broken)
        assert buckets.total == 3
        assert all(0 < e < inf for e in buckets.edges)


def test_coarser_scales_meet_finer_ones():
    """Half of the pods report at another scale: merged, and nothing is lost."""
    fine, coarse = Histogram(6), Histogram(2)
    for histogram in (fine, coarse):
        for ms in (5.0, 20.0, 80.0):
            histogram.record(ms, 10)
    merged = merge([buckets_of(fine), None, buckets_of(coarse)])
    assert merged is not None
    assert merged.total == 60
    assert merge([]) is None
    assert merge([None, Buckets((), ())]) is None


@pytest.mark.parametrize("share", [0.5, 0.999999, 1e-6])
def test_huge_counts_stay_finite(share):
    """10¹⁷ requests in a window are nobody's, and still no error."""
    reference = learned(random.Random(1))
    base = reference.place(lognormal(random.Random(2), 100))
    ours = [int(n * 10**15 * share) for n in base]
    theirs = [int(n * 10**15 * (1 - share)) + 1 for n in base]
    assert all(-inf < g < inf for g in reference.log_ratios(ours, theirs, HARMS))


def test_harms_say_what_they_are():
    """For the sentence."""
    assert [str(h) for h in (Harm(1.1), Harm(5.0, 0.02))] == ["10 % slower", "2 % of requests 5 × slower"]


def test_a_faster_canary_between_two_peaks_is_no_slower_one():
    """Stable answers in 20 or 150 ms, the canary in 20 or 100: no alternative may call that slower."""
    stable, canary = Histogram(), Histogram()
    stable.record(20.0, 300)
    stable.record(150.0, 700)
    canary.record(20.0, 300)
    canary.record(100.0, 700)
    reference = Reference.of(stable)
    for _ in range(5):
        reference.learn(reference.place(stable))
    logs = reference.log_ratios(reference.place(canary), reference.place(stable), HARMS)
    assert max(logs) < 0.0


def test_weights_rise_from_bucket_to_bucket():
    """However many peaks there are: slower is to the right."""
    peaks = Histogram()
    for ms in (5.0, 40.0, 41.0, 300.0):
        peaks.record(ms, 250)
    reference = Reference.of(peaks)
    reference.learn(reference.place(peaks))
    for row in tables(reference.edges, reference.shape, HARMS).weights:
        assert list(row) == sorted(row)
