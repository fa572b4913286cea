"""Who is on which side and why; putting units on a side by hand; letting the hash decide again."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from serinus.control.context import Caller, Context, stamp
from serinus.control.finding import find_deployment, find_service
from serinus.control.record import write_decision
from serinus.control.showing.contests import assigned_version
from serinus.control.traffic import TrafficPool
from serinus.control.unit import Answer, Call, execute
from serinus.core.breaker import OPEN
from serinus.core.bucketing import BUCKETS, unit_hash
from serinus.core.candidates import share_of, slot_of
from serinus.core.decision import Decision
from serinus.core.errors import InvalidInput, NotFound
from serinus.core.lifecycle.placing import PlacedOn, place, reset
from serinus.core.model import Deployment, Role, Status
from serinus.ports.assignments import Assignment, Placement, Slice
from serinus.ports.store import Page, Transaction
from serinus.ports.traffic import Capability
from serinus.sdk.kept import packed

__all__ = ["Assigning", "Unit"]

#: Rows of ended deployments that one sweep takes, in steps that hold nobody up for long.
SWEPT, SWEPT_AT_ONCE = 200_000, 2_000

#: Slices kept as they travel; of a million units one is 80 kB.
MAX_PACKED = 200


class Unit:
    """Who is meant: one key, and which of the three it is."""

    __slots__ = ("key", "priority")

    def __init__(self, workflow_id: str = "", session_id: str = "", user_id: str = "") -> None:
        """Take exactly one key.

        Raises:
            InvalidInput: None is given, or several.
        """
        given = {"workflow_id": workflow_id, "session_id": session_id, "user_id": user_id}
        found = [(name, key) for name, key in given.items() if key]
        if len(found) != 1:
            raise InvalidInput(
                f"{len(found)} keys name the unit; it takes one.",
                field="user_id",
                next_step="Give user_id, session_id or workflow_id: the one that decides its requests.",
            )
        self.priority, self.key = found[0]

    @property
    def words(self) -> str:
        """The unit as people read it: ``user ada``."""
        return f"{self.priority.removesuffix('_id')} {self.key}"

    def hash(self, d: Deployment) -> str:
        """Return its hash in this deployment, in hex."""
        return f"{unit_hash(d.salt, self.key):016x}"


class Assigning:
    """What is asked about units, and done with them."""

    def __init__(self, context: Context, traffic: TrafficPool) -> None:
        """Work on the shared context."""
        self._context, self._traffic = context, traffic
        #: Slices as they travel: a share that shrinks has every process of a fleet ask for the same ones.
        self._packed: OrderedDict[tuple[str, str, int], tuple[int, bytes]] = OrderedDict()

    async def listed(
        self, caller: Caller, deployment_id: str, page: Page, priority: str = "", key: str = ""
    ) -> dict[str, Any]:
        """List units: first those on a side by hand, then those that were on the canary, oldest first.

        With a key: that unit, and beside the list where it is right now and why.
        """
        call = Call(caller=caller, action="assignments", target=deployment_id, needs=Role.VIEWER)
        caller.must_reach(call.needs)
        async with self._context.store.begin(write=False) as tx:
            d = await find_deployment(tx, call, deployment_id)
            found: list[Assignment | Placement] = []
            total, asked = 0, {}
            if d.status is Status.CANARY:  # what an ended one has left is nobody's assignment any more
                placed = [p for p in await self._placed(tx, d) if p.side is not PlacedOn.HASH]
                if key:
                    found = await self._find(tx, d, placed, f"{unit_hash(d.salt, key):016x}", priority)
                    total = len(found)
                    asked = {"unit": _where(d, found[0] if found else None, key, priority)}
                else:
                    found, total = await self._some(tx, d, placed, page)
        items = [_view(d, one) for one in found]
        return {"assignments": items, "total": total, "page": page.number, "page_size": page.size, **asked}

    async def _placed(self, tx: Transaction, d: Deployment) -> list[Placement]:
        return list(await tx.placements.of(d.tenant_id, d.id, resets_since=self._context.clock.now()))

    async def _find(
        self, tx: Transaction, d: Deployment, placed: list[Placement], unit: str, priority: str
    ) -> list[Assignment | Placement]:
        kept = await self._context.assignments(tx).page(d.tenant_id, d.book, limit=1, unit_hash=unit)
        both: list[Assignment | Placement] = [*(p for p in placed if p.unit_hash == unit), *kept]
        return [one for one in both if one.priority == priority][:1]

    async def _some(
        self, tx: Transaction, d: Deployment, placed: list[Placement], page: Page
    ) -> tuple[list[Assignment | Placement], int]:
        assignments = self._context.assignments(tx)
        found: list[Assignment | Placement] = [*placed[page.offset : page.offset + page.size]]
        left, offset = page.size - len(found), max(0, page.offset - len(placed))
        slices = await assignments.slices(d.tenant_id, d.book)
        if left:
            found += await assignments.page(d.tenant_id, d.book, limit=left, offset=offset)
        return found, len(placed) + sum(s.units for s in slices.values())

    async def place(
        self, call: Call, deployment_id: str, unit: Unit, on: PlacedOn, reason: str = ""
    ) -> Answer:
        """Put a unit on a side. Whatever was known of it before is forgotten."""

        async def work(tx: Transaction) -> tuple[int, Any]:
            d = await find_deployment(tx, call, deployment_id)
            others = [p for p in await self._placed(tx, d) if p.unit_hash != unit.hash(d)]
            count = sum(p.side is not PlacedOn.HASH for p in others)

            def move(d: Deployment, keeps: bool) -> Decision:
                return place(d, on, unit.words, placed=count, keeps_units=keeps, reason=reason)

            saved = await self._write(tx, call, d, move)
            put = self._placement(call, saved, unit, on, reason)
            await tx.placements.put(put)
            await self._context.assignments(tx).forget(d.tenant_id, d.book, put.unit_hash)
            return 200, _view(saved, put)

        return await execute(self._context, call, work)

    async def reset(self, call: Call, deployment_id: str, unit: Unit | None, reason: str = "") -> Answer:
        """Forget where a unit was, or with ``None`` where everybody was: the hash decides by the share."""

        async def work(tx: Transaction) -> tuple[int, Any]:
            d = await find_deployment(tx, call, deployment_id)

            def move(d: Deployment, keeps: bool) -> Decision:
                return reset(d, unit.words if unit else "", keeps_units=keeps, reason=reason)

            saved = await self._write(tx, call, d, move)
            assignments = self._context.assignments(tx)
            if unit is None:
                # The book that was is swept by and by: nobody waits for a million rows.
                slices = await assignments.slices(d.tenant_id, d.book)
                placed = sum(p.side is not PlacedOn.HASH for p in await self._placed(tx, d))
                await tx.placements.clear(d.tenant_id, d.id)
                gone = placed + sum(s.units for s in slices.values())
                return 200, {"deployment_id": d.id, "reset": gone}
            held = [p for p in await self._placed(tx, saved) if p.side is not PlacedOn.HASH]
            was = any(p.unit_hash == unit.hash(d) for p in held)
            await tx.placements.put(self._placement(call, saved, unit, PlacedOn.HASH, reason))
            gone = await assignments.forget(d.tenant_id, d.book, unit.hash(d))
            where = _where(saved, None, unit.key, unit.priority)
            return 200, {"deployment_id": d.id, "reset": int(bool(gone) or was), "unit": where}

        return await execute(self._context, call, work)

    async def _write(
        self, tx: Transaction, call: Call, d: Deployment, move: Callable[[Deployment, bool], Decision]
    ) -> Deployment:
        service = await find_service(tx, call, d.service_id)
        decision = move(d, self._traffic.can(service, Capability.PERSISTENT))
        return await write_decision(tx, self._context, service, decision, call.caller.name)

    def _placement(self, call: Call, d: Deployment, unit: Unit, on: PlacedOn, reason: str) -> Placement:
        return Placement(
            tenant_id=d.tenant_id,
            deployment_id=d.id,
            unit_hash=unit.hash(d),
            side=on,
            priority=unit.priority,
            key=unit.key,
            epoch=d.reset_epoch,
            actor=call.caller.name,
            reason=reason,
            at=self._context.clock.now(),
        )

    async def slice(self, caller: Caller, book: str, index: int) -> bytes:
        """Return a slice of the units that stay on a canary, as SDKs take it.

        Raises:
            NotFound: The tenant has no such deployment, or everybody was reset since.
        """
        deployment_id = book.partition(".")[0]
        call = Call(caller=caller, action="slice", target=book, needs=Role.SDK)
        caller.must_reach(call.needs)
        async with self._context.store.begin(write=False) as tx:
            d = await find_deployment(tx, call, deployment_id)
            if d.book != book:
                raise NotFound(
                    "Everybody was reset: these units are nobody's any more.",
                    next_step="Read the snapshot again.",
                )
            assignments, key = self._context.assignments(tx), (d.tenant_id, book, index)
            now = (await assignments.slices(d.tenant_id, book)).get(index, Slice(units=0, version=0))
            version, body = self._packed.get(key, (-1, b""))
            if version != now.version:
                version, hashes = await assignments.units(*key)
                body = packed(version, hashes)
        self._packed[key] = (version, body)
        self._packed.move_to_end(key)
        while len(self._packed) > MAX_PACKED:
            self._packed.popitem(last=False)
        return body

    async def sweep(self) -> None:
        """Delete what ended deployments and resets have left, some at a time."""
        async with self._context.store.begin(write=False) as tx:
            ended = []
            for tenant_id, book in await self._context.assignments(tx).held():
                d = await tx.deployments.get(tenant_id, book.partition(".")[0])
                if d is None or d.status is not Status.CANARY or d.book != book:
                    ended.append((tenant_id, book))
        gone = 0
        for tenant_id, book in ended:
            taken = SWEPT_AT_ONCE
            while taken == SWEPT_AT_ONCE and gone < SWEPT:
                began = self._context.clock.monotonic()
                async with self._context.store.begin() as tx:
                    assignments = self._context.assignments(tx)
                    taken = await assignments.forget(tenant_id, book, most=SWEPT_AT_ONCE)
                gone += taken
                await asyncio.sleep(self._context.clock.monotonic() - began)  # others write, too


def _view(d: Deployment, one: Assignment | Placement) -> dict[str, Any]:
    """Return an assignment as contract 1 shows it, with the side and why."""
    where = _where(d, one, one.key, one.priority)
    by_hand, on_canary = isinstance(one, Placement), where["side"] == PlacedOn.CANARY
    return {
        "assignment_id": f"asg_{d.id.removeprefix('dep_')}_{one.unit_hash}",
        "user_id": one.key if one.priority == "user_id" else None,
        "workflow_id": one.key if one.priority == "workflow_id" else None,
        "session_id": one.key if one.priority == "session_id" else None,
        "canary_version_id": assigned_version(d, one.unit_hash) if on_canary else None,
        "assigned_at": stamp(one.at if isinstance(one, Placement) else one.assigned_at),
        "priority": one.priority,
        "side": where["side"],
        "why": where["why"],
        **({"by": one.actor, "reason": one.reason} if by_hand and isinstance(one, Placement) else {}),
    }


def _where(d: Deployment, one: Assignment | Placement | None, key: str, priority: str) -> dict[str, Any]:
    """Return where a unit is right now, why, and its place: it is below the share, or it is not."""
    place_ = unit_hash(d.salt, key) % BUCKETS
    below, out = _share(d, place_)
    named = {"user_id": d.target_filter.user_ids, "workflow_id": d.target_filter.workflow_ids}
    if isinstance(one, Placement):
        side, why = one.side, "by_hand"
    elif below:
        side, why = PlacedOn.CANARY, "hash"
    elif key in named.get(priority, ()):
        side, why = PlacedOn.CANARY, "named"
    elif one is not None and not d.going_back and not d.filter_only:
        side, why = PlacedOn.CANARY, "kept"
    else:
        side, why = PlacedOn.STABLE, "hash"
    if d.tripped or (d.going_back and why == "by_hand"):
        side, why = PlacedOn.STABLE, "breaker" if d.tripped else "going_back"
    elif out and side is PlacedOn.CANARY:
        side, why = PlacedOn.STABLE, out
    return {"side": side.value, "why": why, "place_percentage": place_ / 100}


def _share(d: Deployment, place_: int) -> tuple[bool, str]:
    """Tell whether a place is below the share, and why its candidate is out, where there are several."""
    if not d.contested:
        return place_ < d.weight_bp, ""
    c, within = slot_of(d.candidates, place_)
    out = "breaker" if c.breaker.state == OPEN else ""
    return within < share_of(c.part_bp, d.weight_bp), out if c.live else "dropped"
