"""What is NGINX's own about its drivers, against real ones: with Lua, with njs, and plain."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import subprocess
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from socket import create_server

import httpx
import pytest

from backends import Backend, ask
from needs import program
from serinus.core.bucketing import bucket_of, is_on_canary
from serinus.drivers.traffic.nginx import NginxDriver, NginxReloadDriver
from serinus.drivers.traffic.nginx.render import TOKEN_FILE, token_of

pytestmark = pytest.mark.real

VECTORS = json.loads(Path(__file__).parents[2].joinpath("spec/bucketing-vectors.json").read_text())["vectors"]


async def test_every_published_vector_has_its_bucket_to_the_hundredth_of_a_percent(nginx_edge):
    """On stable at a share of its bucket, on the canary one bucket later; and keys of every length to 70."""
    sendable = [(v["salt"], v["key"]) for v in VECTORS if re.fullmatch(r"[!-~]([!-~ ]*[!-~])?", v["key"])]
    assert len(sendable) > 100
    for salt, key in (*sendable, *(("s", "k" * n) for n in range(1, 71))):
        nginx_edge.salt, bucket = salt, bucket_of(salt, key)
        for bp, version in ((bucket, "v1"), (bucket + 1, "v2")):
            await nginx_edge.driver.apply(nginx_edge.split(bp))
            assert (salt, key, await ask(nginx_edge.port, [key])) == (salt, key, [version])


async def test_only_who_knows_the_token_may_change_the_split(nginx_edge):
    """It lies in a file for its owner alone; counts for Prometheus need none, and cannot change anything."""
    instance = nginx_edge.config.instances[0]
    assert (nginx_edge.folder / TOKEN_FILE).stat().st_mode & 0o777 == 0o600
    assert len(token_of(instance)) > 40
    async with httpx.AsyncClient(base_url=instance.admin, trust_env=False) as client:
        for headers in ({}, {"x-serinus-token": "guess"}):
            for method, path in (("PUT", "/split"), ("GET", "/split"), ("GET", "/statistics")):
                answer = await client.request(method, path, headers=headers, content=b"serinus 1")
                assert answer.status_code == 403
        assert "serinus_edge_errors_total" in (await client.get("/metrics")).text
        # On the front door there is no such place at all: a path like any other.
    assert (await nginx_edge.client().get("/split")).text == "v1"
    assert (await nginx_edge.driver.read(nginx_edge.split(None))).acknowledged


async def test_a_document_that_is_none_is_refused_and_the_old_one_stays(nginx_edge):
    """Whatever is sent, NGINX never carries half of it."""
    await nginx_edge.carries(nginx_edge.split(500))
    instance = nginx_edge.config.instances[0]
    headers = {"x-serinus-token": token_of(instance)}
    async with httpx.AsyncClient(base_url=instance.admin, trust_env=False) as client:
        for text in (
            "",
            "serinus 2",
            "nonsense",
            "serinus 1\nstable v1",
            "serinus 1\nstable v1 host:80",
            "serinus 1\nstable v1 127.0.0.1:1\ncanary v2 10001 127.0.0.1:2",
            "serinus 1\nstable v1 127.0.0.1:1\ncanary v2 9000 127.0.0.1:2\nother v3 2000 127.0.0.1:3",
        ):
            answer = await client.put("/split", headers=headers, content=text)
            assert (text, answer.status_code) == (text, 422)
            assert answer.text
    assert (await nginx_edge.driver.read(nginx_edge.split(500))).acknowledged


async def test_a_restart_and_a_reload_carry_on_with_the_split_that_was(nginx_edge):
    """Without anybody telling it again; a reload keeps the counts, too."""
    pinned = nginx_edge.split(2500, user_ids=("ada",))
    await nginx_edge.carries(pinned)
    assert await ask(nginx_edge.port, ["ada"]) == ["v2"]
    nginx_edge.process.send_signal(signal.SIGHUP)
    await asyncio.sleep(0.5)
    assert (await nginx_edge.counted(pinned))["v2"].requests == 1
    nginx_edge.stop()
    nginx_edge.start()
    for _ in range(100):
        carried = await nginx_edge.driver.read(pinned)
        if carried.acknowledged:
            break
        await asyncio.sleep(0.05)
    assert carried.acknowledged
    users = ["ada", *(f"user-{n}" for n in range(200))]
    expected = ["v2" if u == "ada" or is_on_canary(nginx_edge.salt, u, 2500) else "v1" for u in users]
    assert await ask(nginx_edge.port, users) == expected


async def test_addresses_change_without_a_reload_and_several_take_turns(nginx_edge):
    """A version that grows by an instance gets it at once; each has its part of the requests."""
    second = Backend("v1")
    await second.start()
    try:
        split = nginx_edge.split(None)
        more = (*split.stable.addresses, f"127.0.0.1:{second.port}")
        await nginx_edge.carries(replace(split, stable=replace(split.stable, addresses=more)))
        assert set(await ask(nginx_edge.port, ["x"] * 100)) == {"v1"}
        assert (len(nginx_edge.stable.requests), len(second.requests)) == (50, 50)
    finally:
        await second.stop()


async def test_hosts_may_have_names(nginx_edge):
    """They are looked up where Serinus runs; one that is not known is told."""
    split = nginx_edge.split(None)
    named = replace(split, stable=replace(split.stable, addresses=(f"localhost:{nginx_edge.stable.port}",)))
    await nginx_edge.driver.apply(named)
    assert (
        f" 127.0.0.1:{nginx_edge.stable.port}"
        in nginx_edge.folder.joinpath(
            "split" if nginx_edge.config.module == "lua" else "split.json"
        ).read_text()
    )


async def test_requests_of_the_canary_have_a_log_of_their_own(nginx_edge):
    """Whoever answered in the end; without queries, keys and cookies, which may be secret."""
    desired = nginx_edge.split(0, user_ids=("ada",))
    await nginx_edge.carries(desired)
    client = nginx_edge.client()
    await client.get("/stable?secret=1", headers={"x-user-id": "eve"})
    await client.get("/fine?secret=1", headers={"x-user-id": "ada"})
    nginx_edge.canary.mode = "500"
    await client.get("/saved", headers={"x-user-id": "ada"})
    await nginx_edge.driver.read(desired)  # the one worker has written its line before it answers this
    lines = [json.loads(line) for line in (nginx_edge.folder / "canary.log").read_text().splitlines()]
    told = [(line["path"], line["status"], line["candidate"], line["version"]) for line in lines]
    assert told == [("/fine", 200, "v2", "v2"), ("/saved", 200, "v2", "v1")]
    for line in lines:
        del line["request_id"]  # chance, in which any name may be
    assert "secret" not in str(lines)
    assert "ada" not in str(lines)


async def test_the_breaker_lets_a_trial_through_when_its_time_is_over(nginx_edge):
    """A failure puts the canary out again at once; a success brings it back."""
    desired = nginx_edge.split(10_000)
    await nginx_edge.carries(desired)
    client = nginx_edge.client()
    nginx_edge.canary.mode = "500"
    for _ in range(5):
        await client.get("/")
    assert (await nginx_edge.counted(desired))["v2"].ejected
    await asyncio.sleep(0.6)
    before = len(nginx_edge.canary.requests)
    for _ in range(5):
        await client.get("/")
    assert len(nginx_edge.canary.requests) == before + 1
    nginx_edge.canary.mode = "ok"
    await asyncio.sleep(0.6)
    assert [(await client.get("/")).text for _ in range(8)] == ["v2"] * 8
    assert not (await nginx_edge.counted(desired))["v2"].ejected


async def test_what_was_never_sent_may_go_to_stable_whatever_its_method(nginx_edge):
    """A refused connection has cost nothing; one that broke after the request went out may have."""
    desired = nginx_edge.split(10_000)
    await nginx_edge.carries(desired)
    client = nginx_edge.client()
    nginx_edge.canary.mode = "close"
    for method in ("POST", "PUT", "DELETE"):
        assert (await client.request(method, "/pay", content=b"x")).status_code == 502
    assert nginx_edge.stable.requests == []
    assert len(nginx_edge.canary.requests) == 3
    await nginx_edge.canary.stop()
    for method in ("POST", "PUT"):
        answer = await client.request(method, "/pay", content=b"x")
        assert (answer.status_code, answer.text, answer.headers["x-serinus-version"]) == (200, "v1", "v1")


async def test_a_body_larger_than_memory_arrives_whole(nginx_edge):
    """It is kept in a file of the folder meanwhile, and sent to stable when the canary was never reached."""
    await nginx_edge.carries(nginx_edge.split(10_000))
    await nginx_edge.canary.stop()
    answer = await nginx_edge.client().post("/", content=b"x" * 3_000_000)
    assert (answer.status_code, answer.text) == (200, "v1")
    assert "content-length: 3000000" in nginx_edge.stable.heads[-1].lower()


async def test_every_answer_names_its_version_even_one_that_failed(nginx_edge):
    """And nobody can make it name another."""
    await nginx_edge.carries(nginx_edge.split(None))
    await nginx_edge.stable.stop()
    answer = await nginx_edge.client().get("/", headers={"x-serinus-version": "v9"})
    assert answer.status_code == 502
    assert answer.headers.get_list("x-serinus-version") == ["v1"]


async def test_who_broke_an_answer_without_a_length_off_is_told_apart_by_lua(lua_edge):
    """The version: its failure. The client that went away: nobody's."""
    desired = lua_edge.split(9999)
    await lua_edge.carries(desired)
    lua_edge.canary.mode = "fray"
    client = lua_edge.client()
    for n in range(3):
        with pytest.raises(httpx.RemoteProtocolError):
            await client.get("/", headers={"x-user-id": f"user-{n}"})
    lua_edge.canary.mode = "stream"
    async with client.stream("GET", "/", headers={"x-user-id": "user-3"}) as answer:
        assert answer.headers["x-serinus-version"] == "v2"
    for _ in range(100):
        counted = (await lua_edge.counted(desired))["v2"]
        if counted.requests == 4:
            break
        await asyncio.sleep(0.02)
    assert (counted.requests, counted.errors) == (4, 3)


async def test_sixty_changes_under_load_lose_nothing(nginx_edge):
    """wrk over keep-alive connections, while shares change and roll back."""
    lost = await _changed_under_load(nginx_edge, 60)
    assert lost == []


async def test_doctor_names_what_is_missing(nginx_edge):
    """A broken include by NGINX's own words, settings that are not in force, a program that is not there."""
    assert [f.ok for f in await nginx_edge.driver.check()] == [True] * 4
    (nginx_edge.folder / "http.d" / "mine.conf").write_text("nonsense on;")
    found = {f.name: f for f in await nginx_edge.driver.check()}
    assert "unknown directive" in found["nginx edge-1 configuration"].detail
    assert "-t" in found["nginx edge-1 configuration"].remedy
    other = NginxDriver(replace(nginx_edge.config, timeout_seconds=20, binary="angie"))
    try:
        findings = await other.check()
        assert [(f.detail, f.ok) for f in findings[1:2]] == [("angie is not installed", False)]
        assert "-s reload" in findings[-1].remedy
        state = (await other.read(nginx_edge.split(None))).instances[0]
        assert "it runs by other settings; reload it" in state.problem
    finally:
        await other.close()


async def test_the_canarys_log_is_moved_away_when_it_has_grown(nginx_edge):
    """NGINX opens a new one; no request is missing from the two."""
    driver = NginxDriver(replace(nginx_edge.config, canary_log_megabytes=0.001))
    desired = nginx_edge.split(10_000)
    await nginx_edge.carries(desired)
    await ask(nginx_edge.port, ["x"] * 20)
    assert (await driver.apply(desired)).acknowledged  # no setting of NGINX itself
    await driver.close()
    new, old = nginx_edge.folder / "canary.log", nginx_edge.folder / "canary.log.1"
    for _ in range(100):
        if new.exists():
            break
        await asyncio.sleep(0.02)
    await asyncio.sleep(0.2)
    await ask(nginx_edge.port, ["x"] * 5)
    for _ in range(100):  # a request is logged after its answer
        lines = [len(path.read_text().splitlines()) for path in (old, new)]
        if sum(lines) == 25:
            break
        await asyncio.sleep(0.02)
    assert lines == [20, 5]


async def test_the_admin_address_may_be_a_socket(socket_edge):
    """Nothing to reach by network at all."""
    desired = socket_edge.split(10_000)
    await socket_edge.carries(desired)
    assert await ask(socket_edge.port, ["x"] * 10) == ["v2"] * 10
    assert (await socket_edge.counted(desired))["v2"].requests == 10
    assert [f.ok for f in await socket_edge.driver.check()] == [True] * 4


# -- plain NGINX ----------------------------------------------------------------------------------


async def test_the_contracts_stages_are_written_as_weights_and_never_as_weight_0(plain_nginx_edge):
    """100/0, 99/1, 95/5, 75/25, 0/100; at 0 the canary is down, at 100 production only stands in."""
    edge = plain_nginx_edge
    production, canary = edge.stable.port, edge.canary.port
    for bp, lines in (
        (0, [f"{production} weight=100", f"{canary} down"]),
        (100, [f"{production} weight=99", f"{canary} weight=1"]),
        (500, [f"{production} weight=95", f"{canary} weight=5"]),
        (2500, [f"{production} weight=75", f"{canary} weight=25"]),
        (10_000, [f"{production} backup", f"{canary} weight=100"]),
    ):
        await edge.carries(edge.split(bp))
        text = (edge.folder / "nginx.conf").read_text()
        block = text.split("upstream serinus_weighted {")[1].split("}")[0]
        assert re.findall(r"server 127.0.0.1:(\d+ \S+) max_fails", block) == lines
        assert "weight=0" not in text
        answers = await ask(edge.port, ["x"] * 200)
        assert answers.count("v2") == 200 * bp // 10_000


async def test_a_template_that_nginx_refuses_changes_nothing(plain_nginx_edge):
    """`nginx -t` stops it, its words are told, the old configuration stays; so it does for unknown values."""
    edge = plain_nginx_edge
    await edge.carries(edge.split(2500))
    before = (edge.folder / "nginx.conf").read_text()
    template = edge.folder / "nginx.conf.template"
    good = template.read_text()
    template.write_text(good.replace("keepalive 256;", "keepalive many;"))
    state = (await edge.driver.apply(edge.split(5000))).instances[0]
    assert (state.ok, state.carried_bp) == (False, 2500)
    assert 'invalid value "many"' in state.problem
    assert (edge.folder / "nginx.conf").read_text() == before
    assert not (edge.folder / "nginx.conf.new").exists()
    assert (await ask(edge.port, ["x"] * 100)).count("v2") == 25
    template.write_text(good)
    await edge.carries(edge.split(5000))


async def test_a_reload_that_fails_changes_nothing(plain_nginx_edge):
    """A port that is taken passes the test and fails the reload: the old one is in force, and on disk."""
    edge = plain_nginx_edge
    await edge.carries(edge.split(2500))
    before = (edge.folder / "nginx.conf").read_text()
    template = edge.folder / "nginx.conf.template"
    impatient = NginxReloadDriver(replace(edge.config, reload_seconds=1.5))
    with closing(create_server(("127.0.0.1", 0))) as taken:
        extra = f"listen 127.0.0.1:{taken.getsockname()[1]};\n        listen ${{LISTEN}}"
        template.write_text(template.read_text().replace("listen ${LISTEN}", extra))
        state = (await impatient.apply(edge.split(5000))).instances[0]
    await impatient.close()
    assert (state.ok, state.carried_bp) == (False, 2500)
    assert "the reload failed" in state.problem
    assert (edge.folder / "nginx.conf").read_text() == before
    assert (await ask(edge.port, ["x"] * 100)).count("v2") == 25


async def test_a_change_that_real_requests_do_not_confirm_is_not_acknowledged(plain_nginx_edge):
    """It is in force, but stable does not answer: that is told until it does."""
    edge = plain_nginx_edge
    await edge.stable.stop()
    state = (await edge.driver.apply(edge.split(0))).instances[0]
    assert not state.ok
    assert "502" in state.problem
    await edge.stable.start()
    await edge.carries(edge.split(0))


async def test_nginx_is_reloaded_only_where_something_differs(plain_nginx_edge):
    """Asking again for the same is no change."""
    edge = plain_nginx_edge
    await edge.carries(edge.split(2500))
    pid = _workers(edge)
    for _ in range(3):
        await edge.driver.apply(edge.split(2500))
    assert _workers(edge) == pid
    await edge.carries(edge.split(5000))
    assert _workers(edge) != pid


def _workers(edge) -> set[str]:
    pid = edge.process.pid
    return set(Path(f"/proc/{pid}/task/{pid}/children").read_text().split())


async def test_units_keep_their_side_by_nginxs_own_hash(sticky_nginx_edge):
    """Not the SDK's, so it is no STICKY; but nobody flips while it grows, and a cookie remembers a unit."""
    edge = sticky_nginx_edge
    users = [f"user-{n}" for n in range(1000)]
    on_canary: set[str] = set()
    for bp in (0, 500, 2500, 10_000):
        await edge.carries(edge.split(bp))
        answers = await ask(edge.port, users)
        assert await ask(edge.port, users) == answers
        now = {u for u, a in zip(users, answers, strict=True) if a == "v2"}
        assert on_canary <= now
        on_canary = now
    assert len(on_canary) == 1000
    await edge.carries(edge.split(5000))
    client = edge.client()
    first = await client.get("/")
    assert "serinus_unit" in client.cookies
    assert {(await client.get("/")).text for _ in range(6)} == {first.text}


async def test_counting_goes_on_when_the_log_is_moved_away(plain_nginx_edge):
    """By us at its size, or by logrotate: nothing is lost and nothing counted twice."""
    edge = plain_nginx_edge
    desired = edge.split(5000)
    await edge.carries(desired)

    async def all_are_counted(requests: int) -> None:
        async with asyncio.timeout(10):
            while sum(c.requests for c in (await edge.counted(desired)).values()) != requests:
                await asyncio.sleep(0.02)

    for times in (1, 2):
        await ask(edge.port, ["x"] * 100)
        (edge.folder / "requests.log").rename(edge.folder / "requests.log.1")
        await ask(edge.port, ["x"] * 50)  # still into the old file
        edge.process.send_signal(signal.SIGUSR1)
        await all_are_counted(150 * times)
    await ask(edge.port, ["x"] * 100)
    await all_are_counted(400)
    await asyncio.sleep(0.3)
    await all_are_counted(400)


async def test_a_reload_loses_no_count(plain_nginx_edge):
    """Workers that end write down what they have kept: the lines of some requests are written together."""
    edge = plain_nginx_edge
    for bp in (5000, 2500, 1000):
        await edge.carries(edge.split(bp))
        await ask(edge.port, ["x"] * 50)
    await edge.carries(edge.split(500))
    async with asyncio.timeout(10):  # the workers of before are still ending
        while sum(c.requests for c in (await edge.counted(edge.split(500))).values()) != 150:
            await asyncio.sleep(0.05)


async def test_what_a_reload_loses_is_printed(plain_nginx_edge, capsys):
    """Keep-alive clients may see resets: that is why this driver has no NO_RELOAD, and doctor says so."""
    lost = await _changed_under_load(plain_nginx_edge, 10)
    with capsys.disabled():
        print(f"\nplain NGINX, 10 reloads under wrk: {lost or 'nothing lost'}")
    assert any("resets" in f.detail for f in await plain_nginx_edge.driver.check())


async def _changed_under_load(edge, changes: int) -> list[str]:
    """Change the share so many times under wrk; return its lines about what went wrong."""
    wrk = program("wrk", "apt-get install wrk")
    await edge.carries(edge.split(100))
    url = f"http://127.0.0.1:{edge.port}/"
    load = await asyncio.create_subprocess_exec(
        wrk, "-t1", "-c16", "-d4s", "-H", "x-user-id: u1", url, stdout=subprocess.PIPE
    )
    for n in range(changes):
        await edge.carries(edge.split((500, 2500, 5000, 10_000, None)[n % 5]))
        await asyncio.sleep(0.02)
    printed = (await load.communicate())[0].decode()
    assert "requests in" in printed
    return re.findall(r"Non-2xx.*|Socket errors.*", printed)
