"""The Envoy driver against a real Envoy."""

from __future__ import annotations

import asyncio
import json
import subprocess

import pytest

from needs import program
from serinus.core.bucketing import is_on_canary
from serinus.core.errors import InvalidInput
from serinus.drivers.traffic.envoy import EnvoyConfig

pytestmark = pytest.mark.real

#: Keys that other hashes have stumbled over.
ODD = ["a b", "a,b", "a;b=c", "ü", "日本語", "x" * 200, "-", "0", "a'b\"c", "%20", "user@example.com", "\\1"]


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


async def test_envoy_and_the_sdk_agree_on_every_one_of_ten_thousand_users(edge):
    """By real requests, at 1, 5, 25 and 50 %, odd keys included; and nobody flips while it grows."""
    users = [f"user-{n}" for n in range(10_000)] + ODD
    on_canary: set[str] = set()
    for bp in (100, 500, 2500, 5000):
        await edge.carries(edge.split(bp))
        answers = await ask(edge.port, users)
        expected = ["v2" if is_on_canary(edge.salt, user, bp) else "v1" for user in users]
        assert [u for u, a, e in zip(users, answers, expected, strict=True) if a != e] == []
        now = {u for u, a in zip(users, answers, strict=True) if a == "v2"}
        assert on_canary <= now
        on_canary = now


async def test_the_first_key_present_decides(edge):
    """Workflow before session before user, as in the SDK."""
    await edge.carries(edge.split(5000))
    client = edge.client()
    on = next(f"k{n}" for n in range(99) if is_on_canary(edge.salt, f"k{n}", 5000))
    off = next(f"k{n}" for n in range(99) if not is_on_canary(edge.salt, f"k{n}", 5000))
    for workflow, session, user in ((on, off, off), ("", on, off), ("", "", on), (off, on, on)):
        headers = {"x-workflow-id": workflow, "x-session-id": session, "x-user-id": user}
        first = workflow or session or user
        answer = await client.get("/", headers={k: v for k, v in headers.items() if v})
        assert answer.text == ("v2" if first == on else "v1")
        assert answer.headers["x-serinus-version"] == answer.text


async def test_a_client_without_a_key_keeps_its_side_by_a_cookie_with_its_unit(edge):
    """The cookie carries the unit, never the side, and the hash agrees with it."""
    await edge.carries(edge.split(5000))
    for _ in range(12):
        client = edge.client()
        first = await client.get("/")
        unit = client.cookies["serinus_unit"]
        assert first.text == ("v2" if is_on_canary(edge.salt, unit, 5000) else "v1")
        again = [await client.get("/") for _ in range(3)]
        assert {a.text for a in again} == {first.text}
        assert "set-cookie" not in again[0].headers


async def test_named_users_and_workflows_are_pinned(edge):
    """They are on the canary whatever the share, and nobody else is."""
    await edge.carries(edge.split(0, user_ids=("ada.l", "bob"), workflow_ids=("wf-1",)))
    answers = await ask(edge.port, ["ada.l", "bob", "adaXl", "eve"])
    assert answers == ["v2", "v2", "v1", "v1"]
    assert await ask(edge.port, ["wf-1", "wf-2"], "x-workflow-id") == ["v2", "v1"]


@pytest.mark.parametrize("mode", ["500", "close", "hang", "refuse"])
async def test_a_failing_canary_costs_clients_nothing_and_counts_as_its_failure(edge, mode):
    """A GET is repeated on stable; the canary's failed try is its error all the same."""
    await edge.carries(edge.split(10_000 - 1))
    if mode == "refuse":
        await edge.canary.stop()
    else:
        edge.canary.mode = mode
    before = {c.version: c for c in await edge.driver.statistics(edge.split(9999))}
    client = edge.client()
    for n in range(3):
        answer = await client.get("/", headers={"x-user-id": f"user-{n}"})
        assert (answer.status_code, answer.text, answer.headers["x-serinus-version"]) == (200, "v1", "v1")
    after = {c.version: c for c in await edge.driver.statistics(edge.split(9999))}
    assert after["v2"].errors - before["v2"].errors == 3
    assert after["v2"].requests - before["v2"].requests == 3
    assert after["v1"].errors == before["v1"].errors


async def test_a_post_is_not_sent_twice(edge):
    """What may not be repeated is answered as the canary answered."""
    await edge.carries(edge.split(9999))
    edge.canary.mode = "500"
    answer = await edge.client().post("/pay", headers={"x-user-id": "u"}, content=b"x")
    assert answer.status_code == 500
    assert edge.stable.requests.count(("POST", "/pay")) == 0


async def test_five_failures_in_a_row_take_the_canary_out_in_the_proxy_itself(edge):
    """Contract 1's breaker at the edge: it does not wait for the control plane."""
    await edge.carries(edge.split(9999))
    edge.canary.mode = "500"
    client = edge.client()
    for n in range(5):
        await client.get("/", headers={"x-user-id": f"user-{n}"})
    seen = len(edge.canary.requests)
    for n in range(20):
        assert (await client.get("/", headers={"x-user-id": f"user-{n}"})).text == "v1"
    assert len(edge.canary.requests) == seen
    ejected = {c.version: c.ejected for c in await edge.driver.statistics(edge.split(9999))}
    assert ejected == {"v1": False, "v2": True}


async def test_requests_and_latency_are_counted_per_version(edge):
    """What was sent is what was counted."""
    await edge.carries(edge.split(2500))
    users = [f"user-{n}" for n in range(400)]
    answers = await ask(edge.port, users)
    await asyncio.sleep(1.3)  # Envoy merges its histograms once a second
    counted = {c.version: c for c in await edge.driver.statistics(edge.split(2500))}
    for version in ("v1", "v2"):
        assert counted[version].requests == answers.count(version)
        assert max(counted[version].buckets.values()) == answers.count(version)
        assert counted[version].errors == 0


async def test_a_split_changed_by_hand_is_seen_and_put_right(edge):
    """Reading back tells the difference; applying again mends it."""
    desired = edge.split(500)
    await edge.carries(desired)
    path = edge.folder / "rds.json"
    changed = (
        path.read_text()
        .replace('"weight": 500', '"weight": 9000')
        .replace('"weight": 9500', '"weight": 1000')
    )
    fresh = edge.folder / "by-hand"
    fresh.write_text(changed.replace('"version_info": "', '"version_info": "by-hand-'))
    fresh.replace(path)
    for _ in range(100):
        state = (await edge.driver.read(desired)).instances[0]
        if not state.ok:
            break
        await asyncio.sleep(0.02)
    assert (state.ok, state.carried_bp) == (False, 9000)
    await edge.carries(desired)


async def test_an_envoy_that_is_down_is_named_with_what_starts_it(edge):
    """It is a state to show, never an exception; and it follows as soon as it is back."""
    edge.stop()
    state = (await edge.driver.apply(edge.split(500))).instances[0]
    assert not state.ok
    assert "does not answer" in state.problem
    assert "envoy -c" in state.problem
    assert [f.ok for f in await edge.driver.check()] == [True, False]
    assert await edge.driver.statistics(edge.split(500)) == ()
    edge.start()
    await edge.carries(edge.split(500))


async def test_a_refused_configuration_is_told_in_envoys_words(edge):
    """An address that Envoy does not take leaves the old split in force."""
    from dataclasses import replace

    await edge.carries(edge.split(500))
    bad = edge.split(900)
    bad = replace(bad, salt="x" * 20, canary=replace(bad.canary, addresses=("999.1.1.1:80",)))
    state = (await edge.driver.apply(bad)).instances[0]
    assert not state.ok
    assert (await ask(edge.port, ["user-1"]))[0] in ("v1", "v2")


async def test_no_request_is_lost_to_sixty_weight_changes_under_load(edge):
    """wrk over keep-alive connections: no error of any kind while shares change and roll back."""
    wrk = program("wrk", "apt-get install wrk")
    await edge.carries(edge.split(100))
    url = f"http://127.0.0.1:{edge.port}/"
    load = await asyncio.create_subprocess_exec(
        wrk, "-t1", "-c16", "-d6s", "-H", "x-user-id: u1", url, stdout=subprocess.PIPE
    )
    changes = 0
    while changes < 60:
        for bp in (500, 2500, 5000, 10_000, None):
            await edge.carries(edge.split(bp))
            changes += 1
            await asyncio.sleep(0.03)
    printed = (await load.communicate())[0].decode()
    assert "requests in" in printed
    assert "Non-2xx" not in printed
    assert "Socket errors" not in printed


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"instances": []}, "driver_config.instances"),
        ({"listen": "nowhere"}, "driver_config.listen"),
        ({"user_header": "no header"}, "driver_config.user_header"),
        ({"timeout_seconds": 0}, "driver_config.timeout_seconds"),
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
