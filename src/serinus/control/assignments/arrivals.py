"""Units that processes have put on the canary: stored some at a time, so that nobody waits behind them.

When a share grows, hundreds of thousands arrive at once. An operator's call, a breaker or the monitor must
get at the database between them, so each transaction takes some, and then leaves as much time to others.
While that takes longer than a sender waits, it sends its batch again. The batch keeps its place then and is
stored once: were it to queue up anew, senders would add work faster than it is done, and never be answered.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from serinus.control.context import Context
from serinus.control.snapshot import Snapshots
from serinus.core.errors import SerinusError, Unavailable
from serinus.core.values import storable
from serinus.ports.assignments import Assignment

__all__ = ["Arrival", "Arrivals"]

#: Units per transaction: a tenth of a second, on SQLite.
AT_ONCE = 2_000
#: A sender is told to come again after this: less than an SDK waits (5 s).
PATIENCE_SECONDS = 4.0
#: So many senders' last stored batches are remembered.
MOST_SENDERS = 10_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Arrival:
    """A unit that a process has put on the canary."""

    service: str
    deployment: str
    #: 16 hex digits.
    hash: str
    priority: str
    key: str
    #: The deployment's reset count as the process knew it.
    epoch: int = 0


@dataclass(frozen=True, slots=True)
class _Some:
    tenant_id: str
    units: Sequence[Arrival]
    done: asyncio.Future[None]


class Arrivals:
    """Takes units in, and answers when they are stored."""

    def __init__(self, context: Context, snapshots: Snapshots) -> None:
        """Start with nothing waiting."""
        self._context, self._snapshots = context, snapshots
        self._waiting: deque[_Some] = deque()
        self._worker: asyncio.Task[None] | None = None
        #: Batches under way, and each sender's last that was stored: a sender has one under way at a time.
        self._under_way: dict[tuple[str, str, int], asyncio.Task[None]] = {}
        self._stored: dict[tuple[str, str], int] = {}

    async def take(self, tenant_id: str, source: str, seq: int, units: Sequence[Arrival]) -> None:
        """Store the units of a sender's batch; known ones stay as they are, so that it may come again.

        Raises:
            Unavailable: They are not stored, or not yet; send the batch again.
        """
        if not units or self._stored.get((tenant_id, source), -1) >= seq:
            return
        batch = (tenant_id, source, seq)
        task = self._under_way.get(batch)
        if task is None:
            task = self._under_way[batch] = asyncio.create_task(self._take(tenant_id, units))
            task.add_done_callback(lambda done: self._taken(batch, done))
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await asyncio.shield(task)
        except TimeoutError:
            raise Unavailable(
                "The units are still being stored.", next_step="Send the same batch again."
            ) from None

    def _taken(self, batch: tuple[str, str, int], task: asyncio.Task[None]) -> None:
        del self._under_way[batch]
        if task.cancelled() or task.exception() is not None:
            return  # it comes again
        tenant_id, source, seq = batch
        self._stored.pop((tenant_id, source), None)
        self._stored[tenant_id, source] = seq
        if len(self._stored) > MOST_SENDERS:
            del self._stored[next(iter(self._stored))]

    async def _take(self, tenant_id: str, units: Sequence[Arrival]) -> None:
        loop = asyncio.get_running_loop()
        mine = [
            _Some(tenant_id, units[at : at + AT_ONCE], loop.create_future())
            for at in range(0, len(units), AT_ONCE)
        ]
        self._waiting.extend(mine)
        if self._worker is None or self._worker.done():
            self._worker = asyncio.create_task(self._work())
        results = await asyncio.gather(*(some.done for some in mine), return_exceptions=True)
        for problem in results:
            if problem is not None:
                raise problem

    async def _work(self) -> None:
        while self._waiting:
            group, count = [self._waiting.popleft()], 0
            while self._waiting and (count := count + len(group[-1].units)) < AT_ONCE:
                group.append(self._waiting.popleft())
            began = self._context.clock.monotonic()
            problem: Exception | None = None
            try:
                await self._store(group)
            except SerinusError as error:
                problem = error
            except Exception as error:
                _answer(group, error)
                raise
            _answer(group, problem)
            await asyncio.sleep(self._context.clock.monotonic() - began)

    async def _store(self, group: Sequence[_Some]) -> None:
        snapshots = {some.tenant_id: await self._snapshots.get(some.tenant_id) for some in group}
        now = self._context.clock.now()
        items = [
            Assignment(
                tenant_id=some.tenant_id,
                book=snapshots[some.tenant_id].books[u.deployment],
                unit_hash=u.hash,
                priority=u.priority,
                key=storable(u.key, 256),
                assigned_at=now,
            )
            for some in group
            for u in some.units
            # Whoever comes late is kept as well: the share may have shrunk since, and that is what it is for.
            if snapshots[some.tenant_id].keeps(u.deployment, u.hash, u.epoch)
        ]
        if items:
            async with self._context.store.begin() as tx:
                await self._context.assignments(tx).add(items)


def _answer(group: Sequence[_Some], problem: Exception | None) -> None:
    for some in group:
        if some.done.done():
            continue  # whoever waited has gone
        if problem:
            some.done.set_exception(problem)
        else:
            some.done.set_result(None)
