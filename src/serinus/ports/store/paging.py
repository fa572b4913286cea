"""A slice of a longer list."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Page"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Page:
    """A slice of a longer list: ``number`` counts from 1."""

    number: int = 1
    size: int = 50

    @property
    def offset(self) -> int:
        """How many rows come before this page."""
        return (self.number - 1) * self.size
