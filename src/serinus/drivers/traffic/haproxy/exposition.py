"""What Prometheus finds at ``metrics_listen``: HAProxy's own exporter, and our counters by version.

HAProxy's exporter (/metrics) knows backends and servers by slot, and has no histograms. So HAProxy also
answers /serinus/SLOT with what its stick tables count for the version in that slot.
"""

from __future__ import annotations

from math import inf

from serinus.drivers.traffic.haproxy.config import HaproxyConfig
from serinus.drivers.traffic.haproxy.latency import LATENCY_TABLE, rows

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

#: The stick table of versions, and its counters. ``TRIES`` are those that have no time: all others have a row
#: in the table of latencies.
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
        f"http-request set-var(txn.base) str(base.),concat(,txn.slot),map({split}),add(0)",
        "http-request set-var(txn.n) int(0)",
        *(line for row, edge in rows().items() for line in _adding(row, edge)),
        f"http-request set-var(txn.all) var(txn.base),table_gpc({TRIES},{BREAKER_TABLE}),add(txn.n)",
        f'http-request return status 200 content-type "text/plain; version=0.0.4" lf-file {page_file}',
    ]
    return "\n".join(["listen serinus_metrics", *(f"    {line}" for line in lines), ""])


def _adding(row: int, edge: float) -> tuple[str, str]:
    """Return the rules that add a row to what is below an edge; of several rows the last one stays."""
    counted = f"var(txn.base),add({row}),table_http_req_cnt({LATENCY_TABLE}),add(txn.n)"
    return f"http-request set-var(txn.n) {counted}", f"http-request set-var(txn.{_below(edge)}) var(txn.n)"


def _below(edge: float) -> str:
    return f"n{edge:g}"


def page() -> str:
    """Return the page of one slot, as HAProxy fills it in."""
    version = 'version="%[var(txn.key)]"'
    lines = [
        f"# TYPE {REQUESTS_TOTAL} counter",
        f"{REQUESTS_TOTAL}{{{version}}} %[var(txn.all)]",
        f"# TYPE {ERRORS_TOTAL} counter",
        f"{ERRORS_TOTAL}{{{version}}} %[var(txn.base),table_gpc({ERRORS},{BREAKER_TABLE})]",
        f"# TYPE {DURATION} histogram",
    ]
    for edge in dict.fromkeys(rows().values()):
        upper = "+Inf" if edge == inf else f"{edge / 1000:g}"
        lines.append(f'{DURATION}_bucket{{{version},le="{upper}"}} %[var(txn.{_below(edge)})]')
    lines += [f"{DURATION}_count{{{version}}} %[var(txn.n)]", ""]
    return "\n".join(lines)
