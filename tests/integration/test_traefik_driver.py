"""What is the Traefik driver's own, against a real Traefik; the rest is the contract of all drivers."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

import httpx
import pytest

from edges import ODD, ask
from fixtures_traefik import make_traefik
from serinus.bootstrap.proxies import proxy_start
from serinus.core.bucketing import is_on_canary
from serinus.core.errors import InvalidInput
from serinus.drivers.traffic.traefik import TraefikConfig
from serinus.ports.traffic import TrafficError

pytestmark = pytest.mark.real

#: Every length around the hash's words and lanes.
LENGTHS = ["k" * n for n in range(1, 80)]


async def test_any_salt_hashes_alike(traefik_edge):
    """Words of the salt are mixed in ahead, so each length of it is another way through the plugin."""
    edge = traefik_edge
    keys = [*ODD, *LENGTHS]
    for salt in ("", "d", "dep_3f9a61b2c04d", "a-salt-that-is-longer-than-the-hash-s-lanes", "ü"):
        edge.salt = salt
        await edge.carries(edge.split(5000))
        assert await ask(edge.port, keys) == ["v2" if is_on_canary(salt, k, 5000) else "v1" for k in keys]


async def test_what_a_client_says_of_its_side_is_nothing(traefik_edge):
    """The plugin's header leads to a version inside Traefik only; no version sees it."""
    edge = traefik_edge
    await edge.carries(edge.split(5000))
    users = [f"user-{n}" for n in range(8)]
    for side in ("v2", "v2_once", "stable", "fallback"):
        expected = ["v2" if is_on_canary(edge.salt, user, 5000) else "v1" for user in users]
        assert await ask(edge.port, users, more={"x-serinus-side": side}) == expected
    assert not any("x-serinus-side" in head.lower() for head in edge.stable.heads + edge.canary.heads)


async def test_names_that_yaml_or_a_template_would_read_otherwise_are_names(traefik_edge):
    """An empty one pins nobody."""
    edge = traefik_edge
    odd = ["007", "true", "{{ .x }}", "🙂", 'q"uote']
    await edge.carries(edge.split(0, user_ids=("", *odd)))
    assert await ask(edge.port, [*odd, "7", "True"]) == ["v2"] * 5 + ["v1"] * 2
    assert (await edge.client().get("/")).text == "v1"


async def test_a_mirror_copies_bodies_but_no_fraction_of_a_percent(traefik_edge):
    """What it cannot is refused before anything moves."""
    edge = traefik_edge
    desired = edge.split(None, mirror=edge.upstream(edge.third), mirror_bp=10_000)
    await edge.carries(desired)
    with pytest.raises(TrafficError, match="whole percents"):
        await edge.driver.apply(replace(desired, mirror_bp=50))
    assert (await edge.driver.read(desired)).acknowledged
    assert (await edge.client().post("/pay", content=b"body")).text == "v1"
    async with asyncio.timeout(5):
        while not edge.third.heads:
            await asyncio.sleep(0.02)
    assert "content-length: 4" in edge.third.heads[0].lower()


async def test_requests_of_the_canary_have_a_log_of_their_own(traefik_edge):
    """One JSON object a line, without queries, keys or cookies; also when stable answered in the end."""
    edge = traefik_edge
    await edge.carries(edge.split(0, user_ids=("ada.lovelace",)))
    client = edge.client()
    secret = {"cookie": "session=secret", "authorization": "secret"}
    await client.get("/shop?token=secret", headers={"x-user-id": "ada.lovelace", **secret})
    await client.get("/stable", headers={"x-user-id": "eve"})
    edge.canary.mode = "500"
    await client.get("/saved", headers={"x-user-id": "ada.lovelace"})
    await client.post("/pay", headers={"x-user-id": "ada.lovelace"})
    text = (edge.folder / "canary.log").read_text()
    told = [
        (e["method"], e["path"], e["status"], e["version"], e["good"], e["repeated"])
        for e in map(json.loads, text.splitlines())
    ]
    assert told == [
        ("GET", "/shop", 200, "v2", True, False),
        ("GET", "/saved", 500, "v2", False, True),
        ("POST", "/pay", 500, "v2", False, False),
    ]
    assert "secret" not in text
    assert "lovelace" not in text


async def test_the_breaker_outlives_a_change_of_the_split_and_forgets_a_deployment(traefik_edge):
    """A success between failures begins the row anew; a POST counts as well."""
    edge = traefik_edge
    await edge.carries(edge.split(9999))
    client = edge.client()
    for mode in ("500", "500", "500", "500", "ok", "500", "500", "500", "500"):
        edge.canary.mode = mode
        await client.get("/", headers={"x-user-id": "u"})
    assert (await edge.counted(edge.split(9999)))["v2"].ejected is False
    await client.post("/", headers={"x-user-id": "u"})
    await edge.carries(edge.split(9000))
    assert (await edge.counted(edge.split(9000)))["v2"].ejected is True
    assert (await client.get("/", headers={"x-user-id": "user-1"})).text == "v1"
    edge.salt, edge.canary.mode = "dep_next", "ok"
    await edge.carries(edge.split(10_000))
    assert (await client.get("/", headers={"x-user-id": "u"})).text == "v2"


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
    counts = await edge.counted(edge.split(9999))
    assert (counts["v2"].requests, counts["v2"].errors) == (1, 1)
    # Traefik has no series of it; Prometheus reads ours.
    told = await edge.client().get(f"{edge.config.instances[0].admin}/serinus/metrics")
    assert 'serinus_broken_off_total{service="svc",version="v2"} 1' in told.text.splitlines()


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


async def test_a_traefik_that_is_down_is_started_by_the_command_that_is_told(traefik_edge):
    """Its folder is fine, it is not there."""
    edge = traefik_edge
    edge.stop()
    state = (await edge.driver.apply(edge.split(500))).instances[0]
    assert "does not answer" in state.problem
    assert f"cd {edge.folder} && traefik --configFile=traefik.yml" in state.problem
    assert [f.ok for f in await edge.driver.check()] == [True, False]


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
    assert json.loads(proxy_start("traefik", settings).text) == written
    with pytest.raises(InvalidInput, match="needs no configuration of ours"):
        proxy_start("in-process", {})


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"instances": []}, "driver_config.instances"),
        ({"listen": "nowhere"}, "driver_config.listen"),
        ({"user_header": "no header"}, "driver_config.user_header"),
        ({"timeout_seconds": 0}, "driver_config.timeout_seconds"),
        ({"poll_seconds": 0}, "driver_config.poll_seconds"),
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
