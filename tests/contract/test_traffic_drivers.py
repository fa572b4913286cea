"""What every traffic driver must do, over all of them, by real requests.

Each test asks the driver's ``capabilities`` what it may expect. Where one is missing the driver has to
refuse before anything moves, or the test says what happens instead: nothing is skipped.
"""

from __future__ import annotations

import asyncio
import subprocess
import time
from dataclasses import replace
from math import sqrt

import httpx
import pytest

from edges import Backend, Edge, ask
from fixtures_prometheus import Exporter, Prometheus
from needs import program
from serinus.core.bucketing import bucket_of, is_on_canary
from serinus.core.errors import InvalidInput
from serinus.drivers import catalog
from serinus.drivers.metrics.prometheus import PrometheusSource
from serinus.drivers.traffic.inprocess import InProcessDriver
from serinus.ports.metrics import single
from serinus.ports.traffic import Capability, DesiredSplit, Match, Scraped, TrafficError

pytestmark = pytest.mark.real

#: Every real proxy: the name it is told by → the fixture that starts it.
EDGES = {
    "envoy": "edge",
    "nginx lua": "lua_edge",
    "nginx njs": "njs_edge",
    "nginx-reload": "plain_nginx_edge",
}

#: Keys that other hashes have stumbled over.
ODD = ["a b", "a,b", "a;b=c", "ü", "日本語", "x" * 200, "-", "0", "a'b\"c", "%20", "user@example.com", "\\1"]
USERS = [f"user-{n}" for n in range(10_000)]
#: 0.1 to 99 %, in basis points, growing.
SHARES = (10, 100, 500, 1000, 2500, 5000, 7500, 9900)


@pytest.fixture(params=EDGES)
def proxy(request) -> Edge:
    """Return a running proxy that sends everyone to v1."""
    return request.getfixturevalue(EDGES[request.param])


@pytest.fixture(params=["in-process", *EDGES])
def driven(request) -> Edge:
    """Return what has a driver and makes splits for it, the in-process one too."""
    if request.param in EDGES:
        return request.getfixturevalue(EDGES[request.param])
    return Edge(None, None, InProcessDriver(), Backend("v1"), Backend("v2"), 0)


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


# -- what is carried ------------------------------------------------------------------------------


async def test_what_was_applied_is_read_back(driven):
    """Applied means carried: every share is acknowledged and can be read."""
    for bp in (None, 1, 500, 10_000, 0, None):
        assert (await driven.driver.apply(driven.split(bp))).acknowledged
        assert (await driven.driver.read(driven.split(bp))).acknowledged


async def test_applying_again_changes_nothing(driven):
    """Level-triggered: the same desire is cheap and idempotent."""
    first = await driven.driver.apply(driven.split(500))
    assert await driven.driver.apply(driven.split(500)) == first


async def test_statistics_and_findings_never_raise(driven):
    """The monitor and doctor may always ask."""
    await driven.driver.apply(driven.split(500))
    counted = await driven.driver.statistics(driven.split(500))
    assert all(c.requests >= c.errors >= 0 for c in counted)
    assert all(f.ok for f in await driven.driver.check())


@pytest.mark.parametrize(
    ("capability", "asks"),
    [
        (Capability.TARGET_FILTER, {"user_ids": ("ada",)}),
        (Capability.TARGET_FILTER, {"workflow_ids": ("wf",)}),
        (Capability.MATCH, {"matches": (Match(name="x-preview", value="v2"),)}),
        (Capability.VERSIONS, {"third_bp": 100}),
        (Capability.MIRROR, {"mirror": True, "mirror_bp": 100}),
    ],
)
async def test_what_a_driver_lacks_is_refused_before_anything_moves(driven, capability, asks):
    """With the driver's name, what it cannot, who could, and what to leave out."""
    await driven.driver.apply(driven.split(None))
    if "mirror" in asks:
        asks = {**asks, "mirror": driven.upstream(driven.third)}
    asked = driven.split(500, **asks)
    if await carried(driven, asked, capability):
        assert (await driven.driver.read(asked)).acknowledged
        without = await driven.driver.read(driven.split(500))
        assert not without.acknowledged or not without.instances  # in process nothing can disagree


@pytest.mark.parametrize("third_bp", [9_500, -1])
async def test_shares_of_more_than_everybody_are_refused(driven, third_bp):
    """Nor can a share be less than nobody; what was carried stays."""
    await driven.driver.apply(driven.split(700))
    with pytest.raises((TrafficError, InvalidInput)):
        await driven.driver.apply(driven.split(600, third_bp=third_bp))
    assert (await driven.driver.read(driven.split(700))).acknowledged


async def test_an_address_that_is_none_is_told_in_words(proxy):
    """And the split before it stays in force."""
    await proxy.carries(proxy.split(0))
    bad = proxy.split(10_000)
    bad = replace(bad, canary=replace(bad.canary, addresses=("no address",)))
    with pytest.raises((InvalidInput, TrafficError), match="no address"):
        await proxy.driver.apply(bad)
    assert await ask(proxy.port, ["user-1"]) == ["v1"]


# -- who is on which side -------------------------------------------------------------------------


async def test_the_proxy_and_the_sdk_agree_on_every_one_of_ten_thousand_users(proxy):
    """At eight shares, odd keys included; and nobody flips while it grows."""
    users = [*USERS, *ODD]
    on_canary: set[str] = set()
    for bp in SHARES:
        await proxy.carries(proxy.split(bp))
        answers = await ask(proxy.port, users)
        low, high = close_to(bp / 10_000, len(users))
        assert low <= answers.count("v2") <= high
        if can(proxy, Capability.STICKY):
            expected = ["v2" if is_on_canary(proxy.salt, user, bp) else "v1" for user in users]
            assert [u for u, a, e in zip(users, answers, expected, strict=True) if a != e] == []
            now = {u for u, a in zip(users, answers, strict=True) if a == "v2"}
            assert on_canary <= now
            on_canary = now


async def test_the_first_key_present_decides(proxy):
    """Workflow before session before user, as in the SDK; an empty one counts as absent."""
    await proxy.carries(proxy.split(5000))
    client = proxy.client()
    on = next(f"k{n}" for n in range(99) if is_on_canary(proxy.salt, f"k{n}", 5000))
    off = next(f"k{n}" for n in range(99) if not is_on_canary(proxy.salt, f"k{n}", 5000))
    for workflow, session, user in ((on, off, off), ("", on, off), ("", "", on), (off, on, on)):
        headers = {"x-workflow-id": workflow, "x-session-id": session, "x-user-id": user}
        first = workflow or session or user
        for sent in (headers, {k: v for k, v in headers.items() if v}):
            answer = await client.get("/", headers=sent)
            assert answer.headers["x-serinus-version"] == answer.text
            assert answer.text == ("v2" if first == on else "v1") or not can(proxy, Capability.STICKY)


async def test_a_client_without_a_key_keeps_its_side_by_a_cookie_with_its_unit(proxy):
    """The cookie carries the unit, never the side, and the hash agrees with it."""
    if not can(proxy, Capability.STICKY):
        await proxy.carries(proxy.split(5000))
        assert {(await proxy.client().get("/")).text for _ in range(40)} == {"v1", "v2"}
        return
    for bp in (5000, 8000):
        await proxy.carries(proxy.split(bp))
        for _ in range(8):
            client = proxy.client()
            first = await client.get("/")
            unit = client.cookies["serinus_unit"]
            assert unit not in ("v1", "v2")
            assert first.text == ("v2" if is_on_canary(proxy.salt, unit, bp) else "v1")
            again = [await client.get("/") for _ in range(3)]
            assert {a.text for a in again} == {first.text}
            assert "set-cookie" not in again[0].headers


async def test_clients_without_a_key_are_split_by_their_share(proxy):
    """Counted: new units are drawn evenly."""
    await proxy.carries(proxy.split(2500))
    answers = await ask(proxy.port, ["x"] * 4000, "x-nothing")
    low, high = close_to(0.25, 4000)
    assert low <= answers.count("v2") <= high


async def test_named_users_and_workflows_are_pinned(proxy):
    """Hundreds of them, whatever is in their names; nobody else, whatever the share."""
    named = ("ada.l", "bob", *ODD, *(f"named-{n}" for n in range(300)))
    pins = proxy.split(0, user_ids=named, workflow_ids=("wf-1",))
    if await carried(proxy, pins, Capability.TARGET_FILTER):
        assert await ask(proxy.port, named) == ["v2"] * len(named)
        assert await ask(proxy.port, ["adaXl", "eve", "bobb", "named-", "x"]) == ["v1"] * 5
        assert await ask(proxy.port, ["wf-1", "wf-2"], "x-workflow-id") == ["v2", "v1"]


async def test_requests_are_pinned_by_a_header_or_a_cookie(proxy):
    """A preview: exactly this value, and nobody else is touched."""
    matches = (Match(name="X-Preview", value="v.2"), Match(name="preview", value="v.2", cookie=True))
    if not await carried(proxy, proxy.split(0, matches=matches), Capability.MATCH):
        return
    for name, value, version in (
        ("x-preview", "v.2", "v2"),
        ("x-preview", "vX2", "v1"),
        ("x-preview", "v.22", "v1"),
        ("cookie", "preview=v.2", "v2"),
        ("cookie", "a=1; preview=v.2; b=2", "v2"),
        ("cookie", "a=1; preview=v.22", "v1"),
        ("cookie", "a=1; xpreview=v.2", "v1"),
        ("cookie", "a=preview=v.2", "v1"),
        ("preview", "v.2", "v1"),
    ):
        assert (value, await ask(proxy.port, ["user-1"], more={name: value})) == (value, [version])


async def test_three_versions_have_the_ranges_of_buckets_in_their_order(proxy):
    """The canary first, then the others, then stable; the canary's users are who they were without."""
    if not await carried(proxy, proxy.split(1000, third_bp=2500), Capability.VERSIONS):
        return
    users = [*USERS[:2000], *ODD]
    for canary_bp, third_bp in ((1000, 2500), (2000, 3000), (0, 3000), (4000, 6000)):
        await proxy.carries(proxy.split(canary_bp, third_bp=third_bp))
        answers = await ask(proxy.port, users)
        for user, answer in zip(users, answers, strict=True):
            bucket = bucket_of(proxy.salt, user)
            expected = "v2" if bucket < canary_bp else "v3" if bucket < canary_bp + third_bp else "v1"
            assert (user, answer) == (user, expected)


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


async def test_an_answer_that_breaks_off_is_the_canarys_failure(proxy):
    """Its head has gone out, so nobody can take it back: the client sees it break, never a whole answer."""
    desired = proxy.split(9999)
    await proxy.carries(desired)
    proxy.canary.mode = "die"
    for n in range(3):
        with pytest.raises(httpx.RemoteProtocolError):
            await proxy.client().get("/", headers={"x-user-id": f"user-{n}"})
    after = await proxy.counted(desired)
    if can(proxy, Capability.STATISTICS):
        assert (after["v2"].requests, after["v2"].errors, after["v1"].errors) == (3, 3, 0)


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
            await proxy.client().post("/pay", headers={"x-user-id": "u"}, content=b"x", timeout=1.5)
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
    for n in range(5):
        await client.get("/", headers={"x-user-id": f"user-{n}"})
    seen = len(proxy.canary.requests)
    for n in range(20):
        await client.get("/", headers={"x-user-id": f"user-{n}"})
    breaks = can(proxy, Capability.BREAKER)
    assert len(proxy.canary.requests) == (seen if breaks else seen + 20)
    if can(proxy, Capability.STATISTICS):
        ejected = {version: c.ejected for version, c in (await proxy.counted(desired)).items()}
        assert ejected == {"v1": False, "v2": breaks}


# -- what is told ---------------------------------------------------------------------------------


async def test_requests_and_latency_are_counted_per_version(proxy):
    """What was sent is what was counted."""
    desired = proxy.split(2500)
    await proxy.carries(desired)
    answers = await ask(proxy.port, USERS[:400])
    if not can(proxy, Capability.STATISTICS):
        assert await proxy.counted(desired) == {}
        return
    counted = await proxy.counted(desired)
    for version in ("v1", "v2"):
        assert counted[version].requests == answers.count(version)
        assert counted[version].errors == 0
    for _ in range(40):  # a proxy may merge its histograms once a second
        timed = {v: max(c.buckets.values(), default=0) for v, c in (await proxy.counted(desired)).items()}
        if timed == {v: answers.count(v) for v in ("v1", "v2")} or not can(proxy, Capability.LATENCY):
            break
        await asyncio.sleep(0.1)
    expected = {v: answers.count(v) if can(proxy, Capability.LATENCY) else 0 for v in ("v1", "v2")}
    assert timed == expected


async def test_a_split_changed_by_hand_is_seen_and_put_right(proxy):
    """Reading back tells the difference; applying again mends it."""
    desired = proxy.split(500)
    await proxy.carries(desired)
    await proxy.change_by_hand(9000)
    for _ in range(200):
        state = (await proxy.driver.read(desired)).instances[0]
        if not state.ok:
            break
        await asyncio.sleep(0.02)
    assert (state.ok, state.carried_bp) == (False, 9000)
    assert state.problem
    await proxy.carries(desired)
    low, high = close_to(0.05, 1000)
    assert low <= (await ask(proxy.port, USERS[:1000])).count("v2") <= high


async def test_a_proxy_that_is_down_is_named_with_what_starts_it(proxy):
    """It is a state to show, never an exception; and it follows as soon as it is back."""
    proxy.stop()
    state = (await proxy.driver.apply(proxy.split(500))).instances[0]
    assert not state.ok
    assert "start" in state.problem
    assert any(not f.ok and f.remedy for f in await proxy.driver.check())
    assert await proxy.driver.statistics(proxy.split(500)) == ()
    proxy.start()
    await proxy.carries(proxy.split(500))


async def test_no_request_is_lost_to_changes_under_load(proxy):
    """wrk over keep-alive connections: no error of any kind while shares change and roll back."""
    wrk = program("wrk", "apt-get install wrk")
    await proxy.carries(proxy.split(100))
    url = f"http://127.0.0.1:{proxy.port}/"
    load = await asyncio.create_subprocess_exec(
        wrk, "-t1", "-c16", "-d4s", "-H", "x-user-id: u1", url, stdout=subprocess.PIPE
    )
    for _ in range(6):
        for bp in (500, 2500, 5000, 10_000, None):
            await proxy.carries(proxy.split(bp))
            await asyncio.sleep(0.03)
    printed = (await load.communicate())[0].decode()
    assert "requests in" in printed
    lost = "Non-2xx" in printed or "Socket errors" in printed
    assert not lost or not can(proxy, Capability.NO_RELOAD), printed


def test_every_driver_of_the_catalogue_is_covered_here():
    """A new one cannot stay outside the contract."""
    covered = {name.split(" ")[0] for name in EDGES} | {"in-process"}
    assert covered == set(catalog.TRAFFIC)


async def test_prometheus_is_told_where_to_scrape_and_what_to_ask(proxy):
    """Each driver of a proxy renders a scrape job and the PromQL of the checks."""
    assert isinstance(proxy.driver, Scraped)
    asked = proxy.driver.queries(proxy.split(500), source="prom")
    latency = {"p95 latency"} if can(proxy, Capability.LATENCY) else set()
    assert set(asked) == {"requests", "error rate"} | latency
    assert all(query.source == "prom" and query.canary and query.stable for query in asked.values())
    alone = proxy.driver.queries(proxy.split(None))
    assert [q for q in alone.values() if q.canary or not q.stable] == []


async def test_a_real_prometheus_answers_what_the_driver_asks(proxy, tmp_path_factory):
    """It scrapes the real proxy by the driver's job, and the checks' PromQL has the right numbers.

    Some of the canary's answers fail. Where a retry on stable hides that from clients, Prometheus sees it.
    """
    desired = proxy.split(5000)
    await proxy.carries(desired)
    on_canary = [user for user in USERS[:99] if is_on_canary(proxy.salt, user, 5000)]
    prometheus = Prometheus(tmp_path_factory.mktemp("prometheus"), Exporter())
    prometheus.scrape(proxy.driver.scrape_config())
    await asyncio.to_thread(prometheus.start)
    source = PrometheusSource(prometheus.url)
    try:
        await _scrapes(source, 1)
        failed = 0
        for n in range(10):
            if n == 5:  # a series that begins with its first request grows only from then on
                await _scrapes(source, 6)
            await ask(proxy.port, USERS[:20])
            proxy.canary.mode, before = "500", len(proxy.canary.requests)
            for user in on_canary[:2]:  # fewer in a row than a breaker takes
                await proxy.client().get("/", headers={"x-user-id": user})
            failed += len(proxy.canary.requests) - before
            proxy.canary.mode = "ok"
        await _scrapes(source, 6)
        read = {
            (check, side): single(await source.instant(getattr(query, side), time.time()))
            for check, query in proxy.driver.queries(desired, window_seconds=60).items()
            for side in ("canary", "stable")
        }
    finally:
        await source.close()
        prometheus.stop()
    assert {key: reading.problem for key, reading in read.items() if reading.problem} == {}
    assert failed
    expected = failed / len(proxy.canary.requests)
    assert read["error rate", "canary"].value == pytest.approx(expected, rel=0.05)
    assert read["error rate", "stable"].value == 0
    for side, backend in (("canary", proxy.canary), ("stable", proxy.stable)):
        # Prometheus extends what grew between two scrapes to the whole window.
        assert 0.3 < read["requests", side].value / len(backend.requests) < 2
    latency = [reading.value for (check, _), reading in read.items() if check == "p95 latency"]
    assert len(latency) == (2 if can(proxy, Capability.LATENCY) else 0)
    assert all(value >= 0 for value in latency)


async def _scrapes(source: PrometheusSource, times: int) -> None:
    """Wait for further scrapes, which then are stored."""

    async def count() -> float:
        read = single(await source.instant("sum(count_over_time(up[10m])) or vector(0)", time.time()))
        return read.value or 0.0

    wanted = await count() + times
    async with asyncio.timeout(20):
        while await count() < wanted:
            await asyncio.sleep(0.1)
