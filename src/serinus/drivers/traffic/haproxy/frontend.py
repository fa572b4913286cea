"""The rules that find, for each request, which backend answers it.

Whatever is common ends early (``allow`` ends a section's rules): without a canary after one rule, on stable
before any look-up of edges. Whether something is so is asked of a server that does nothing but be open or
not (``slots``): that is a number in memory, where a map is a search for a text.
"""

from __future__ import annotations

from serinus.core.bucketing import BUCKETS
from serinus.drivers.traffic.haproxy.config import HaproxyConfig
from serinus.drivers.traffic.haproxy.exposition import BREAKER_TABLE, FAILED_IN_A_ROW, TRIES
from serinus.drivers.traffic.haproxy.sections import VERSION_HEADER, count, milliseconds, repeatable, section
from serinus.drivers.traffic.haproxy.slots import ALONE, PICKS, alone, backend

__all__ = ["frontend", "once"]

#: HAProxy's integers are signed: what 2**64 is in buckets, on top of what makes a remainder positive.
_UNSIGNED = BUCKETS + 2**64 % BUCKETS
#: One line per canary request: when, who, what, how it was answered after how long, by which version, which
#: one it was meant for, and how often it was tried again (+: elsewhere).
#: The path is a variable of the requests that are logged: HAProxy would keep %HPO of every request.
_LOG = "%t %ci %HM %[var(txn.path)] %ST %Tr ms version=%[var(txn.name)] wanted=%[var(txn.wanted)] again=%rc"
#: Tells the inner step which backend; nobody outside can, because it is always set anew.
_TO = "x-serinus-to"
_COOKIE = "%[var(txn.fresh)]; Path=/; Max-Age=2592000; HttpOnly; SameSite=Lax"


def frontend(config: HaproxyConfig, split: str, matches: str) -> str:
    """Return the frontend. ``split`` and ``matches`` are the maps' paths."""
    fresh = "if { var(txn.fresh) -m found }"
    return section(
        "frontend serinus",
        [
            f"bind {config.listen}",
            *_log(config),
            f"http-request allow if {{ nbsrv({ALONE}) gt 0 }}",
            f"http-request set-var(txn.total) str(total),map({split}),add(0)",
            "http-request allow unless { var(txn.total) -m found }",
            f"http-request set-var(txn.to) str(stable),map({split})",
            *_pins(config, split, matches),
            *_key(config),
            *_bucket(split),
            *_edges(config, split),
            f'http-after-response add-header set-cookie "{config.cookie}={_COOKIE}" {fresh}',
            # Stable's too while there is a canary: what fails is counted alike on both sides.
            f"use_backend serinus_once if !{repeatable(config)} {{ var(txn.total) -m found }}",
            "use_backend %[var(txn.to)] if { var(txn.to) -m found }",
            *(
                f"use_backend {backend(n, fails_over=False)} if {{ srv_is_up({alone(n)}) }}"
                for n in range(1, config.max_versions + 1)
            ),
            f"use_backend %[str(stable),map({split})]",
        ],
    )


def once(config: HaproxyConfig, name: str, split: str) -> str:
    """Return the way of requests that may not be repeated: through a connection of their own.

    When a server closes without an answer, HAProxy ends a kept-alive client connection without a word: no
    502, no rule, no count, and many a client then sends its POST again. On the first request of a connection
    it answers and counts. So these requests take one more step inside HAProxy, where each is the first.

    Since 2.8 it is silent there too when the server's connection was kept; then the outer step answers, and
    counts: only the inner one's answers have a version's name.

    Args:
        config: The service's settings.
        name: The socket's name in the abstract namespace.
        split: The map's path.
    """
    unnamed = " if !named { status ge 500 }"
    way = section(
        "backend serinus_once",
        [
            "http-reuse never",
            "option http-server-close",
            # The inner step gives up first, and says so.
            f"timeout server {milliseconds(config.timeout_seconds + 5)}",
            "http-request set-log-level silent",
            f"http-request set-header {_TO} %[var(txn.to)]",
            f"http-request track-sc0 str(base.),concat(,txn.to),map({split}),add(0) table {BREAKER_TABLE}",
            f"acl named res.fhdr({VERSION_HEADER}) -m found",
            # No error here: HAProxy counts one as an answer that broke off, which the driver adds.
            *(count(n, 0, unnamed) for n in (TRIES, FAILED_IN_A_ROW)),
            f"http-request set-var(txn.wanted) str(version.),concat(,txn.to),map({split})",
            f"http-after-response set-header {VERSION_HEADER} %[var(txn.wanted)] unless named",
            f"server inner abns@{name} send-proxy-v2",
        ],
    )
    inner = section(
        "frontend serinus_inner",
        [
            f"bind abns@{name} accept-proxy",
            *_log(config),
            f"http-request set-var(txn.to) req.fhdr({_TO})",
            f"http-request del-header {_TO}",
            "use_backend %[var(txn.to)] if { var(txn.to) -m found }",
        ],
    )
    return f"{way}\n{inner}"


def _log(config: HaproxyConfig) -> list[str]:
    return [f"log {config.canary_log_target} format raw local0 info", f"log-format '{_LOG}'"]


def _pins(config: HaproxyConfig, split: str, matches: str) -> list[str]:
    """Return the rules that send named units and matching requests to the canary."""
    some, lines = f"{{ nbsrv({PICKS}) gt 0 }}", []
    for kind, header in (("u", config.user_header), ("w", config.workflow_header)):
        lines.append(f"acl picked req.fhdr({header}),hex,concat(.{kind}),map({split}) -m found")
    return [
        *lines,
        f"acl picked req.hdrs,map_reg({matches}) -m found",
        f"http-request set-var(txn.to) str(canary),map({split}) if {some} picked",
        f"http-request allow if {some} picked",
        "http-request allow unless { var(txn.total) -m int gt 0 }",
    ]


def _key(config: HaproxyConfig) -> list[str]:
    """Return the rules that find the unit: the first key present, else the cookie's, else a new one."""
    without = "unless { var(txn.key) -m len gt 0 }"
    headers = (config.workflow_header, config.session_header, config.user_header)
    sources = [*(f"req.fhdr({h})" for h in headers), f"req.cook({config.cookie})"]
    first, *others = (f"http-request set-var(txn.key) {source}" for source in sources)
    return [
        first,
        *(f"{other} {without}" for other in others),
        f"http-request set-var(txn.fresh) uuid() {without}",
        f"http-request set-var(txn.key) var(txn.fresh) {without}",
    ]


def _bucket(split: str) -> list[str]:
    """Return the rules that compute ``core.bucketing.bucket_of``."""
    negative = "if { var(txn.hash) -m int lt 0 }"
    return [
        f"http-request set-var(txn.hash) str(salt),map({split}),concat(,txn.key),xxh64(0)",
        f"http-request set-var(txn.bucket) var(txn.hash),mod({BUCKETS})",
        # The hash's sign, not the remainder's: a negative hash may have the remainder 0.
        f"http-request set-var(txn.bucket) var(txn.bucket),add({_UNSIGNED}),mod({BUCKETS}) {negative}",
    ]


def _edges(config: HaproxyConfig, split: str) -> list[str]:
    """Return the rules that find the first candidate whose upper edge is above the bucket."""
    lines = ["http-request allow if { var(txn.bucket),sub(txn.total) ge 0 }"]
    # Every version but stable may have a range, and stable one between each two of them.
    for n in range(1, 2 * config.max_versions - 2):
        below = f"{{ str(edge.{n}),map({split}),sub(txn.bucket) gt 0 }}"
        lines += [
            f"http-request set-var(txn.at) str(to.{n}),map({split}) if {below}",
            "http-request set-var(txn.to) var(txn.at) if { var(txn.at) -m found }",
            "http-request allow if { var(txn.at) -m found }",
        ]
    return lines
