"""A simulation as one HTML file: no script, no request, light or dark, for a desk and for a phone."""

from __future__ import annotations

from html import escape
from importlib import resources

from serinus.sim.intervals import percent, span
from serinus.sim.pictures import COLOUR, Axis, curve, interval, ratio, ruler
from serinus.sim.summary import SLACK, FaultyLine, HealthyLine, Report, Verdict

__all__ = ["page"]

_SHARES = Axis(0.0005, 1.0, [(0.0005, "0"), (0.001, "0.1 %"), (0.01, "1 %"), (0.1, "10 %"), (1.0, "100 %")])
_RATIOS = Axis(0.5, 50.0, [(0.5, "½"), (1, "1"), (2, "2"), (5, "5"), (10, "10"), (50, "50")])
#: Below this share of rollouts no distribution of delays is drawn.
HALF = 0.5
#: Worlds whose detection delay is drawn.
DRAWN = 9
#: How the numbers came about, for whoever reads only this file.
_MADE = """
<p>Requests, errors and response times were drawn by chance for each world in windows of ten seconds:
waves, bursts, retries and lost windows included. After every window the policy was asked by the very
function that the monitor asks in production, on a clock of its own, and walked the world's steps.</p>
<p>The interval around a share is the exact one (Clopper and Pearson). Rollbacks before a fault began
are false alarms: they are shown as “too early” and count neither as found nor as missed.</p>
<p>The oracle is Wald's sequential probability ratio test with one wrong alarm in a hundred. It knows
the rates with and without the fault at every moment, which nobody does in reality, sees only windows
that arrive, counts a cluster of errors once, and leaves out latency in the first two minutes. A ratio
below 1 is no miracle: a policy that does not wait for the warm-up, or that is rash, can be faster, and
pays for it above.</p>
<p>Histograms have 16 buckets per power of two instead of the SDK's 64, which takes a quarter of the
time. Errors and response times are drawn independently of each other.</p>
<p>These worlds are not your service. They say how a policy behaves where the truth is known; give your
own rates as a world file to come closer.</p>
"""
#: A fault found in this share of rollouts counts as found.
FOUND = 0.99


def page(report: Report) -> str:
    """Return the whole file."""
    style = (resources.files(__package__) / "report.css").read_text(encoding="utf-8")
    parts = [_head(report)]
    if report.healthy:
        parts.append(_healthy(report))
    if report.faulty:
        parts += [_faulty(report), _delays(report)]
    parts += [_reasons(report), _made(report)]
    title = f"{escape(report.policy)}: simulated"
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f'<meta name="color-scheme" content="light dark"><title>{title}</title><style>{style}</style></head>'
        f"<body><main>{''.join(parts)}</main></body></html>\n"
    )


def _head(report: Report) -> str:
    figures = []
    if report.healthy:
        worst = max(report.healthy, key=lambda line: line.rolled_back.value)
        kept = sum(line.verdict is Verdict.KEPT for line in report.healthy)
        figures.append((f"{kept} of {len(report.healthy)}", "healthy worlds keep the budget"))
        figures.append(
            (f"{percent(worst.rolled_back.value)}", f"rolled back in the worst one, {worst.world}")
        )
    if report.faulty:
        found = sum(line.found.value >= FOUND for line in report.faulty)
        figures.append((f"{found} of {len(report.faulty)}", "faults found in 99 of 100 rollouts"))
        figures.append((f"{report.overall:.2f} ×", "the canary requests of the best possible test"))
    cards = "".join(f"<li><b>{escape(n)}</b><span>{escape(what)}</span></li>" for n, what in figures)
    verdict = ""
    if report.healthy:
        kind = "good" if report.kept else "bad" if report.broken else "open"
        verdict = f'<p class="verdict {kind}">{escape(report.sentence)}</p>'
    partial = '<p class="verdict bad">Interrupted: some rollouts are missing.</p>' if report.partial else ""
    return (
        f'<header><p class="crumb">Serinus · simulated policy</p><h1>{escape(report.policy)}</h1>'
        f'{verdict}{partial}<ul class="figures">{cards}</ul></header>'
    )


def _healthy(report: Report) -> str:
    allowed = report.budget * SLACK
    rows = "".join(
        f'<li><div class="name"><b>{escape(line.world)}</b><small>{escape(line.title)}</small></div>'
        f"{interval(_SHARES, line, report.budget, allowed)}"
        f'<div class="value {COLOUR[line.verdict]}">{percent(line.rolled_back.value, 2)}'
        f"<small>{percent(line.rolled_back.low, 2)} – {percent(line.rolled_back.high, 2)}</small></div></li>"
        for line in report.healthy
    )
    return (
        '<section class="card"><h2>Nothing is wrong, and it is rolled back all the same</h2>'
        f'<p class="hint">{report.runs:,} rollouts of each healthy world. The dot is the share that was '
        f"rolled back, the bar its 95 % interval. The line is the budget of {percent(report.budget)}, the "
        f"dashed one {percent(allowed)}, which the whole interval must stay below.</p>"
        f'{_beside(ruler(_SHARES))}<ol class="strips">{rows}</ol>{_beside(ruler(_SHARES))}</section>'
    )


def _faulty(report: Report) -> str:
    rows = "".join(
        f'<li><div class="name"><b>{escape(line.world)}</b><small>{escape(line.title)}</small></div>'
        f'{ratio(_RATIOS, line)}<div class="value {"good" if line.found.value >= FOUND else "bad"}">'
        f"{_times(line)}<small>{_found(line)}</small></div></li>"
        for line in report.faulty
    )
    families = " · ".join(f"{escape(name)} {value:.2f}" for name, value in report.by_family.items())
    return (
        '<section class="card"><h2>Something is wrong: how long until it is found</h2>'
        f'<p class="hint">{report.faulty_runs:,} rollouts of each faulty world. Median canary requests from '
        "the fault's onset until the rollback, divided by those of a test that knows both rates: nobody can "
        "be much better than 1. ✕: less than half of the rollouts found it.</p>"
        f'{_beside(ruler(_RATIOS))}<ol class="strips">{rows}</ol>{_beside(ruler(_RATIOS))}'
        f'<p class="hint">Geometric mean by kind, 50 where it was not found: {families}.</p></section>'
    )


def _beside(words: str) -> str:
    return f'<div class="strips"><div class="foot"><span></span>{words}<span></span></div></div>'


def _times(line: FaultyLine) -> str:
    return "–" if line.ratio is None else f"{line.ratio:.2f} ×"


def _found(line: FaultyLine) -> str:
    early = f", {percent(line.early.value)} too early" if line.early.hits else ""
    return f"{percent(line.found.value)} found{early}"


def _delays(report: Report) -> str:
    chosen: dict[str, FaultyLine] = {}
    drawable = [line for line in report.faulty if line.found.value >= HALF]
    for line in drawable:
        chosen.setdefault(line.family, line)
    for line in drawable:
        if len(chosen) < DRAWN and line not in chosen.values():
            chosen[line.world] = line
    cards = "".join(_delay(line) for line in list(chosen.values())[:DRAWN])
    return (
        '<section class="card"><h2>Minutes from fault to rollback</h2><p class="hint">The share of rollouts '
        "that had found it, over time since its onset. The upright line is where the oracle's median lies."
        f'</p><div class="curves">{cards}</div></section>'
        if cards
        else ""
    )


def _delay(line: FaultyLine) -> str:
    top = max(60.0, line.delays[-1] * 1.05, (line.oracle_seconds[0] or 0.0) * 1.05)
    median, late = line.seconds
    words = f"half after {span(median)}" if median is not None else "never half of them"
    words += f", nine in ten after {span(late)}" if late is not None else ""
    return (
        f"<figure><figcaption><b>{escape(line.world)}</b><small>{escape(words)}</small></figcaption>"
        f'{curve(line, top)}<div class="ends" aria-hidden="true"><span>0</span>'
        f"<span>{span(top)}</span></div></figure>"
    )


def _reasons(report: Report) -> str:
    lines: list[HealthyLine | FaultyLine] = [*report.healthy, *report.faulty]
    rows = "".join(
        f"<tr><td>{escape(line.world)}</td><td>"
        f"{escape(', '.join(f'{why} {count}×' for why, count in line.reasons))}</td>"
        f"<td>{escape(line.example)}</td></tr>"
        for line in lines
        if line.reasons
    )
    if not rows:
        return ""
    return (
        '<section class="card"><details><summary><h2>Why it was rolled back, in its own words</h2></summary>'
        '<div class="wide"><table><thead><tr><th>World</th><th>What decided</th><th>One of the sentences</th>'
        f"</tr></thead><tbody>{rows}</tbody></table></div></details></section>"
    )


def _made(report: Report) -> str:
    seed = f"Seed {report.seed}; the same seed, version and policy give the same report."
    return (
        f'<section class="card words"><h2>How this was made</h2>{_MADE}<p class="hint">{seed}</p></section>'
    )
