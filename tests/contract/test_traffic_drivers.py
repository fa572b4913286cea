"""What every traffic driver must do, over all of them."""

from __future__ import annotations

import pytest

from edges import Backend, Edge
from serinus.drivers.traffic.inprocess import InProcessDriver

_EDGES = {"envoy": "edge", "traefik": "traefik_edge"}


@pytest.fixture(params=["in-process", "envoy", "traefik"])
def driven(request):
    """Return a driver and what makes splits for it."""
    if request.param in _EDGES:
        edge = request.getfixturevalue(_EDGES[request.param])
        return edge.driver, edge.split
    driver = InProcessDriver()
    nowhere = Edge(None, None, driver, Backend("v1"), Backend("v2"), 0)
    return driver, nowhere.split


async def test_what_was_applied_is_read_back(driven):
    """Applied means carried: every share is acknowledged and can be read."""
    driver, split = driven
    for bp in (None, 1, 500, 10_000, 0, None):
        assert (await driver.apply(split(bp))).acknowledged
        assert (await driver.read(split(bp))).acknowledged


async def test_applying_again_changes_nothing(driven):
    """Level-triggered: the same desire is cheap and idempotent."""
    driver, split = driven
    first = await driver.apply(split(500))
    assert await driver.apply(split(500)) == first


async def test_statistics_and_findings_never_raise(driven):
    """The monitor and doctor may always ask."""
    driver, split = driven
    await driver.apply(split(500))
    assert all(c.requests >= c.errors >= 0 for c in await driver.statistics(split(500)))
    assert all(f.ok for f in await driver.check())
