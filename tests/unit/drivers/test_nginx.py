"""What of the NGINX drivers needs no NGINX: documents, weights, counting, settings."""

from __future__ import annotations

import json

import pytest

from serinus.core.errors import InvalidInput
from serinus.core.model import Upstream
from serinus.drivers.traffic.nginx import NginxConfig, ReloadConfig, tally
from serinus.drivers.traffic.nginx.binary import Program
from serinus.drivers.traffic.nginx.config import Instance
from serinus.drivers.traffic.nginx.document import carried_bp, document, same_addresses, version_of
from serinus.drivers.traffic.nginx.findings import find_program
from serinus.drivers.traffic.nginx.prometheus import scrape_config
from serinus.drivers.traffic.nginx.weights import Plan, carried_share, render, stamped, unstamped, weights
from serinus.ports.traffic import DesiredSplit, Match, Share, TrafficError

INSTANCE = {"name": "e", "admin": "http://127.0.0.1:9902", "config_dir": "/etc/serinus"}
GOOD = {"instances": [INSTANCE]}
STABLE = Upstream(version="v1", addresses=("127.0.0.1:1", "[::1]:2"))


def split(**more) -> DesiredSplit:
    """Return a desired split of a stable version."""
    return DesiredSplit(service_id="s", service="shop", stable=STABLE, **more)


async def test_a_document_has_one_item_a_line():
    """Percent-encoded words: whatever is in a name, a line stays a line."""
    canary = Upstream(version="v2 b\n", addresses=("127.0.0.1:3",))
    text = await document(
        split(
            canary=canary,
            canary_bp=500,
            salt="dep 1",
            others=(Share(upstream=Upstream(version="v3", addresses=("127.0.0.1:4",)), bp=10),),
            user_ids=("ada l", "ü"),
            workflow_ids=("wf",),
            matches=(Match(name="x-a", value="1 2"), Match(name="c", value="", cookie=True)),
            mirror=Upstream(version="v4", addresses=("127.0.0.1:5",)),
            mirror_bp=100,
        )
    )
    assert text.splitlines() == [
        "serinus 1",
        "salt dep%201",
        "stable v1 127.0.0.1:1 [::1]:2",
        "canary v2%20b%0A 500 127.0.0.1:3",
        "other v3 10 127.0.0.1:4",
        "user ada%20l",
        "user %C3%BC",
        "workflow wf",
        "header x-a 1%202",
        "cookie c ",
        "mirror v4 100 127.0.0.1:5",
    ]
    assert carried_bp(text) == 500
    assert version_of("v2%20b%0A") == canary.version
    assert same_addresses(text, text.replace("canary v2%20b%0A 500", "canary v2%20b%0A 900"))
    assert not same_addresses(text, text.replace("127.0.0.1:3", "127.0.0.1:9"))


async def test_a_version_without_an_address_is_told():
    """And a host that nobody knows; nothing was moved."""
    with pytest.raises(TrafficError, match="v2 has no address"):
        await document(split(canary=Upstream(version="v2")))
    with pytest.raises(TrafficError, match=r"v2: the host 'nowhere\.invalid' is not known"):
        await document(split(canary=Upstream(version="v2", addresses=("nowhere.invalid:80",))))


@pytest.mark.parametrize("bp", [-1, 10_001])
def test_a_share_is_0_to_100_percent(bp):
    """The first thing that a change does."""
    with pytest.raises(InvalidInput):
        weights(bp)


@pytest.mark.parametrize("sticky", [False, True])
def test_what_is_rendered_has_the_share_that_was_asked_for(sticky):
    """At every stage, with unequal numbers of addresses; and no server has weight 0."""
    template = (
        "upstream serinus_weighted {\n server ${PRODUCTION_ADDRESS} weight=${PRODUCTION_WEIGHT};\n"
        " server ${CANARY_ADDRESS} weight=${CANARY_WEIGHT};\n}\n${SIDE}\n"
        'location = /config { return 200 "${DIGEST}"; }'
    )
    config = ReloadConfig.read({**GOOD, "sticky": sticky})
    canary = ["127.0.0.1:7", "127.0.0.1:8", "127.0.0.1:9"]
    for bp in (0, 1, 100, 500, 2500, 3333, 9999, 10_000):
        text = render(
            template, config, Instance(**INSTANCE), Plan(("v1", ["a:1", "a:2"]), ("v2", canary), bp, "s")
        )
        assert carried_share(text, canary, sticky=sticky) == bp
        assert "weight=0" not in text
        assert stamped(text) != stamped(text)
        assert unstamped(stamped(text)) == text


def test_a_template_may_only_ask_for_what_there_is():
    """A misspelt name would otherwise be NGINX's variable, and empty."""
    config = ReloadConfig.read(GOOD)
    with pytest.raises(InvalidInput, match="CANRY_WEIGHT") as refusal:
        render("weight=${CANRY_WEIGHT}", config, Instance(**INSTANCE), Plan(("v1", ["a:1"]), None, 0, ""))
    assert "CANARY_WEIGHT" in refusal.value.next_step


def line(to: str, status: str, seconds: str, **more) -> str:
    """Return a line as NGINX logs it."""
    entry = {
        "to": to,
        "status": status,
        "seconds": seconds,
        "method": "GET",
        "whole": "2",
        "got": "2",
        "sent": 2,
    }
    return json.dumps({**entry, **more}) + "\n"


def test_every_try_is_counted_at_the_version_that_was_asked(tmp_path):
    """A failover is the canary's failure and stable's success; a broken answer fails; half a line waits."""
    tally.start(tmp_path)
    log = tmp_path / tally.LOG_FILE
    log.write_text(
        line("a:1", "200", "0.010")
        + line("b:1, a:1", "500, 200", "0.500, 0.020")
        + line("b:1", "200", "0.030", whole="2000")
        + line("b:1", "200", "0.030", whole="2000", method="HEAD", got="0", sent=0)
        + "not ours\n"
        + line("c:1", "200", "0.010")
        + line("a:1", "200", "0.010")[:20]
    )
    versions = {"a:1": "v1", "b:1": "v2"}
    counted = tally.count(tmp_path, versions)
    assert {v: (t.requests, t.errors) for v, t in counted.items()} == {"v1": (2, 0), "v2": (3, 2)}
    assert counted["v2"].total_ms == pytest.approx(560)
    within = [n for edge, n in counted["v1"].cumulative().items() if 10 <= edge < 11.6]
    assert within == [1]
    with log.open("a") as file:
        file.write(line("a:1", "200", "0.010")[20:])
    assert tally.count(tmp_path, versions)["v1"].requests == 3
    assert 'serinus_edge_request_seconds_count{version="v1"} 3' in (tmp_path / tally.METRICS_FILE).read_text()


def test_a_log_that_was_moved_away_is_read_on_while_workers_still_write_to_it(tmp_path):
    """They write down what they have kept after the new file has begun; each line counts once."""
    tally.start(tmp_path)
    log, moved = tmp_path / tally.LOG_FILE, tmp_path / f"{tally.LOG_FILE}.1"
    one = line("a:1", "200", "0.010")

    def counted() -> int:
        return tally.count(tmp_path, {"a:1": "v1"})["v1"].requests

    log.write_text(one * 3)
    assert counted() == 3
    log.rename(moved)
    log.write_text(one)
    assert counted() == 4
    with moved.open("a") as file:
        file.write(one * 2)
    assert counted() == counted() == 6
    with moved.open("a") as file:
        file.write(one)
    log.rename(moved)  # what came last into the file that this replaces is gone, and nothing else
    log.write_text(one * 5)
    assert counted() == 11


def test_what_lay_there_before_the_count_began_is_not_counted(tmp_path):
    """Nor what the state of an older version has counted already."""
    log, moved = tmp_path / tally.LOG_FILE, tmp_path / f"{tally.LOG_FILE}.1"
    one = line("a:1", "200", "0.010")
    moved.write_text(one * 7)
    log.write_text(one * 2)
    tally.start(tmp_path)
    assert tally.count(tmp_path, {"a:1": "v1"})["v1"].requests == 0
    old = {"inode": log.stat().st_ino, "offset": len(one), "versions": {}}
    (tmp_path / tally.STATE_FILE).write_text(json.dumps(old))
    assert tally.count(tmp_path, {"a:1": "v1"})["v1"].requests == 1


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"instances": []}, "instances"),
        ({"instances": [INSTANCE, INSTANCE]}, "instances"),
        ({"instances": [{**INSTANCE, "admin": "nowhere"}]}, "instances[0].admin"),
        ({"instances": [{**INSTANCE, "admin": "http://10.0.0.1:9902"}]}, "instances[0].admin"),
        ({"instances": [{**INSTANCE, "admin": "unix:x y"}]}, "instances[0].admin"),
        ({"instances": [{**INSTANCE, "config_dir": "etc"}]}, "instances[0].config_dir"),
        ({"instances": [{**INSTANCE, "config_dir": "/etc/$x;"}]}, "instances[0].config_dir"),
        ({"listen": "nowhere"}, "listen"),
        ({"listen": "127.0.0.1:80;"}, "listen"),
        ({"user_header": "no header"}, "user_header"),
        ({"cookie": 'a"b'}, "cookie"),
        ({"canary_log": "../log"}, "canary_log"),
        ({"retry_methods": ["GET; x"]}, "retry_methods"),
        ({"binary": "/bin/sh"}, "binary"),
        ({"timeout_seconds": 0}, "timeout_seconds"),
        ({"workers": -1}, "workers"),
        ({"wieghts": 1}, "wieghts"),
    ],
)
@pytest.mark.parametrize("kind", [NginxConfig, ReloadConfig])
def test_settings_that_nginx_would_refuse_or_misread_are_refused_in_words(kind, change, field):
    """Before anything moves; nothing of them can become a directive, or a program of somebody's choice."""
    with pytest.raises(InvalidInput) as refusal:
        kind.read({**GOOD, **change})
    assert refusal.value.field == f"driver_config.{field}"
    assert refusal.value.next_step


@pytest.mark.parametrize(
    ("module", "files", "version", "told"),
    [
        ("lua", {}, (1, 22, 1), "its module lua is not installed"),
        ("lua", {"ndk_http_module.so": "", "ngx_http_lua_module.so": ""}, (1, 22, 1), ""),
        (
            "lua",
            {"ndk_http_module.so": "", "ngx_http_lua_module.so": ""},
            (1, 18, 0),
            "1.18.0 is older than 1.20",
        ),
        ("njs", {"ngx_http_js_module.so": "js_set"}, (1, 22, 1), "its njs is older than 0.8"),
        ("njs", {"ngx_http_js_module.so": "js_shared_dict_zone"}, (1, 22, 1), ""),
    ],
)
def test_doctor_tells_what_installs_a_module(tmp_path, module, files, version, told):
    """Debian 12's njs has no shared dictionaries; the wheel's has."""
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    found = find_program(
        NginxConfig.read(GOOD),
        Instance(**INSTANCE),
        Program(path="nginx", version=version, modules=tmp_path, built_with=""),
        module,
    )
    assert told in found.detail
    assert found.ok is not bool(told)
    assert ("apt-get install" in found.remedy) is bool(told)


def test_a_socket_cannot_be_scraped():
    """Prometheus is told nothing that it could not ask."""
    config = NginxConfig.read({"instances": [{**INSTANCE, "admin": "unix:/run/edge.sock"}]})
    with pytest.raises(InvalidInput, match="unix socket"):
        scrape_config(config, "nginx")
