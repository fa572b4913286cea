"""Secrets that are kept in the database, sealed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

__all__ = ["SealedSecret", "SealedSecrets"]


@dataclass(frozen=True, kw_only=True, slots=True)
class SealedSecret:
    """A secret of the server by the name of the variable that it stands for."""

    name: str
    #: What the key made of it; says nothing without the key.
    sealed: str
    #: Fingerprint of that key.
    key_id: str
    set_at: datetime


class SealedSecrets(Protocol):
    """Secrets of the server; they belong to its operator, not to a tenant."""

    async def put(self, secret: SealedSecret) -> None:
        """Store a secret in place of the one of that name."""
        ...

    async def all(self) -> Sequence[SealedSecret]:
        """Return every secret, by name."""
        ...

    async def drop(self, name: str) -> bool:
        """Delete a secret; ``False`` when there is none."""
        ...
