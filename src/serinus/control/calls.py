"""Calls under way in one process: each by itself, so many at the same time, and broken off at the end."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

__all__ = ["Calls"]


class Calls:
    """The calls that were begun and have not ended; a slow one holds up no other."""

    def __init__(self, most: int) -> None:
        """``most``: so many at the same time."""
        self._most = most
        self._tasks: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        """Return how many are under way."""
        return len(self._tasks)

    @property
    def free(self) -> int:
        """How many may begin now."""
        return max(0, self._most - len(self._tasks))

    def begin(self, call: Coroutine[Any, Any, None], name: str) -> None:
        """Begin one; it is not waited for."""
        task = asyncio.create_task(call, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def settled(self) -> None:
        """Wait until none is under way."""
        await asyncio.gather(*self._tasks)

    async def close(self) -> None:
        """Break off what is under way."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
