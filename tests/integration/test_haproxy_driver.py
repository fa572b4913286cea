"""What is the HAProxy driver's own, against a real HAProxy; the rest is the contract of all drivers."""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace

import httpx
import pytest

from edges import Backend, ask
from fixtures_haproxy import haproxy_with
from serinus.core.bucketing import is_on_canary
from serinus.core.errors import InvalidInput
from serinus.core.histogram import Histogram
from serinus.core.model import Upstream
from serinus.drivers.traffic.haproxy import HaproxyConfig, HaproxyDriver
from serinus.ports.traffic import DesiredSplit, Share, TrafficError

pytestmark = pytest.mark.real

USERS = [f"user-{n}" for n in range(300)]


async def test_a_restart_carries_what_was_applied_last(haproxy_edge):
    """Configuration and maps on disk are the present split; nobody has to tell it again."""
    edge = haproxy_edge
    desired = edge.split(3000, third_bp=2000, user_ids=("a b",))
    await edge.carries(desired)
    before = await ask(edge.port, [*USERS, "a b"])
    edge.stop()
    edge.start()
    async with asyncio.timeout(5):
        while not (await edge.driver.read(desired)).acknowledged:
            await asyncio.sleep(0.02)
    assert await ask(edge.port, [*USERS, "a b"]) == before
    assert before.count("v3")
    assert before[-1] == "v2"


async def test_what_is_applied_while_haproxy_is_down_is_what_it_starts_with(haproxy_edge):
    """A rollback reaches a proxy that comes back before we do."""
    edge = haproxy_edge
    await edge.carries(edge.split(10_000))
    edge.stop()
    assert not (await edge.driver.apply(edge.split(None))).acknowledged
    edge.start()
    async with asyncio.timeout(5):
        while not (await edge.driver.read(edge.split(None))).acknowledged:
            await asyncio.sleep(0.02)
    assert await ask(edge.port, USERS[:20]) == ["v1"] * 20


async def test_a_change_reloads_nothing(haproxy_edge):
    """The same process, with the same start, through shares, promotion and a new version."""
    edge = haproxy_edge
    before = await edge.say("show info")
    promoted = replace(edge.split(None), stable=edge.upstream(edge.canary))
    for desired in (edge.split(1), edge.split(10_000), promoted, edge.split(None)):
        await edge.carries(desired)
    after = await edge.say("show info")
    for told in (r"^Pid: \d+", r"^Start_time_sec: \d+"):
        assert re.findall(told, before, re.MULTILINE) == re.findall(told, after, re.MULTILINE)


async def test_a_promotion_moves_no_address(haproxy_edge):
    """The version keeps its slot: requests that are on their way end where they began."""
    edge = haproxy_edge
    await edge.carries(edge.split(5000))
    slot = f"127.0.0.1 2 .*{edge.canary.port}"
    state = await edge.say("show servers state serinus_2")
    assert re.search(slot, state)
    await edge.carries(replace(edge.split(None), stable=edge.upstream(edge.canary)))
    assert re.search(slot, await edge.say("show servers state serinus_2"))
    assert await ask(edge.port, USERS[:20]) == ["v2"] * 20


async def test_a_version_counts_from_zero_in_a_slot_that_another_had(haproxy_edge):
    """Slots are used again; broken-off answers of the version before are not the newcomer's."""
    edge = haproxy_edge
    await edge.carries(edge.split(10_000))
    edge.canary.mode = "die"
    with pytest.raises(httpx.RemoteProtocolError):
        await edge.client().get("/")
    assert (await edge.counted(edge.split(10_000)))["v2"].errors == 1
    await edge.carries(edge.split(None))
    newcomer = replace(edge.split(10_000), canary=edge.upstream(edge.third))
    await edge.carries(newcomer)
    assert "version.2 v3" in await edge.say(f"show map {edge.folder}/split.map")
    assert await ask(edge.port, USERS[:10]) == ["v3"] * 10
    counted = (await edge.counted(newcomer))["v3"]
    assert (counted.requests, counted.errors) == (10, 0)


async def test_several_addresses_share_a_versions_requests(haproxy_edge):
    """Of stable and of the canary alike; one that is gone costs nobody anything."""
    edge = haproxy_edge
    more = Backend("v2")
    await more.start()
    two = Upstream(version="v2", addresses=(f"127.0.0.1:{edge.canary.port}", f"127.0.0.1:{more.port}"))
    desired = replace(edge.split(10_000), canary=two)
    await edge.carries(desired)
    assert await ask(edge.port, USERS) == ["v2"] * 300
    assert min(len(edge.canary.requests), len(more.requests)) > 90
    promoted = replace(edge.split(None), stable=two)
    await edge.carries(promoted)
    before = len(edge.canary.requests), len(more.requests)
    assert await ask(edge.port, USERS) == ["v2"] * 300
    assert min(len(edge.canary.requests) - before[0], len(more.requests) - before[1]) > 90
    await more.stop()
    assert await ask(edge.port, USERS) == ["v2"] * 300


async def test_an_address_that_goes_away_rests(haproxy_edge):
    """What nobody should reach any more is in maintenance, also when a hand opened it again."""
    edge = haproxy_edge
    await edge.carries(edge.split(5000))
    await edge.carries(edge.split(None))
    await edge.say("set server serinus_2/a0 state ready")
    await edge.driver.apply(edge.split(None))
    state = await edge.say("show servers state serinus_2")
    ready = [line for line in state.splitlines() if " a" in line and line.split()[6] in ("0", "4")]
    assert ready == []


@pytest.mark.parametrize(
    ("command", "problem"),
    [
        ("set map {folder}/split.map salt other:", "another split"),
        ("del map {folder}/split.map to.1", "another split"),
        ("clear map {folder}/split.map", "another split"),
        ("add map {folder}/matches.map x 1", "another split"),
        ("set server serinus_1/a0 addr 127.0.0.1 port 9", "other addresses"),
        ("set server serinus_2_or_stable/b0 state maint", "other addresses"),
    ],
)
async def test_whatever_a_hand_changes_is_seen_and_put_right(haproxy_edge, command, problem):
    """Maps and servers, as they really are."""
    edge = haproxy_edge
    desired = edge.split(2500)
    await edge.carries(desired)
    await edge.say(command.format(folder=edge.folder))
    state = (await edge.driver.read(desired)).instances[0]
    assert not state.ok
    assert problem in state.problem
    await edge.carries(desired)
    expected = ["v2" if is_on_canary(edge.salt, user, 2500) else "v1" for user in USERS]
    assert await ask(edge.port, USERS) == expected


async def test_thousands_of_named_users_fit(haproxy_edge):
    """A map takes them in portions, and all of them at once into force."""
    named = tuple(f"named user {n} of many" for n in range(3000))
    edge = haproxy_edge
    await edge.carries(edge.split(0, user_ids=named))
    assert await ask(edge.port, [named[0], named[-1], "named user 3000 of many"]) == ["v2", "v2", "v1"]


async def test_more_than_it_was_started_for_is_refused_in_words(haproxy_edge):
    """Rooms for versions and addresses are rendered; what was carried stays."""
    edge = haproxy_edge
    await edge.carries(edge.split(500))
    many = Upstream(version="v2", addresses=tuple(f"127.0.0.1:{n}" for n in range(9001, 9010)))
    with pytest.raises(TrafficError, match="max_addresses"):
        await edge.driver.apply(replace(edge.split(500), canary=many))
    others = tuple(Share(upstream=Upstream(version=f"w{n}", addresses=("h:1",)), bp=1) for n in range(6))
    others = tuple(replace(s, upstream=replace(s.upstream, addresses=("127.0.0.1:1",))) for s in others)
    with pytest.raises(TrafficError, match="max_versions"):
        await edge.driver.apply(replace(edge.split(500), others=others))
    with pytest.raises(TrafficError, match="has no address"):
        await edge.driver.apply(replace(edge.split(500), canary=Upstream(version="v9")))
    with pytest.raises(TrafficError, match="was not found"):
        await edge.driver.apply(
            replace(edge.split(500), canary=Upstream(version="v9", addresses=("nowhere.invalid:80",)))
        )
    assert (await edge.driver.read(edge.split(500))).acknowledged


async def test_a_name_is_resolved(haproxy_edge):
    """The runtime API takes addresses only."""
    edge = haproxy_edge
    named = Upstream(version="v2", addresses=(f"localhost:{edge.canary.port}",))
    await edge.carries(replace(edge.split(10_000), canary=named))
    assert await ask(edge.port, ["user-1"]) == ["v2"]


async def test_a_versions_name_may_be_anything_that_can_be_printed(haproxy_edge):
    """Spaces, quotes, signs: in the header as they are, and counted apart."""
    edge = haproxy_edge
    odd = Upstream(version='2 "β" |v;\\x', addresses=(f"127.0.0.1:{edge.canary.port}",))
    desired = replace(edge.split(10_000), canary=odd)
    await edge.carries(desired)
    answer = await edge.client().get("/")
    assert (
        answer.headers.raw[-1][1].decode() == odd.version
        or odd.version.encode() in dict(answer.headers.raw).values()
    )
    assert (await edge.counted(desired))[odd.version].requests == 1
    bad = replace(odd, version="line\nbreak")
    with pytest.raises(TrafficError, match="cannot be a version's name"):
        await edge.driver.apply(replace(desired, canary=bad))


async def test_the_breaker_lets_the_canary_back_after_its_time(tmp_path):
    """Out for one second, then asked again; one good answer ends a row of failures."""
    async with haproxy_with(tmp_path, breaker_failures=3, breaker_seconds=1) as edge:
        desired = edge.split(10_000)
        await edge.carries(desired)
        edge.canary.mode = "500"
        assert await ask(edge.port, USERS[:2]) == ["v1"] * 2
        edge.canary.mode = "ok"
        assert await ask(edge.port, USERS[:1]) == ["v2"]
        edge.canary.mode = "500"
        assert await ask(edge.port, USERS[:9], connections=1) == ["v1"] * 9
        assert len(edge.canary.requests) == 2 + 1 + 3
        assert (await edge.counted(desired))["v2"].ejected
        edge.canary.mode = "ok"
        async with asyncio.timeout(5):
            while await ask(edge.port, ["user-1"]) != ["v2"]:
                await asyncio.sleep(0.05)
        assert not (await edge.counted(desired))["v2"].ejected


async def test_posts_that_fail_are_answered_counted_and_open_the_breaker(haproxy_edge):
    """Over one kept-alive connection, where HAProxy alone would close it without a word or a count."""
    edge = haproxy_edge
    desired = edge.split(10_000)
    await edge.carries(desired)
    client = edge.client()
    for mode in ("500", "close", "500", "close", "close"):
        edge.canary.mode = mode
        assert (await client.post("/pay", content=b"x")).status_code in (500, 502)
    assert (await client.post("/pay", content=b"x")).text == "v1"
    counted = await edge.counted(desired)
    assert (counted["v2"].requests, counted["v2"].errors, counted["v2"].ejected) == (5, 5, True)
    assert (counted["v1"].requests, counted["v1"].errors) == (1, 0)


async def test_what_stable_drops_is_counted_while_there_is_a_canary(haproxy_edge):
    """As the canary's would be: otherwise the same fault would look like the canary's alone."""
    edge = haproxy_edge
    desired = edge.split(1)
    await edge.carries(desired)
    whole = edge.stable.answer

    def dropping(head: str) -> tuple[bytes, bool]:
        """Close without an answer, every second time."""
        answer = whole(head)
        return answer if len(edge.stable.requests) % 2 else (b"", True)

    edge.stable.answer = dropping
    client = edge.client()
    told = [
        (await client.request(method, "/", headers={"x-user-id": "user-1"})).status_code
        for method in ("GET", "GET", "POST", "POST", "GET")
    ]
    assert told == [200, 200, 502, 200, 200]
    counted = (await edge.counted(desired))["v1"]
    assert (counted.requests, counted.errors) == (len(edge.stable.requests), 3)


async def test_the_inner_step_of_posts_shows_nowhere(haproxy_edge):
    """Servers get what the client sent, through one connection that is kept; the log has one line each."""
    edge = haproxy_edge
    await edge.carries(edge.split(10_000))
    client = edge.client()
    for size in (3, 100_000):  # more than HAProxy's buffer, too
        answer = await client.post("/pay", content=b"x" * size, headers={"x-serinus-to": "serinus_1"})
        assert (answer.text, answer.headers["x-serinus-version"]) == ("v2", "v2")
    assert "x-serinus-to" not in "".join(edge.canary.heads)
    edge.stop()
    assert [" POST /pay 200 " in line for line in (edge.folder / "canary.log").open()] == [True, True]


async def test_a_post_to_a_canary_that_refuses_goes_to_stable(haproxy_edge):
    """It was never sent, so it may be."""
    edge = haproxy_edge
    await edge.carries(edge.split(10_000))
    await edge.canary.stop()
    assert (await edge.client().post("/pay", content=b"x")).text == "v1"
    counted = await edge.counted(edge.split(10_000))
    assert (counted["v2"].requests, counted["v2"].errors, counted["v1"].errors) == (1, 1, 0)


async def test_health_checks_take_a_sick_canary_out(tmp_path):
    """HAProxy asks every address itself, before any user does."""
    async with haproxy_with(tmp_path, health_path="/health", health_seconds=0.05) as edge:
        desired = edge.split(10_000)
        await edge.carries(desired)
        edge.canary.mode = "500"
        async with asyncio.timeout(5):
            while not (await edge.counted(desired))["v2"].ejected:
                await asyncio.sleep(0.02)
        assert await ask(edge.port, USERS[:20]) == ["v1"] * 20
        edge.canary.mode = "ok"
        async with asyncio.timeout(5):
            while await ask(edge.port, ["user-1"]) != ["v2"]:
                await asyncio.sleep(0.05)


async def test_both_sides_failing_is_told_as_it_is(haproxy_edge):
    """Nothing is left to save the client with: an error for each side, and the breaker counts on."""
    edge = haproxy_edge
    desired = edge.split(10_000)
    await edge.carries(desired)
    await edge.canary.stop()
    await edge.stable.stop()
    answer = await edge.client().get("/")
    assert answer.status_code == 503
    counted = await edge.counted(desired)
    assert [(c.requests, c.errors) for c in counted.values()] == [(1, 1), (1, 1)]


async def test_latency_is_counted_in_classes(haproxy_edge):
    """A canary that is slow by 40 ms is seen to be, within a class."""
    edge = haproxy_edge
    desired = edge.split(5000)
    await edge.carries(desired)
    slow = edge.canary.answer

    def later(head: str) -> tuple[bytes, bool]:
        import time

        time.sleep(0.04)
        return slow(head)

    edge.canary.answer = later
    await ask(edge.port, USERS[:60], connections=1)
    edge.canary.answer = slow
    counted = await edge.counted(desired)
    median = {
        v: Histogram.from_cumulative(c.buckets, c.latency_total_ms).quantile(0.5) for v, c in counted.items()
    }
    assert median["v2"] > 35
    assert median["v1"] < median["v2"]
    for c in counted.values():
        assert max(c.buckets.values()) == c.requests
        assert c.latency_total_ms > 0


async def test_only_requests_of_the_canary_are_logged(haproxy_edge):
    """On standard output, one line each, also when stable answered in the end; no key and no query."""
    edge = haproxy_edge
    await edge.carries(edge.split(0, user_ids=("ada",)))
    client = edge.client()
    await client.get("/shop?token=secret", headers={"x-user-id": "ada", "cookie": "s=secret"})
    await client.get("/stable", headers={"x-user-id": "eve"})
    edge.canary.mode = "500"
    await client.get("/saved", headers={"x-user-id": "ada"})
    edge.stop()
    text = (edge.folder / "canary.log").read_text()
    told = [re.sub(r"\d+ ms", "N ms", line.partition(" 127.0.0.1 ")[2]) for line in text.splitlines()]
    assert told == [
        f"GET {path} 200 N ms version={version} wanted=v2 again={again}"
        for path, version, again in (("/shop", "v2", "0"), ("/saved", "v1", "+1"))
    ]
    assert "secret" not in text


async def test_the_runtime_api_may_be_reached_over_tcp(tmp_path):
    """For a proxy in another container; keep that network closed."""
    async with haproxy_with(tmp_path, tcp=True) as edge:
        await edge.carries(edge.split(10_000))
        assert await ask(edge.port, ["user-1"]) == ["v2"]


async def test_haproxys_own_exporter_is_beside_our_pages(haproxy_edge):
    """/metrics is HAProxy's; a slot without a version has an empty page, and nothing else is there."""
    edge = haproxy_edge
    async with httpx.AsyncClient(trust_env=False, base_url=f"http://127.0.0.1:{edge.metrics}") as client:
        assert 'haproxy_server_status{proxy="serinus_1"' in (await client.get("/metrics")).text
        assert (await client.get("/serinus/6")).text == "# no version here\n"
        assert (await client.get("/")).status_code == 404


async def test_doctor_looks_at_folder_file_and_process(haproxy_edge):
    """Each with what to do; a file that HAProxy refuses is told in HAProxy's words."""
    edge = haproxy_edge
    assert [f.ok for f in await edge.driver.check()] == [True, True, True]
    (edge.folder / "haproxy.cfg").write_text("global\n    nonsense\n")
    broken = {f.name: f for f in await edge.driver.check() if not f.ok}
    assert "nonsense" in broken["haproxy edge-1 configuration"].detail
    await edge.carries(edge.split(None))
    assert all(f.ok for f in await edge.driver.check())


async def test_other_settings_need_a_reload_and_say_so(haproxy_edge):
    """Rules are rendered: what runs by other ones cannot be trusted to carry the split."""
    edge = haproxy_edge
    other = HaproxyDriver(replace(edge.config, user_header="x-customer"))
    state = (await other.apply(edge.split(500))).instances[0]
    assert not state.ok
    assert "other settings; reload it" in state.problem
    found = next(f for f in await other.check() if not f.ok)
    assert found.remedy.startswith("Reload")
    edge.stop()
    edge.start()
    async with asyncio.timeout(5):
        while not (await other.apply(edge.split(500))).acknowledged:
            await asyncio.sleep(0.02)


async def test_a_folder_that_cannot_be_written_is_told(tmp_path):
    """Before anything moves."""
    (tmp_path / "file").write_text("")
    config = HaproxyConfig.read(
        {
            "instances": [
                {"name": "e", "admin": str(tmp_path / "s"), "config_dir": str(tmp_path / "file" / "x")}
            ]
        }
    )
    driver = HaproxyDriver(config)
    stable = Upstream(version="v1", addresses=("127.0.0.1:1",))
    with pytest.raises(TrafficError, match="cannot write"):
        await driver.apply(DesiredSplit(service_id="s", service="s", stable=stable))
    assert [f.ok for f in await driver.check()] == [False, False]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"instances": []}, "instances"),
        ({"listen": "nowhere"}, "listen"),
        ({"listen": "127.0.0.1:80 ssl crt x"}, "listen"),
        ({"metrics_listen": "nowhere"}, "metrics_listen"),
        ({"user_header": "no header"}, "user_header"),
        ({"cookie": "a;b"}, "cookie"),
        ({"timeout_seconds": 0}, "timeout_seconds"),
        ({"retry_methods": ["GET } deny"]}, "retry_methods"),
        ({"health_path": "/x y"}, "health_path"),
        ({"health_seconds": 0}, "health_seconds"),
        ({"canary_log_target": "stdout\n"}, "canary_log_target"),
        ({"max_versions": 1}, "max_versions"),
        ({"max_addresses": 0}, "max_addresses"),
        ({"instances": [{"name": "e", "admin": "nowhere", "config_dir": "/x"}]}, "instances[0].admin"),
        ({"instances": [{"name": "e", "admin": "/" + "a" * 99, "config_dir": "/x"}]}, "instances[0].admin"),
        ({"instances": [{"name": "e", "admin": "/s", "config_dir": "x"}]}, "instances[0].config_dir"),
        ({"instances": [{"name": n, "admin": "/s", "config_dir": "/x"} for n in "ab"]}, "instances"),
        ({"wieghts": 1}, "wieghts"),
    ],
)
def test_settings_that_haproxy_would_refuse_are_refused_in_words(change, field):
    """Before anything moves, with the field and what to do; nothing gets into the file that is no value."""
    good = {"instances": [{"name": "e", "admin": "/run/a.sock", "config_dir": "/etc/serinus"}]}
    with pytest.raises(InvalidInput) as refusal:
        HaproxyConfig.read({**good, **change})
    assert refusal.value.field == f"driver_config.{field}"
    assert refusal.value.next_step
