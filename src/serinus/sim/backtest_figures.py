"""The figures of the backtest's page, each with its words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from html import escape

import numpy as np

from serinus.sim.backtest import Backtest, Findings
from serinus.sim.backtest_plots import Numbers, Plot, binned, known_of, log_scale, p95_of, rates, root_scale
from serinus.sim.backtest_view import View, clock, share, span
from serinus.sim.recorded import Slice

__all__ = ["faults_figure", "interval_figure", "release_figure", "week_figure"]

#: Points of a line: more cannot be told apart on a page.
POINTS = 700
#: Seconds of stable shown before and after a release.
MARGIN = 900


def week_figure(found: Backtest) -> str:
    """Return traffic, error rate and p95, with releases, gaps, and a lane of quiet rollouts per policy."""
    record = found.record
    size = max(1, record.length // POINTS)
    whole = record.slice(0, record.length)
    part = binned(whole, size)
    at = [record.at(i * size) + size * record.shape.width / 2 for i in range(len(part.counts))]
    requests, errors = rates(part)
    requests = requests / known_of(whole, size)
    rows = [
        ("Requests per second", requests / record.shape.width, "{:,.0f}/s"),
        ("Error rate", errors * 100, "{:.2g} %"),
    ]
    if len(record.shape.edges) > 1:
        rows.append(("p95 latency", p95_of(part, record.shape.edges), "{:,.0f} ms"))
    lanes = [_lane(found, name, at, values, form) for name, values, form in rows]
    lanes += [_rollouts(found, f) for f in found.findings]
    key = (
        '<i class="key rel"></i>release<i class="key gone"></i>gap in the record'
        '<i class="key good"></i>quiet rollout let through<i class="key bad"></i>rolled back: a false alarm '
        "(height: how many of its splits)"
    )
    return f"<figure>{''.join(lanes)}{_days(found)}<figcaption>{key}. Times are UTC.</figcaption></figure>"


def _lane(found: Backtest, name: str, at: Sequence[float], values: Numbers, form: str) -> str:
    top = float(np.nanmax(values)) if not np.isnan(values).all() else 0.0
    middle = float(np.nanmedian(values)) if top else 0.0
    spoken = f"{name}: median {form.format(middle)}, most {form.format(top)}"
    plot = _shaded(found, Plot(found.record.start, found.record.end, height=64, spoken=spoken))
    plot.line(at, values, top, "all")
    words = f"median {form.format(middle)}, most {form.format(top)}"
    return f'<div class="lane"><div class="head"><b>{name}</b><span>{words}</span></div>{plot.svg()}</div>'


def _shaded(found: Backtest, plot: Plot) -> Plot:
    """Mark releases, what was left out, and gaps."""
    record = found.record
    for release in found.releases:
        plot.band(record.at(release.first), record.at(release.last), "release")
    for low, high in found.plan.excluded:
        plot.band(low, high, "excluded")
    for a, b in record.gaps:
        if a > 0 and b < record.length:
            plot.band(record.at(a), record.at(b), "gap")
    return plot


def _rollouts(found: Backtest, f: Findings) -> str:
    record, length = found.record, found.plan.course.seconds
    every, false = len(f.healthy), len(f.false_alarms)
    words = f"{false} of {every} rolled back"
    plot = _shaded(
        found,
        Plot(record.start, record.end, height=26, spoken=f"Quiet rollouts under {f.policy.name}: {words}"),
    )
    alarms: dict[int, int] = {}
    for t in f.false_alarms:
        alarms[t.trial.first] = alarms.get(t.trial.first, 0) + 1
    for first in found.starts:
        begun = record.at(first)
        plot.band(begun, begun + length * 0.9, "ok", top=0.86)
        if first in alarms:
            plot.band(
                begun, begun + length * 0.9, "alarm", top=0.86 * (1 - alarms[first] / found.plan.splits)
            )
    name = f"Quiet rollouts under {escape(f.policy.name)}"
    return f'<div class="lane"><div class="head"><b>{name}</b><span>{words}</span></div>{plot.svg()}</div>'


def _days(found: Backtest) -> str:
    """Return the axis: days, or hours when there are few days."""
    record = found.record
    plot = Plot(record.start, record.end)
    days = (record.end - record.start) / 86_400
    step = 86_400 * max(1, round(days / 8)) if days > 2 else 14_400 if days > 0.5 else 3600
    form = "%-d %b" if days > 8 else "%a" if days > 2 else "%H:%M"
    first = -(-record.start // step) * step
    marks = [
        (plot.percent(at), datetime.fromtimestamp(at, UTC).strftime(form))
        for at in range(first, record.end, step)
    ]
    return _axis(marks)


def _axis(marks: Iterable[tuple[float, str]]) -> str:
    spans = []
    for at, words in marks:
        side = ' class="left"' if at < 4 else ' class="right"' if at > 96 else ""
        spans.append(f'<span{side} style="left:{at:.1f}%">{escape(words)}</span>')
    return f'<div class="axis" aria-hidden="true">{"".join(spans)}</div>'


def interval_figure(shown: View) -> str:
    """Return each policy's rate with its interval, against the budget."""
    known = [p for p in shown["policies"] if p["healthy"]["rollouts"]]
    if not known:
        return ""
    most = min(1.0, 1.15 * max(max(p["healthy"]["high"], p["budget"]) for p in known))
    rows = []
    for p in known:
        h = p["healthy"]
        words = f"{share(h['rate'])} ({share(h['low'])} – {share(h['high'])})"
        plot = Plot(
            0, root_scale(most), height=30, spoken=f"{p['name']}: {words}, budget {share(p['budget'])}"
        )
        plot.rule(0, root_scale(most), "base").rule(root_scale(h["low"]), root_scale(h["high"]), "interval")
        plot.mark(root_scale(p["budget"]), "budget").dots([root_scale(h["rate"])], "rate")
        rows.append(
            f'<div class="row {h["budget_is"]}"><b>{escape(p["name"])}</b><div>{plot.svg()}</div>'
            f"<span>{words}</span></div>"
        )
    ticks = [t for t in (0.0, 0.001, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0) if t <= most]
    plot = Plot(0, root_scale(most))
    marks = _apart([(plot.percent(root_scale(t)), share(t)) for t in ticks])
    budgets = " and ".join(sorted({share(p["budget"]) for p in known}))
    note = (
        f"Dot: rate. Bar: 95 % interval. Dashed: the budget, {budgets}. The scale spreads small shares out."
    )
    return (
        f'<figure>{"".join(rows)}<div class="row"><b></b>{_axis(marks)}<span></span></div>'
        f"<figcaption>{note}</figcaption></figure>"
    )


def _apart(marks: list[tuple[float, str]], least: float = 13.0) -> list[tuple[float, str]]:
    """Leave out marks whose words would run into one another."""
    kept: list[tuple[float, str]] = []
    for mark in marks:
        if not kept or mark[0] - kept[-1][0] >= least:
            kept.append(mark)
    return kept


def faults_figure(shown: View) -> str:
    """Return, for each fault and policy, a dot for each rollout at the time when it was found."""
    times = [s for p in shown["policies"] for f in p["faults"] for s in f["seconds"]]
    if not times:
        return "<p>Nothing was found.</p>"
    low, high = log_scale(min(30.0, *times)), log_scale(max(600.0, *times) * 1.1)
    ticks = [t for t in (30, 60, 120, 300, 600, 1200, 1800, 3600, 7200) if low <= log_scale(t) <= high]
    groups = []
    for number, fault in enumerate(shown["policies"][0]["faults"]):
        rows = []
        for p in shown["policies"]:
            f = p["faults"][number]
            rate = f"{f['found']} of {f['rollouts']}"
            words = f"{rate}, {span(f['median_seconds'])}" if f["found"] else rate
            plot = Plot(low, high, height=30, spoken=f"{fault['name']} under {p['name']}: {words}")
            for tick in ticks:
                plot.mark(log_scale(tick), "grid")
            plot.dots([log_scale(s) for s in f["seconds"]], "found")
            tone = "kept" if f["found"] == f["rollouts"] else "broken" if not f["found"] else "open"
            badge = f'<span class="{tone}" style="color:var(--tone)">{words}</span>'
            rows.append(
                f'<div class="row"><span>{escape(p["name"])}</span><div>{plot.svg()}</div>{badge}</div>'
            )
        groups.append(f'<div class="group"><h3>{escape(fault["name"])}</h3>{"".join(rows)}</div>')
    plot = Plot(low, high)
    marks = _apart([(plot.percent(log_scale(t)), span(t)) for t in ticks], 11.0)
    note = "Each dot is one rollout, from the fault’s onset to the rollback, on a logarithmic scale."
    axis = f'<div class="row"><b></b>{_axis(marks)}<span></span></div>'
    return f"<figure>{axis}{''.join(groups)}{axis}<figcaption>{note}</figcaption></figure>"


def release_figure(found: Backtest, shown: View, number: int) -> str:
    """Return one release: both versions' error rate and p95, and who would have ended it when."""
    record, release = found.record, found.releases[number]
    width = record.shape.width
    low = max(0, release.first - MARGIN // width)
    high = min(record.length, release.last + MARGIN // width)
    size = max(1, (high - low) // 120)
    sides = [
        (kind, binned(record.slice(low, high, version=version), size))
        for kind, version in (("stable", release.stable), ("canary", release.version))
    ]
    at = [record.at(low + i * size) + size * width / 2 for i in range(len(sides[0][1].counts))]
    plots = [_strip(found, shown, number, at, "Error rate", [(k, _errors(s)) for k, s in sides], "{:.2g} %")]
    if len(record.shape.edges) > 1:
        lines = [(k, p95_of(s, record.shape.edges)) for k, s in sides]
        plots.append(_strip(found, shown, number, at, "p95 latency", lines, "{:,.0f} ms"))
    told = shown["policies"][0]["releases"][number]
    ended = {"promoted": "promoted", "rolled_back": "taken back", "open": "still going on at the end"}[
        told["record"]
    ]
    head = (
        f"<h3>{escape(release.version)} beside {escape(release.stable)}, {clock(told['from'])}</h3>"
        f'<p class="soft">The record shows it {ended} after {span(told["seconds"])}: '
        f"{told['canary_requests']:,} requests, {told['canary_errors']:,} failed.</p>"
    )
    fates = "".join(
        f"<li><b>{escape(p['name'])}</b> {_fate(p['releases'][number])}</li>" for p in shown["policies"]
    )
    return f'<div class="strip">{head}<div class="pair">{"".join(plots)}</div><ul>{fates}</ul></div>'


def _errors(part: Slice) -> Numbers:
    errors: Numbers = rates(part)[1] * 100
    return errors


def _strip(
    found: Backtest,
    shown: View,
    number: int,
    at: Sequence[float],
    name: str,
    lines: Sequence[tuple[str, Numbers]],
    form: str,
) -> str:
    record, release = found.record, found.releases[number]
    known = np.concatenate([values for _, values in lines])
    top = float(np.nanmax(known)) if not np.isnan(known).all() else 0.0
    half = record.shape.width / 2
    plot = Plot(
        at[0] - half, at[-1] + half, height=90, spoken=f"{name} of both versions, most {form.format(top)}"
    )
    plot.mark(record.at(release.last), "end")
    for kind, values in lines:
        plot.line(at, values, top, kind)
    for rank, p in enumerate(shown["policies"]):
        fate = p["releases"][number]["replayed"]
        if fate and fate["rolled_back"]:
            plot.mark(record.at(release.first) + fate["after_seconds"], "other" if rank else "bad")
    begun, ended = record.at(release.first), record.at(release.last)
    axis = _axis(
        [(plot.percent(t), datetime.fromtimestamp(t, UTC).strftime("%H:%M")) for t in (begun, ended)]
    )
    words = f"0 to {form.format(top)}"
    return (
        f'<div class="lane"><div class="head"><b>{name}</b><span>{words}</span></div>{plot.svg()}{axis}</div>'
    )


def _fate(r: View) -> str:
    o = r["replayed"]
    if o is None:
        return "could not judge it: too short."
    if not o["rolled_back"]:
        return "would have let it through."
    doubt = (
        " The record shows that it was kept: a false alarm, if it was good."
        if r["record"] == "promoted"
        else ""
    )
    saved = r["canary_requests"] - o["exposed_requests"]
    return (
        f"would have rolled it back after {span(o['after_seconds'])}, with {saved:,} of "
        f"{r['canary_requests']:,} requests kept from it: {escape(o['reason'])}.{doubt}"
    )
