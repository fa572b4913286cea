"""What people are told, independent of the channel (contract 4), and its form in the outbox."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from serinus.control.phrases import name_in, say
from serinus.core import codec
from serinus.ports.notify import Level, Notification

__all__ = [
    "About",
    "carried_alert",
    "from_json",
    "held_summary",
    "not_carried_alert",
    "promoted_alert",
    "resolved_alert",
    "rollback_alert",
    "second_copy",
    "seconds_text",
    "test_message",
    "to_json",
    "together",
    "waiting_alert",
    "warning_alert",
    "with_took",
]

#: Longer texts are cut: a reason must be readable on a phone.
LONGEST = 2000


def to_json(notification: Notification) -> dict[str, Any]:
    """Return the form that the outbox stores."""
    data: dict[str, Any] = codec.to_json(notification)
    return data


def from_json(data: Mapping[str, Any]) -> Notification:
    """Read the form that the outbox stores.

    Keys that this version does not know are left out: during an upgrade a message written by the newer
    replica is still told by the older one.
    """
    return Notification(
        id=str(data["id"]),
        kind=str(data["kind"]),
        level=Level(data["level"]),
        title=str(data["title"]),
        text=str(data["text"]),
        fields=tuple((str(name), str(value)) for name, value in data.get("fields") or ()),
        link=str(data.get("link") or ""),
        at=datetime.fromisoformat(data["at"]) if data.get("at") else None,
        deployment_id=str(data.get("deployment_id") or ""),
        service=str(data.get("service") or ""),
        tenant=str(data.get("tenant") or ""),
        language=str(data.get("language") or "en"),
        thread=str(data.get("thread") or ""),
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class About:
    """What every message about a deployment has."""

    id: str
    deployment_id: str
    service: str
    at: datetime
    version: str = ""
    tenant_name: str | None = None
    link: str = ""
    language: str = "en"

    def say(self, phrase: str, **parts: object) -> str:
        """Return a phrase in the message's language."""
        return say(self.language, phrase, **parts)

    def message(
        self, kind: str, level: Level, title: str, text: str, *pairs: tuple[str, str | None]
    ) -> Notification:
        """Return the message; service, deployment, tenant and time are added to ``pairs``."""
        rows = (
            ("Service", self.service),
            *pairs,
            ("Deployment", self.deployment_id),
            ("Tenant", self.tenant_name),
            ("Time", _utc(self.at)),
        )
        return Notification(
            id=self.id,
            kind=kind,
            level=level,
            title=title,
            text=_cut(text),
            fields=tuple((name_in(self.language, name), _cut(value)) for name, value in rows if value),
            link=self.link,
            at=self.at,
            deployment_id=self.deployment_id,
            service=self.service,
            tenant=self.tenant_name or "",
            language=self.language,
        )


def rollback_alert(
    *,
    reason: str,
    rollback_version: str | None = None,
    exposed_units: int | None = None,
    seconds: float | None = None,
    checks: Sequence[str] = (),
    facts: Sequence[tuple[str, str]] = (),
    done: bool = False,
    took: float | None = None,
    **about: Any,
) -> Notification:
    """Return the message of a rollback: what, why, back to which version, and where to look.

    Args:
        reason: Why, in one sentence.
        rollback_version: What everyone is on again.
        exposed_units: How many units were on the canary.
        seconds: How long the canary had traffic.
        checks: The last checks in words; what the reason says already is left out.
        facts: The judge's numbers by name.
        done: Say what was done, and how long it took as far as that is known.
        took: Seconds from the decision until every proxy was read back.
        about: The parts of :class:`About`.
    """
    a = About(**about)
    back = (
        a.say("rollback.everyone", stable=rollback_version) if rollback_version else a.say("rollback.nobody")
    )
    version = a.version or a.say("rollback.canary")
    what = a.say("rollback.text", version=version, service=a.service, back=back)
    others = "\n".join(f"• {check}" for check in checks if check not in reason)
    action = a.say("rollback.done", version=version, stable=rollback_version) if done else None
    return a.message(
        "rollback",
        Level.ERROR,
        a.say("rollback.title", service=_line(a.service)),
        f"{what} {_exposure(a, seconds, exposed_units)}".strip(),
        ("Reason", reason),
        *facts,
        ("Done", action),
        ("Took", None if took is None else a.say("took", seconds=seconds_text(took))),
        ("Rolled back to", rollback_version),
        ("Last checks", others),
    )


def with_took(told: Notification, took: float | None) -> Notification:
    """Return a rollback's message with how long it took, or that it is not known yet (``None``)."""
    name = name_in(told.language, "Took")
    done = name_in(told.language, "Done")
    phrase = (
        say(told.language, "took.not_yet")
        if took is None
        else say(told.language, "took", seconds=seconds_text(took))
    )
    rows = [(n, v) for n, v in told.fields if n != name]
    at = next((i + 1 for i, (n, _) in enumerate(rows) if n == done), len(rows))
    return replace(told, fields=(*rows[:at], (name, phrase), *rows[at:]))


def warning_alert(
    *, warnings: Sequence[str], facts: Sequence[tuple[str, str]] = (), **about: Any
) -> Notification:
    """Return the message of one or several warnings, numbered; ``facts`` is what the judge says."""
    a = About(**about)
    where = f"{a.service} {a.version}".strip()
    return a.message(
        "warning",
        Level.WARNING,
        a.say("warning.title", service=_line(a.service)),
        f"{_count(a.language, warnings, where)}:\n{_numbered(warnings)}",
        ("Warnings", str(len(warnings))),
        *facts,
    )


def together(told: Sequence[Notification]) -> Notification:
    """Return one warning for several: ``5 warnings in NAME``, with the newest one's facts."""
    newest = told[-1]
    language = newest.language
    lines = [line.split(". ", 1)[-1] for one in told for line in one.text.split("\n")[1:]]
    count = name_in(language, "Warnings")
    return replace(
        newest,
        id=told[0].id,
        level=max((one.level for one in told), key=lambda level: level.rank),
        title=f"{newest.title.partition(']')[0]}] {_count(language, lines, _line(newest.service))}",
        text=_cut(f"{_count(language, lines, newest.service)}:\n{_numbered(lines)}"),
        fields=tuple((n, str(len(lines)) if n == count else v) for n, v in newest.fields),
    )


def promoted_alert(*, watched: str = "", **about: Any) -> Notification:
    """Return the message of a promotion; ``watched`` says until when it is still watched."""
    a = About(**about)
    text = a.say("promoted.text", version=a.version, service=a.service)
    return a.message(
        "promoted",
        Level.INFO,
        a.say("promoted.title", service=_line(a.service), version=_line(a.version)),
        f"{text} {watched}".strip(),
        ("Version", a.version),
    )


def waiting_alert(*, what: str, facts: Sequence[tuple[str, str]] = (), **about: Any) -> Notification:
    """Return the message that a person is needed: ``what`` says for what, ``facts`` what the judge says."""
    a = About(**about)
    return a.message(
        "waiting",
        Level.INFO,
        a.say("waiting.title", service=_line(a.service), version=_line(a.version)),
        what,
        ("Version", a.version),
        *facts,
    )


def carried_alert(*, stable: str, took: float, **about: Any) -> Notification:
    """Return the message that a rollback is carried at last, ``took`` seconds after the decision."""
    a = About(**about)
    text = a.say("carried.text", stable=stable, seconds=seconds_text(took))
    return a.message("carried", Level.INFO, a.say("carried.title", service=_line(a.service)), text)


def not_carried_alert(*, problems: Sequence[str], since: float, **about: Any) -> Notification:
    """Return the critical message that proxies do not follow a rollback, ``since`` so many seconds."""
    a = About(**about)
    text = a.say("not_carried.text", version=a.version, service=a.service, seconds=seconds_text(since))
    return a.message(
        "not_carried",
        Level.CRITICAL,
        a.say("not_carried.title", service=_line(a.service)),
        text,
        ("Version", a.version),
        ("Not carried by", "\n".join(f"• {p}" for p in problems)),
    )


def resolved_alert(*, why: str, stable: str, **about: Any) -> Notification:
    """Return the message that an incident is over; ``why`` is rollback, promoted or going_on."""
    a = About(**about)
    text = a.say(f"resolved.{why}", stable=stable, version=a.version)
    return a.message("resolved", Level.INFO, a.say("resolved.title", service=_line(a.service)), text)


def held_summary(
    told: Sequence[Notification],
    *,
    id: str,  # noqa: A002
    at: datetime,
    limit: int,
    seconds: float,
) -> Notification:
    """Return the message that sums up what was held back by the limit."""
    newest = told[-1]
    language = newest.language
    count = say(language, "summary.one" if len(told) == 1 else "summary.many", n=len(told))
    lines = _numbered([one.text.split("\n", 1)[-1].replace("\n", " ") for one in told])
    return replace(
        newest,
        id=id,
        kind="summary",
        level=max((one.level for one in told), key=lambda level: level.rank),
        title=_line(say(language, "summary.title", count=count, service=newest.service)),
        text=_cut(
            say(
                language,
                "summary.text",
                count=count,
                service=newest.service,
                limit=limit,
                time=_lasted(seconds),
                lines=lines,
            )
        ),
        at=at,
    )


def second_copy(told: Notification) -> Notification:
    """Return a message that says that it may have arrived before."""
    return replace(told, title=say(told.language, "again", title=told.title))


def test_message(
    *,
    id: str,  # noqa: A002
    at: datetime,
    language: str = "en",  # noqa: PT028
) -> Notification:
    """Return the message of ``serinus notify test``."""
    return Notification(
        id=id,
        kind="test",
        level=Level.INFO,
        title=say(language, "test.title"),
        text=say(language, "test.text"),
        fields=((name_in(language, "Time"), _utc(at)),),
        at=at,
        language=language,
    )


def seconds_text(seconds: float) -> str:
    """Return a short duration: to the hundredth below ten seconds.

    >>> seconds_text(0.0834), seconds_text(23.4), seconds_text(400)
    ('0.08 s', '23 s', '6 min 40 s')
    """
    return f"{max(0.0, seconds):.2f} s" if seconds < 10 else _lasted(seconds)


def _count(language: str, warnings: Sequence[str], where: str) -> str:
    phrase = "warning.one" if len(warnings) == 1 else "warning.many"
    return say(language, phrase, n=len(warnings), service=where)


def _numbered(lines: Sequence[str]) -> str:
    return "\n".join(f"{number}. {line}" for number, line in enumerate(lines, 1))


def _exposure(a: About, seconds: float | None, units: int | None) -> str:
    """Return how far it had got, as far as that is known."""
    time = "" if seconds is None else _lasted(seconds)
    count = "" if units is None else a.say("units.one" if units == 1 else "units.many", n=f"{units:,}")
    phrase = "both" if time and count else "time" if time else "units" if count else ""
    said = a.say(f"exposed.{phrase}", time=time, units=count) if phrase else ""
    return said.replace(" were ", " was ") if units == 1 else said


def _lasted(seconds: float) -> str:
    """Return a duration in its two largest units.

    >>> [_lasted(s) for s in (0.4, 42, 90, 7200, 93_600)]
    ['1 s', '42 s', '1 min 30 s', '2 h', '1 d 2 h']
    """
    left = max(1, round(seconds))
    parts = []
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min"), (1, "s")):
        count, left = divmod(left, size)
        parts.append(f"{count} {unit}" if count else "")
    first = next(at for at, part in enumerate(parts) if part)
    return " ".join(part for part in parts[first : first + 2] if part)


def _utc(at: datetime) -> str:
    """Return a time in UTC, whatever zone it came in.

    Raises:
        ValueError: It has no zone, so nobody knows when it was.
    """
    if at.tzinfo is None:
        raise ValueError("a notification's time needs its UTC offset")
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def _line(text: str) -> str:
    """Return a text on one line: a subject with a line break would be a second header."""
    return " ".join(text.split())[:200]


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
