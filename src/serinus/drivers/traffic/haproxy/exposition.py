"""What Prometheus finds at ``metrics_listen``: HAProxy's own exporter, and our counters by version.

HAProxy's exporter (/metrics) knows backends and servers by slot, and has no histograms. So HAProxy also
answers /serinus/SLOT with what its stick tables count for the version in that slot.
"""

from __future__ import annotations

from serinus.drivers.traffic.haproxy.config import HaproxyConfig
from serinus.drivers.traffic.haproxy.latency import ABOVE, LATENCY_TABLE, edges

__all__ = [
    "BREAKER_TABLE",
    "DURATION",
    "ERRORS",
    "ERRORS_TOTAL",
    "PAGE_FILE",
    "REQUESTS_TOTAL",
    "TRIES",
    "listener",
    "page",
]

#: The stick table of versions, and its counters.
BREAKER_TABLE = "serinus_versions"
FAILED_IN_A_ROW, TRIES, ERRORS = 0, 1, 2
PAGE_FILE = "metrics.page"
REQUESTS_TOTAL = "serinus_edge_requests_total"
ERRORS_TOTAL = "serinus_edge_errors_total"
DURATION = "serinus_edge_request_duration_seconds"
_NO_VERSION = r"# no version here\n"


def listener(config: HaproxyConfig, split: str, page_file: str) -> str:
    """Return the listener that Prometheus scrapes."""
    unknown = "unless { var(txn.key) -m found }"
    lines = [
        f"bind {config.metrics_listen}",
        "http-request use-service prometheus-exporter if { path /metrics }",
        "http-request deny deny_status 404 unless { path_beg /serinus/ }",
        "http-request set-var(txn.slot) path,field(3,/)",
        f"http-request set-var(txn.key) str(key.),concat(,txn.slot),map({split})",
        # A slot without a version: an empty page, not an error.
        f'http-request return status 200 content-type text/plain string "{_NO_VERSION}" {unknown}',
        "http-request set-var(txn.n0) int(0)",
        *(
            f"http-request set-var(txn.n{n}) var(txn.key),concat(|{edge}),table_gpc0({LATENCY_TABLE}),"
            f"add(txn.n{n - 1})"
            for n, edge in enumerate([*edges(), ABOVE], 1)
        ),
        f'http-request return status 200 content-type "text/plain; version=0.0.4" lf-file {page_file}',
    ]
    return "\n".join(["listen serinus_metrics", *(f"    {line}" for line in lines), ""])


def page() -> str:
    """Return the page of one slot, as HAProxy fills it in."""
    version = 'version="%[var(txn.key)]"'
    lines = [
        f"# TYPE {REQUESTS_TOTAL} counter",
        f"{REQUESTS_TOTAL}{{{version}}} %[var(txn.key),table_gpc({TRIES},{BREAKER_TABLE})]",
        f"# TYPE {ERRORS_TOTAL} counter",
        f"{ERRORS_TOTAL}{{{version}}} %[var(txn.key),table_gpc({ERRORS},{BREAKER_TABLE})]",
        f"# TYPE {DURATION} histogram",
    ]
    for n, edge in enumerate(edges(), 1):
        lines.append(f'{DURATION}_bucket{{{version},le="{edge / 1000:g}"}} %[var(txn.n{n})]')
    last = f"%[var(txn.n{len(edges()) + 1})]"
    lines += [f'{DURATION}_bucket{{{version},le="+Inf"}} {last}', f"{DURATION}_count{{{version}}} {last}", ""]
    return "\n".join(lines)
