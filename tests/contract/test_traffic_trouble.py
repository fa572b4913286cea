"""What every traffic driver must do when a version fails: clients are spared, the failure is counted.

As in ``test_traffic_drivers.py``, a missing capability is refused or told, never skipped.
"""

from __future__ import annotations

import asyncio

import httpx
import pytest

from edges import USERS, Backend, ask, can, carried, close_to
from serinus.ports.traffic import Capability

pytestmark = pytest.mark.real


# -- mirrors --------------------------------------------------------------------------------------


async def test_a_mirror_gets_its_share_of_copies_and_clients_stables_answers(proxy):
    """Half of the requests, counted; then all of them."""
    mirror = proxy.upstream(proxy.third)
    if not await carried(proxy, proxy.split(None, mirror=mirror, mirror_bp=5000), Capability.MIRROR):
        return
    assert set(await ask(proxy.port, USERS[:2000])) == {"v1"}
    low, high = close_to(0.5, 2000)
    assert low <= await _settled(proxy.third) <= high
    await proxy.carries(proxy.split(2500, mirror=mirror, mirror_bp=10_000))
    before = len(proxy.third.requests)
    answers = await ask(proxy.port, USERS[:500])
    assert set(answers) == {"v1", "v2"}
    assert await _settled(proxy.third) - before == 500
    await proxy.carries(proxy.split(None))
    before = len(proxy.third.requests)
    await ask(proxy.port, USERS[:100])
    assert await _settled(proxy.third) == before


@pytest.mark.parametrize("mode", ["hang", "close", "500", "refuse"])
async def test_a_mirror_that_fails_costs_clients_nothing(proxy, mode):
    """Nobody waits for its answers, and nobody sees them."""
    mirror = proxy.upstream(proxy.third)
    if not await carried(proxy, proxy.split(None, mirror=mirror, mirror_bp=10_000), Capability.MIRROR):
        return
    if mode == "refuse":
        await proxy.third.stop()
    proxy.third.mode = mode
    async with asyncio.timeout(5):  # a hanging copy would hold its client for its own timeout: 15 s
        assert await ask(proxy.port, USERS[:400]) == ["v1"] * 400
    assert (await proxy.client().post("/pay", content=b"x")).text == "v1"


async def _settled(backend: Backend) -> int:
    """Return how many requests a backend has got, once no more come."""
    seen = -1
    while seen != len(backend.requests):
        seen = len(backend.requests)
        await asyncio.sleep(0.2)
    return seen


# -- a canary that fails --------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["500", "close", "hang", "refuse"])
async def test_a_failing_canary_costs_clients_nothing_and_counts_as_its_failure(proxy, mode):
    """A GET is repeated on stable; the canary's failed try is its error all the same."""
    desired = proxy.split(9999)
    await proxy.carries(desired)
    before = await proxy.counted(desired)
    if mode == "refuse":
        await proxy.canary.stop()
    proxy.canary.mode = mode
    client = proxy.client()
    for n in range(3):
        answer = await client.get("/", headers={"x-user-id": f"user-{n}"})
        if can(proxy, Capability.FAILOVER):
            assert (answer.status_code, answer.text) == (200, "v1")
            assert answer.headers["x-serinus-version"] == "v1"
        else:
            assert answer.status_code >= 500
    after = await proxy.counted(desired)
    if can(proxy, Capability.STATISTICS):
        assert after["v2"].errors - before["v2"].errors == 3
        assert after["v2"].requests - before["v2"].requests == 3
        assert after["v1"].errors == before["v1"].errors
    else:
        assert after == {}


@pytest.mark.parametrize("mode", ["500", "close", "hang", "refuse"])
async def test_a_canary_that_dies_under_many_requests_at_once_costs_clients_nothing(proxy, mode):
    """They all fail before the proxy can know: each of them is saved, not the first few."""
    await proxy.carries(proxy.split(9999))
    if mode == "refuse":
        await proxy.canary.stop()
    proxy.canary.mode = mode
    client = proxy.client()
    asked = (client.get("/", headers={"x-user-id": f"user-{n}"}) for n in range(60))
    answers = [(a.status_code, a.text) for a in await asyncio.gather(*asked)]
    if can(proxy, Capability.FAILOVER):
        assert answers == [(200, "v1")] * 60
    else:
        assert any(status >= 500 for status, _ in answers)


async def test_an_answer_that_breaks_off_is_the_canarys_failure(proxy):
    """Half an answer is never told as a whole one: the client sees it break, or gets all of stable's.

    Once its head has gone out, nobody can take it back; a proxy may hold short ones back until they are
    whole. Either way the canary is charged. What may not be repeated breaks off in every proxy.
    """
    desired = proxy.split(9999)
    await proxy.carries(desired)
    proxy.canary.mode = "die"
    seen = await asyncio.gather(
        *(_outcome(proxy, "GET", f"user-{n}") for n in range(3)), _outcome(proxy, "POST", "user-3")
    )
    saved = can(proxy, Capability.FAILOVER) and seen[0] != BROKEN
    assert seen == [*([(200, "v1", "v1") if saved else BROKEN] * 3), BROKEN]
    assert len(proxy.stable.requests) == (3 if saved else 0)
    after = await proxy.counted(desired)
    if can(proxy, Capability.STATISTICS):
        assert (after["v2"].requests, after["v2"].errors, after["v1"].errors) == (4, 4, 0)


BROKEN = "broke off"


async def _outcome(proxy, method: str, user: str):
    """Return status, text and version of an answer, or that it broke off."""
    try:
        answer = await proxy.client().request(method, "/", headers={"x-user-id": user})
    except httpx.RemoteProtocolError:
        return BROKEN
    return (answer.status_code, answer.text, answer.headers["x-serinus-version"])


async def test_another_candidate_fails_over_to_stable_too(proxy):
    """What holds for the canary holds for every version under test."""
    desired = proxy.split(0, third_bp=9999)
    if not await carried(proxy, desired, Capability.VERSIONS):
        return
    proxy.third.mode = "500"
    answer = await proxy.client().get("/", headers={"x-user-id": "user-1"})
    assert answer.text == ("v1" if can(proxy, Capability.FAILOVER) else "v3")
    if can(proxy, Capability.STATISTICS):
        assert (await proxy.counted(desired))["v3"].errors == 1


@pytest.mark.parametrize("mode", ["500", "close", "hang"])
async def test_a_post_is_not_sent_twice(proxy, mode):
    """What may not be repeated is answered as the canary answered."""
    await proxy.carries(proxy.split(9999))
    proxy.canary.mode = mode
    if mode == "hang":
        with pytest.raises(httpx.ReadTimeout):
            await proxy.client().post("/pay", headers={"x-user-id": "u"}, content=b"x", timeout=1)
    else:
        answer = await proxy.client().post("/pay", headers={"x-user-id": "u"}, content=b"x")
        assert answer.status_code >= 500
    assert proxy.canary.requests.count(("POST", "/pay")) == 1
    assert proxy.stable.requests.count(("POST", "/pay")) == 0


async def test_five_failures_in_a_row_take_the_canary_out_in_the_proxy_itself(proxy):
    """Contract 1's breaker at the edge: it does not wait for the control plane."""
    desired = proxy.split(9999)
    await proxy.carries(desired)
    proxy.canary.mode = "500"
    client = proxy.client()

    async def reach_the_canary(requests: int) -> int:
        before = len(proxy.canary.requests)
        for n in range(requests):
            await client.get("/", headers={"x-user-id": f"user-{n}"})
        return len(proxy.canary.requests) - before

    breaks = can(proxy, Capability.BREAKER)
    assert await reach_the_canary(5) == 5
    if not breaks:
        assert await reach_the_canary(20) == 20
    else:
        # What is taken out has to be told to the proxy's workers, who go on meanwhile.
        rounds = [await reach_the_canary(20) for _ in range(5)]
        assert rounds[-1] == 0, rounds
    if can(proxy, Capability.STATISTICS):
        ejected = {version: c.ejected for version, c in (await proxy.counted(desired)).items()}
        assert ejected == {"v1": False, "v2": breaks}
