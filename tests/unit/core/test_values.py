"""A changed copy is what ``dataclasses.replace`` makes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from serinus.core.analysis.verdict import Outcome, Verdict
from serinus.core.values import changed

VERDICT = Verdict(check="errors", outcome=Outcome.PASS, message="fine", canary=0.5)


def test_a_changed_copy_is_what_replace_makes():
    """The other fields stay, and so does the value it was made from."""
    assert changed(VERDICT, message="bad", canary=None) == replace(VERDICT, message="bad", canary=None)
    assert (VERDICT.message, VERDICT.canary) == ("fine", 0.5)
    assert changed(VERDICT) == VERDICT


def test_an_unknown_field_is_refused():
    """A misspelt name does not pass in silence."""
    with pytest.raises(AttributeError):
        changed(VERDICT, massage="bad")
