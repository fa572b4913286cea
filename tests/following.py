"""An application's process as the control plane sees it, without its threads: it asks when a test says so."""

from __future__ import annotations

from serinus.sdk import Client
from serinus.sdk.kept import KeptUnits

__all__ = ["Process"]


class Process:
    """An application's process: follows the snapshot when told, and reports when told."""

    def __init__(self, world, name: str) -> None:
        self.world, self.name, self.seq = world, name, 0
        self.client, self.kept = Client(url=""), KeptUnits()

    async def follow(self) -> None:
        """Take the newest snapshot with its units, as the transport does."""
        self.world.clock.pass_(1)
        async with self.world.client() as c:
            snapshot = (await c.get("/sdk/snapshot")).json()
            for book, index in self.kept.missing(snapshot):
                self.kept.put(book, index, (await c.get(f"/sdk/assignments/{book}/{index}")).content)
        self.client.follow(self.kept.complete(snapshot, self.client.services))

    def on(self, *users: str) -> list[bool]:
        """Serve users; return who is on the canary."""
        return [self.client.service("checkout").expose(u).is_canary for u in users]

    async def report(self) -> None:
        """Tell of the units that were put on the canary."""
        self.seq += 1
        batch = {"source": self.name, "seq": self.seq, "units": self.client.take_units()}
        async with self.world.client() as c:
            answer = await c.post("/sdk/telemetry", json=batch)
            assert answer.status_code == 202, answer.text
