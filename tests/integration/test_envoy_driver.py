"""What is the Envoy driver's own, against a real Envoy; the rest is the contract of all drivers."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

import httpx
import pytest

from edges import ask
from serinus.core.errors import InvalidInput
from serinus.drivers.traffic.envoy import EnvoyConfig

pytestmark = pytest.mark.real


async def test_a_refused_configuration_is_told_in_envoys_words(edge):
    """An address that Envoy does not take leaves the old split in force."""
    await edge.carries(edge.split(0))
    bad = edge.split(10_000)
    bad = replace(bad, salt="x" * 20, canary=replace(bad.canary, addresses=("999.1.1.1:80",)))
    state = (await edge.driver.apply(bad)).instances[0]
    assert not state.ok
    assert "did not take the addresses" in state.problem
    assert await ask(edge.port, ["user-1"]) == ["v1"]


async def test_an_envoy_that_is_down_is_started_by_the_command_that_is_told(edge):
    """Its folder is fine, it is not there."""
    edge.stop()
    state = (await edge.driver.apply(edge.split(500))).instances[0]
    assert "does not answer" in state.problem
    assert f"envoy -c {edge.folder}/bootstrap.json" in state.problem
    assert [f.ok for f in await edge.driver.check()] == [True, False]


async def test_a_mirror_changed_by_hand_is_seen(edge):
    """Reading back looks at the copies, too."""
    desired = edge.split(None, mirror=edge.upstream(edge.third), mirror_bp=2000)
    await edge.carries(desired)
    path = edge.folder / "rds.json"
    fresh = edge.folder / "by-hand"
    changed = path.read_text().replace('"numerator": 2000', '"numerator": 9000')
    fresh.write_text(changed.replace('"version_info": "', '"version_info": "by-hand-'))
    fresh.replace(path)
    async with asyncio.timeout(5):
        while (await edge.driver.read(desired)).acknowledged:
            await asyncio.sleep(0.02)
    await edge.carries(desired)


async def test_a_mirrored_version_is_counted(edge):
    """Its failures are evidence, though nobody sees its answers; and no breaker hides them."""
    desired = edge.split(None, mirror=edge.upstream(edge.third), mirror_bp=10_000)
    await edge.carries(desired)
    edge.third.mode = "500"
    assert await ask(edge.port, [f"user-{n}" for n in range(50)]) == ["v1"] * 50
    async with asyncio.timeout(5):
        while (await edge.counted(desired))["v3"].errors < 50:
            await asyncio.sleep(0.02)
    counted = await edge.counted(desired)
    assert (counted["v3"].requests, counted["v3"].ejected, counted["v1"].errors) == (50, False, 0)


async def test_requests_of_the_canary_have_a_log_of_their_own(edge):
    """One JSON object a line, without queries, keys or cookies; also when stable answered in the end."""
    await edge.carries(edge.split(0, user_ids=("ada.lovelace",)))
    client = edge.client()
    secret = {"cookie": "session=secret", "authorization": "secret"}
    await client.get("/shop?token=secret", headers={"x-user-id": "ada.lovelace", **secret})
    await client.get("/stable", headers={"x-user-id": "eve"})
    edge.canary.mode = "500"
    await client.get("/saved", headers={"x-user-id": "ada.lovelace"})
    edge.stop()  # which writes what is still in memory
    text = (edge.folder / "canary.log").read_text()
    told = [
        (e["method"], e["path"], e["status"], e["version"], e["cluster"], e["tries"])
        for e in map(json.loads, text.splitlines())
    ]
    assert told == [
        ("GET", "/shop", 200, "v2", "v2_or_stable", 1),
        ("GET", "/saved", 200, "v1", "v2_or_stable", 2),
    ]
    assert "secret" not in text
    assert "lovelace" not in text


async def test_answers_name_a_version_whatever_is_in_its_name(edge):
    """Nothing in it is a command to Envoy."""
    named = edge.split(None)
    for version in ("50% %REQ(x-user-id)%", "ü", "x" * 2000):
        await edge.carries(replace(named, stable=replace(named.stable, version=version)))
        answer = await edge.client().get("/", headers={"x-user-id": "user-1"})
        told = [value for name, value in answer.headers.raw if name.lower() == b"x-serinus-version"]
        assert told == [version.encode()]


async def test_the_canarys_log_is_moved_aside_when_it_is_full(edge):
    """Two files exist at most; Envoy goes on in a new one."""
    log, old = edge.folder / "canary.log", edge.folder / "canary.log.1"
    desired = edge.split(9999)
    await edge.carries(desired)
    await edge.driver.close()
    edge.driver = type(edge.driver)(replace(edge.config, canary_log_megabytes=0.0001))
    for path in ("/first", "/second", "/third"):
        await edge.client().get(path, headers={"x-user-id": "user-1"})
        async with httpx.AsyncClient() as admin:
            await admin.post(f"{edge.config.instances[0].admin}/reopen_logs")  # writes it to the file
        async with asyncio.timeout(5):
            while path not in log.read_text():
                await asyncio.sleep(0.02)
        await edge.driver.statistics(desired)
        assert path in old.read_text()
        async with asyncio.timeout(5):
            while not log.exists():
                await asyncio.sleep(0.02)
    assert {p.name for p in edge.folder.glob("canary*")} == {"canary.log", "canary.log.1"}


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"instances": []}, "driver_config.instances"),
        ({"listen": "nowhere"}, "driver_config.listen"),
        ({"user_header": "no header"}, "driver_config.user_header"),
        ({"timeout_seconds": 0}, "driver_config.timeout_seconds"),
        ({"canary_log_megabytes": 0}, "driver_config.canary_log_megabytes"),
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
def test_settings_that_envoy_would_refuse_are_refused_in_words(change, field):
    """Before anything moves, with the field and what to do."""
    good = {"instances": [{"name": "e", "admin": "http://127.0.0.1:9901", "config_dir": "/etc/envoy"}]}
    with pytest.raises(InvalidInput) as refusal:
        EnvoyConfig.read({**good, **change})
    assert refusal.value.field == field
    assert refusal.value.next_step


def test_the_bootstrap_is_plain_json(edge):
    """An operator can read, keep and diff it."""
    text = (edge.folder / "bootstrap.json").read_text()
    assert json.loads(text)["admin"]["address"]["socket_address"]["address"] == "127.0.0.1"
