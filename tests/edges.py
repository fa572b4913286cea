"""What every real proxy's fixture shares: an edge in front of versions that answer."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from math import sqrt
from pathlib import Path
from typing import Any

import httpx
import pytest

from backends import Backend, ask
from serinus.core.errors import InvalidInput
from serinus.core.model import Upstream
from serinus.ports.traffic import Capability, Counters, DesiredSplit, Share, TrafficDriver, TrafficError

__all__ = [
    "EDGES",
    "ODD",
    "POLLED",
    "TRY_SECONDS",
    "USERS",
    "Backend",
    "Edge",
    "ask",
    "can",
    "carried",
    "close_to",
]

#: Every real proxy: the name it is told by → the fixture that starts it.
EDGES = {
    "envoy": "edge",
    "haproxy": "haproxy_edge",
    "nginx lua": "lua_edge",
    "nginx njs": "njs_edge",
    "nginx-reload": "plain_nginx_edge",
    "traefik": "traefik_edge",
}

#: The same proxies where they poll us: name → fixture.
POLLED = {"envoy polls": "polled_envoy_edge", "traefik polls": "polled_traefik_edge"}

#: How long a canary may take to answer. A busy machine is no hanging canary.
TRY_SECONDS = 1.5

#: Keys that other hashes have stumbled over.
ODD = ["a b", "a,b", "a;b=c", "ü", "日本語", "x" * 200, "-", "0", "a'b\"c", "%20", "user@example.com", "\\1"]
USERS = [f"user-{n}" for n in range(10_000)]


@dataclass
class Edge:
    """A service behind a real proxy; a driver's fixture says how the proxy starts and stops."""

    folder: Path
    config: Any
    driver: TrafficDriver
    stable: Backend
    canary: Backend
    #: Where the proxy answers.
    port: int
    #: A third version, for A/B/n and mirrors; a fixture starts it with the others.
    third: Backend = field(default_factory=lambda: Backend("v3"))
    salt: str = "dep_test"
    #: Prometheus is told of answers that broke off; where not, the proxy's page says so.
    breaks_are_scraped: bool = True
    clients: list = field(default_factory=list)

    def upstream(self, backend: Backend) -> Upstream:
        """Return a backend as an upstream."""
        return Upstream(version=backend.version, addresses=(f"127.0.0.1:{backend.port}",))

    def split(self, bp: int | None, *, third_bp: int = 0, gap_bp: int = 0, **more) -> DesiredSplit:
        """Return a desired split; ``None`` means no canary."""
        third = Share(upstream=self.upstream(self.third), bp=third_bp, gap_bp=gap_bp)
        others = (third,) if third_bp else ()
        return DesiredSplit(
            service_id="svc",
            service="checkout",
            stable=self.upstream(self.stable),
            canary=None if bp is None else self.upstream(self.canary),
            canary_bp=bp or 0,
            salt=self.salt,
            others=others,
            **more,
        )

    def start(self) -> None:
        """Start the proxy."""
        raise NotImplementedError

    def stop(self) -> None:
        """End the proxy, by pid."""
        raise NotImplementedError

    async def change_by_hand(self, bp: int) -> None:
        """Give the canary this share in the proxy itself, behind the driver's back."""
        raise NotImplementedError

    async def begin(self) -> None:
        """Start everything, with everyone on stable."""
        for backend in (self.stable, self.canary, self.third):
            await backend.start()
        await self.driver.apply(self.split(None))
        self.start()
        await self.carries(self.split(None))

    async def end(self) -> None:
        """Stop everything."""
        for client in self.clients:
            await client.aclose()
        await self.driver.close()
        for backend in (self.stable, self.canary, self.third):
            await backend.stop()  # before the proxy, which would wait for answers that never come
        self.stop()

    async def carries(self, desired: DesiredSplit) -> None:
        """Apply until it is carried."""
        ends = asyncio.get_running_loop().time() + 20
        while not (state := await self.driver.apply(desired)).acknowledged:
            if asyncio.get_running_loop().time() > ends:
                pytest.fail(f"not carried: {state}")
            await asyncio.sleep(0.05)

    def client(self) -> httpx.AsyncClient:
        """Return a client of the edge."""
        made = httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{self.port}",
            trust_env=False,
            timeout=10,
            verify=False,  # saves reading the system's authorities, each time
        )
        self.clients.append(made)
        return made

    async def counted(self, desired: DesiredSplit) -> dict[str, Counters]:
        """Return the driver's statistics by version."""
        return {c.version: c for c in await self.driver.statistics(desired)}


def can(edge: Edge, capability: Capability) -> bool:
    """Tell what may be expected of this driver."""
    return capability in edge.driver.capabilities


async def carried(edge: Edge, desired: DesiredSplit, capability: Capability) -> bool:
    """Carry a split; or, where the driver cannot, see it refused in words and nothing moved."""
    if can(edge, capability):
        await edge.carries(desired)
        return True
    before = await edge.driver.read(edge.split(None))
    with pytest.raises(TrafficError, match=r"cannot .*; .*leave `\w+`") as refusal:
        await edge.driver.apply(desired)
    assert isinstance(refusal.value, InvalidInput)
    assert refusal.value.field
    assert await edge.driver.read(edge.split(None)) == before
    return False


def close_to(share: float, of: int) -> tuple[float, float]:
    """Return the bounds that a right split leaves once in more than a million times."""
    away = 5 * sqrt(of * share * (1 - share))
    return of * share - away, of * share + away
