"""The series that a PromQL expression reads are found, to ask how old they are."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serinus.drivers.metrics.prometheus.selectors import quoted, selectors_of


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("up", ("up",)),
        ("up > 1 and up", ("up",)),
        ("vector(1) + time()", ()),
        ('{__name__=~"a|b"}', ('{__name__=~"a|b"}',)),
        (
            "sum without (pod, le) (rate(a:b{x=\"}[\", y=~'(z'}[5m:1m] offset 1h)) * 1e3",
            ("a:b{x=\"}[\",y=~'(z'}",),
        ),
        ("sum(a) by (le) / on (x) group_left (y) count(b offset 5m @ end())", ("a", "b")),
        ("topk(3, a) unless bool_metric == bool 0x1f # and c", ("a", "bool_metric")),
        ("a atan2 Inf or NaN", ("a",)),
        ("histogram_quantile(0.95, sum by (le) (rate(h_bucket[5m])))", ("h_bucket",)),
        ("sum(", ()),
        ('a{x="', ('a{x="',)),
        ("", ()),
    ],
)
def test_selectors_without_ranges_and_functions(expression, expected):
    """Each once, in order; label names, words and comments are none."""
    assert selectors_of(expression) == expected


@given(st.text(max_size=60))
def test_any_text_is_read_without_an_error(text):
    """The server says what is wrong with it."""
    selectors_of(text)
    assert quoted(text).count("\n") == 0
