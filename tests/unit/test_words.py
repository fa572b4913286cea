"""Every word that a page may say is there in Korean: a page in two languages is a page in none."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import serinus.web
from serinus.control.showing.judge_words import FINDINGS
from serinus.web import release_sets
from serinus.web.deployment import ACTIONS, AT_ONCE, GO_ON
from serinus.web.rendering import STATES
from serinus.web.words import lasting, translator

TEMPLATES = sorted((Path(serinus.web.__file__).parent / "templates").glob("*.html"))
#: The same in both languages.
SAME = {"p95", "p99"}


def said(text: str) -> set[str]:
    """Return the texts that a template translates, in calls and in the tables that calls look up."""
    calls = re.findall(r"\bt\(([^()]*(?:\([^()]*\)[^()]*)*)\)", text)
    calls += re.findall(r"set words\w* = {(.*?)} %", text)
    return {words for call in calls for words in re.findall(r'"((?:[^"\\]|\\.)*)"', call) if words}


def keys(text: str) -> set[str]:
    """Return what stands left of a colon in a table, or is compared: not said."""
    return set(re.findall(r'"([a-z_]+)":', text)) | set(re.findall(r'[!=]= "([a-z_-]+)"', text))


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda p: p.name)
def test_every_text_of_a_template_has_its_korean(template):
    """A new part brings its words along."""
    korean = translator("ko")
    text = template.read_text()
    missing = [w for w in said(text) - keys(text) if korean(w) == w and w not in SAME]
    assert missing == []


def test_every_button_state_and_finding_has_its_korean():
    """Labels, what a button will do, states, and what the judge found."""
    korean = translator("ko")
    spoken = [words for pair in ACTIONS.values() for words in pair]
    spoken += [
        AT_ONCE,
        *GO_ON,
        "Roll back at once",
        *(word for _, word in STATES.values()),
        *FINDINGS.values(),
    ]
    spoken += [AT_ONCE, "Roll back at once", *(word for _, word in STATES.values()), *FINDINGS.values()]
    spoken += [words for pair in release_sets.ACTIONS.values() for words in pair]
    spoken += [word for _, word, _ in release_sets.STATES.values()]
    assert [words for words in spoken if korean(words) == words] == []


def test_what_is_filled_in_stands_in_both_languages():
    """A number that is lost in translation is a wrong sentence."""
    from serinus.web.words import _KOREAN

    for english, korean in _KOREAN.items():
        assert set(re.findall(r"{\w+}", english)) == set(re.findall(r"{\w+}", korean)), english


def test_durations_are_put_in_the_readers_language():
    """The two largest units."""
    assert [lasting(s, "en") for s in (0, 42, 5400)] == ["0 s", "42 s", "1 h 30 min"]
    assert [lasting(s, "ko") for s in (0, 42, 5400)] == ["0초", "42초", "1시간 30분"]
