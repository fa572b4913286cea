"""One control plane for all tests of the operator's tools; each makes services of its own."""

from __future__ import annotations

import asyncio
import json

import pytest

from shells import QuickShell


class Tools(QuickShell):
    """A shell that knows how to put a service behind a real proxy."""

    async def run(self, *words: object, **options) -> str:
        """Run a command beside the test's own servers; return what it printed."""
        return await asyncio.to_thread(self, *words, **options)

    async def data(self, *words: object, **options) -> dict:
        """Run a command with ``--json``; return what is on stdout."""
        return json.loads((await asyncio.to_thread(self.apart, *words, "--json", **options))[0])

    async def behind(self, edge, name: str) -> None:
        """Register the edge's service, on v1, with both versions' addresses."""
        # Commands run in this process, beside the versions' own servers, which they may hold up for a
        # while: that is no canary that hangs.
        settings = {**edge.settings(), "try_seconds": 5.0}
        (self.folder / f"{name}.json").write_text(json.dumps(settings))
        pairs = ((1, edge.stable), (2, edge.canary))
        addresses = [f"--upstream=v{n}=127.0.0.1:{b.port}" for n, b in pairs]
        command = ("service", "create", name, "--stable", "v1", "--driver", "envoy", *addresses)
        await self.run(*command, "--driver-config", f"{name}.json")


@pytest.fixture(scope="module")
def tools(tmp_path_factory):
    """Return a shell with a running control plane."""
    made = Tools(tmp_path_factory.mktemp("tools"))
    process = made.up()
    yield made
    process.terminate()
    process.wait(10)
