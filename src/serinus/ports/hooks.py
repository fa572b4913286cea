"""The port to other people's programs: a webhook or a command that is asked, or told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from serinus.core.hooks import Hook, Said

__all__ = ["HookCall", "HookCaller", "HookDriver", "HookReply"]


@dataclass(frozen=True, kw_only=True, slots=True)
class HookCall:
    """One try of one call."""

    #: The same over all tries: receivers that have seen it may answer as before.
    id: str
    hook: Hook
    #: Seconds since 1970 of this try.
    at: int
    #: The whole message; the same over all tries.
    body: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class HookReply:
    """``NOTHING`` means no answer: try again. ``words`` is one line without secrets."""

    said: Said
    words: str = ""


class HookDriver(Protocol):
    """Calls one webhook or one command."""

    async def call(self, call: HookCall) -> HookReply:
        """Call once, within a time of its own; whatever goes wrong is a reply without an answer."""
        ...

    async def close(self) -> None:
        """Release connections."""
        ...


class HookCaller(HookDriver, Protocol):
    """Calls any hook."""

    def check(self, hook: Hook) -> None:
        """Refuse a hook that could never be called, when the deployment is made.

        Raises:
            InvalidInput: The URL, the command, the secret or its variable is unusable.
        """
        ...
