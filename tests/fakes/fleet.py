"""A control plane that can be cut off, and a proxy that remembers what it carries."""

from __future__ import annotations

import asyncio

from serinus.agent import LinkError
from serinus.ports.fleet import Order
from serinus.ports.traffic import Capability, Carried, Counters, DesiredSplit, InstanceState, TrafficError

__all__ = ["FakeLink", "FakeProxy"]


class FakeLink:
    """What an agent calls. Nothing is pushed while ``pushes`` is off; nothing answers while it is away."""

    def __init__(self) -> None:
        self.wanted: dict = {"revision": "", "order": None}
        self.away = False
        self.pushes = True
        self.reports: list[dict] = []
        self.calls: list[str] = []
        self._news = asyncio.Event()

    def want(self, order: Order) -> None:
        """Order a split."""
        self.wanted = {"revision": order.revision, "order": order.to_json()}
        self._news.set()

    def _answers(self, call: str) -> None:
        self.calls.append(call)
        if self.away:
            raise LinkError("the control plane does not answer (ConnectError)")

    async def ask(self, revision: str = "") -> dict | None:
        """Answer what is wanted."""
        self._answers("ask")
        return None if revision and revision == self.wanted["revision"] else self.wanted

    async def report(self, report: dict) -> str:
        """Keep a report."""
        self._answers("report")
        self.reports.append(report)
        return self.wanted["revision"]

    async def listen(self):
        """Push what is wanted."""
        while True:
            self._answers("listen")
            if not self.pushes:
                raise LinkError("the stream ended (ReadTimeout)")
            self._news.clear()
            yield self.wanted
            await self._news.wait()


class FakeProxy:
    """A traffic driver whose proxy is a variable."""

    capabilities = frozenset(Capability)

    def __init__(self) -> None:
        self.carried: DesiredSplit | None = None
        self.applied: list[DesiredSplit] = []
        self.broken = ""

    async def apply(self, desired: DesiredSplit) -> Carried:
        """Carry it, unless broken."""
        if self.broken:
            raise TrafficError(self.broken)
        self.applied.append(desired)
        self.carried = desired
        return await self.read(desired)

    async def read(self, desired: DesiredSplit) -> Carried:
        """Compare."""
        ok = self.carried == desired
        bp = self.carried.canary_bp if self.carried else None
        problem = "" if ok else "it carries another split"
        return Carried(instances=(InstanceState(name="p", ok=ok, carried_bp=bp, problem=problem),))

    async def statistics(self, desired: DesiredSplit) -> tuple[Counters, ...]:
        """Say that stable had one request."""
        stable = desired.stable.version
        return (
            Counters(instance="p", version=stable, requests=1, errors=0, buckets={5.0: 1, float("inf"): 1}),
        )

    async def check(self) -> tuple:
        """Nothing to look over."""
        return ()

    async def close(self) -> None:
        """Nothing is open."""
