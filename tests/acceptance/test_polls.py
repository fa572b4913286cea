"""An Envoy and a Traefik poll the control plane: what happens when it is away, refuses, or is refused."""

from __future__ import annotations

import re
import time

import httpx
import pytest

from fixtures_fleet import USERS, until
from serinus.core.bucketing import is_on_canary

pytestmark = [pytest.mark.real, pytest.mark.timeout(240)]

EVERYONE_STABLE = dict.fromkeys(USERS, "v1")


def half(salt: str) -> dict[str, str]:
    """Return which version answers whom at 50 %."""
    return {user: "v2" if is_on_canary(salt, user, 5000) else "v1" for user in USERS}


def test_a_rollout_and_its_rollback(polled_fleet):
    """Both split as the SDK does, and are listed as agents are; a rollback reaches everyone."""
    deployment = polled_fleet.deploy(50)
    until(lambda: polled_fleet.follow(50), "both carry 50 %")
    assert polled_fleet.ask("edge-1") == polled_fleet.ask("edge-2") == half(deployment)
    code, listed = polled_fleet.command("fleet", "list")
    assert code == 0
    one, two = listed.splitlines()[1:]
    assert re.fullmatch(r"✔ edge-1 +follows +50 % +envoy, polls", one)
    assert re.fullmatch(r"✔ edge-2 +follows +50 % +traefik, polls", two)

    polled_fleet.roll_back(deployment)
    until(lambda: polled_fleet.follow(0), "both follow the rollback")
    for edge in ("edge-1", "edge-2"):
        assert polled_fleet.ask(edge) == EVERYONE_STABLE


def test_what_a_reachable_proxy_counts_is_evidence(polled_fleet):
    """Of the Traefik, whose API the control plane may ask; the Envoy, which it may not, counts nothing."""
    deployment = polled_fleet.deploy(50)
    until(lambda: polled_fleet.follow(50), "both carry 50 %")

    def counted() -> int:
        found = polled_fleet.plane.call("GET", f"/deployments/{deployment}/metrics")
        sides = [found[side] or {"total_requests": 0} for side in ("v1_metrics", "v2_metrics")]
        return sum(side["total_requests"] for side in sides)

    polled_fleet.ask("edge-2")  # a series begins with its first request
    time.sleep(1)
    before = counted()
    polled_fleet.ask("edge-2")
    until(lambda: counted() == before + len(USERS), "its requests are counted")
    polled_fleet.ask("edge-1")
    assert counted() == before + len(USERS)


def test_the_control_plane_is_away_and_comes_back(polled_fleet):
    """The proxies keep what they have; afterwards they say so by themselves, and obey."""
    deployment = polled_fleet.deploy(50)
    until(lambda: polled_fleet.follow(50), "both carry 50 %")
    polled_fleet.plane.kill()
    time.sleep(1)  # some polls find nobody
    assert polled_fleet.ask("edge-1") == polled_fleet.ask("edge-2") == half(deployment)
    polled_fleet.plane.start()
    until(lambda: polled_fleet.follow(50), "both are heard again")
    polled_fleet.roll_back(deployment)
    until(lambda: polled_fleet.ask("edge-1") == polled_fleet.ask("edge-2") == EVERYONE_STABLE, "both obey")


def test_a_proxy_is_killed_and_comes_back(polled_fleet):
    """With nothing in its hands it is given everything; the deployment names it meanwhile."""
    deployment = polled_fleet.deploy(50)
    until(lambda: polled_fleet.follow(50), "both carry 50 %")
    for edge in ("edge-1", "edge-2"):
        polled_fleet.proxies[edge].kill()
        polled_fleet.proxies[edge].wait()
        named = f"{edge}: silent since"
        until(lambda named=named: named in polled_fleet.sentence(deployment), "the deployment names it")
        polled_fleet.start(edge, polled_fleet.token)
        until(lambda: polled_fleet.follow(50), "it follows again")
        assert polled_fleet.ask(edge) == half(deployment)


def test_a_configuration_that_envoy_refuses(polled_fleet):
    """It keeps the one before, the deployment holds and names it; the rollback is carried at once."""
    deployment = polled_fleet.deploy(50, "v3")
    why = "edge-1: Envoy was given new clusters"
    until(lambda: why in polled_fleet.sentence(deployment), "the deployment says who refuses")
    held = polled_fleet.sentence(deployment)
    assert held.startswith("Holding at 50 %: the split is not carried: ")
    assert "has not taken them; why is in its own log" in held
    printed = (polled_fleet.folder / "edge-1" / "printed").read_text()
    assert "REST config for /v3/discovery:clusters rejected: " in printed
    assert polled_fleet.ask("edge-1") == EVERYONE_STABLE
    polled_fleet.roll_back(deployment)
    until(lambda: polled_fleet.follow(0), "both follow the rollback")


def test_a_token_that_is_wrong_or_revoked(polled_fleet):
    """A stranger's proxy gets nothing and is not listed; a revoked one keeps its split, and is named."""
    fleet = polled_fleet
    deployment = fleet.deploy(50)
    until(lambda: fleet.follow(50), "both carry 50 %")
    for edge, kind in (("edge-3", "envoy"), ("edge-4", "traefik")):
        fleet.kinds[edge], fleet.ports[edge], fleet.admins[edge] = kind, *_ports()
        try:
            fleet.start(edge, "srn_not-a-token")
            until(lambda edge=edge: _refused(fleet, edge), "it was refused")
            assert edge not in fleet.instances()
            assert fleet.ask(edge) != half(deployment)
        finally:
            del fleet.kinds[edge]

    fleet.plane.call("DELETE", f"/tokens/{fleet.token_id}")
    for edge in ("edge-1", "edge-2"):
        named = f"{edge}: silent since"
        until(lambda named=named: named in fleet.sentence(deployment), "the deployment names it")
        assert fleet.ask(edge) == half(deployment)
    made = fleet.plane.call("POST", "/tokens", json={"name": "edges", "role": "agent"})
    fleet.token, fleet.token_id = made["token"], made["token_id"]
    for edge in ("edge-1", "edge-2"):
        fleet.proxies[edge].kill()
        fleet.proxies[edge].wait()
        fleet.start(edge, fleet.token)


def _ports() -> tuple[int, int]:
    from needs import free_port

    return free_port(), free_port()


def _refused(fleet, edge: str) -> bool:
    """Tell whether a proxy has logged, or counted, that its polls are refused."""
    if fleet.kinds[edge] == "traefik":
        log = fleet.folder / edge / "traefik.log"
        return log.exists() and "401" in log.read_text()
    try:
        stats = httpx.get(
            f"http://127.0.0.1:{fleet.admins[edge]}/stats?filter=upstream_rq_401", trust_env=False
        )
    except httpx.HTTPError:
        return False
    return any(int(line.rpartition(" ")[2]) > 0 for line in stats.text.splitlines())
