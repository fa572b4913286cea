"""Channels from the environment, and the operator's file that says who is told what."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from serinus.control.desk import Desk, Plan, read_plan
from serinus.core.errors import InvalidInput
from serinus.drivers.catalog import NOTIFIERS, load
from serinus.ports.notify import Notifier, traits_of

__all__ = ["FILE", "desk_from", "notifiers_from", "plan_from"]

#: Names the file of routes, limits and further channels.
FILE = "SERINUS_NOTIFY_FILE"
#: A larger file is a mistake.
MAX_BYTES = 1_000_000


def notifiers_from(environment: Mapping[str, str]) -> tuple[dict[str, Notifier], dict[str, str]]:
    """Return the configured channels by name, and for the others why they are off.

    Raises:
        InvalidInput: A variable, or the file that ``SERINUS_NOTIFY_FILE`` names, is unusable.
    """
    on: dict[str, Notifier] = {}
    off: dict[str, str] = {}

    def add(name: str, kind: str, given: Mapping[str, str], prefix: str = "") -> None:
        made = _made(load(NOTIFIERS[kind]), given, prefix)
        if isinstance(made, str):
            off[name] = made
        else:
            on[name] = made

    for name in NOTIFIERS:
        add(name, name, environment)
    for name, channel in plan_from(environment).channels.items():
        start = len(channel.prefix)
        given = {k[start:]: v for k, v in environment.items() if k.startswith(channel.prefix)}
        add(name, channel.type, given, channel.prefix)
    return on, off


def plan_from(environment: Mapping[str, str]) -> Plan:
    """Read the file that ``SERINUS_NOTIFY_FILE`` names; without one, everything goes everywhere.

    Raises:
        InvalidInput: It cannot be read, or something in it is unknown or impossible.
    """
    place = environment.get(FILE, "").strip()
    return read_plan(_yaml(Path(place)), tuple(NOTIFIERS)) if place else Plan()


def desk_from(environment: Mapping[str, str], channels: Mapping[str, Notifier]) -> Desk:
    """Return who is told what: the file's plan and the channels' own traits.

    Raises:
        InvalidInput: The file is unusable.
    """
    return Desk(plan=plan_from(environment), traits={name: traits_of(one) for name, one in channels.items()})


def _made(kind: Any, given: Mapping[str, str], prefix: str) -> Any:
    """Build a channel; with a prefix, say the variables' whole names."""
    try:
        made = kind.from_env(given)
    except InvalidInput as error:
        if not prefix or not error.field:
            raise
        raise InvalidInput(
            error.detail.replace(error.field, prefix + error.field),
            field=prefix + error.field,
            next_step=error.next_step,
        ) from None
    return f"{made} (each with {prefix} before it)" if prefix and isinstance(made, str) else made


def _yaml(path: Path) -> Any:
    import yaml

    try:
        with path.expanduser().open("rb") as file:
            text = file.read(MAX_BYTES + 1)
        if len(text) > MAX_BYTES:
            raise ValueError("it is too large")
        return yaml.safe_load(text)
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        raise InvalidInput(
            f"{FILE} names {os.fspath(path)!r}, which cannot be read ({type(error).__name__}{where}).",
            field=FILE,
            next_step="Name a YAML file that this process may read; docs/notifications.md shows one.",
        ) from None
