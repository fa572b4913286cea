"""Every traffic driver in front of versions that answer: what the contract suite runs over."""

from __future__ import annotations

import pytest

from edges import EDGES, POLLED, Backend, Edge
from serinus.drivers.traffic.inprocess import InProcessDriver


@pytest.fixture(params=EDGES)
def proxy(request) -> Edge:
    """Return a running proxy that sends everyone to v1."""
    return request.getfixturevalue(EDGES[request.param])


@pytest.fixture(params=[*EDGES, *POLLED])
def routed(request) -> Edge:
    """Return a running proxy that sends everyone to v1; those that poll, too."""
    return request.getfixturevalue({**EDGES, **POLLED}[request.param])


@pytest.fixture(params=["in-process", *EDGES])
def driven(request) -> Edge:
    """Return what has a driver and makes splits for it, the in-process one too."""
    if request.param in EDGES:
        return request.getfixturevalue(EDGES[request.param])
    return Edge(None, None, InProcessDriver(), Backend("v1"), Backend("v2"), 0)
