"""What is told after the first message: together, summed up, carried, over, or a second time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from serinus.control.telling.messages import About
from serinus.control.words.phrases import name_in, say
from serinus.control.words.wording import counted, cut, lasted, line, numbered, seconds_text
from serinus.ports.notify import Level, Notification

__all__ = [
    "carried_alert",
    "held_summary",
    "not_carried_alert",
    "resolved_alert",
    "second_copy",
    "together",
    "with_took",
]


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
        title=f"{newest.title.partition(']')[0]}] {counted(language, lines, line(newest.service))}",
        text=cut(f"{counted(language, lines, newest.service)}:\n{numbered(lines)}"),
        fields=tuple((n, str(len(lines)) if n == count else v) for n, v in newest.fields),
    )


def carried_alert(*, stable: str, took: float, **about: Any) -> Notification:
    """Return the message that a rollback is carried at last, ``took`` seconds after the decision."""
    a = About(**about)
    text = a.say("carried.text", stable=stable, seconds=seconds_text(took))
    return a.message("carried", Level.INFO, a.say("carried.title", service=line(a.service)), text)


def not_carried_alert(*, problems: Sequence[str], since: float, **about: Any) -> Notification:
    """Return the critical message that proxies do not follow a rollback, ``since`` so many seconds."""
    a = About(**about)
    text = a.say("not_carried.text", version=a.version, service=a.service, seconds=seconds_text(since))
    return a.message(
        "not_carried",
        Level.CRITICAL,
        a.say("not_carried.title", service=line(a.service)),
        text,
        ("Version", a.version),
        ("Not carried by", "\n".join(f"• {p}" for p in problems)),
    )


def resolved_alert(*, why: str, stable: str, **about: Any) -> Notification:
    """Return the message that an incident is over; ``why`` is rollback, promoted or going_on."""
    a = About(**about)
    text = a.say(f"resolved.{why}", stable=stable, version=a.version)
    return a.message("resolved", Level.INFO, a.say("resolved.title", service=line(a.service)), text)


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
    lines = numbered([one.text.split("\n", 1)[-1].replace("\n", " ") for one in told])
    return replace(
        newest,
        id=id,
        kind="summary",
        level=max((one.level for one in told), key=lambda level: level.rank),
        title=line(say(language, "summary.title", count=count, service=newest.service)),
        text=cut(
            say(
                language,
                "summary.text",
                count=count,
                service=newest.service,
                limit=limit,
                time=lasted(seconds),
                lines=lines,
            )
        ),
        at=at,
    )


def second_copy(told: Notification) -> Notification:
    """Return a message that says that it may have arrived before."""
    return replace(told, title=say(told.language, "again", title=told.title))
