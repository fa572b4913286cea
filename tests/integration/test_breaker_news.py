"""News of breakers that several replicas take in at once, on PostgreSQL."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager

from fixtures_plane import World
from serinus.bootstrap.build import build, create_app
from serinus.control.evidence import breaker_key
from serinus.settings import Settings


@asynccontextmanager
async def replica(name: str, url: str, folder, clock):
    """Start a control plane whose loops do not run."""
    settings = Settings(data_dir=folder, database_url=url, replica=name, rule_workers=1)
    running = build(settings, clock=clock, notifiers={})
    running.loops = ()
    await running.start()
    yield World(running, create_app(settings, running), clock, running.first_token)
    await running.stop()


async def test_no_process_is_forgotten_whose_breaker_opens_while_others_do(postgres, tmp_path, clock):
    """Each tells it once, of its own: what another replica writes at the same moment must not undo it."""
    url = postgres.migrated()
    async with AsyncExitStack() as open_ones:
        a, b = [await open_ones.enter_async_context(replica(n, url, tmp_path, clock)) for n in "ab"]
        b.token = a.token
        await a.service()
        d = await a.canary()
        clock.pass_(1)
        news = {"service": "checkout", "deployment": d, "state": "open", "failures": 5}

        async def tell(world: World, source: str) -> None:
            async with world.client() as c:
                batch = {"source": source, "seq": 1, "breakers": [news]}
                assert (await c.post("/sdk/telemetry", json=batch)).status_code == 202

        sources = [f"{n:08d}" for n in range(20)]
        for pair in zip(sources[::2], sources[1::2], strict=True):
            await asyncio.gather(tell(a, pair[0]), tell(b, pair[1]))
        async with a.running.plane.context.store.begin(write=False) as tx:
            known = await tx.sources.cursor(breaker_key(d, 0))
    assert sorted(known) == [f"process {source}" for source in sources]
