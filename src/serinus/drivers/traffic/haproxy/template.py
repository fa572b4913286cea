"""Renders the configuration that an operator starts HAProxy with.

Everything that a split changes stands in maps and in servers' addresses, which the runtime API changes; what
is here changes only with the service's settings. The servers' present addresses are rendered too, so that a
restart comes back with what was carried last.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from serinus.core.bucketing import BUCKETS
from serinus.core.codec import to_json
from serinus.drivers.traffic.haproxy.config import HaproxyConfig, Instance
from serinus.drivers.traffic.haproxy.exposition import listener
from serinus.drivers.traffic.haproxy.latency import LATENCY_FILE
from serinus.drivers.traffic.haproxy.slots import MATCHES_FILE, SPLIT_FILE, backend

__all__ = ["BREAKER_TABLE", "LATENCY_TABLE", "description", "render"]

VERSION_HEADER = "x-serinus-version"
#: Stick tables: per version, and per version and latency class.
BREAKER_TABLE, LATENCY_TABLE = "serinus_versions", "serinus_latency"
#: Raised whenever the text below changes its meaning: a running HAProxy tells it as its description.
_REVISION = 1
#: HAProxy's integers are signed: what 2**64 is in buckets, on top of what makes a remainder positive.
_UNSIGNED = BUCKETS + 2**64 % BUCKETS
_RETRY_ON = "conn-failure empty-response junk-response response-timeout 500 502 503 504"


def description(config: HaproxyConfig, instance: Instance) -> str:
    """Return what a HAProxy that was started with these settings says of itself."""
    told = json.dumps([_REVISION, to_json(config), instance.config_dir], sort_keys=True)
    return f"serinus-{hashlib.sha256(told.encode()).hexdigest()[:16]}"


def render(config: HaproxyConfig, instance: Instance, servers: Mapping[str, tuple[str, int]]) -> str:
    """Return ``haproxy.cfg``. ``servers``: ``backend/server`` → address, of those that are in use."""
    folder = Path(instance.config_dir)
    parts = [
        _global(config, instance),
        _defaults(config),
        _frontend(config, str(folder / SPLIT_FILE), str(folder / MATCHES_FILE)),
    ]
    for slot in range(1, config.max_versions + 1):
        parts.append(_plain(config, slot, folder, servers))
        parts.append(_failover(config, slot, folder, servers))
    parts.append(_tables(config))
    if config.metrics_listen:
        parts.append(listener(config, str(folder / SPLIT_FILE)))
    return "# Written by Serinus, which writes it again: change the service's driver_config instead.\n" + "\n".join(
        parts
    )


def _section(head: str, lines: Iterable[str]) -> str:
    return "\n".join([head, *(f"    {line}" for line in lines if line), ""])


def _global(config: HaproxyConfig, instance: Instance) -> str:
    at = instance.admin
    socket = f"unix@{at} mode 660" if at.startswith("/") else f"ipv4@{at}"
    if at.startswith("["):
        socket = f"ipv6@{at}"
    return _section(
        "global",
        [
            f"description {description(config, instance)}",
            f"stats socket {socket} level admin",
            "stats timeout 10s",
        ],
    )


def _ms(seconds: float) -> str:
    return f"{max(1, round(seconds * 1000))}ms"


def _defaults(config: HaproxyConfig) -> str:
    return _section(
        "defaults",
        [
            "mode http",
            f"timeout connect {_ms(min(1.0, config.try_seconds))}",
            # Clients are waited for longer than servers: a slow version must not look like a slow client.
            f"timeout client {_ms(max(60.0, 2 * config.timeout_seconds))}",
            f"timeout server {_ms(config.timeout_seconds)}",
            "timeout http-request 30s",
            "timeout http-keep-alive 60s",
            "retries 1",
            # At the first retry, not the last: the second try never goes where the first has failed.
            "option redispatch 1",
        ],
    )


def _frontend(config: HaproxyConfig, split: str, matches: str) -> str:
    return _section(
        "frontend serinus",
        [
            f"bind {config.listen}",
            f"log {config.canary_log} format raw local0 info",
            "log-format '%t %ci %HM %HPO %ST %Tr ms version=%[var(txn.name)] wanted=%[var(txn.wanted)] try=%rc'",
            f"http-request set-var(txn.stable) str(stable),map({split})",
            f"http-request set-var(txn.total) str(total),map({split},0),add(0)",
            *_pins(config, split, matches),
            *_key(config),
            *_bucket(split),
            *_side(config, split),
            # HAProxy logs by frontend, not by backend: whatever is not the canary's is silent.
            "http-request set-log-level silent if { var(txn.slot),strcmp(txn.stable) eq 0 }",
            f"http-after-response add-header set-cookie \"{config.cookie}=%[var(txn.fresh)]; Path=/; "
            'Max-Age=2592000; HttpOnly; SameSite=Lax" if { var(txn.fresh) -m found }',
            "use_backend serinus_%[var(txn.slot)] if { var(txn.slot),strcmp(txn.stable) eq 0 }",
            "use_backend serinus_%[var(txn.slot)]_or_stable if { var(txn.slot) -m found }",
        ],
    )


def _pins(config: HaproxyConfig, split: str, matches: str) -> list[str]:
    """Return the rules that send named units and matching requests to the canary."""
    canary = f"http-request set-var(txn.slot) str(canary),map({split}) if"
    lines = []
    for kind, header in (("u", config.user_header), ("w", config.workflow_header)):
        asked = f"{{ str(pins),map({split}) -m found }} {{ req.fhdr({header}) -m found }}"
        lines += [
            f"http-request set-var(txn.{kind}) req.fhdr({header}),hex if {asked}",
            f"{canary} {{ str({kind}.),concat(,txn.{kind}),map({split}) -m found }}",
        ]
    lines.append(f"{canary} {{ str(matches),map({split}) -m found }} {{ req.hdrs,map_reg({matches}) -m found }}")
    return lines


def _key(config: HaproxyConfig) -> list[str]:
    """Return the rules that find the unit: the first key present, else the cookie's, else a new one."""
    asked = "{ var(txn.total) -m int gt 0 } !{ var(txn.slot) -m found } !{ var(txn.key) -m found }"
    sources = [f"req.fhdr({h})" for h in (config.workflow_header, config.session_header, config.user_header)]
    sources.append(f"req.cook({config.cookie})")
    lines = [f"http-request set-var(txn.key) {s} if {asked} {{ {s} -m len gt 0 }}" for s in sources]
    return [
        *lines,
        f"http-request set-var(txn.fresh) uuid() if {asked}",
        "http-request set-var(txn.key) var(txn.fresh) if { var(txn.fresh) -m found }",
    ]


def _bucket(split: str) -> list[str]:
    """Return the rules that compute ``core.bucketing.bucket_of``."""
    keyed = "if { var(txn.key) -m found }"
    return [
        f"http-request set-var(txn.hash) str(salt),map({split}),concat(,txn.key),xxh64(0) {keyed}",
        f"http-request set-var(txn.bucket) var(txn.hash),mod({BUCKETS}) {keyed}",
        # The hash's sign, not the remainder's: a negative hash may have the remainder 0.
        f"http-request set-var(txn.bucket) var(txn.bucket),add({_UNSIGNED}),mod({BUCKETS}) "
        "if { var(txn.hash) -m int lt 0 }",
    ]


def _side(config: HaproxyConfig, split: str) -> list[str]:
    """Return the rules that find the slot: the first whose upper edge is above the bucket, else stable's."""
    lines = []
    for n in range(1, config.max_versions):
        below = f"{{ str(edge.{n}),map({split}),sub(txn.bucket) gt 0 }}"
        asked = f"if {{ var(txn.bucket) -m found }} !{{ var(txn.slot) -m found }} {below}"
        lines.append(f"http-request set-var(txn.slot) str(slot.{n}),map({split}) {asked}")
    return [*lines, "http-request set-var(txn.slot) var(txn.stable) unless { var(txn.slot) -m found }"]


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


def _health(config: HaproxyConfig) -> tuple[str, str]:
    if not config.health_path:
        return "", ""
    return f"option httpchk GET {config.health_path}", f" check inter {_ms(config.health_seconds)} fall 3 rise 2"


def _repeatable(config: HaproxyConfig) -> str:
    return f"{{ method {' '.join(config.retry_methods)} }}" if config.retry_methods else "{ always_false }"


def _common(config: HaproxyConfig, slot: int, split: str) -> list[str]:
    """Return what both backends of a slot begin with: names, counters, and what may be sent twice."""
    asked, options = _health(config)
    return [
        "balance roundrobin",
        asked,
        f"http-request set-var(txn.wanted) str(version.{slot}),map({split})",
        "http-request set-var(txn.name) var(txn.wanted)",
        f"http-request set-var(txn.count_as) str(key.{slot}),map({split})",
        f"http-request track-sc0 var(txn.count_as) table {BREAKER_TABLE}",
        f"http-request disable-l7-retry unless {_repeatable(config)}",
    ]


def _observed(folder: Path) -> list[str]:
    """Return what both backends end with: latency, and the version's name on every answer."""
    return [
        'http-response set-var-fmt(txn.ms) "%Tr"',
        f"http-response set-var(txn.class) var(txn.ms),add(0),map_ip({folder / LATENCY_FILE})",
        "http-response set-var(txn.class) var(txn.count_as),concat(|,txn.class)",
        f"http-response track-sc2 var(txn.class) table {LATENCY_TABLE}",
        "http-response sc-inc-gpc0(2)",
        f"http-after-response set-header {VERSION_HEADER} %[var(txn.name)]",
    ]


def _count(counter: int, of: int, condition: str = "") -> str:
    # A fetch that counts, as an action would: unlike the action it also sees HAProxy's own 502s.
    return f"http-after-response set-var(txn.n) sc_inc_gpc({counter},{of}){condition}"


#: Counters of a version in the table.
FAILED_IN_A_ROW, TRIES, ERRORS = 0, 1, 2


def _plain(
    config: HaproxyConfig, slot: int, folder: Path, servers: Mapping[str, tuple[str, int]]
) -> str:
    """Return the backend of a version that is stable."""
    name = backend(slot, fails_over=False)
    return _section(
        f"backend {name}",
        [
            *_common(config, slot, str(folder / SPLIT_FILE)),
            "retry-on conn-failure empty-response",
            'http-after-response set-var-fmt(txn.try) "%rc"',
            "acl again var(txn.try) -m reg [1-9]",
            _count(TRIES, 0),
            _count(TRIES, 0, " if again"),
            _count(ERRORS, 0, " if again"),
            _count(ERRORS, 0, " if { status ge 500 }"),
            *_observed(folder),
            *_servers(config, name, "a", _health(config)[1], servers),
        ],
    )


def _failover(
    config: HaproxyConfig, slot: int, folder: Path, servers: Mapping[str, tuple[str, int]]
) -> str:
    """Return the backend of a version under test, which is stable where that version fails.

    Its own servers (a…) have no weight: only a ``use-server`` rule, which is the first try, sends there. A
    second try balances over what has a weight: stable's servers (b…).
    """
    name = backend(slot, fails_over=True)
    split = str(folder / SPLIT_FILE)
    check = _health(config)[1]
    full = f"{{ sc_get_gpc({FAILED_IN_A_ROW},0) ge {config.breaker_failures} }}"
    return _section(
        f"backend {name}",
        [
            *_common(config, slot, split),
            f"retry-on {_RETRY_ON}",
            f"timeout server {_ms(config.try_seconds)}",
            f"http-request set-timeout server {_ms(config.timeout_seconds)} unless {_repeatable(config)}",
            f"http-request set-var(txn.stable_name) str(version.),concat(,txn.stable),map({split})",
            f"http-request set-var(txn.stable_as) str(key.),concat(,txn.stable),map({split})",
            f"http-request track-sc1 var(txn.stable_as) table {BREAKER_TABLE}",
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
            'http-after-response set-var-fmt(txn.try) "%rc"',
            "acl by_stable srv_name -m beg b",
            "acl failed_over var(txn.try) -m beg +",
            "acl out var(txn.out) -m found",
            _count(TRIES, 0, " if failed_over !out"),
            _count(ERRORS, 0, " if failed_over !out"),
            _count(FAILED_IN_A_ROW, 0, " if failed_over !out"),
            _count(TRIES, 0, " if !by_stable"),
            _count(ERRORS, 0, " if !by_stable { status ge 500 }"),
            _count(FAILED_IN_A_ROW, 0, " if !by_stable { status ge 500 }"),
            f"http-after-response set-var(txn.n) sc_clr_gpc({FAILED_IN_A_ROW},0) "
            "if !by_stable { status lt 500 }",
            _count(TRIES, 1, " if by_stable"),
            _count(ERRORS, 1, " if by_stable { status ge 500 }"),
            "http-response set-var(txn.count_as) var(txn.stable_as) if by_stable",
            "http-after-response set-var(txn.name) var(txn.stable_name) if by_stable",
            *_observed(folder),
            *_servers(config, name, "a", f" weight 0{check}", servers),
            *_servers(config, name, "b", check, servers),
        ],
    )


def _tables(config: HaproxyConfig) -> str:
    """Return the counters. They do not expire; the oldest goes when they are full."""
    rows = config.max_versions * 100
    return "\n".join(
        [
            _section(
                f"backend {BREAKER_TABLE}",
                ["stick-table type string len 80 size 10k store gpt(1),gpc(3)"],
            ),
            _section(
                f"backend {LATENCY_TABLE}",
                [f"stick-table type string len 90 size {max(10_000, rows * 10)} store gpc0"],
            ),
        ]
    )
