"""Two backends for each slot: one for a version that is stable, and one for a version under test."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from serinus.drivers.traffic.haproxy.config import HaproxyConfig
from serinus.drivers.traffic.haproxy.exposition import BREAKER_TABLE, ERRORS, FAILED_IN_A_ROW, TRIES
from serinus.drivers.traffic.haproxy.latency import LATENCY_FILE, LATENCY_TABLE, PLAIN_BELOW
from serinus.drivers.traffic.haproxy.sections import VERSION_HEADER, count, milliseconds, repeatable, section
from serinus.drivers.traffic.haproxy.slots import ALONE, SPLIT_FILE, backend

__all__ = ["failover", "plain"]

_RETRY_ON = "conn-failure empty-response junk-response response-timeout 500 502 503 504"


def _servers(
    config: HaproxyConfig, name: str, kind: str, options: str, servers: Mapping[str, tuple[str, int]]
) -> list[str]:
    lines = []
    for n in range(config.max_addresses):
        host, port = servers.get(f"{name}/{kind}{n}", ("127.0.0.1", 9))
        at = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        unused = "" if f"{name}/{kind}{n}" in servers else " disabled"
        lines.append(f"server {kind}{n} {at}{options}{unused}")
    return lines


def _health(config: HaproxyConfig) -> str:
    every = milliseconds(config.health_seconds)
    return f" check inter {every} fall 3 rise 2" if config.health_path else ""


def _begin(config: HaproxyConfig, slot: int, split: str) -> list[str]:
    """Return what both backends of a slot begin with."""
    return [
        "balance roundrobin",
        f"option httpchk GET {config.health_path}" if config.health_path else "",
        f"http-request set-var(txn.base) str(base.{slot}),map({split}),add(0)",
        f"http-request track-sc0 var(txn.base) table {BREAKER_TABLE}",
        # HAProxy tells its own times as texts only, which cost more than both looks at its clock.
        "http-request set-var(txn.began) date(0,us)",
    ]


def _latency(folder: Path, *, again: str = "") -> list[str]:
    """Return the rules that count how long a version took.

    Args:
        folder: Where the map of classes is.
        again: The condition that the answer is that of a second try, which began later.
    """
    # Below zero, by a clock that was set back: no time.
    classed = f"var(txn.ms),map_ip_int({folder / LATENCY_FILE},0),add(txn.base)"
    timed = ["http-response set-var(txn.ms) date(0,us),sub(txn.began),div(1000)"]
    if again:
        timed += [
            f'http-response set-var-fmt(txn.told) "%Tr" {again}',
            f"http-response set-var(txn.ms) var(txn.told),add(0) {again}",
        ]
    plain = f"{{ var(txn.ms) -m int 0:{PLAIN_BELOW - 1} }}"
    return [
        *timed,
        # To track is to count: the row's http_req_cnt.
        f"http-response track-sc2 {classed} table {LATENCY_TABLE} unless {plain}",
        # Nothing is tracked twice: after the other rule this one does nothing.
        f"http-response track-sc2 var(txn.ms),add(txn.base) table {LATENCY_TABLE}",
    ]


def plain(config: HaproxyConfig, slot: int, folder: Path, servers: Mapping[str, tuple[str, int]]) -> str:
    """Return the backend of a version that is stable."""
    name = backend(slot, fails_over=False)
    split = str(folder / SPLIT_FILE)
    return section(
        f"backend {name}",
        [
            *_begin(config, slot, split),
            # Only while there is a canary: what a canary is counted for, stable is too. It costs a copy.
            f"http-request disable-l7-retry unless {{ var(txn.total) -m found }} {repeatable(config)}",
            "retry-on conn-failure empty-response",
            # HAProxy logs by frontend, not by backend: whatever is not the canary's is silent.
            "http-request set-log-level silent",
            # HAProxy tells of a second try as a text only, which is dear.
            f'http-after-response set-var-fmt(txn.again) "%rc" unless {{ nbsrv({ALONE}) gt 0 }}',
            "acl again var(txn.again) -m found",
            "acl once var(txn.again) -m str 0",
            count(TRIES, 0, " if again !once"),
            count(ERRORS, 0, " if again !once"),
            count(TRIES, 0, " unless { var(txn.ms) -m found }"),
            count(ERRORS, 0, " if { status ge 500 }"),
            *_latency(folder),
            f"http-after-response set-header {VERSION_HEADER} %[str(version.{slot}),map({split})]",
            *_servers(config, name, "a", _health(config), servers),
        ],
    )


def failover(config: HaproxyConfig, slot: int, folder: Path, servers: Mapping[str, tuple[str, int]]) -> str:
    """Return the backend of a version under test, which is stable where that version fails.

    Its own servers (a…) have no weight: only a ``use-server`` rule, which is the first try, sends there. A
    second try balances over what has a weight: stable's servers (b…).
    """
    name = backend(slot, fails_over=True)
    split = str(folder / SPLIT_FILE)
    check = _health(config)
    whole = milliseconds(config.timeout_seconds)
    good = "if !by_stable { status lt 500 }"
    full = f"{{ sc_get_gpc({FAILED_IN_A_ROW},0) ge {config.breaker_failures} }}"
    return section(
        f"backend {name}",
        [
            *_begin(config, slot, split),
            "http-request set-var(txn.path) path",
            f"http-request set-var(txn.wanted) str(version.{slot}),map({split})",
            f"http-request track-sc1 str(stable_base),map({split}),add(0) table {BREAKER_TABLE}",
            f"http-request disable-l7-retry unless {repeatable(config)}",
            f"retry-on {_RETRY_ON}",
            f"timeout server {milliseconds(config.try_seconds)}",
            f"http-request set-timeout server {whole} unless {repeatable(config)}",
            # The breaker: so many failures in a row, and it is out for so long from the next request on.
            f"http-request sc-set-gpt(0,0) date({max(1, round(config.breaker_seconds))}) if {full}",
            f"http-request set-var(txn.n) sc_clr_gpc({FAILED_IN_A_ROW},0) if {full}",
            "http-request set-var(txn.now) date()",
            "http-request set-var(txn.out) bool(true) if { sc_get_gpt(0,0),sub(txn.now) gt 0 }",
            f"http-request set-var(txn.count) str(count.{slot}),map({split},1),add(0)",
            "http-request set-var(txn.pick) rand(1000)",
            *(
                f"use-server a%[var(txn.pick),add({n}),mod(txn.count)] unless {{ var(txn.out) -m found }}"
                for n in range(config.max_addresses)
            ),
            'http-after-response set-var-fmt(txn.again) "%rc"',
            "acl by_stable srv_name -m beg b",
            "acl failed_over var(txn.again) -m beg +",
            "acl out var(txn.out) -m found",
            count(TRIES, 0, " if failed_over !out"),
            count(ERRORS, 0, " if failed_over !out"),
            count(FAILED_IN_A_ROW, 0, " if failed_over !out"),
            "acl timed var(txn.ms) -m found",
            count(TRIES, 0, " if !by_stable !timed"),
            count(ERRORS, 0, " if !by_stable { status ge 500 }"),
            count(FAILED_IN_A_ROW, 0, " if !by_stable { status ge 500 }"),
            f"http-after-response set-var(txn.n) sc_clr_gpc({FAILED_IN_A_ROW},0) {good}",
            count(TRIES, 1, " if by_stable !timed"),
            count(ERRORS, 1, " if by_stable { status ge 500 }"),
            f"http-response set-var(txn.base) str(stable_base),map({split}),add(0) if by_stable",
            *_latency(folder, again="if by_stable"),
            "http-after-response set-var(txn.name) var(txn.wanted)",
            f"http-after-response set-var(txn.name) str(stable_name),map({split}) if by_stable",
            f"http-after-response set-header {VERSION_HEADER} %[var(txn.name)]",
            *_servers(config, name, "a", f" weight 0{check}", servers),
            *_servers(config, name, "b", check, servers),
        ],
    )
