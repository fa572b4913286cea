"""Recording: cheap on the way, exact at the flush."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serinus.core.histogram import Histogram
from serinus.sdk.recorder import Recorder, fold


@given(st.lists(st.floats(min_value=0, max_value=1e6), max_size=300))
def test_folding_is_recording_one_by_one(values):
    """The same histogram, to the last count."""
    folded, single = Histogram(), Histogram()
    fold(list(values), folded)
    for value in values:
        single.record(value)
    assert (folded, folded.count) == (single, single.count)
    assert folded.total == pytest.approx(single.total)


def test_what_was_recorded_is_taken_once():
    """Per side, endpoint and label, with its errors."""
    recorder = Recorder()
    for status in (200, 404, 500):
        recorder.record(True, "/pay", status, 10.0)
    recorder.record(False, ("/pay", "mode=fast"), 200, 5.0)
    taken = recorder.drain()
    assert {key: (requests, errors) for key, (requests, errors, _) in taken.items()} == {
        (True, "/pay", ""): (3, 1),
        (False, "/pay", "mode=fast"): (1, 0),
    }
    assert recorder.drain() == {}


def test_threads_lose_nothing_while_it_is_taken():
    """Eight threads record while the flush takes again and again."""
    recorder, stop, taken = Recorder(), threading.Event(), []

    def work():
        for n in range(20_000):
            recorder.record(n % 2 == 0, "/x", 200, 1.0)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    while any(t.is_alive() for t in threads):
        taken.append(recorder.take())
        stop.wait(0.005)
    taken += [recorder.take(), recorder.drain()]
    assert sum(requests for part in taken for requests, _, _ in part.values()) == 160_000
