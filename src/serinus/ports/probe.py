"""The probe port: whether anything answers at an address, asked before traffic is sent there."""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

__all__ = ["Probe"]


class Probe(Protocol):
    """Knocks at a side's addresses."""

    async def __call__(self, addresses: Collection[str]) -> str:
        """Return why none of them answers; empty when one does. Takes about a second at most."""
        ...
