"""A judge is kept from look to look; its state is written when somebody reads it."""

from __future__ import annotations

from serinus.core.analysis.evidence import Evidence, Side, Window
from serinus.core.analysis.judging import Judged, Setting, judge_evidence
from serinus.core.analysis.sequential.plan import Plan
from serinus.core.histogram import Histogram

PLAN = Plan()
SETTING = Setting(step="0:500", step_started=0.0, alone=False, share=0.05, left=None)


def latencies(*ms: float) -> Histogram:
    """Return them as a histogram."""
    found = Histogram()
    for value in ms:
        found.record(value)
    return found


def windows(start: int) -> tuple[Window, ...]:
    """Return one moment's windows of both sides."""
    return tuple(
        Window(
            side=side,
            start=start,
            seconds=10,
            requests=requests,
            errors=1,
            latency=latencies(*(20.0 + n + start / 10 for n in range(requests))),
        )
        for side, requests in ((Side.STABLE, 60), (Side.CANARY, 20))
    )


def looked(before: Judged, start: int) -> Judged:
    """Look when the window from ``start`` on has closed."""
    return judge_evidence(PLAN, before, Evidence(windows=windows(start)), SETTING, start + 16.0)


def test_a_state_stays_what_it_was_when_the_judge_goes_on():
    """Read at once, read later, or read back from text: the same."""
    once = looked(Judged(), 0)
    early = str(looked(Judged(), 0).state)
    twice = looked(once, 10)
    assert once.state == early
    again = looked(Judged(early, once.until, once.answer), 10)
    assert (again.state, again.answer) == (twice.state, twice.answer)


def test_the_same_look_can_be_taken_twice():
    """The judge goes with the first; the second reads the state."""
    once = looked(Judged(), 0)
    assert looked(once, 10) == looked(once, 10)
    assert looked(once, 10) != looked(once, 20)
