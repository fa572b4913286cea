"""Hooks: what somebody else's program has to say before a rollout goes on, or is told afterwards."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from serinus.core.errors import InvalidInput

__all__ = ["Ask", "Hook", "OnNo", "OnTimeout", "Phase", "Said", "checked", "checked_one"]

MOST_HOOKS = 20
#: A week: somebody may have to come back from holiday.
LONGEST_SECONDS = 7 * 86_400
_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,31}")


class Phase(StrEnum):
    """When a hook is called. ``confirm-…`` holds the rollout until it answers; ``post-…`` never does."""

    CONFIRM_ROLLOUT = "confirm-rollout"  #: before the first request goes to the canary
    CONFIRM_TRAFFIC = "confirm-traffic-increase"  #: before each bigger share
    CONFIRM_STEP = "confirm-step"  #: when a step's time is over and its checks pass
    CONFIRM_PROMOTION = "confirm-promotion"  #: before everyone gets the new version
    POST_PROMOTION = "post-promotion"
    POST_ROLLBACK = "post-rollback"
    COMPENSATE = "compensate"  #: undoes a completed step, or the deployment; declared there, not as a hook

    @property
    def blocks(self) -> bool:
        """Tell whether the rollout waits for the answer."""
        return self.value.startswith("confirm-")


class OnNo(StrEnum):
    """What follows when a hook says no."""

    ROLLBACK = "rollback"
    HOLD = "hold"  #: until somebody approves, or rolls back


class OnTimeout(StrEnum):
    """What follows when a hook has not answered in time."""

    HOLD = "hold"
    ROLLBACK = "rollback"
    CONTINUE = "continue"  #: as if it had said yes


class Said(StrEnum):
    """What has come of asking a hook."""

    NOTHING = ""
    YES = "yes"
    NO = "no"
    TIMEOUT = "timeout"  #: no answer in time
    WAIVED = "waived"  #: the rollout went on without it: somebody approved, or its setting says so


@dataclass(frozen=True, kw_only=True, slots=True)
class Hook:
    """A command that the server's operator allows, or a webhook; exactly one of the three ways."""

    name: str
    phase: Phase
    #: http or https, without user and password.
    url: str = ""
    #: Or the server's environment variable that holds the URL.
    url_env: str = ""
    #: Or the name of a command in the server's settings.
    command: str = ""
    #: The server's environment variable with the webhook's signing secret (``whsec_…``).
    secret_env: str = ""
    #: How long it may take to say yes or no, over all tries.
    timeout_seconds: float = 3600.0
    on_no: OnNo = OnNo.ROLLBACK
    on_timeout: OnTimeout = OnTimeout.HOLD


@dataclass(frozen=True, kw_only=True, slots=True)
class Ask:
    """A hook was asked, and what it said."""

    #: Also its outbox row and the receiver's idempotency key: the same over all tries.
    id: str
    hook: str
    phase: Phase
    #: What it was asked about: this step, or this move by hand.
    about: str
    asked_at: datetime
    said: Said = Said.NOTHING
    #: The first line of its answer.
    words: str = ""


def checked(hooks: Sequence[Hook], where: str = "strategy.hooks") -> tuple[Hook, ...]:
    """Return the hooks if each is whole.

    Raises:
        InvalidInput: A name, a way to call it, a secret or a time is missing, double or wrong.
    """
    if len(hooks) > MOST_HOOKS:
        raise InvalidInput(
            f"There are {len(hooks)} hooks.", field=where, next_step=f"Use at most {MOST_HOOKS}."
        )
    names: set[str] = set()
    for at, hook in enumerate(hooks):
        problem = _problem(hook, names)
        if hook.phase is Phase.COMPENSATE:
            help_ = "Put `compensate` on the step that it undoes, or on the strategy."
            problem = ("phase", f"Hook {hook.name!r} is of the phase compensate.", help_)
        if problem:
            field, detail, help_ = problem
            raise InvalidInput(detail, field=f"{where}[{at}].{field}", next_step=help_)
        names.add(hook.name)
    return tuple(hooks)


def checked_one(hook: Hook, where: str) -> Hook:
    """Return a hook that stands alone, at ``where``, if it is whole.

    Raises:
        InvalidInput: A way to call it, or its secret, is missing, double or wrong.
    """
    problem = _problem(hook, set())
    if problem:
        field, detail, help_ = problem
        raise InvalidInput(detail, field=f"{where}.{field}", next_step=help_)
    return hook


def _problem(hook: Hook, taken: set[str]) -> tuple[str, str, str] | None:
    """Return the field that is wrong, what is wrong with it, and what to do; ``None`` if nothing is."""
    if not _NAME.fullmatch(hook.name):
        return "name", f"{hook.name[:40]!r} is no name of a hook.", "Use up to 32 of a-z, 0-9, `-`, `_`, `.`."
    if hook.name in taken:
        return "name", f"There are two hooks {hook.name!r}.", "Give each a name of its own."
    ways = [way for way in ("url", "url_env", "command") if getattr(hook, way)]
    if len(ways) != 1:
        return (
            "url",
            f"Hook {hook.name!r} has {len(ways)} ways to be called.",
            ("Give one of `url`, `url_env` and `command`."),
        )
    if ways == ["command"] and hook.secret_env:
        return "secret_env", "A command is not signed.", "Leave `secret_env` out."
    if ways != ["command"] and not hook.secret_env:
        return (
            "secret_env",
            f"The webhook {hook.name!r} names no secret to be signed with.",
            ("Name the server's variable that holds it: `secret_env: SERINUS_HOOK_…`."),
        )
    if not 0 < hook.timeout_seconds <= LONGEST_SECONDS:
        return (
            "timeout_seconds",
            f"timeout_seconds is {hook.timeout_seconds:g}.",
            (f"Give more than 0 and at most {LONGEST_SECONDS} seconds (a week)."),
        )
    return None
