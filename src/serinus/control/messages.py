"""What people are told, independent of the channel (contract 4), and its form in the outbox."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from serinus.core import codec
from serinus.ports.notify import Level, Notification

__all__ = [
    "from_json",
    "promoted_alert",
    "rollback_alert",
    "test_message",
    "to_json",
    "waiting_alert",
    "warning_alert",
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
    )


def rollback_alert(  # noqa: PLR0913 - each is one fact of the message, by name
    *,
    id: str,  # noqa: A002 - the field's name
    deployment_id: str,
    service: str,
    reason: str,
    at: datetime,
    version: str = "",
    rollback_version: str | None = None,
    tenant_name: str | None = None,
    link: str = "",
    exposed_units: int | None = None,
    seconds: float | None = None,
    checks: Sequence[str] = (),
    facts: Sequence[tuple[str, str]] = (),
) -> Notification:
    """Return the message of a rollback: what, why, back to which version, and where to look.

    ``seconds`` is how long the canary had traffic, ``exposed_units`` how many units were on it,
    ``facts`` the judge's numbers by name.
    """
    back = f"everyone is on {rollback_version} again" if rollback_version else "it gets no more traffic"
    what = f"{version or 'The canary'} of {service} was rolled back: {back}."
    # A failed check usually is the reason; it is not said twice.
    others = "\n".join(f"• {check}" for check in checks if check not in reason)
    return Notification(
        id=id,
        kind="rollback",
        level=Level.ERROR,
        title=f"[Serinus] Canary auto-rollback: {_line(service)}",
        text=_cut(f"{what} {_exposure(seconds, exposed_units)}".strip()),
        fields=_fields(
            ("Service", service),
            ("Reason", reason),
            *facts,
            ("Rolled back to", rollback_version),
            ("Last checks", others),
            ("Deployment", deployment_id),
            ("Tenant", tenant_name),
            ("Time", _utc(at)),
        ),
        link=link,
        at=at,
    )


def warning_alert(
    *,
    id: str,  # noqa: A002
    deployment_id: str,
    service: str,
    warnings: Sequence[str],
    at: datetime,
    version: str = "",
    tenant_name: str | None = None,
    link: str = "",
    facts: Sequence[tuple[str, str]] = (),
) -> Notification:
    """Return the message of one or several warnings, numbered; ``facts`` is what the judge says."""
    count = f"{len(warnings)} warning{'' if len(warnings) == 1 else 's'}"
    numbered = "\n".join(f"{number}. {warning}" for number, warning in enumerate(warnings, 1))
    return Notification(
        id=id,
        kind="warning",
        level=Level.WARNING,
        title=f"[Serinus] Canary warning: {_line(service)}",
        text=_cut(f"{count} in {service}{f' {version}' if version else ''}:\n{numbered}"),
        fields=_fields(
            ("Service", service),
            ("Warnings", str(len(warnings))),
            *facts,
            ("Deployment", deployment_id),
            ("Tenant", tenant_name),
            ("Time", _utc(at)),
        ),
        link=link,
        at=at,
    )


def promoted_alert(
    *,
    id: str,  # noqa: A002
    deployment_id: str,
    service: str,
    version: str,
    at: datetime,
    tenant_name: str | None = None,
    link: str = "",
    watched: str = "",
) -> Notification:
    """Return the message of a promotion; ``watched`` says until when it is still watched."""
    return Notification(
        id=id,
        kind="promoted",
        level=Level.INFO,
        title=f"[Serinus] Promoted: {_line(service)} {_line(version)}",
        text=_cut(f"{version} of {service} is promoted: everyone is on it. {watched}".strip()),
        fields=_fields(
            ("Service", service),
            ("Version", version),
            ("Deployment", deployment_id),
            ("Tenant", tenant_name),
            ("Time", _utc(at)),
        ),
        link=link,
        at=at,
    )


def waiting_alert(
    *,
    id: str,  # noqa: A002
    deployment_id: str,
    service: str,
    version: str,
    what: str,
    at: datetime,
    tenant_name: str | None = None,
    link: str = "",
    facts: Sequence[tuple[str, str]] = (),
) -> Notification:
    """Return the message that a person is needed: ``what`` says for what, ``facts`` what the judge says."""
    return Notification(
        id=id,
        kind="waiting",
        level=Level.INFO,
        title=f"[Serinus] Waiting for you: {_line(service)} {_line(version)}",
        text=_cut(what),
        fields=_fields(
            ("Service", service),
            ("Version", version),
            *facts,
            ("Deployment", deployment_id),
            ("Tenant", tenant_name),
            ("Time", _utc(at)),
        ),
        link=link,
        at=at,
    )


def test_message(*, id: str, at: datetime) -> Notification:  # noqa: A002
    """Return the message of ``serinus notify test``."""
    return Notification(
        id=id,
        kind="test",
        level=Level.INFO,
        title="[Serinus] Test message",
        text="This channel works. Nothing has happened to any deployment.",
        fields=_fields(("Time", _utc(at))),
        at=at,
    )


def _fields(*pairs: tuple[str, str | None]) -> tuple[tuple[str, str], ...]:
    return tuple((name, _cut(value)) for name, value in pairs if value)


def _exposure(seconds: float | None, units: int | None) -> str:
    """Return how far it had got, as far as that is known."""
    lasted = "" if seconds is None else f"It had traffic for {_lasted(seconds)}"
    reached = "" if units is None else f"{units:,} unit{' was' if units == 1 else 's were'} on it"
    together = " and ".join(part for part in (lasted, reached) if part)
    return f"{together}." if together else ""


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
