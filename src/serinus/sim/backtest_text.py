"""A backtest for the terminal: the answer first, then numbers, then how it was made."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from serinus.sim.backtest_view import View, clock, share, span, steps_of

__all__ = ["lines"]

_WORDS = {"kept": "kept", "broken": "broken", "open": "too few to tell"}


def lines(shown: View) -> list[str]:
    """Return the summary, line by line, without colours."""
    return [*_answer(shown), "", *_quiet(shown), "", *_faults(shown), *_releases(shown), *_made(shown)]


def _answer(shown: View) -> Iterator[str]:
    yield from shown["answer"]


def _quiet(shown: View) -> Iterator[str]:
    yield "Healthy rollouts that would have been rolled back"
    rows = [("policy", "rolled back", "95 % interval", "budget", "", "all splits", "not finished")]
    for p in shown["policies"]:
        h, every = p["healthy"], p["healthy"]["all_splits"]
        rows.append(
            (
                p["name"],
                f"{h['rolled_back']} of {h['rollouts']}",
                f"{share(h['low'])} – {share(h['high'])}",
                share(p["budget"]),
                _WORDS[h["budget_is"]],
                f"{every['rolled_back']} of {every['rollouts']}",
                str(h["unfinished"]),
            )
        )
    yield from _table(rows)
    for p in shown["policies"]:
        where = ", ".join(f"{n} at {at}" for at, n in p["healthy"]["by_share"].items())
        if where:
            yield f"  {p['name']}: {where}"
    alarms = shown["policies"][0]["healthy"]["alarms"]
    for alarm in alarms[:3]:
        yield f"  {clock(alarm['at'])}, split {alarm['split'] + 1}: {alarm['reason']}"
    if len(alarms) > 3:
        yield f"  … and {len(alarms) - 3} more (--html or --json shows them all)"


def _faults(shown: View) -> Iterator[str]:
    yield "Faults laid over quiet hours"
    rows = [("fault", "policy", "found", "anyway", "median", "p90", "judged", "exposed", "failed")]
    for number, fault in enumerate(shown["policies"][0]["faults"]):
        for at, p in enumerate(shown["policies"]):
            f = p["faults"][number]
            rows.append(
                (
                    "" if at else fault["name"],
                    p["name"],
                    f"{f['found']} of {f['rollouts']}",
                    str(f["anyway"]),
                    span(f["median_seconds"]),
                    span(f["p90_seconds"]),
                    _count(f["canary_requests"]),
                    _count(f["exposed_requests"]),
                    _count(f["failed_requests"]),
                )
            )
    yield from _table(rows)
    yield "  anyway: rolled back as early without the fault, so not counted"
    yield "  judged, exposed, failed: canary requests until the rollback (median)"


def _releases(shown: View) -> Iterator[str]:
    first = shown["policies"][0]["releases"]
    if not first:
        return
    yield ""
    yield "Past releases as they were (UTC)"
    for number, r in enumerate(first):
        ended = {"promoted": "promoted", "rolled_back": "taken back", "open": "still open"}[r["record"]]
        yield f"  {r['version']} beside {r['stable']}, {clock(r['from'])}: {ended} after {span(r['seconds'])}"
        for p in shown["policies"]:
            yield f"    {p['name']}: {_fate(p['releases'][number])}"


def _fate(r: View) -> str:
    o = r["replayed"]
    if o is None:
        return "too short to judge"
    if not o["rolled_back"]:
        return f"let through ({r['canary_requests']:,} canary requests, {r['canary_errors']:,} failed)"
    return (
        f"rolled back after {span(o['after_seconds'])}, "
        f"{span(r['seconds'] - o['after_seconds'])} before that: {o['reason']}"
    )


def _made(shown: View) -> Iterator[str]:
    record, plan = shown["record"], shown["plan"]
    yield ""
    yield "How it was made"
    yield (
        f"  {clock(record['from'])} to {clock(record['to'])} UTC, windows of {record['window_seconds']} s: "
        f"{record['requests']:,} requests, {record['errors']:,} errors, "
        f"{len(record['instances'])} instances, {len(record['endpoints'])} endpoints."
    )
    yield (
        f"  {len(plan['quiet_starts'])} quiet starts × {plan['splits']} splits of the instances, steps "
        f"{steps_of(plan)}, seed {plan['seed']}; judged by the function that the monitor runs."
    )
    yield "What it cannot tell"
    for limit in shown["limits"]:
        yield f"  · {limit}"


def _count(value: float | None) -> str:
    return "–" if value is None else f"{value:,.0f}"


def _table(rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        yield "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
