"""What people are told, word for word, and its form in the outbox."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serinus.control.telling import messages
from serinus.control.words import wording
from serinus.ports.notify import Level, Notification

NOON = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)


def test_a_rollback_says_what_why_back_to_which_version_and_where_to_look():
    """Contract 4's whole rollback message."""
    told = messages.rollback_alert(
        id="m1",
        deployment_id="dep_1",
        service="checkout",
        reason="error rate 8 %, limit 5 %",
        at=NOON,
        version="v2",
        rollback_version="v1",
        tenant_name="acme",
        link="https://serinus.example/deployments/dep_1",
        exposed_units=1234,
        seconds=402,
        checks=("error rate 8 %, limit 5 %", "p95 240 ms, limit 462 ms"),
    )
    assert told == Notification(
        id="m1",
        kind="rollback",
        level=Level.ERROR,
        title="[Serinus] Canary auto-rollback: checkout",
        text="v2 of checkout was rolled back: everyone is on v1 again."
        " It had traffic for 6 min 42 s and 1,234 units were on it.",
        fields=(
            ("Service", "checkout"),
            ("Reason", "error rate 8 %, limit 5 %"),
            ("Rolled back to", "v1"),
            ("Last checks", "• p95 240 ms, limit 462 ms"),
            ("Deployment", "dep_1"),
            ("Tenant", "acme"),
            ("Time", "2026-01-31 12:00:00 UTC"),
        ),
        link="https://serinus.example/deployments/dep_1",
        at=NOON,
        deployment_id="dep_1",
        service="checkout",
        tenant="acme",
    )


def test_a_rollback_leaves_out_what_nobody_knows():
    """Neither tenant nor version has to be given, and no empty field is shown for them."""
    told = messages.rollback_alert(id="m", deployment_id="d", service="s", reason="slow", at=NOON)
    assert told.text == "The canary of s was rolled back: it gets no more traffic."
    assert [name for name, _ in told.fields] == ["Service", "Reason", "Deployment", "Time"]


@pytest.mark.parametrize(
    ("known", "said"),
    [
        ({"seconds": 0.2}, "It had traffic for 1 s."),
        ({"seconds": 7200}, "It had traffic for 2 h."),
        ({"seconds": 93_600}, "It had traffic for 1 d 2 h."),
        ({"exposed_units": 1}, "1 unit was on it."),
        ({"exposed_units": 0}, "0 units were on it."),
    ],
)
def test_how_far_a_canary_had_got_is_said_as_far_as_it_is_known(known, said):
    """Time, units, both, or nothing."""
    told = messages.rollback_alert(id="m", deployment_id="d", service="s", reason="r", at=NOON, **known)
    assert told.text.endswith(f"more traffic. {said}")


def test_warnings_are_numbered_and_counted():
    """Contract 4's whole warning message."""
    told = messages.warning_alert(
        id="m2",
        deployment_id="dep_1",
        service="checkout",
        warnings=["p95 is slow", "few requests"],
        at=NOON,
        tenant_name="acme",
    )
    assert told == Notification(
        id="m2",
        kind="warning",
        level=Level.WARNING,
        title="[Serinus] Canary warning: checkout",
        text="2 warnings in checkout:\n1. p95 is slow\n2. few requests",
        fields=(
            ("Service", "checkout"),
            ("Warnings", "2"),
            ("Deployment", "dep_1"),
            ("Tenant", "acme"),
            ("Time", "2026-01-31 12:00:00 UTC"),
        ),
        at=NOON,
        deployment_id="dep_1",
        service="checkout",
        tenant="acme",
    )


def test_one_warning_is_not_several():
    """The count reads right."""
    told = messages.warning_alert(id="m", deployment_id="d", service="s", warnings=["w"], at=NOON)
    assert told.text == "1 warning in s:\n1. w"


def test_promotions_waits_and_tests_are_good_news():
    """None of them wakes anybody."""
    known = {"id": "m", "deployment_id": "d", "service": "s", "version": "v2", "at": NOON}
    told = [
        messages.promoted_alert(**known),
        messages.waiting_alert(**known, what="v2 waits at 100 % to be promoted."),
        messages.test_message(id="m", at=NOON),
    ]
    assert [(n.kind, n.level, n.title) for n in told] == [
        ("promoted", Level.INFO, "[Serinus] Promoted: s v2"),
        ("waiting", Level.INFO, "[Serinus] Waiting for you: s v2"),
        ("test", Level.INFO, "[Serinus] Test message"),
    ]


def test_times_are_told_in_utc():
    """Whatever zone the clock was in."""
    seoul = NOON.astimezone(timezone(timedelta(hours=9)))
    assert messages.test_message(id="m", at=seoul).fields == (("Time", "2026-01-31 12:00:00 UTC"),)


def test_a_time_without_a_zone_is_refused():
    """Nobody would know when it was."""
    with pytest.raises(ValueError, match="UTC offset"):
        messages.test_message(id="m", at=datetime(2026, 1, 31))


def test_a_title_is_one_line_and_texts_are_cut():
    """A phone has to show it, and a subject with a line break would be a second header."""
    told = messages.rollback_alert(
        id="m", deployment_id="d", service="x\r\nBcc: evil@example.com", reason="long " * 1000, at=NOON
    )
    assert told.title == "[Serinus] Canary auto-rollback: x Bcc: evil@example.com"
    assert dict(told.fields)["Reason"].endswith("…")
    assert max(len(value) for _, value in told.fields) <= wording.LONGEST


@given(
    st.builds(
        Notification,
        id=st.text(),
        kind=st.text(),
        level=st.sampled_from(Level),
        title=st.text(),
        text=st.text(),
        fields=st.lists(st.tuples(st.text(), st.text())).map(tuple),
        link=st.text(),
        at=st.none() | st.datetimes(timezones=st.just(UTC)),
    )
)
def test_a_message_survives_the_outbox(told):
    """To JSON text and back it is the same."""
    assert messages.from_json(json.loads(json.dumps(messages.to_json(told)))) == told


def test_a_message_of_a_newer_replica_is_still_told():
    """During an upgrade old and new share one outbox."""
    told = messages.test_message(id="m", at=NOON)
    assert messages.from_json({**messages.to_json(told), "colour": "mauve"}) == told
