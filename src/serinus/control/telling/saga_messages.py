"""What people are told when something is left undone, and when they have to decide."""

from __future__ import annotations

from typing import Any

from serinus.control.telling.messages import About
from serinus.control.words.wording import line
from serinus.ports.notify import Level, Notification

__all__ = ["decision_alert", "failed_alert"]


def failed_alert(*, what: str, name: str, error: str, **about: Any) -> Notification:
    """Return the message that a compensation was given up: ``what`` is not undone, ``error`` says why."""
    a = About(**about)
    return a.message(
        "compensation",
        Level.ERROR,
        a.say("compensation.title", service=line(a.service)),
        a.say("compensation.text", what=what, version=a.version, service=a.service),
        ("Reason", error),
        ("To do", f"serinus compensation retry {a.deployment_id} {name}"),
        ("Version", a.version),
    )


def decision_alert(*, sentence: str, reason: str, **about: Any) -> Notification:
    """Return the message that a person has to decide: ``sentence`` says what is held and why."""
    a = About(**about)
    back = f'serinus rollout rollback {a.deployment_id} --across-irreversible --reason "…"'
    on = f'serinus rollout approve {a.deployment_id} --reason "…"'
    return a.message(
        "decision",
        Level.ERROR,
        a.say("decision.title", service=line(a.service), version=line(a.version)),
        sentence,
        ("Reason", reason),
        ("Go back", back),
        ("Go on", on),
        ("Version", a.version),
    )
