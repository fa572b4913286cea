"""The small picture of an interval: always inside its frame, and the same in words beside it."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from serinus.web.intervals import WIDTH, interval_picture

RATIOS = st.floats(1e-20, 1e20)
ANY = st.floats(-1e12, 1e12)


def check(**changes) -> dict:
    """Return what a picture is made of."""
    found = {"finding": "not_yet", "scale": "ratio", "unit": "ratio", "tolerated": 1.1, "worth_finding": 2.0}
    return {**found, "estimate": 1.0, "low": 0.5, "high": 2.1, **changes}


@given(estimate=RATIOS, low=RATIOS, high=RATIOS, unit=st.sampled_from(["ratio", "ms"]))
def test_a_ratio_is_drawn_inside_the_frame_whatever_it_is(estimate, low, high, unit):
    """Bounds far out end in an arrow at the edge."""
    svg = interval_picture(check(estimate=estimate, low=low, high=high, unit=unit), "spoken")
    places = [float(x) for x in re.findall(r' (?:x|x1|x2|cx)="([^"]+)"', svg)]
    assert all(0 <= x <= WIDTH for x in places)
    assert 'aria-label="spoken"' in svg
    assert 1 <= svg.count('class="tick"') <= 6


@given(estimate=ANY, half=st.floats(0, 1e12), tolerated=st.none() | ANY)
def test_a_difference_is_drawn_around_zero(estimate, half, tolerated):
    """Also when nothing differs at all."""
    bounds = {"low": estimate - half, "high": estimate + half}
    changes = {"scale": "difference", "unit": "", "tolerated": tolerated, "worth_finding": None}
    svg = interval_picture(check(estimate=estimate, **bounds, **changes), "spoken")
    places = [float(x) for x in re.findall(r' (?:x|x1|x2|cx)="([^"]+)"', svg)]
    assert all(0 <= x <= WIDTH for x in places)
    assert ">0</text>" in svg


def test_nothing_is_drawn_of_nothing_and_names_are_escaped():
    """A metric's name is the user's."""
    assert interval_picture(check(estimate=None), "spoken") == ""
    svg = interval_picture(check(), '"><script>')
    assert "<script>" not in svg


def test_a_bound_outside_the_picture_is_an_arrow():
    """And one inside is a bar's end."""
    inside, outside = interval_picture(check(), ""), interval_picture(check(high=1e9), "")
    assert inside.count('class="end"') == outside.count('class="end"') == 2
    tips = re.findall(r'd="M([\d.]+) \d+ L([\d.]+)', outside)
    assert [float(a) == float(b) for a, b in tips] == [True, False]
