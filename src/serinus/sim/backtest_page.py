"""A backtest as one page that asks for nothing: the answer, the numbers, how it was made, its limits."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from serinus.sim.backtest import Backtest
from serinus.sim.backtest_figures import faults_figure, interval_figure, release_figure, week_figure
from serinus.sim.backtest_style import STYLE
from serinus.sim.backtest_view import View, clock, share, span, steps_of

__all__ = ["page"]

WORDS = {"kept": "budget kept", "broken": "budget broken", "open": "budget: too few rollouts to tell"}
#: More false alarms than this are in the JSON only.
SHOWN_ALARMS = 200


def page(found: Backtest, shown: View) -> str:
    """Return the whole document."""
    name = escape(shown["policy"])
    body = [_answer(shown), _quiet(found, shown), _faults(shown), _releases(found, shown), _made(shown)]
    said = "".join(body).replace(" %", "\u00a0%")  # a number keeps its sign on its line
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        '<meta http-equiv="Content-Security-Policy" '
        "content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        f"<title>Backtest of {name}</title><style>{STYLE}</style></head>"
        f"<body><main>{said}</main></body></html>"
    )


def _answer(shown: View) -> str:
    p, record = shown["policies"][0], shown["record"]
    tone = "broken" if not p["good"] else p["healthy"]["budget_is"]
    lost = "" if all(_found_all(f) for f in p["faults"]) else ' <span class="tag broken">outage missed</span>'
    when = f"{clock(record['from'])} to {clock(record['to'])} UTC"
    is_ = p["healthy"]["budget_is"]
    said = "".join(f"<p>{escape(sentence)}</p>" for sentence in shown["answer"])
    return (
        f"<h1>What would “{escape(p['name'])}” have done?</h1>"
        f'<p class="soft">{when} · {record["requests"]:,} requests</p>'
        f'<div class="answer {tone}">{said}</div>'
        f'<p><span class="tag {is_}">{WORDS[is_]}</span>{lost}</p>'
    )


def _found_all(fault: View) -> bool:
    return "outage" not in fault["name"] or fault["found"] == fault["rollouts"]


def _quiet(found: Backtest, shown: View) -> str:
    rows = []
    for p in shown["policies"]:
        h = p["healthy"]
        every = h["all_splits"]
        rows.append(
            (
                p["name"],
                f"{h['rolled_back']} of {h['rollouts']}",
                share(h["rate"]),
                f"{share(h['low'])} – {share(h['high'])}",
                share(p["budget"]),
                f"{every['rolled_back']} of {every['rollouts']}",
                str(h["unfinished"]),
            )
        )
    head = ("Policy", "Rolled back", "Rate", "95 % interval", "Budget", "With all splits", "Not finished")
    return (
        "<h2>The record, and every false alarm</h2>"
        f"{week_figure(found)}{_alarms(shown)}"
        "<h2>How often a healthy version would have been rolled back</h2>"
        f"{interval_figure(shown)}{_table(head, rows)}"
    )


def _alarms(shown: View) -> str:
    made = []
    for p in shown["policies"]:
        alarms = p["healthy"]["alarms"]
        rows = [
            (
                clock(a["at"]),
                str(a["split"] + 1),
                f"{a['percentage']:g} %",
                f"{a['canary_requests']:,}",
                a["reason"],
            )
            for a in alarms[:SHOWN_ALARMS]
        ]
        if rows:
            head = ("Started (UTC)", "Split", "At", "Canary requests", "Reason")
            more = f", the first {SHOWN_ALARMS} shown" if len(alarms) > SHOWN_ALARMS else ""
            where = ", ".join(f"{n} at {at}" for at, n in p["healthy"]["by_share"].items())
            title = f"False alarms of {escape(p['name'])}: {where}{more}"
            made.append(f"<details><summary>{title}</summary>{_table(head, rows, left=(4,))}</details>")
    return "".join(made)


def _faults(shown: View) -> str:
    rows = []
    for number, fault in enumerate(shown["policies"][0]["faults"]):
        for p in shown["policies"]:
            f = p["faults"][number]
            rows.append(
                (
                    fault["name"],
                    p["name"],
                    f"{f['found']} of {f['rollouts']}",
                    str(f["anyway"]),
                    span(f["median_seconds"]),
                    span(f["p90_seconds"]),
                    *(_count(f[k]) for k in ("canary_requests", "exposed_requests", "failed_requests")),
                )
            )
    head = ("Fault", "Policy", "Found", "Anyway", "Median", "p90", "Judged", "Exposed", "Failed")
    return (
        "<h2>What it would have found</h2>"
        "<p>Faults were laid over the canary’s half of quiet hours. Each rollout is held against its twin "
        "without the fault; where that was rolled back as early (“anyway”), nothing counts as found.</p>"
        f"{faults_figure(shown)}<details><summary>The same in numbers</summary>"
        f"{_table(head, rows, left=(0, 1))}<p><small>Judged, exposed, failed: canary requests from the fault "
        "to the rollback that the policy had read, that were served, and that failed (medians of the "
        "rollouts in which it was found).</small></p></details>"
    )


def _releases(found: Backtest, shown: View) -> str:
    if not found.releases:
        return f"<h2>Past releases</h2><p>{escape(shown['answer'][1])}</p>"
    strips = "".join(release_figure(found, shown, number) for number in range(len(found.releases)))
    key = (
        '<p><small><i class="key line1"></i>stable<i class="key line2"></i>new version'
        '<i class="key bad" style="width:3px"></i>rollback by the policy'
        '<i class="key cut"></i>the record shows its end</small></p>'
    )
    return f"<h2>Past releases as they were</h2>{key}{strips}"


def _made(shown: View) -> str:
    record, plan = shown["record"], shown["plan"]
    facts = [
        (
            f"Read from Prometheus: {record['requests']:,} requests and {record['errors']:,} errors of "
            f"{len(record['instances'])} instances, {len(record['endpoints'])} endpoints and "
            f"{len(record['versions'])} versions, as raw counters in windows of "
            f"{record['window_seconds']} s; {record['counter_resets']} counter resets taken out."
        ),
        (
            f"Quiet hours: {len(plan['quiet_starts'])} starts, {plan['splits']} ways each to halve the "
            f"instances, steps {steps_of(plan)}. The canary’s half is thinned to the step’s share; seed "
            f"{plan['seed']}: the same seed gives the same report."
        ),
        f"Faults: {plan['fault_rollouts']} rollouts each at most, spread over the quiet starts.",
        "Judged by the very function that the live monitor runs, every 30 s on a fake clock.",
        "Interval: Clopper–Pearson over rollouts that share no request.",
    ]
    excluded = [f"{clock(a)} to {clock(b)}" for a, b in plan["excluded"]]
    if excluded:
        facts.append(f"Left out by hand: {'; '.join(excluded)}.")
    return (
        f"<h2>How it was made</h2><ul>{''.join(f'<li>{escape(f)}</li>' for f in facts)}</ul>"
        f"<h2>What it cannot tell</h2><ul>{''.join(f'<li>{escape(x)}</li>' for x in shown['limits'])}</ul>"
    )


def _count(value: float | None) -> str:
    return "–" if value is None else f"{value:,.0f}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], left: Sequence[int] = (0,)) -> str:
    """Return a table; columns other than ``left`` are numbers."""

    def cells(tag: str, row: Sequence[str]) -> str:
        kinds = ["" if i in left else ' class="n"' for i in range(len(row))]
        return "".join(f"<{tag}{kind}>{escape(c)}</{tag}>" for kind, c in zip(kinds, row, strict=True))

    body = "".join(f"<tr>{cells('td', row)}</tr>" for row in rows)
    top = f"<thead><tr>{cells('th', head)}</tr></thead>"
    return f'<div class="scroll"><table>{top}<tbody>{body}</tbody></table></div>'
