"""What the core says in English is read in Korean: known by its template, with every value kept."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contests import Contest, contest_of
from serinus.control.telling.messages import warning_alert
from serinus.control.words.korean import SENTENCES
from serinus.control.words.spoken import LONGEST, spoken
from serinus.core.lifecycle import back, moves
from serinus.core.policy.presets import RULESETS
from stories import NOON, Story, draft

#: A value of each kind that a template may name.
SAMPLES = {
    "": "v7",
    "free": "anything",
    "said": "seen enough",
    "word": "error rate",
    "n": "12",
    "value": "-0.5",
    "share": "2.5 %",
    "time": "6 min",
    "versions": "v7 and v8",
    "hooks": "hooks qa and load",
}
PLACES = re.compile(r"{(\w+)(?::(\w+))?}")
#: Words of ours that are the same in Korean: names of versions, places and what people gave as reasons.
OURS = re.compile(r"[a-z]{3,} [a-z]{2,}")


@pytest.mark.parametrize("english", SENTENCES)
def test_every_template_knows_its_own_sentence_and_loses_no_value(english):
    """No wider template stands before it, and both languages have the same places."""
    korean = SENTENCES[english]
    kinds = dict(PLACES.findall(english))
    assert kinds.keys() == {name for name, _ in PLACES.findall(korean)}
    said = spoken(PLACES.sub(lambda m: SAMPLES[m[2] or ""], english), "ko")
    first, *_, last = PLACES.split(korean)[::3] if kinds else (korean, korean)
    assert said.startswith(first)
    assert said.endswith(last)
    assert not english.endswith(".")


def korean_of(told: list[str], *values: str) -> list[str]:
    """Return what is still English in what was told, but for values that somebody gave."""
    read = [spoken(text, "ko") for text in told]
    assert all(one != text for one, text in zip(read, told, strict=True))
    for value in values:
        read = [one.replace(value, "") for one in read]
    return [one for one in read if OURS.search(one)]


def test_a_walk_to_its_promotion_is_read_in_korean():
    """Each line of its timeline, and each sentence on the way."""
    story = Story()
    told = [story.d.sentence]
    for _ in range(60):
        story.run(1)
        told.append(story.d.sentence)
    story.ask(moves.promote)
    assert story.d.status.value == "active"
    assert korean_of([*story.timeline, *told]) == []


def test_a_rollback_by_checks_is_read_in_korean_with_its_numbers():
    """What failed, both sides, and the limit."""
    story = Story(draft(policy=RULESETS)).run(40, canary=(400, 60, 20.0))
    assert story.d.status.value == "rolled_back"
    assert korean_of(story.timeline) == []
    last = spoken(story.timeline[-1], "ko")
    assert last.startswith("1 %에서 v1(으)로 자동 롤백: 오류율: 카나리 15 %, 안정 버전 0 % (최대 5 %)")


def test_a_test_of_several_candidates_is_read_in_korean():
    """Who was dropped and why, and how the others stand."""
    test = Contest(contest_of("v2", "v3", policy={"warm_up": 30, "min_requests": 50}))
    test.run(12, v2=(100, 30, 50.0), v3=(100, 0, 50.0))
    dropped = next(line for line in test.timeline if "dropped" in line)
    assert spoken(dropped, "ko").startswith("v2 자동 제외: 오류: 카나리 30 %, 안정 버전")
    assert korean_of([*test.timeline, test.d.sentence]) == []


def test_moves_by_hand_are_read_in_korean_and_their_reasons_as_they_were_given():
    """A reason is nobody's to translate."""
    story = Story().run(2)
    story.ask(moves.pause).ask(moves.resume).ask(moves.shift, 2500)
    story.ask(back.go_back, "the invoices are wrong; all of them. Really.")
    assert korean_of(story.timeline, "the invoices are wrong; all of them. Really.") == []
    assert spoken(story.timeline[-1], "ko") == (
        "25 %에서 v1(으)로 롤백: the invoices are wrong; all of them. Really."
    )


def test_messages_in_korean_have_korean_warnings():
    """Numbered, each read for itself; what no template fits stays."""
    told = warning_alert(
        id="m1",
        deployment_id="dep_1",
        service="checkout",
        version="v2",
        at=NOON,
        language="ko",
        warnings=["Holding at 5 %: the split is on its way.", "the cat is on the keyboard"],
    )
    assert "1. 5 %에서 멈춤: 트래픽 비율을 적용하는 중." in told.text
    assert "2. the cat is on the keyboard" in told.text


@given(
    st.one_of(st.text(), st.lists(st.sampled_from([*SENTENCES, ". ", "; ", ": ", "v1", "5 %"])).map("".join))
)
def test_any_text_is_read_without_trouble(text):
    """English stays as it is; Korean is never an error, whatever somebody wrote."""
    assert spoken(text, "en") == text
    assert isinstance(spoken(text, "ko"), str)


def test_what_is_too_long_or_too_deep_stays_as_it_is():
    """Somebody's log, or a riddle, is no sentence of ours."""
    for text in ("Paused at 10 %. " * LONGEST, "v1: " * 300 + "Draft changed"):
        assert spoken(text, "ko").endswith(text[-30:])
