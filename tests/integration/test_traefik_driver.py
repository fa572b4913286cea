"""The Traefik driver against a real Traefik."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess

import httpx
import pytest
import uvicorn

from edges import Backend, Edge
from fixtures_prometheus import Exporter, Prometheus
from fixtures_traefik import make_traefik, running
from needs import free_port, program
from serinus.bootstrap.build import render_proxy_config
from serinus.core.bucketing import bucket_of, is_on_canary
from serinus.core.errors import InvalidInput
from serinus.drivers.traffic.traefik import TraefikConfig, TraefikDriver
from serinus.drivers.traffic.traefik.prometheus import queries, scrape_config
from serinus.ports.traffic import Capability, Match, TrafficError

pytestmark = pytest.mark.real

#: Keys that other hashes have stumbled over, and every length around the hash's words and lanes.
ODD = ["a b", "a,b", "a;b=c", "ü", "日本語", "x" * 200, "-", "0", "a'b\"c", "%20", "user@example.com", "\\1"]
LENGTHS = ["k" * n for n in range(1, 80)]


async def ask(port: int, keys: list[str], header: str = "x-user-id") -> list[str]:
    """Return which version answered each key, over a few keep-alive connections."""
    answers: list[str] = [""] * len(keys)

    async def connection(mine: range) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for at in mine:
            writer.write(b"GET / HTTP/1.1\r\nhost: t\r\n" + f"{header}: {keys[at]}\r\n\r\n".encode())
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
            answers[at] = (await reader.readexactly(length)).decode()
        writer.close()

    await asyncio.gather(*(connection(range(n, len(keys), 8)) for n in range(8)))
    return answers


async def counted(edge, desired):
    """Return counters by version."""
    return {c.version: c for c in await edge.driver.statistics(desired)}


async def test_traefik_and_the_sdk_agree_on_every_one_of_ten_thousand_users(traefik_edge):
    """By real requests, at 1, 25 and 50 %, odd keys included; and nobody flips while it grows."""
    edge = traefik_edge
    users = [f"user-{n}" for n in range(10_000)] + ODD + LENGTHS
    on_canary: set[str] = set()
    for bp in (100, 2500, 5000):
        await edge.carries(edge.split(bp))
        answers = await ask(edge.port, users)
        expected = ["v2" if is_on_canary(edge.salt, user, bp) else "v1" for user in users]
        assert [u for u, a, e in zip(users, answers, expected, strict=True) if a != e] == []
        now = {u for u, a in zip(users, answers, strict=True) if a == "v2"}
        assert on_canary <= now
        on_canary = now


@pytest.mark.parametrize(
    "salt", ["", "d", "dep_3f9a61b2c04d", "a-salt-that-is-longer-than-the-hash-s-lanes", "ü"]
)
async def test_any_salt_hashes_alike(traefik_edge, salt):
    """Words of the salt are mixed in ahead, so each length of it is another way through the plugin."""
    edge = traefik_edge
    edge.salt = salt
    await edge.carries(edge.split(5000))
    keys = [*ODD, *LENGTHS]
    assert await ask(edge.port, keys) == ["v2" if is_on_canary(salt, k, 5000) else "v1" for k in keys]


async def test_the_first_key_present_decides(traefik_edge):
    """Workflow before session before user, as in the SDK; what a client says of its side is nothing."""
    edge = traefik_edge
    await edge.carries(edge.split(5000))
    client = edge.client()
    on = next(f"k{n}" for n in range(99) if is_on_canary(edge.salt, f"k{n}", 5000))
    off = next(f"k{n}" for n in range(99) if not is_on_canary(edge.salt, f"k{n}", 5000))
    for workflow, session, user in ((on, off, off), ("", on, off), ("", "", on), (off, on, on)):
        headers = {"x-workflow-id": workflow, "x-session-id": session, "x-user-id": user}
        sent = {k: v for k, v in headers.items() if v} | {"x-serinus-side": "v2"}
        answer = await client.get("/", headers=sent)
        assert answer.text == ("v2" if (workflow or session or user) == on else "v1")
        assert answer.headers.get_list("x-serinus-version") == [answer.text]
    assert not any("x-serinus-side" in head.lower() for head in edge.stable.heads + edge.canary.heads)


async def test_a_client_without_a_key_keeps_its_side_by_a_cookie_with_its_unit(traefik_edge):
    """The cookie carries the unit, never the side, and the hash agrees with it."""
    edge = traefik_edge
    await edge.carries(edge.split(5000))
    for _ in range(12):
        client = edge.client()
        first = await client.get("/")
        unit = client.cookies["serinus_unit"]
        assert first.text == ("v2" if is_on_canary(edge.salt, unit, 5000) else "v1")
        again = [await client.get("/") for _ in range(3)]
        assert {a.text for a in again} == {first.text}
        assert "set-cookie" not in again[0].headers


async def test_named_units_and_matching_requests_are_pinned(traefik_edge):
    """They are on the canary whatever the share, and nobody else is; odd names are names like any other."""
    edge = traefik_edge
    odd = ["a,b", "007", "true", "{{ .x }}", "ü", "🙂", 'q"uote']
    matches = (Match(name="x-preview", value="yes"), Match(name="beta", value="1", cookie=True))
    await edge.carries(
        edge.split(0, user_ids=("ada.l", "bob", "", *odd), workflow_ids=("wf-1",), matches=matches)
    )
    answers = await ask(edge.port, ["ada.l", "bob", *odd, "adaXl", "eve", "7"])
    assert answers == ["v2"] * (2 + len(odd)) + ["v1"] * 3
    assert (await edge.client().get("/")).text == "v1"
    assert await ask(edge.port, ["wf-1", "wf-2"], "x-workflow-id") == ["v2", "v1"]
    assert await ask(edge.port, ["yes", "yes!"], "x-preview") == ["v2", "v1"]
    assert await ask(edge.port, ["a=b; beta=1", "beta=2", "abeta=1"], "cookie") == ["v2", "v1", "v1"]


async def test_three_versions_share_the_buckets(traefik_edge):
    """Each candidate's part follows the one before it, as the port says."""
    edge = traefik_edge
    await edge.carries(edge.split(2000, third_bp=3000))
    users = [f"user-{n}" for n in range(500)]

    def expected(user: str) -> str:
        bucket = bucket_of(edge.salt, user)
        return "v2" if bucket < 2000 else "v3" if bucket < 5000 else "v1"

    assert await ask(edge.port, users) == [expected(u) for u in users]
    counts = await counted(edge, edge.split(2000, third_bp=3000))
    assert {v: c.requests for v, c in counts.items()} == {
        v: sum(expected(u) == v for u in users) for v in ("v1", "v2", "v3")
    }


async def test_a_mirror_gets_copies_and_its_answers_reach_nobody(traefik_edge):
    """Whole percents of all requests, bodies included; a failing mirror costs nothing."""
    edge = traefik_edge
    mirrored = {"mirror": edge.upstream(edge.third), "mirror_bp": 5000}
    edge.third.mode = "500"
    for desired in (edge.split(None, **mirrored), edge.split(5000, **mirrored)):
        await edge.carries(desired)
        edge.third.requests.clear()
        client = edge.client()
        for n in range(20):
            answer = await client.post("/pay", headers={"x-user-id": f"u{n}"}, content=b"body")
            assert answer.status_code == 200
            assert answer.text in ("v1", "v2")
        for _ in range(100):
            if len(edge.third.requests) >= 10:
                break
            await asyncio.sleep(0.02)
        assert 10 <= len(edge.third.requests) <= 11  # one for each of the two sides that counts by itself
    with pytest.raises(TrafficError, match="whole percents"):
        await edge.driver.apply(edge.split(None, mirror=edge.upstream(edge.third), mirror_bp=50))


@pytest.mark.parametrize("mode", ["500", "close", "die", "hang", "refuse"])
async def test_a_failing_canary_costs_clients_nothing_and_counts_as_its_failure(traefik_edge, mode):
    """A GET is repeated on stable, even when a short answer broke off; it is the canary's error."""
    edge = traefik_edge
    desired = edge.split(9999)
    await edge.carries(desired)
    if mode == "refuse":
        await edge.canary.stop()
    else:
        edge.canary.mode = mode
    before = await counted(edge, desired)
    client = edge.client()
    for n in range(3):
        answer = await client.get("/", headers={"x-user-id": f"user-{n}"})
        assert (answer.status_code, answer.text) == (200, "v1")
        assert answer.headers.get_list("x-serinus-version") == ["v1"]
    after = await counted(edge, desired)
    assert after["v2"].errors - before["v2"].errors == 3
    assert after["v2"].requests - before["v2"].requests == 3
    assert after["v1"].errors == before["v1"].errors
    lines = [json.loads(line) for line in (edge.folder / "canary.log").read_text().splitlines()]
    assert [(x["method"], x["version"], x["good"], x["repeated"]) for x in lines] == [
        ("GET", "v2", False, True)
    ] * 3


async def test_a_post_is_not_sent_twice(traefik_edge):
    """What may not be repeated is answered as the canary answered, and waits for it longer."""
    edge = traefik_edge
    await edge.carries(edge.split(9999))
    edge.canary.mode = "500"
    answer = await edge.client().post("/pay", headers={"x-user-id": "u"}, content=b"x")
    assert (answer.status_code, answer.headers["x-serinus-version"]) == (500, "v2")
    assert edge.canary.requests.count(("POST", "/pay")) == 1
    assert edge.stable.requests.count(("POST", "/pay")) == 0


async def test_five_failures_in_a_row_take_the_canary_out_in_the_proxy_itself(traefik_edge):
    """It does not wait for the control plane, outlives a change of the split, and forgets a deployment."""
    edge = traefik_edge
    await edge.carries(edge.split(9999))
    client = edge.client()
    for mode in ("500", "500", "500", "500", "ok", "500", "500", "500", "500"):
        edge.canary.mode = mode
        await client.get("/", headers={"x-user-id": "u"})
    assert (await counted(edge, edge.split(9999)))["v2"].ejected is False
    await client.post("/", headers={"x-user-id": "u"})
    seen = len(edge.canary.requests)
    await edge.carries(edge.split(9000))
    for n in range(20):
        assert (await client.get("/", headers={"x-user-id": f"user-{n}"})).text == "v1"
    assert len(edge.canary.requests) == seen
    ejected = {v: c.ejected for v, c in (await counted(edge, edge.split(9000))).items()}
    assert ejected == {"v1": False, "v2": True}
    edge.salt, edge.canary.mode = "dep_next", "ok"
    await edge.carries(edge.split(10_000))
    assert (await client.get("/", headers={"x-user-id": "u"})).text == "v2"


async def test_requests_and_latency_are_counted_per_version(traefik_edge):
    """What was sent is what was counted."""
    edge = traefik_edge
    await edge.carries(edge.split(2500))
    answers = await ask(edge.port, [f"user-{n}" for n in range(400)])
    counts = await counted(edge, edge.split(2500))
    for version in ("v1", "v2"):
        assert counts[version].requests == answers.count(version)
        assert max(counts[version].buckets.values()) == answers.count(version)
        assert counts[version].errors == 0
        assert counts[version].latency_total_ms > 0


async def test_what_streams_is_passed_on_at_once(traefik_edge):
    """A canary's event stream is not held back, and one that breaks off is cut for the client too."""
    edge = traefik_edge
    await edge.carries(edge.split(9999))
    await edge.canary.stop()
    proceed = asyncio.Event()

    async def stream(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
        writer.write(head + b"5\r\nfirst\r\n")
        await proceed.wait()
        writer.close()

    server = await asyncio.start_server(stream, "127.0.0.1", edge.canary.port)
    async with edge.client().stream("GET", "/", headers={"x-user-id": "u"}) as answer:
        chunks = answer.aiter_raw()
        assert await anext(chunks) == b"first"
        proceed.set()
        with pytest.raises(httpx.RemoteProtocolError):
            await anext(chunks)
    server.close()
    counts = await counted(edge, edge.split(9999))
    assert (counts["v2"].requests, counts["v2"].errors) == (1, 1)


async def test_a_split_changed_by_hand_is_seen_and_put_right(traefik_edge):
    """Reading back tells the difference; applying again mends it."""
    edge = traefik_edge
    desired = edge.split(500)
    await edge.carries(desired)
    path = edge.folder / "dynamic" / "serinus.yml"
    fresh = edge.folder / "by-hand"
    fresh.write_text(path.read_text().replace('"upTo": 500', '"upTo": 9000'))
    fresh.replace(path)
    for _ in range(100):
        state = (await edge.driver.read(desired)).instances[0]
        if not state.ok:
            break
        await asyncio.sleep(0.02)
    assert (state.ok, state.carried_bp, state.problem) == (False, 9000, "it carries another middleware split")
    await edge.carries(desired)


async def test_a_file_that_traefik_refuses_is_told_in_its_words(traefik_edge):
    """Somebody's broken file beside ours stops every change; the split before stays in force."""
    edge = traefik_edge
    await edge.carries(edge.split(10_000))
    broken = edge.folder / "dynamic" / "theirs.yml"
    broken.write_text('{"http": [')
    state = (await edge.driver.apply(edge.split(900))).instances[0]
    assert (state.ok, state.carried_bp) == (False, 10_000)
    assert "Traefik refused it: " in state.problem
    assert "theirs.yml: yaml" in state.problem
    assert await ask(edge.port, ["user-1"]) == ["v2"]
    broken.unlink()
    await edge.carries(edge.split(900))


async def test_a_traefik_that_is_down_is_named_with_what_starts_it(traefik_edge):
    """It is a state to show, never an exception; and it follows as soon as it is back."""
    edge = traefik_edge
    edge.stop()
    state = (await edge.driver.apply(edge.split(500))).instances[0]
    assert not state.ok
    assert "does not answer" in state.problem
    assert f"cd {edge.folder} && traefik --configFile=traefik.yml" in state.problem
    assert [f.ok for f in await edge.driver.check()] == [True, False]
    assert await edge.driver.statistics(edge.split(500)) == ()
    edge.start()
    await edge.carries(edge.split(500))
    assert [f.ok for f in await edge.driver.check()] == [True, True, True]


async def test_a_traefik_without_our_plugin_does_not_start(tmp_path):
    """It would answer 404 to everyone; so it says why and ends."""
    edge = make_traefik(tmp_path, {})
    await edge.driver.apply(edge.split(None))
    (tmp_path / "plugins-local" / "src" / "serinus" / "route.go").write_text("package serinus\nbroken")
    edge.start()
    assert await asyncio.to_thread(edge.process.wait, 20) != 0
    assert "serinus" in (tmp_path / "traefik.log").read_text() + (tmp_path / "printed").read_text()
    await edge.driver.close()


def test_the_printed_start_configuration_is_the_one_in_the_folder(tmp_path):
    """An operator may merge it into their own."""
    edge = make_traefik(tmp_path, {})
    instance = edge.config.instances[0]
    settings = {
        "listen": edge.config.listen,
        "instances": [{"name": "edge-1", "admin": instance.admin, "config_dir": instance.config_dir}],
    }
    asyncio.run(edge.driver.apply(edge.split(None)))
    written = json.loads((tmp_path / "traefik.yml").read_text())
    assert render_proxy_config("traefik", settings, None) == written
    with pytest.raises(InvalidInput, match="needs no configuration of ours"):
        render_proxy_config("in-process", {}, None)


async def test_traefik_may_poll_us_instead(tmp_path):
    """Its HTTP provider takes the same configuration from a route of ours; nothing else differs."""
    port = free_port()
    edge = make_traefik(tmp_path, {"provider_url": f"http://127.0.0.1:{port}/", "poll_seconds": 0.05})
    settings = uvicorn.Config(
        edge.driver.endpoint, host="127.0.0.1", port=port, log_level="critical", lifespan="off"
    )
    server = uvicorn.Server(settings)
    serving = asyncio.create_task(server.serve())
    async with running(edge):
        await edge.carries(edge.split(5000))
        users = [f"user-{n}" for n in range(100)]
        expected = ["v2" if is_on_canary(edge.salt, u, 5000) else "v1" for u in users]
        assert await ask(edge.port, users) == expected
        assert (await counted(edge, edge.split(5000)))["v2"].requests == expected.count("v2")
        assert not (tmp_path / "dynamic").exists()
    server.should_exit = True
    await serving


async def test_no_request_is_lost_to_sixty_weight_changes_under_load(traefik_edge):
    """wrk over keep-alive connections: no error of any kind while shares change and roll back."""
    edge = traefik_edge
    wrk = program("wrk", "apt-get install wrk")
    await edge.carries(edge.split(100))
    url = f"http://127.0.0.1:{edge.port}/"
    load = await asyncio.create_subprocess_exec(
        wrk, "-t1", "-c16", "-d60s", "-H", "x-user-id: u1", url, stdout=subprocess.PIPE
    )
    for _ in range(12):
        for bp in (500, 2500, 5000, 10_000, None):
            await edge.carries(edge.split(bp))
    load.send_signal(signal.SIGINT)  # it prints what it has seen so far
    printed = (await load.communicate())[0].decode()
    assert "requests in" in printed
    assert "Non-2xx" not in printed
    assert "Socket errors" not in printed


def test_it_can_everything_but_keep_units_on_a_shrinking_canary():
    """That needs a memory of units, which Traefik has not."""
    assert set(Capability) - TraefikDriver.capabilities == {Capability.PERSISTENT}


async def test_prometheus_may_scrape_it_too(tmp_path):
    """A real Prometheus takes the job, and every query has an answer for stable and canary."""
    edge = make_traefik(tmp_path, {"breaker_failures": 1_000_000})
    (tmp_path / "prometheus").mkdir()
    prometheus = Prometheus(tmp_path / "prometheus", Exporter())
    timing = {"scrape_interval": "250ms", "scrape_timeout": "250ms"}
    config = {"global": timing, "scrape_configs": [scrape_config(edge.config)]}
    (prometheus.folder / "prometheus.yml").write_text(json.dumps(config))
    asked = {
        (check, role): query
        for check, roles in queries(edge.split(5000), window="4s").items()
        for role, query in roles.items()
    }
    async with running(edge):
        await edge.carries(edge.split(5000))
        edge.canary.mode = "500"
        prometheus.start()
        try:
            found = await answers_of(prometheus, edge, asked)
        finally:
            prometheus.stop()
    assert found.keys() == asked.keys()
    assert (found["error_rate", "stable"], found["error_rate", "canary"]) == (0, 1)
    assert found["latency_p50", "stable"] <= found["latency_p99", "stable"] < 60


async def answers_of(prometheus, edge, asked) -> dict:
    """Send requests until Prometheus has an answer to everything, and the canary's failures are in it."""
    found: dict[tuple[str, str], float] = {}
    async with httpx.AsyncClient(base_url=prometheus.url, trust_env=False) as client:
        for _ in range(200):
            await ask(edge.port, [f"user-{n}" for n in range(40)])
            await asyncio.sleep(0.1)
            for name, query in asked.items():
                answer = (await client.get("/api/v1/query", params={"query": query})).json()
                for result in answer["data"]["result"]:
                    found[name] = float(result["value"][1])
            if found.keys() == asked.keys() and found["error_rate", "canary"] == 1:
                break
    return found


def test_stable_alone_has_its_queries_too():
    """Before and after a deployment there is no canary to ask about."""
    nowhere = Edge(None, None, None, Backend("v1"), Backend("v2"), 0)
    assert {tuple(roles) for roles in queries(nowhere.split(None)).values()} == {("stable",)}
    names = queries(nowhere.split(100))["request_rate"]
    assert names["stable"] == 'sum(rate(traefik_service_requests_total{service=~"(v1)@(file|http)"}[5m]))'
    assert 'service=~"(v2|v2_once)@(file|http)"' in names["canary"]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"instances": []}, "driver_config.instances"),
        ({"listen": "nowhere"}, "driver_config.listen"),
        ({"user_header": "no header"}, "driver_config.user_header"),
        ({"timeout_seconds": 0}, "driver_config.timeout_seconds"),
        ({"provider_url": "nowhere"}, "driver_config.provider_url"),
        (
            {"instances": [{"name": "e", "admin": "nowhere", "config_dir": "/x"}]},
            "driver_config.instances[0].admin",
        ),
        (
            {"instances": [{"name": "e", "admin": "http://h:1", "config_dir": "x"}]},
            "driver_config.instances[0].config_dir",
        ),
        ({"wieghts": 1}, "driver_config.wieghts"),
    ],
)
def test_settings_that_traefik_would_refuse_are_refused_in_words(change, field):
    """Before anything moves, with the field and what to do."""
    good = {"instances": [{"name": "e", "admin": "http://127.0.0.1:8081", "config_dir": "/etc/traefik"}]}
    with pytest.raises(InvalidInput) as refusal:
        TraefikConfig.read({**good, **change})
    assert refusal.value.field == field
    assert refusal.value.next_step
