"""What every traffic driver must do, over all of them, by real requests.

Each test asks the driver's ``capabilities`` what it may expect. Where one is missing the driver has to
refuse before anything moves, or the test says what happens instead: nothing is skipped.
"""

from __future__ import annotations

import asyncio
import signal
import subprocess
import time
from dataclasses import replace

import pytest

from edges import EDGES, ODD, USERS, ask, can, carried, close_to
from fixtures_prometheus import Exporter, Prometheus
from needs import program
from serinus.core.bucketing import bucket_of, is_on_canary
from serinus.core.errors import InvalidInput
from serinus.drivers import catalog
from serinus.drivers.metrics.prometheus import PrometheusSource
from serinus.ports.metrics import single
from serinus.ports.traffic import Capability, Match, Scraped, TrafficError

pytestmark = pytest.mark.real

#: 0.1 to 99 %, in basis points, growing.
SHARES = (10, 100, 500, 1000, 2500, 5000, 7500, 9900)
#: The shares at which everybody is asked.
ASKED_OF_ALL = (500, 5000)

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


async def test_what_a_driver_lacks_is_refused_before_anything_moves(driven):
    """With the driver's name, what it cannot, who could, and what to leave out."""
    await driven.driver.apply(driven.split(None))
    for capability, asks in (
        (Capability.TARGET_FILTER, {"user_ids": ("ada",)}),
        (Capability.TARGET_FILTER, {"workflow_ids": ("wf",)}),
        (Capability.MATCH, {"matches": (Match(name="x-preview", value="v2"),)}),
        (Capability.VERSIONS, {"third_bp": 100}),
        (Capability.MIRROR, {"mirror": driven.upstream(driven.third), "mirror_bp": 100}),
    ):
        asked = driven.split(500, **asks)
        if await carried(driven, asked, capability):
            assert (await driven.driver.read(asked)).acknowledged
            without = await driven.driver.read(driven.split(500))
            assert not without.acknowledged or not without.instances  # in process nothing can disagree
            await driven.driver.apply(driven.split(None))


async def test_shares_of_more_than_everybody_are_refused(driven):
    """Nor can a share be less than nobody; what was carried stays."""
    await driven.driver.apply(driven.split(700))
    for third_bp in (9_500, -1):
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
    """Odd keys included; where the share is another, on those whose buckets are nearest to its edge."""
    for bp in SHARES:
        await proxy.carries(proxy.split(bp))
        users = [*USERS, *ODD] if bp in ASKED_OF_ALL else [*_nearest(proxy.salt, bp, 500), *ODD]
        answers = await ask(proxy.port, users, connections=8)
        if can(proxy, Capability.STICKY):
            expected = ["v2" if is_on_canary(proxy.salt, user, bp) else "v1" for user in users]
            assert [u for u, a, e in zip(users, answers, expected, strict=True) if a != e] == []
        low, high = close_to(bp / 10_000, len(users))
        assert low <= answers.count("v2") <= high or bp not in ASKED_OF_ALL


def _nearest(salt: str, bp: int, count: int) -> list[str]:
    """Return the users whose buckets are nearest to the edge of a share, on both sides of it."""
    return sorted(USERS, key=lambda user: abs(bucket_of(salt, user) - bp + 0.5))[:count]


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


async def test_named_users_and_workflows_are_pinned(routed):
    """Hundreds of them, whatever is in their names; nobody else, whatever the share."""
    named = ("ada.l", "bob", *ODD, *(f"named-{n}" for n in range(300)))
    pins = routed.split(0, user_ids=named, workflow_ids=("wf-1",))
    if await carried(routed, pins, Capability.TARGET_FILTER):
        assert await ask(routed.port, named) == ["v2"] * len(named)
        assert await ask(routed.port, ["adaXl", "eve", "bobb", "named-", "x"]) == ["v1"] * 5
        assert await ask(routed.port, ["wf-1", "wf-2"], "x-workflow-id") == ["v2", "v1"]


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


async def test_three_versions_have_the_ranges_of_buckets_in_their_order(routed):
    """The canary first, then the others, then stable; the canary's users are who they were without."""
    if not await carried(routed, routed.split(1000, third_bp=2500), Capability.VERSIONS):
        return
    users = [*USERS[:2000], *ODD]
    for canary_bp, third_bp in ((1000, 2500), (2000, 3000), (0, 3000), (4000, 6000)):
        await routed.carries(routed.split(canary_bp, third_bp=third_bp))
        answers = await ask(routed.port, users)
        for user, answer in zip(users, answers, strict=True):
            bucket = bucket_of(routed.salt, user)
            expected = "v2" if bucket < canary_bp else "v3" if bucket < canary_bp + third_bp else "v1"
            assert (user, answer) == (user, expected)


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
        wrk, "-t1", "-c16", "-d60s", "-H", "x-user-id: u1", url, stdout=subprocess.PIPE
    )
    for _ in range(4):
        for bp in (500, 2500, 5000, 10_000, None):
            await proxy.carries(proxy.split(bp))
            await asyncio.sleep(0.03)
    load.send_signal(signal.SIGINT)  # it prints what it has seen until now, all of it under changes
    printed = (await load.communicate())[0].decode()
    assert "requests in" in printed
    lost = "Non-2xx" in printed or "Socket errors" in printed
    assert not lost or not can(proxy, Capability.NO_RELOAD), printed


def test_every_driver_of_the_catalogue_is_covered_here():
    """A new one cannot stay outside the contract. Those that relay orders are tested by themselves."""
    covered = {name.split(" ")[0] for name in EDGES} | {"in-process"}
    assert covered == set(catalog.TRAFFIC) - set(catalog.RELAYED)


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

    Some of the canary's answers fail, or break off. Where clients are spared that, Prometheus sees it.
    """
    desired = proxy.split(5000)
    await proxy.carries(desired)
    on_canary = [user for user in USERS[:99] if is_on_canary(proxy.salt, user, 5000)]
    on_canary = on_canary[: 3 if can(proxy, Capability.STICKY) else 6]  # or every other one of anybody
    prometheus = Prometheus(tmp_path_factory.mktemp("prometheus"), Exporter())
    prometheus.scrape(proxy.driver.scrape_config())
    await asyncio.to_thread(prometheus.start)
    source = PrometheusSource(prometheus.url)
    try:
        await _scrapes(source, 1)
        await _fail(proxy, "500", on_canary)
        await _scrapes(source, 2)  # a series that begins with its first request grows only from then on
        quiet = time.time()
        await _scrapes(source, 2)
        before = len(proxy.canary.requests), len(proxy.stable.requests)
        failed = [await _fail(proxy, mode, on_canary) for mode in ("500", "500", "500", "die")]
        sent = {
            "canary": len(proxy.canary.requests) - before[0],
            "stable": len(proxy.stable.requests) - before[1],
        }
        await _scrapes(source, 6)  # a proxy may merge its histograms once a second
        at = time.time()
        read = {
            (check, side): single(await source.instant(getattr(query, side), at))
            for check, query in proxy.driver.queries(desired, window_seconds=at - quiet).items()
            for side in ("canary", "stable")
        }
    finally:
        await source.close()
        prometheus.stop()
    assert {key: reading.problem for key, reading in read.items() if reading.problem} == {}
    seen = sum(failed if proxy.breaks_are_scraped else failed[:-1])
    assert seen >= 9
    assert read["error rate", "canary"].value == pytest.approx(seen / sent["canary"], rel=0.05)
    assert read["error rate", "stable"].value == 0
    for side, count in sent.items():
        # Prometheus extends what grew between the first and the last scrape to the whole window.
        assert 0.5 < read["requests", side].value / count < 2
    latency = [reading.value for (check, _), reading in read.items() if check == "p95 latency"]
    assert len(latency) == (2 if can(proxy, Capability.LATENCY) else 0)
    assert all(value >= 0 for value in latency)


async def _fail(proxy, mode: str, users: list[str]) -> int:
    """Let good requests be followed by bad ones, fewer than a breaker takes; return how many were bad."""
    await ask(proxy.port, USERS[:20])
    before = len(proxy.canary.requests)
    proxy.canary.mode = mode
    asked = (proxy.client().get("/", headers={"x-user-id": user}) for user in users)
    await asyncio.gather(*asked, return_exceptions=mode == "die")
    proxy.canary.mode = "ok"
    return len(proxy.canary.requests) - before


async def _scrapes(source: PrometheusSource, times: int) -> None:
    """Wait for further scrapes of every target, which then are stored."""

    async def count() -> float:
        read = single(await source.instant("min(count_over_time(up[10m])) or vector(0)", time.time()))
        return read.value or 0.0

    wanted = await count() + times
    async with asyncio.timeout(20):
        while await count() < wanted:
            await asyncio.sleep(0.1)
