"""How several candidates look from outside (A/B/n): each by itself, and how they stand to one another.

A deployment with one canary has none of this: its views are what they are without.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from serinus.control.context import stamp
from serinus.control.showing.judgement import judge_view
from serinus.core.analysis.verdict import Verdict
from serinus.core.bucketing import BUCKETS
from serinus.core.candidates import Candidate, seats, version_at
from serinus.core.codec import to_json
from serinus.core.contest import live, seen_as
from serinus.core.model import Deployment, Status
from serinus.core.values import changed
from serinus.core.winner import Standing, standing

__all__ = ["assigned_version", "candidates_view", "comparisons", "front", "strategy_part"]


def candidates_view(d: Deployment) -> dict[str, Any]:
    """Return the candidates and their standing; nothing for one canary."""
    if not d.candidates:
        return {}
    shares = {s.version: s.end - s.begin for s in seats(d.candidates, d.weight_bp)} if d.contested else {}
    return {
        "tested": d.tested,
        # Less than the walk's share once a candidate is out: its part is stable's.
        "tested_percentage": sum(shares.values()) / 100 if d.contested else d.traffic_bp / 100,
        "winner": d.winner or None,
        "candidates": [_candidate(d, at, shares) for at in range(len(d.candidates))],
        "standing": to_json(_standing(d)),
    }


def _standing(d: Deployment) -> Standing:
    return standing(d.candidates, d.policy.judge)


def _candidate(d: Deployment, at: int, shares: Mapping[str, int]) -> dict[str, Any]:
    c = d.candidates[at]
    share = BUCKETS if d.status is Status.ACTIVE and d.winner == c.version else shares.get(c.version, 0)
    return {
        "version": c.version,
        "state": _state(d, c),
        "share": c.part_bp / 100,
        "traffic_percentage": share / 100,
        "dropped_at": stamp(c.dropped_at),
        "drop_reason": c.drop_reason,
        "circuit_breaker_state": c.breaker.state.upper(),
        "down": c.down,
        "checks": [to_json(v) for v in c.verdicts],
        "judge": _judged(d, at),
    }


def _state(d: Deployment, c: Candidate) -> str:
    if not c.live:
        return "dropped"
    if d.winner:
        return "promoted" if d.winner == c.version and d.status is not Status.ROLLED_BACK else "ended"
    return "under test" if d.status is Status.CANARY else "planned" if not d.ended_at else "ended"


def _judged(d: Deployment, at: int) -> dict[str, Any] | None:
    """Return what the judge says of a candidate; of one that is out, what it said last."""
    c = d.candidates[at]
    if d.winner == c.version:
        return judge_view(d)
    over = not c.live or not d.contested
    return judge_view(changed(seen_as(d, at), status=Status.ROLLED_BACK) if over else seen_as(d, at))


def strategy_part(d: Deployment) -> dict[str, Any]:
    """Return what an A/B/n strategy has beside what every strategy has."""
    named = d.strategy.candidates
    if not named:
        return {}
    return {
        "candidates": [{"version": e.version, "share": e.part_bp / 100} for e in named],
        "on_tie": d.strategy.on_tie.value,
    }


def assigned_version(d: Deployment, unit_hash: str) -> str:
    """Return which version an assigned unit is on."""
    return version_at(d.candidates, int(unit_hash, 16) % BUCKETS) if d.contested else d.version


def front(d: Deployment) -> int:
    """Return the place of the candidate that speaks for all: the best, or the first that is left."""
    best = _standing(d).best
    return next((at for at, c in enumerate(d.candidates) if c.version == best), min(live(d), default=0))


def comparisons(
    d: Deployment, views: Sequence[dict[str, Any]], gates: Sequence[Sequence[Verdict]]
) -> dict[str, Any]:
    """Return the comparison of each candidate with stable, and what to do about all of them.

    Args:
        d: The deployment.
        views: The comparison of each one, as if it were the only canary.
        gates: The promotion gate of each one.
    """
    found, at = _standing(d), front(d)
    each = {
        c.version: {
            k: v for k, v in {**view, "gate": [to_json(g) for g in gate]}.items() if k != "deployment_id"
        }
        for c, view, gate in zip(d.candidates, views, gates, strict=True)
    }
    whole = {**views[at], "version": d.candidates[at].version}
    if not found.best and whole["comparison"]["recommendation"] == "promote":
        reason = f"{found.sentence}: choose one by its version"
        whole["comparison"] = {**whole["comparison"], "recommendation": "wait", "reason": reason}
    return {**whole, "candidates": each, "standing": to_json(found)}
