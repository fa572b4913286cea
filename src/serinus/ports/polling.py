"""Proxies that poll: Envoy as a REST xDS client, Traefik with its HTTP provider.

Such a proxy comes by itself, as an agent does, and is an instance of the same fleet. What it is answered,
and what its next question tells of the last answer, is the driver's knowledge; the control plane keeps what
the driver wants to remember of each instance from one question to the next.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from serinus.ports.traffic import Capability, Counters, DesiredSplit, InstanceState

__all__ = ["POLLS", "Ask", "Polled", "Polling", "Relaying", "Seen", "Told"]

#: The ``run`` of a report that was made from a proxy's questions instead of by an agent.
POLLS = "polls"
#: A refusal is only guessed where a proxy does not say it; an answer may also have been lost.
TRIES_BEFORE_REFUSED = 2
#: A proxy's administration is asked while the proxy waits for its answer: not for long.
LOOK_SECONDS = 0.5


@dataclass(frozen=True, kw_only=True, slots=True)
class Ask:
    """One question of a proxy."""

    #: What it asks for, in its own words (``clusters``, ``routes``); empty: for everything at once.
    kind: str = ""
    #: What it has of this, by the version that it was given; empty: nothing, or it does not say.
    version: str = ""
    #: What it has against the answer before, where it says so.
    refusal: str = ""
    #: The proxy's own version, where it says so.
    release: str = ""
    #: It had not asked for as long as its deadline: it may have been started again.
    after_silence: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Told:
    """What a proxy is answered, and what its question told."""

    #: The answer's content; empty: nothing but what it has.
    body: str = ""
    #: What to remember until its next question: plain JSON data.
    memory: Mapping[str, Any] = field(default_factory=dict)
    #: It carries the whole split, by its own word.
    ok: bool = False
    #: The share that it carries by its own word; ``None``: not known, or nothing yet.
    carried_bp: int | None = None
    #: Why it will not follow, in words; empty: it does, or still may.
    problem: str = ""
    #: It has nothing at all: it has just started.
    started: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Seen:
    """What an instance's own administration showed."""

    state: InstanceState
    counters: tuple[Counters, ...] = ()


class Polled(Protocol):
    """Answers the proxies of one service that poll."""

    capabilities: frozenset[Capability]

    def answer(self, ask: Ask, desired: DesiredSplit, memory: Mapping[str, Any]) -> Told:
        """Answer one question. Pure: the same question, split and memory give the same answer.

        Args:
            ask: The question.
            desired: What the proxy should carry.
            memory: What ``Told.memory`` was at its last question; empty at its first.

        Raises:
            TrafficError: This split cannot be carried here.
        """
        ...

    async def look(self, name: str, desired: DesiredSplit) -> Seen | None:
        """Ask an instance's own administration what it carries and has counted.

        Returns:
            ``None`` where its address is not known here; and where it does not answer, if the polls of
            this kind of proxy are proof enough of what it carries.
        """
        ...

    async def close(self) -> None:
        """Release connections."""
        ...


@runtime_checkable
class Polling(Protocol):
    """A driver's class whose proxies may poll."""

    @classmethod
    def polled(cls, settings: Mapping[str, Any]) -> Polled:
        """Return what answers proxies with these settings (those of ``driver_config``, no folder needed).

        Raises:
            InvalidInput: The settings are wrong.
        """
        ...


@runtime_checkable
class Relaying(Protocol):
    """A driver that knows proxies which poll."""

    @property
    def polled(self) -> Mapping[str, Polled]:
        """What answers, by the name of the proxies' driver."""
        ...
