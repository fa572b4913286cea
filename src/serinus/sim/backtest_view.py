"""What a backtest says, as data and in sentences: the one view that text, JSON and page render."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from serinus.core.model import percent
from serinus.sim.backtest import Backtest, Findings, FoundFault
from serinus.sim.backtest_limits import limits
from serinus.sim.quiet import Tried
from serinus.sim.recorded import Record
from serinus.sim.releases import Replayed

__all__ = ["View", "clock", "share", "span", "steps_of", "view"]

View = dict[str, Any]


def view(b: Backtest) -> View:
    """Return everything that is shown, ready for JSON."""
    policies = [_policy(b, f) for f in b.findings]
    return {
        "policy": b.findings[0].policy.name,
        "answer": [_on_quiet(b, policies[0]), _on_releases(policies[0]), _on_faults(policies[0])],
        "good": b.findings[0].good,
        "record": _record(b.record),
        "plan": _plan(b),
        "policies": policies,
        "limits": limits(b),
    }


def _record(record: Record) -> View:
    counts = record.slice(0, record.length).counts
    inner = [(a, b) for a, b in record.gaps if a > 0 and b < record.length]
    return {
        "from": _iso(record.start),
        "to": _iso(record.end),
        "window_seconds": record.shape.width,
        "requests": int(counts[:, :, 0].sum()),
        "errors": int(counts[:, :, 1].sum()),
        "instances": list(record.alive(0, record.length)),
        "versions": [v for v in record.versions() if v],
        "endpoints": list(record.shape.endpoints),
        "latency_edges_ms": [e for e in record.shape.edges if e < float("inf")],
        "gaps": [{"from": _iso(record.at(a)), "seconds": (b - a) * record.shape.width} for a, b in inner],
        "counter_resets": record.resets,
        "notes": list(record.notes),
    }


def _plan(b: Backtest) -> View:
    plan = b.plan
    return {
        "steps": [
            {"traffic_percentage": s.traffic_bp / 100, "hold_seconds": s.hold_seconds}
            for s in plan.course.steps
        ],
        "quiet_starts": [_iso(b.record.at(i)) for i in b.starts],
        "overlapping": b.overlapping,
        "splits": plan.splits,
        "fault_rollouts": plan.fault_rollouts,
        "seed": plan.seed,
        "excluded": [[_iso(x), _iso(y)] for x, y in plan.excluded],
    }


def _policy(b: Backtest, f: Findings) -> View:
    low, high = f.interval
    trials = len(f.independent)
    return {
        "name": f.policy.name,
        "good": f.good,
        "budget": f.budget,
        "healthy": {
            "rollouts": trials,
            "rolled_back": f.false_count,
            "rate": f.false_count / trials if trials else None,
            "low": low,
            "high": high,
            "budget_is": f.budget_is if trials else "open",
            "unfinished": sum(t.outcome.ended == "unfinished" for t in f.independent),
            "all_splits": {"rollouts": len(f.healthy), "rolled_back": len(f.false_alarms)},
            #: Percentage of traffic → false alarms at it, of all splits.
            "by_share": _by_share(f),
            "alarms": [_alarm(t) for t in f.false_alarms],
        },
        "faults": [_fault(one) for one in f.faults],
        "releases": [_release(b.record, one) for one in f.releases],
    }


def _by_share(f: Findings) -> dict[str, int]:
    found = Counter(t.outcome.share_bp for t in f.false_alarms)
    return {percent(bp): found[bp] for bp in sorted(found)}


def _alarm(t: Tried) -> View:
    return {
        "at": _iso(t.start),
        "rolled_back_at": _iso(t.start + t.outcome.seconds),
        "split": t.trial.split,
        "percentage": t.outcome.share_bp / 100,
        "canary_requests": t.outcome.judged_requests,
        "reason": t.outcome.reason,
    }


def _fault(one: FoundFault) -> View:
    seconds = sorted(t.seconds for t in one.hits)
    return {
        "name": one.fault.name,
        "rollouts": one.trials,
        "found": len(one.hits),
        #: Rollouts that were rolled back as early without the fault: not counted.
        "anyway": one.anyway,
        "share": one.share,
        "seconds": seconds,
        "median_seconds": one.middle(lambda t: t.seconds),
        "p90_seconds": seconds[-(-9 * len(seconds) // 10) - 1] if seconds else None,
        "canary_requests": one.middle(lambda t: t.outcome.judged_requests),
        "exposed_requests": one.middle(lambda t: t.outcome.exposed_requests),
        "failed_requests": one.middle(lambda t: t.outcome.exposed_errors),
    }


def _release(record: Record, one: Replayed) -> View:
    r, o = one.release, one.outcome
    shown: View = {
        "version": r.version,
        "stable": r.stable,
        "from": _iso(record.at(r.first)),
        "to": _iso(record.at(r.last)),
        "seconds": (r.last - r.first) * record.shape.width,
        "record": r.ended,
        "canary_requests": r.requests,
        "canary_errors": r.errors,
        "replayed": None,
    }
    if o is not None:
        shown["replayed"] = {
            "rolled_back": o.rolled_back,
            "after_seconds": o.seconds if o.rolled_back else None,
            "at": _iso(record.at(r.first) + o.seconds) if o.rolled_back else None,
            "exposed_requests": o.exposed_requests,
            "exposed_errors": o.exposed_errors,
            "reason": o.reason,
        }
    return shown


def _on_quiet(b: Backtest, p: View) -> str:
    h, name = p["healthy"], p["name"]
    if not h["rollouts"]:
        few = len(b.record.alive(0, b.record.length)) < 2
        why = (
            "only one instance was recorded" if few else "the record has no quiet stretch that is long enough"
        )
        return f"Whether {name} rolls back healthy versions cannot be told: {why}."
    budget = share(p["budget"])
    end = {
        "kept": f"which keeps the budget of {budget}",
        "broken": f"which breaks the budget of {budget}",
        "open": f"too few rollouts to show whether the budget of {budget} is kept",
    }[h["budget_is"]]
    return (
        f"Of {_number(h['rollouts'], 'healthy rollout')} made from the quiet hours {name} would have rolled "
        f"back {h['rolled_back'] or 'none'} ({share(h['rate'])}; 95 % interval {share(h['low'])} to "
        f"{share(h['high'])}), {end}."
    )


def _number(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def _on_releases(p: View) -> str:
    known = [r for r in p["releases"] if r["replayed"]]
    if not known:
        return "No past release could be replayed: no two versions were side by side for long enough."
    back = [r for r in known if r["replayed"]["rolled_back"]]
    through = [r for r in known if not r["replayed"]["rolled_back"]]
    parts = []
    if back:
        parts.append("rolled back " + _listed([_caught(r) for r in back]))
    if through:
        told = [f"{r['version']} (which the record shows {_ended(r)})" for r in through]
        parts.append("let through " + _listed(told))
    return f"Of {_number(len(known), 'past release')} it would have {' and '.join(parts)}."


def _caught(r: View) -> str:
    after = span(r["replayed"]["after_seconds"])
    return f"{r['version']} after {after} (the record shows it {_ended(r)} after {span(r['seconds'])})"


def _ended(r: View) -> str:
    return {"promoted": "promoted", "rolled_back": "taken back", "open": "still going on"}[r["record"]]


def _on_faults(p: View) -> str:
    tried = [f for f in p["faults"] if f["rollouts"]]
    if not tried:
        return "No fault could be laid over the record: it has no quiet stretch that is long enough."
    always = [f for f in tried if f["found"] == f["rollouts"]]
    partly = [f for f in tried if 0 < f["found"] < f["rollouts"]]
    never = [f for f in tried if not f["found"]]
    parts = []
    if always:
        parts.append(
            "always found " + _listed([f"{f['name']} ({span(f['median_seconds'])})" for f in always])
        )
    if partly:
        told = [f"{f['name']} ({f['found']} of {f['rollouts']})" for f in partly]
        parts.append("sometimes " + _listed(told))
    if never:
        parts.append("never " + _listed([f["name"] for f in never]))
    lost, every = sum(f["anyway"] for f in tried), sum(f["anyway"] + f["rollouts"] for f in tried)
    more = f" ({share(lost / every)} of these rollouts it ends without a fault, too; they do not count)"
    return f"Of faults laid over quiet hours it {'; '.join(parts)}{more if lost else ''}."


def share(value: float | None) -> str:
    """Return a share as people read it.

    >>> share(0.0123), share(0.5), share(0.0), share(0.0004)
    ('1.2 %', '50 %', '0 %', '0.04 %')
    """
    if value is None:
        return "–"
    points = value * 100
    if 99 < points < 100:
        return f"{points:.1f} %"
    return f"{points:.0f} %" if points >= 9.95 else f"{points:.2g} %"


def span(seconds: float | None) -> str:
    """Return a time as people say it.

    >>> span(65.0), span(600.0), span(7500.0)
    ('65 s', '10 min', '2.1 h')
    """
    if seconds is None:
        return "–"
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def clock(iso: str) -> str:
    """Return a moment as a person in an office says it.

    >>> clock("2026-03-03T14:02:05+00:00")
    'Tue 3 Mar 14:02'
    """
    return datetime.fromisoformat(iso).strftime("%a %-d %b %H:%M")


def _iso(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).isoformat()


def _listed(items: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(items[:-1]), items[-1])))


def steps_of(plan: View) -> str:
    """Return the course in words."""
    told = [(f"{s['traffic_percentage']:g} %", span(s["hold_seconds"])) for s in plan["steps"]]
    if len({hold for _, hold in told}) == 1:
        return f"{' → '.join(at for at, _ in told)}, {told[0][1]} each"
    return " → ".join(f"{at} for {hold}" for at, hold in told)
