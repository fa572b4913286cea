"""Who is told what, where and when: routes, quiet hours, and what a wrong file says."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from serinus.control.desk import Desk, Subject, read_plan
from serinus.core.errors import InvalidInput
from serinus.ports.notify import Level, Traits

TYPES = ("slack", "email", "pagerduty", "twilio")
TRAITS = {"twilio": Traits(least=Level.CRITICAL), "pagerduty": Traits(least=Level.WARNING, resolves=True)}


def desk(*routes: dict, **more) -> Desk:
    """Return a desk with these routes."""
    return Desk(plan=read_plan({"routes": list(routes), **more}, TYPES), traits=TRAITS)


def about(kind: str = "rollback", level: Level = Level.ERROR, **more) -> Subject:
    """Return what a message is about."""
    return Subject(**{"tenant": "acme", "service": "checkout", "kind": kind, "level": level, **more})


def told(desk: Desk, subject: Subject, only: tuple[str, ...] = ()) -> list[str]:
    """Return the channels that are told."""
    return [one.channel for one in desk.addressees(subject, TYPES, only)]


@pytest.mark.parametrize(
    ("level", "channels"),
    [
        (Level.INFO, ["slack", "email"]),
        (Level.WARNING, ["slack", "email", "pagerduty"]),
        (Level.CRITICAL, ["slack", "email", "pagerduty", "twilio"]),
    ],
)
def test_without_routes_everybody_is_told_as_far_as_it_is_bad_enough(level, channels):
    """Text messages only for what is critical, incidents only for what is bad."""
    assert told(desk(), about(level=level)) == channels


def test_a_policy_may_name_channels():
    """Of those that routes allow."""
    assert told(desk(), about(), ("email",)) == ["email"]


@pytest.mark.parametrize(
    ("route", "meant"),
    [
        ({"tenants": ["acme"]}, True),
        ({"tenants": ["other"]}, False),
        ({"services": ["check*"]}, True),
        ({"services": ["pay-*", "checkin"]}, False),
        ({"kinds": ["rollback"]}, True),
        ({"kinds": ["promoted"]}, False),
        ({"levels": ["error", "critical"]}, True),
        ({"levels": ["warning"]}, False),
        ({"tenants": ["acme"], "services": ["*"], "levels": ["info"]}, False),
    ],
)
def test_a_route_matches_by_tenant_service_kind_and_level(route, meant):
    """All that it names must match; who is named by no route is not told."""
    assert told(desk({"channels": ["email"], **route}), about()) == (["email"] if meant else [])


def test_several_routes_add_up():
    """In the order of the channels, each once."""
    both = desk(
        {"channels": ["email"]}, {"channels": ["slack", "email"], "tenants": ["acme"], "language": "ko"}
    )
    found = both.addressees(about(), TYPES)
    assert [(one.channel, one.language) for one in found] == [("slack", "ko"), ("email", "ko")]


def test_a_route_can_make_rollbacks_critical():
    """Then they are texted, too."""
    found = desk({"channels": ["twilio"], "critical": ["rollback"]}).addressees(about(), TYPES)
    assert [(one.channel, one.level) for one in found] == [("twilio", Level.CRITICAL)]


def test_who_was_told_the_beginning_is_told_the_end():
    """It is mild, and of another kind."""
    route = desk({"channels": ["slack"], "kinds": ["rollback"], "levels": ["error"]})
    assert told(route, about("carried", Level.INFO)) == ["slack"]
    assert told(route, about("promoted", Level.INFO)) == []


NIGHT = {"from": "22:00", "until": "07:00", "zone": "Asia/Seoul"}


@pytest.mark.parametrize(
    ("utc", "until"),
    [
        ("2026-01-31T12:59", None),  # 21:59 in Seoul
        ("2026-01-31T13:00", "2026-01-31T22:00"),
        ("2026-01-31T21:59", "2026-01-31T22:00"),
        ("2026-01-31T22:00", None),
    ],
)
def test_quiet_hours_are_those_of_their_time_zone(utc, until):
    """And over midnight."""
    quiet = desk({"channels": ["slack"], "quiet": NIGHT})
    now = datetime.fromisoformat(utc).replace(tzinfo=UTC)
    expected = datetime.fromisoformat(until).replace(tzinfo=UTC) if until else None
    assert quiet.quiet_until(about(), "slack", now) == expected


def test_the_night_in_which_clocks_change_ends_when_people_say_it_is_seven():
    """Berlin, 29 March 2026: 07:00 is 05:00 UTC, not 06:00."""
    quiet = desk({"channels": ["slack"], "quiet": {"zone": "Europe/Berlin"}})
    now = datetime(2026, 3, 28, 23, 0, tzinfo=UTC)
    assert quiet.quiet_until(about(), "slack", now) == datetime(2026, 3, 29, 5, 0, tzinfo=UTC)


def test_what_is_critical_passes_and_one_route_that_speaks_is_enough():
    """Nobody sleeps through a rollback that is not carried."""
    now = datetime(2026, 1, 31, 15, 0, tzinfo=UTC)
    night = {"channels": ["slack"], "quiet": NIGHT}
    assert desk(night).quiet_until(about(level=Level.CRITICAL), "slack", now) is None
    assert desk(night, {"channels": ["slack"]}).quiet_until(about(), "slack", now) is None
    assert desk(night).quiet_until(about(), "email", now) is None


def test_quiet_days_are_those_on_which_the_night_begins():
    """Saturday night goes on into Sunday morning; Sunday evening is another night."""
    weekend = desk({"channels": ["slack"], "quiet": {"days": ["sat"]}})
    quiet = [
        weekend.quiet_until(about(), "slack", datetime(2026, 1, day, hour, tzinfo=UTC)) is not None
        for day, hour in ((31, 6), (31, 23))
    ]
    sunday = [
        weekend.quiet_until(about(), "slack", datetime(2026, 2, 1, hour, tzinfo=UTC)) is not None
        for hour in (6, 23)
    ]
    assert (quiet, sunday) == ([False, True], [True, False])


def test_a_wrong_file_says_everything_that_is_wrong_with_it():
    """By place, in one error."""
    with pytest.raises(InvalidInput) as refusal:
        read_plan(
            {
                "language": "de",
                "limit": {"count": 0},
                "channels": {"slack": {"type": "email", "prefix": "X_"}, "x": {"type": "fax", "prefix": ""}},
                "routes": [
                    {"channels": ["slcak"], "kinds": ["rollbacks"], "critical": ["rolback"]},
                    {"channels": ["slack"], "quiet": {"zone": "Mars/Base", "from": "25:00", "days": ["so"]}},
                ],
            },
            TYPES,
        )
    assert set(refusal.value.extra["errors"]) == {
        "language",
        "limit.count",
        "channels.slack",
        "channels.x.type",
        "channels.x.prefix",
        "routes[0].channels",
        "routes[0].kinds",
        "routes[0].critical",
        "routes[1].quiet.zone",
        "routes[1].quiet.from",
        "routes[1].quiet.days",
    }
    assert "did you mean 'slack'?" in refusal.value.extra["errors"]["routes[0].channels"]
    assert "did you mean 'rollback'?" in refusal.value.extra["errors"]["routes[0].kinds"]


@pytest.mark.parametrize(("begin", "end"), [("08:00", "08:00"), ("8:00", "08:00")])
def test_a_night_without_an_end_is_refused(begin, end):
    """However its times are spelled: nobody would ever be told."""
    quiet = {"from": begin, "until": end}
    with pytest.raises(InvalidInput, match="never end"):
        read_plan({"routes": [{"channels": ["slack"], "quiet": quiet}]}, TYPES)
