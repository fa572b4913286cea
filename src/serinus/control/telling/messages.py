"""What people are told, independent of the channel (contract 4), and its form in the outbox."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from serinus.control.words.phrases import name_in, say
from serinus.control.words.spoken import spoken
from serinus.control.words.wording import counted, cut, lasted, line, numbered, seconds_text, utc
from serinus.core import codec
from serinus.ports.notify import Level, Notification

__all__ = [
    "About",
    "dropped_alert",
    "from_json",
    "promoted_alert",
    "rollback_alert",
    "set_promoted_alert",
    "test_message",
    "to_json",
    "waiting_alert",
    "warning_alert",
]


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

    def read(self, text: str) -> str:
        """Return what the core has said, line by line, in the message's language."""
        lines = (re.match(r"(• )?(.*)", one) for one in text.split("\n"))
        return "\n".join(f"{m[1] or ''}{spoken(m[2], self.language)}" for m in lines if m)

    def message(
        self, kind: str, level: Level, title: str, text: str, *pairs: tuple[str, str | None]
    ) -> Notification:
        """Return the message; service, deployment, tenant and time are added to ``pairs``."""
        rows = (
            ("Service", self.service),
            *pairs,
            ("Deployment", self.deployment_id),
            ("Tenant", self.tenant_name),
            ("Time", utc(self.at)),
        )
        return Notification(
            id=self.id,
            kind=kind,
            level=level,
            title=title,
            text=cut(self.read(text)),
            fields=tuple(
                (name_in(self.language, name), cut(self.read(value))) for name, value in rows if value
            ),
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
        a.say("rollback.title", service=line(a.service)),
        f"{what} {_exposure(a, seconds, exposed_units)}".strip(),
        ("Reason", reason),
        *facts,
        ("Done", action),
        ("Took", None if took is None else a.say("took", seconds=seconds_text(took))),
        ("Rolled back to", rollback_version),
        ("Last checks", others),
    )


def dropped_alert(
    *, reason: str, stable: str, rest: str, facts: Sequence[tuple[str, str]] = (), **about: Any
) -> Notification:
    """Return the message of a candidate that is out: why, where its units are, and what goes on."""
    a = About(**about)
    return a.message(
        "dropped",
        Level.ERROR,
        a.say("dropped.title", service=line(a.service), version=line(a.version)),
        a.say("dropped.text", version=a.version, service=a.service, stable=stable, rest=rest),
        ("Version", a.version),
        ("Reason", reason),
        *facts,
    )


def warning_alert(
    *, warnings: Sequence[str], facts: Sequence[tuple[str, str]] = (), **about: Any
) -> Notification:
    """Return the message of one or several warnings, numbered; ``facts`` is what the judge says."""
    a = About(**about)
    where = f"{a.service} {a.version}".strip()
    return a.message(
        "warning",
        Level.WARNING,
        a.say("warning.title", service=line(a.service)),
        f"{counted(a.language, warnings, where)}:\n{numbered(warnings)}",
        ("Warnings", str(len(warnings))),
        *facts,
    )


def promoted_alert(*, watched: str = "", **about: Any) -> Notification:
    """Return the message of a promotion; ``watched`` says until when it is still watched."""
    a = About(**about)
    text = a.say("promoted.text", version=a.version, service=a.service)
    return a.message(
        "promoted",
        Level.INFO,
        a.say("promoted.title", service=line(a.service), version=line(a.version)),
        f"{text} {watched}".strip(),
        ("Version", a.version),
    )


def set_promoted_alert(*, what: str, **about: Any) -> Notification:
    """Return the message that a release set is promoted; ``what`` names its members."""
    a = About(**about)
    return a.message("promoted", Level.INFO, a.say("set_promoted.title", service=line(a.service)), what)


def waiting_alert(*, what: str, facts: Sequence[tuple[str, str]] = (), **about: Any) -> Notification:
    """Return the message that a person is needed: ``what`` says for what, ``facts`` what the judge says."""
    a = About(**about)
    return a.message(
        "waiting",
        Level.INFO,
        a.say("waiting.title", service=line(a.service), version=line(a.version)).rstrip(),
        what,
        ("Version", a.version),
        *facts,
    )


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
        fields=((name_in(language, "Time"), utc(at)),),
        at=at,
        language=language,
    )


def _exposure(a: About, seconds: float | None, units: int | None) -> str:
    """Return how far it had got, as far as that is known."""
    time = "" if seconds is None else lasted(seconds)
    count = "" if units is None else a.say("units.one" if units == 1 else "units.many", n=f"{units:,}")
    phrase = "both" if time and count else "time" if time else "units" if count else ""
    said = a.say(f"exposed.{phrase}", time=time, units=count) if phrase else ""
    return said.replace(" were ", " was ") if units == 1 else said
