"""Frozen values on the way that every decision takes: changed, and written out late."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from functools import cache
from operator import attrgetter
from typing import Any, TypeVar

__all__ = ["LateText", "changed"]

T = TypeVar("T")


def changed(value: T, **changes: Any) -> T:
    """Return a copy of a frozen, slotted dataclass with other values in some fields.

    ``dataclasses.replace`` in less than half the time: no ``__init__`` with dozens of keywords, and so
    no ``__post_init__`` either.

    Raises:
        AttributeError: There is no field of that name.
    """
    kind: Any = type(value)
    values, setters = _fields_of(kind)
    twin: T = object.__new__(kind)
    for put, old in zip(setters, values(value), strict=True):
        put(twin, old)
    for name, new in changes.items():
        object.__setattr__(twin, name, new)
    return twin


@cache
def _fields_of(kind: type[Any]) -> tuple[Callable[[Any], Any], tuple[Callable[[Any, Any], None], ...]]:
    """Return what reads all fields of a class at once, and what writes each."""
    names = [field.name for field in fields(kind)]
    return attrgetter(*names), tuple(getattr(kind, name).__set__ for name in names)


class LateText:
    """A text that is written when somebody first reads it; it equals the text."""

    __slots__ = ("_text", "_write")

    def __init__(self, write: Callable[[], str]) -> None:
        """``write`` is called at most once; what it reads must not change meanwhile."""
        self._write: Callable[[], str] | None = write
        self._text = ""

    def __str__(self) -> str:
        """Write it, if nobody has read it before."""
        if self._write is not None:
            self._text, self._write = self._write(), None
        return self._text

    def __repr__(self) -> str:
        """Show it like the text."""
        return repr(str(self))

    def __bool__(self) -> bool:
        """Tell whether it says anything."""
        return bool(str(self))

    def __eq__(self, other: object) -> bool:
        """Compare as texts."""
        if self is other:
            return True
        return str(self) == str(other) if isinstance(other, LateText | str) else NotImplemented

    def __hash__(self) -> int:
        """Return the text's."""
        return hash(str(self))
