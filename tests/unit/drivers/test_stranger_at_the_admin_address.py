"""Something else listens at a proxy's admin address: an instance that does not follow, never a crash."""

from __future__ import annotations

import pytest

from backends import Backend
from serinus.core.model import Upstream
from serinus.drivers.traffic.envoy import EnvoyDriver
from serinus.drivers.traffic.nginx import NginxDriver
from serinus.drivers.traffic.traefik import TraefikDriver
from serinus.ports.traffic import DesiredSplit

SPLIT = DesiredSplit(
    service_id="svc",
    service="checkout",
    stable=Upstream(version="v1", addresses=("10.0.0.1:80",)),
    canary=Upstream(version="v2", addresses=("10.0.0.2:80",)),
    canary_bp=500,
    salt="dep",
)


@pytest.mark.parametrize("driver", [EnvoyDriver, NginxDriver, TraefikDriver], ids=lambda d: d.__name__)
@pytest.mark.parametrize("said", ["v2", "[]", '"x"'])
async def test_a_stranger_is_told_as_an_instance_that_does_not_follow(tmp_path, driver, said):
    """It says 200 to everything, and nothing that a proxy of ours says."""
    stranger = Backend(said)
    await stranger.start()
    edge = {"name": "edge-1", "admin": f"http://127.0.0.1:{stranger.port}", "config_dir": str(tmp_path)}
    proxy = driver.from_config({"instances": [edge]})
    try:
        for carried in (await proxy.apply(SPLIT), await proxy.read(SPLIT)):
            assert not carried.acknowledged
            assert [problem.partition(":")[0] for problem in carried.problems] == ["edge-1"]
        assert not any(counters.requests for counters in await proxy.statistics(SPLIT))
    finally:
        await stranger.stop()
