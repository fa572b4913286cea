"""What differs, what is hidden, what has the same address."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serinus.core.rules import (
    MAX_DIFFERENCES,
    canonical,
    differences,
    digest_of,
    hidden_texts,
    redacted,
    scrubbed,
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.parametrize(
    ("expected", "actual", "lines"),
    [
        ({"a": 1}, {"a": 1.0}, []),
        ({"a": 1}, {"a": True}, ["$.a: expected 1, got true"]),
        ({"a": [1, 2]}, {"a": [1, 3, 4]}, ["$.a[1]: expected 2, got 3", "$.a[2]: 4 was not expected"]),
        (
            {"a": 1, "b": None},
            {"b": 2},
            ["$.a: expected 1, but it is not there", "$.b: expected null, got 2"],
        ),
        ([], {}, ["$: expected [], got {}"]),
        (None, None, []),
    ],
)
def test_a_difference_reads_as_a_sentence(expected, actual, lines):
    """Its place, what was expected, what came."""
    assert [d.line for d in differences(expected, actual)] == lines


def test_differences_are_bounded():
    """Two documents that have nothing in common fill one screen, not a hundred."""
    assert len(differences(list(range(500)), list(range(1, 501)))) == MAX_DIFFERENCES


@given(JSON)
def test_a_document_does_not_differ_from_itself(value):
    """Nor from its way through JSON text."""
    assert differences(value, json.loads(canonical(value))) == []


def test_the_address_is_of_the_content_alone():
    """Key order is no content; the engine is."""
    assert canonical({"b": 1, "a": 2}) == canonical({"a": 2, "b": 1})
    assert digest_of("zen", "{}") != digest_of("starlark", "{}")


def test_paths_hide_values_wherever_they_are_repeated():
    """In lists, under any key, and in messages."""
    order = {"who": {"mail": "ada@x.org"}, "cards": [{"no": "4111-1111"}, {"no": "4222-2222"}], "age": 7}
    paths = ["who.mail", "cards.*.no"]
    assert redacted(order, paths) == {
        "who": {"mail": "[redacted]"},
        "cards": [{"no": "[redacted]"}, {"no": "[redacted]"}],
        "age": 7,
    }
    secrets = hidden_texts(order, paths)
    assert scrubbed("no price for ada@x.org", secrets) == "no price for [redacted]"
    assert scrubbed({"to": ["ada@x.org"], "age": 7}, secrets) == {"to": ["[redacted]"], "age": 7}
    assert order["who"]["mail"] == "ada@x.org"
