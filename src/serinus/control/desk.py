"""Who is told what, where and when: routes, quiet hours, limits. Read from a file by the operator."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, time, timedelta
from fnmatch import fnmatchcase
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from serinus.core import codec
from serinus.core.codec import told
from serinus.core.errors import InvalidInput
from serinus.core.notices import Topic
from serinus.ports.notify import Level, Traits

__all__ = ["Addressee", "ChannelPlan", "Desk", "Limit", "Plan", "Quiet", "Route", "Subject", "read_plan"]

LANGUAGES = ("en", "ko")
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
#: The end of a night is found within this many steps of a minute.
_WEEK_MINUTES = 8 * 24 * 60


@dataclass(frozen=True, kw_only=True, slots=True)
class Quiet:
    """Hours in which only what is critical is told; the rest waits for their end."""

    from_: str = told("Begin, like 22:00.", "22:00", also="from")
    until: str = told("End, like 07:00; before the begin: on the next day.", "07:00")
    zone: str = told("Time zone, like Europe/Berlin or Asia/Seoul.", "UTC")
    days: tuple[str, ...] = told("Days on which it begins, like sat; left out: every day.", ())

    def covers(self, now: datetime) -> bool:
        """Tell whether it is quiet at this moment."""
        local = now.astimezone(ZoneInfo(self.zone))
        begin, end, at = _clock(self.from_), _clock(self.until), local.time()
        if begin < end:
            return begin <= at < end and self._on(local)
        if at >= begin:
            return self._on(local)
        return at < end and self._on(local - timedelta(days=1))

    def over_at(self, now: datetime) -> datetime:
        """Return the next full minute at which it is not quiet, to the minute."""
        at = now.replace(second=0, microsecond=0)
        for _ in range(_WEEK_MINUTES):
            at += timedelta(minutes=1)
            if not self.covers(at):
                break
        return at

    def _on(self, local: datetime) -> bool:
        return not self.days or DAYS[local.weekday()] in self.days


@dataclass(frozen=True, kw_only=True, slots=True)
class Route:
    """What goes to which channels. What is left out matches everything."""

    channels: tuple[str, ...] = told("Channels by name.", required=True)
    name: str = told("For people.", "")
    tenants: tuple[str, ...] = told("Tenants by name; * stands for anything.", ())
    services: tuple[str, ...] = told("Services by name; * stands for anything.", ())
    kinds: tuple[str, ...] = told("rollback, warning, waiting, promoted, decision, compensation.", ())
    levels: tuple[Level, ...] = told("info, warning, error, critical.", ())
    critical: tuple[str, ...] = told("Kinds that are critical here, like rollback.", ())
    quiet: Quiet | None = told("Quiet hours; critical passes.")
    language: str = told("en or ko; left out: the file's.", "")


@dataclass(frozen=True, kw_only=True, slots=True)
class Limit:
    """How many messages of one kind about one deployment a channel takes."""

    count: int = told("So many …", 5)
    seconds: float = told("… in so many seconds.", 3600.0)


@dataclass(frozen=True, kw_only=True, slots=True)
class ChannelPlan:
    """A further channel of a type that is there already: another team's."""

    type: str = told("slack, email, pagerduty, twilio, webhook or apprise.", required=True)
    prefix: str = told("What its variables begin with: TEAM_A_ for TEAM_A_SLACK_WEBHOOK_URL.", required=True)


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """The whole file."""

    channels: dict[str, ChannelPlan] = field(default_factory=dict)
    routes: tuple[Route, ...] = told("Without any, everything goes to every channel.", ())
    limit: Limit = told("A channel's limit by deployment and kind.", Limit())
    group_seconds: float = told("Warnings that follow within so many seconds are told together.", 30.0)
    resolve_seconds: float = told("A rollback's incident is over so long after its read-back.", 600.0)
    language: str = told("en or ko.", "en")


@dataclass(frozen=True, kw_only=True, slots=True)
class Subject:
    """What a message is about, as far as routes ask."""

    tenant: str
    service: str
    kind: str
    level: Level


@dataclass(frozen=True, kw_only=True, slots=True)
class Addressee:
    """A channel that is told, how bad it is there, and in which language."""

    channel: str
    level: Level
    language: str


#: Follow-ups go where their cause went, whatever kinds a route names.
_CAUSE = {"resolved": "rollback", "carried": "rollback", "not_carried": "rollback", "summary": "warning"}
#: And these go where rollbacks go, at their own level.
_LIKE = {"decision": "rollback", "compensation": "rollback", "dropped": "rollback"}
#: Everything that a route may name.
KINDS = frozenset({*(t.value for t in Topic), *_CAUSE, *_LIKE})


@dataclass(frozen=True, kw_only=True, slots=True)
class Desk:
    """The plan and the channels' traits together."""

    plan: Plan = Plan()
    traits: Mapping[str, Traits] = field(default_factory=dict)

    def of(self, channel: str) -> Traits:
        """Return a channel's traits."""
        return self.traits.get(channel, Traits())

    def addressees(
        self, about: Subject, channels: Sequence[str], only: Sequence[str] = ()
    ) -> list[Addressee]:
        """Return who is told, in the order of ``channels``; ``only`` is what the policy allows."""
        found = []
        for channel in channels:
            routes = list(self._matching(about, channel))
            if (only and channel not in only) or (self.plan.routes and not routes):
                continue
            raised = any(about.kind in r.critical for r in routes)
            level = Level.CRITICAL if raised else about.level
            if level.rank >= self.of(channel).least.rank:
                language = next((r.language for r in routes if r.language), self.plan.language)
                found.append(Addressee(channel=channel, level=level, language=language))
        return found

    def quiet_until(self, about: Subject, channel: str, now: datetime) -> datetime | None:
        """Return until when a channel must not be disturbed with this; ``None`` when it may be now."""
        if about.level is Level.CRITICAL:
            return None
        routes = list(self._matching(about, channel))
        if not routes or any(r.quiet is None or not r.quiet.covers(now) for r in routes):
            return None  # one route that speaks is enough
        return min(r.quiet.over_at(now) for r in routes if r.quiet)

    def _matching(self, about: Subject, channel: str) -> Iterator[Route]:
        kinds = {about.kind, (_CAUSE | _LIKE).get(about.kind, about.kind)}
        for route in self.plan.routes:
            raised = about.kind in route.critical
            level = Level.CRITICAL if raised else about.level
            if (
                channel in route.channels
                and _any(about.tenant, route.tenants)
                and _any(about.service, route.services)
                and (not route.kinds or kinds & set(route.kinds))
                # Who was told the beginning is told the end, mild as it is.
                and (not route.levels or level in route.levels or about.kind in _CAUSE)
            ):
                yield route


def read_plan(data: Any, types: Sequence[str]) -> Plan:
    """Read the operator's file.

    Args:
        data: The file's content.
        types: The types of channels that there are.

    Raises:
        InvalidInput: Something in it is unknown or impossible; all of it in one error, by place.
    """
    plan = codec.from_json(Plan, data or {}, "")
    problems: dict[str, str] = {}
    for name, channel in plan.channels.items():
        if channel.type not in types:
            problems[f"channels.{name}.type"] = f"{channel.type!r} is not one of {', '.join(types)}"
        if name in types or not name or len(name) > 60:
            problems[f"channels.{name}"] = "take a name of its own, at most 60 characters"
        if not channel.prefix:
            problems[f"channels.{name}.prefix"] = "must not be empty"
    known = {*types, *plan.channels}
    for at, route in enumerate(plan.routes):
        problems |= _route_problems(f"routes[{at}]", route, known)
    problems |= _languages("language", plan.language)
    for where, number in (
        ("limit.count", plan.limit.count - 1),
        ("limit.seconds", plan.limit.seconds - 1),
        ("group_seconds", plan.group_seconds),
        ("resolve_seconds", plan.resolve_seconds),
    ):
        if number < 0:
            problems[where] = "too small"
    codec.refuse(problems)
    return plan


def _route_problems(where: str, route: Route, known: set[str]) -> dict[str, str]:
    problems = {
        f"{where}.channels": f"there is no channel {name!r}{codec.nearest(name, sorted(known))}"
        for name in route.channels
        if name not in known
    }
    for name in ("kinds", "critical"):
        for kind in getattr(route, name):
            if kind not in KINDS:
                problems[f"{where}.{name}"] = f"there is no kind {kind!r}{codec.nearest(kind, sorted(KINDS))}"
    problems |= _languages(f"{where}.language", route.language or "en")
    if route.quiet is None:
        return problems
    try:
        ZoneInfo(route.quiet.zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        problems[f"{where}.quiet.zone"] = f"{route.quiet.zone!r} is no time zone that this machine knows"
    times = []
    for name, text in (("from", route.quiet.from_), ("until", route.quiet.until)):
        try:
            times.append(_clock(text))
        except (ValueError, InvalidInput):
            problems[f"{where}.quiet.{name}"] = f"{text!r} is no time of day like 22:00"
    if len(times) > 1 and times[0] == times[1]:
        problems[f"{where}.quiet.until"] = "the same as `from`: it would never end"
    for day in route.quiet.days:
        if day not in DAYS:
            problems[f"{where}.quiet.days"] = f"{day!r} is not one of {', '.join(DAYS)}"
    return problems


def _languages(where: str, language: str) -> dict[str, str]:
    return {} if language in LANGUAGES else {where: f"{language!r} is not one of {', '.join(LANGUAGES)}"}


def _clock(text: str) -> time:
    hours, _, minutes = text.partition(":")
    return time(int(hours), int(minutes))


def _any(name: str, patterns: Sequence[str]) -> bool:
    return not patterns or any(fnmatchcase(name, pattern) for pattern in patterns)
