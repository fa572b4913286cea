"""What people are told, independent of the channel (contract 4), and its form in the outbox."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
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
    """Read the form that the outbox stores."""
    fields = tuple((str(name), str(value)) for name, value in data.get("fields", ()))
    plain = {k: v for k, v in data.items() if k not in ("fields", "level", "at")}
    at = datetime.fromisoformat(data["at"]) if data.get("at") else None
    return Notification(**plain, level=Level(data["level"]), fields=fields, at=at)


def rollback_alert(
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
    checks: Sequence[str] = (),
) -> Notification:
    """Return the message of a rollback: what, why, back to which version, and where to look."""
    lines = [f"The canary{f' {version}' if version else ''} of {service} was rolled back: {reason}"]
    if checks:
        lines.append("Last checks:\n" + "\n".join(f"• {c}" for c in checks))
    return Notification(
        id=id,
        kind="rollback",
        level=Level.ERROR,
        title=f"[Serinus] Canary auto-rollback: {_line(service)}",
        text=_cut("\n\n".join(lines)),
        fields=_fields(
            ("Service", service),
            ("Reason", reason),
            ("Rolled back to", rollback_version),
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
) -> Notification:
    """Return the message of one or several warnings, numbered."""
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
) -> Notification:
    """Return the message of a promotion."""
    return Notification(
        id=id,
        kind="promoted",
        level=Level.INFO,
        title=f"[Serinus] Promoted: {_line(service)} {_line(version)}",
        text=_cut(f"{version} of {service} is promoted: everyone is on it."),
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
) -> Notification:
    """Return the message that a person is needed: ``what`` says for what."""
    return Notification(
        id=id,
        kind="waiting",
        level=Level.INFO,
        title=f"[Serinus] Waiting for you: {_line(service)} {_line(version)}",
        text=_cut(what),
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


def _utc(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"


def _line(text: str) -> str:
    """Return a text on one line: a subject with a line break would be a second header."""
    return " ".join(text.split())[:200]


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
